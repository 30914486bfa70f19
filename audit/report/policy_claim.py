"""Rules about privacy claims: verdicts, the size of the claim, and what was certified. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit.report.policy import ClaimRules, Verdict
from audit.report.policy_result import MET, NOT_MET, OPEN, Outcome, Result
from audit.report.verdicts import label
from audit.report.words import Json, at_least, count, finite, general, name, part

# The report has the whole statement.
_LONGEST = 300


def claim_results(
    rules: ClaimRules, report: Mapping[str, Any], arms: list[str]
) -> Iterator[Result]:
    """Every rule of the section [claim] on each of ``arms``."""
    for arm in arms:
        facts = report["results"]["arms"][arm]
        if rules.verdict is not None:
            yield _verdict("claim.verdict", rules.verdict, f"claim-{arm}", report, arm)
        if rules.canaries is not None:
            yield _verdict("claim.canaries", rules.canaries, f"canaries-{arm}", report, arm)
        if (most := rules.epsilon_at_most) is not None:
            yield _stated("claim.epsilon_at_most", "ε", facts.get("epsilon"), most, arm)
        if (most := rules.delta_at_most) is not None:
            yield _stated("claim.delta_at_most", "δ", facts.get("delta"), most, arm)
        if rules.delta_below_one_over_n:
            yield _delta(report, arm)
        if (most := rules.certified_epsilon_at_most) is not None:
            yield _certified(report, arm, most)


def finding_of(report: Mapping[str, Any], ident: str) -> Json | None:
    """The finding of this id; None where there is none."""
    return next((f for f in report["findings"] if f["id"] == ident), None)


def said(found: Mapping[str, Any]) -> str:
    """A finding's verdict and statement, fit to be shown on a line."""
    return f"{label(found)['words']}. {name(found['statement'], _LONGEST)}"


def _verdict(rule: str, wanted: Verdict, ident: str, report: Mapping[str, Any], arm: str) -> Result:
    found = finding_of(report, ident)
    if found is None:
        return Result(rule, OPEN, "this report has no such test", arm)
    outcome: Outcome = OPEN
    if found["fails"] or found["verdict"] == "violates":
        outcome = NOT_MET
    elif found["verdict"] == "consistent" or wanted == "not_violated":
        outcome = MET
    statement = said(found)
    if outcome == MET and found["verdict"] != "consistent":
        statement = f"not violated, which is all that is asked. {statement}"
    numbers = {key: part(found, key) for key in ("value", "low", "high", "threshold")}
    return Result(rule, outcome, statement, arm, **numbers)


def _stated(rule: str, symbol: str, value: Any, most: float, arm: str) -> Result:
    """A number that is claimed, so without an interval."""
    if not finite(value):
        return Result(rule, OPEN, f"the claimed {symbol} is not recorded", arm, threshold=most)
    outcome = MET if value <= most else NOT_MET
    relation = "at most" if value <= most else "above"
    statement = f"the claimed {symbol} = {general(value)} is {relation} {general(most)}"
    return Result(rule, outcome, statement, arm, value=float(value), threshold=most)


def _delta(report: Mapping[str, Any], arm: str) -> Result:
    rule, delta = "claim.delta_below_one_over_n", report["results"]["arms"][arm].get("delta")
    n = report["source"]["data"].get("n")
    if not finite(delta) or not finite(n) or n < 1:
        return Result(rule, OPEN, "δ or the number of training examples is not recorded", arm)
    below = delta < 1 / n
    statement = (
        f"δ = {general(delta, 2)} is {'below' if below else 'not below'} 1/n = "
        f"{general(1 / n, 2)} (n = {count(n)})"
    )
    return Result(
        rule, MET if below else NOT_MET, statement, arm, value=float(delta), threshold=1 / n
    )


def _certified(report: Mapping[str, Any], arm: str, most: float) -> Result:
    """No procedure certifies more than ``most``, and one of them could have."""
    rule, facts = "claim.certified_epsilon_at_most", report["results"]["arms"][arm]
    claimed, tested = part(facts, "epsilon"), part(facts.get("test"), "epsilon")
    if claimed is None or tested is None:
        return Result(rule, OPEN, "which ε was tested is not recorded", arm, threshold=most)
    # Under the fixed design "in" against "out" is a swap: ε for one example is 2ε there.
    swap = tested > claimed * (1 + 1e-9)
    bounds = _bounds(report, arm, witness_scale=2.0 if swap else 1.0)
    if swap and most > claimed:
        # (most, δ) is a claim about a swap at another, larger δ than the one that was tested.
        bounds = [bound for bound in bounds if bound[0] == "canaries"]
    if not bounds:
        return Result(rule, OPEN, "nothing was certified on a scale of ε", arm, threshold=most)
    outcomes = [_bound_outcome(value, could, most) for _, value, could in bounds]
    # One procedure with the power to show more is enough, where none does show it.
    outcome = NOT_MET if NOT_MET in outcomes else MET if MET in outcomes else OPEN
    on, largest, _ = max(bounds, key=lambda bound: bound[1])
    reached = f"the largest ε certified is {at_least(largest)} (on {_ON.get(on, name(on))})"
    statement = {
        NOT_MET: f"{reached}, above {general(most)}: a lower bound on the true ε at 95 %",
        MET: f"{reached}, at most {general(most)}, and more could have been certified; a lower "
        "bound is no proof that ε is small",
        OPEN: f"{reached}, at most {general(most)}, but no procedure is known to have had the "
        "power to certify more",
    }[outcome]
    return Result(rule, outcome, statement, arm, value=largest, low=largest, threshold=most)


_ON = {"witness": "single examples", "examples": "all training examples", "canaries": "canaries"}


def _bound_outcome(value: float, could: float, most: float) -> Outcome:
    if value > most:
        return NOT_MET
    return MET if could >= most and could > 0 else OPEN


def _bounds(
    report: Mapping[str, Any], arm: str, *, witness_scale: float
) -> list[tuple[str, float, float]]:
    """(id, certified ε, ε that the procedure had the power to certify) of each procedure.

    Left out: canaries in several copies, which certify at another δ, and what speaks of other
    neighbours than the claim (``refutes_claim`` is None). Single examples certify an ε between in
    and out, which is ``witness_scale`` times that of one example.
    """
    facts, found = report["results"]["arms"][arm], []
    finding = finding_of(report, f"claim-{arm}")
    for entry in (facts.get("empirical_epsilon") or {}).get("procedures") or []:
        epsilon = part(entry.get("epsilon"), "value")
        if epsilon is None or entry.get("refutes_claim") is None or (entry.get("copies") or 1) > 1:
            continue
        could = 0.0
        if entry["id"] == "witness":
            # A claim refuted by the stronger form of the test certifies the refuted ε.
            epsilon = max(epsilon, part(finding, "value") or 0.0) / witness_scale
            could = _witness_power(report) / witness_scale
        elif entry.get("would_refute_twice"):
            # Of a mechanism of twice the claimed ε the claim would have been refuted.
            could = part(facts, "epsilon") or 0.0
        found.append((str(entry["id"]), epsilon, could))
    return found


def _witness_power(report: Mapping[str, Any]) -> float:
    """The ε that one example memorized outright would have certified, with 80 % power."""
    models = report["results"]["models"]
    found = [
        part(row, "epsilon")
        for entry in (report["results"].get("power") or {}).get("epsilon") or []
        if entry["procedure"] == "witness bound"
        for row in entry.get("rows") or []
        if row.get("models") == models
    ]
    return max((epsilon for epsilon in found if epsilon is not None), default=0.0)
