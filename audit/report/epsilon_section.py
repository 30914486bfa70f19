"""The section on empirical ε: claimed, certified, and what gives the audit its teeth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, chart, figure, section, table, text
from audit.report.colours import PRIVATE
from audit.report.epsilon_findings import guessed_right, procedures
from audit.report.words import (
    Json,
    arm_label,
    at_least,
    count,
    finite,
    general,
    is_swap,
    name,
    part,
    percent,
)

_ROLES = {
    "witness": "training examples, right or wrong",
    "examples": "training examples, margins",
}


def epsilon_section(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Json | None:
    """Every procedure on every arm; None for results of an earlier version."""
    arms = [arm for arm, result in summary["arms"].items() if procedures(result)]
    if not arms:
        return None
    rows = [
        _row(arm, entry, run, summary) for arm in arms for entry in procedures(summary["arms"][arm])
    ]
    columns = [("Arm", TEXT), ("Procedure", TEXT), ("On", TEXT), ("Attacker sees", TEXT)]
    columns += [("Claimed ε", NUMBER), ("Certified ε (95 %)", NUMBER)]
    columns += [("Without assuming a Gaussian", NUMBER), ("Guesses right", NUMBER)]
    columns += [("Claim", TEXT)]
    numbers = table("Claimed and certified ε", columns, rows, _NOTE)
    drawn = _points(arms, summary, run)
    blocks = [
        text(
            "A certified ε is a lower bound: with 95 % confidence the true ε of this training is "
            "not smaller. It comes from an attack that was carried out. A bound near 0 from "
            "training examples is weak evidence, because ordinary examples are seldom the worst "
            "case; what the same procedure certifies on standard training, and on canaries that "
            "are the worst case by design, shows how much it could have seen.",
            "Pooled audits read ε off a Gaussian trade-off function, which fits DP-SGD well and "
            "standard training hardly; the column beside it needs no such assumption, and neither "
            "do the tests of the claim.",
            _planted(run),
        ),
        figure(
            [chart("certified", "Claimed and certified ε", _DESCRIPTION, drawn, PRIVATE)]
            if drawn["points"]
            else [],
            "Dots (standard training: diamonds): certified lower bounds on ε, by what was "
            "attacked; upright ticks: the claimed ε. A dot right of its tick is more than the "
            "claim allows.",
            numbers,
            wide=True,
        ),
        *_calibration(summary, run),
    ]
    return section("empirical-epsilon", "What attacks certify: empirical ε", blocks)


def _calibration(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """The same procedures where the answer is known; nothing in results without it."""
    found = summary.get("calibration")
    if not found:
        return []
    setting, claimed = found["setting"], (run.get("judged_by") or {}).get("epsilon") or 1.0
    rows = []
    for entry in found["procedures"]:
        # Of several known ε the one that is nearest to the claim.
        at = min(entry["known_epsilon"], key=lambda a: abs(a["epsilon"] - claimed))
        known = [general(at["epsilon"]), _rate(at["wrong"]), _share(at["share"])]
        rows.append([name(entry["procedure"], 80), _rate(entry["false_alarms"]), *known])
    columns = [("Procedure", TEXT), ("False alarms on pure noise", NUMBER), ("True ε", NUMBER)]
    columns += [("Certified more than that", NUMBER), ("Certified, mean share of it", NUMBER)]
    fewer = found["examples_of_run"] > setting["examples"]
    note = (
        f"Simulated: {count(setting['models'])} models, {count(setting['examples'])} examples in "
        f"with probability {general(setting['p'])}, {count(setting['canaries'])} canaries, "
        f"δ = {general(setting['delta'], 2)}"
        + (f" (this run has {count(found['examples_of_run'])} examples)" if fewer else "")
        + ". Known ε: a Gaussian mechanism that shows every coin as much as it may. At most 5 % "
        "may be wrong; 95 % intervals. audit calibrate makes more trials."
    )
    return [table("The same procedures where the answer is known", columns, rows, note)]


def _rate(e: Mapping[str, Any]) -> str:
    wrong = round(e["value"] * e["n"])
    return f"{count(wrong)} of {count(e['n'])} ({percent(e['low'])} to {percent(e['high'])})"


def _share(e: Mapping[str, Any]) -> str:
    return percent(e["value"], 0) if finite(e["value"]) else "–"


_DESCRIPTION = "A row per arm and procedure: the certified lower bound on ε, and the claimed ε"
_NOTE = (
    "All bounds are at the δ of the claim, of standard training at that of the strictest claim of "
    "the run; the witness bound under fixed subsets is one of a swap, and held against what the "
    "claim allows that. Each procedure by itself is right in 95 % of audits; its thresholds were "
    "fixed before looking, or paid for."
)


def _planted(run: Mapping[str, Any]) -> str:
    planted = run.get("canaries") or {}
    kind, n = planted.get("kind"), planted.get("count") or 0
    if not n:
        why = planted.get("why_none")
        return "No canaries were planted" + (f": {name(why, 300)}." if why else ".")
    if kind == "gradient":
        return (
            f"{count(n)} gradient canaries were planted in each private model: fixed directions "
            "whose gradient is ten clip norms long, in by a fair coin, sampled and clipped like "
            "any example. The attacker sees the parameters after every step and knows the "
            "directions, not the coins. They have no input and no label, and are counted in no "
            "accuracy; what they add to a step is small beside its noise."
        )
    what = {
        "mislabeled": "copies of training examples with a label drawn among the other classes",
        "ood": "inputs drawn uniformly between the least and the largest value of each feature, "
               "with a random label",
        "duplicates": f"mislabeled copies, {planted.get('copies')} of each, in or out together",
    }.get(str(kind), "planted examples")  # fmt: skip
    return (
        f"{count(n)} canaries were planted in every arm: {what}. Each is in a model by a fair "
        "coin. They are counted in no accuracy, but models trained with them are not those that "
        "would have been trained without: read accuracies and memorization of this run with care."
    )


def _swapped(
    arm: str, entry: Mapping[str, Any], run: Mapping[str, Any], summary: Mapping[str, Any]
) -> float | None:
    """What a claim allows between in and out where that is a swap, for the witness bound, which
    is an ε of that; None elsewhere."""
    if entry["id"] != "witness" or not is_swap(run):
        return None
    return part(summary["arms"][arm].get("test"), "epsilon")


def _row(
    arm: str, entry: Mapping[str, Any], run: Mapping[str, Any], summary: Mapping[str, Any]
) -> list[str]:
    facts = run["arms"].get(arm, {})
    own = facts.get("kind") == "dp"
    claim = general(facts.get("epsilon")) if own else "none"
    if own and (entry.get("copies") or 1) > 1 and entry.get("claimed"):
        epsilon, delta = entry["claimed"]
        claim = f"{general(epsilon)}, δ = {general(delta, 2)} ({entry['copies']} copies)"
    swapped = _swapped(arm, entry, run, summary)
    if own and swapped is not None:
        claim = f"{general(swapped)} (a swap)"
    refutes = entry.get("refutes_claim")
    verdict = {None: "–", True: "refuted", False: "not refuted"}[refutes if own else None]
    if entry.get("epsilon") is None:
        verdict = f"not possible: {name(entry.get('why_not'), 200)}"
    any_epsilon = part(entry.get("epsilon_any"), "value")
    return [
        arm_label(arm, run),
        name(entry["procedure"], 80),
        name(entry["on"], 80),
        name(entry["threat"], 80),
        claim,
        at_least(part(entry.get("epsilon"), "value")) if entry.get("epsilon") else "–",
        at_least(any_epsilon) if finite(any_epsilon) else "–",
        guessed_right(entry),
        verdict,
    ]


def _points(arms: list[str], summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    rows = []
    for arm in arms:
        facts = run["arms"].get(arm, {})
        for entry in procedures(summary["arms"][arm]):
            value = part(entry.get("epsilon"), "value")
            if not finite(value):
                continue
            claimed = None
            # What a claim allows copies is at another δ than what is certified of them: no rule.
            if facts.get("kind") == "dp" and (entry.get("copies") or 1) == 1:
                swapped = _swapped(arm, entry, run, summary)
                claimed = facts["epsilon"] if swapped is None else swapped
            words = _ROLES.get(entry["id"], entry["on"])
            rows.append({
                "row": len(rows), "label": f"{arm_label(arm, run)}: {words}",
                "epsilon": value, "claimed": claimed, "private": facts.get("kind") == "dp",
            })  # fmt: skip
    return {"points": rows}
