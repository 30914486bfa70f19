"""Findings about a privacy claim: the claim itself, the standard arm, the largest memorization.

Two families of tests are made per arm, each with Holm at 5 %: the bare (ε, δ), and the whole
privacy curve of the mechanism that was accounted for. A run can refute the second without the
first; the claim is then not *consistent*, because its ε was read off that curve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from audit.estimates.power import ENOUGH_POWER
from audit.report.verdicts import finding
from audit.report.words import (
    Json,
    arm_words,
    at_least,
    count,
    counted,
    estimate,
    finite,
    general,
    is_swap,
    joined,
    number,
    part,
    percent,
    private_arms,
    probability,
)

CLAIM = "claim-"
UNTESTED = "nothing could be tested"
# The example that the power is computed for: memorized outright (method §4).
_P_IN, _P_OUT = 0.99, 0.01


def claimed(arm: str, test: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The tested claim: "ε = 2, δ = 0.00038".

    Under ``fixed`` inclusion the claimed ε and what it says about a swap: "ε = 2 (tested as
    ε = 4, δ = 0.0032 between in and out, a swap)". The standard arm is held against the strictest,
    or, where no arm claims anything, against the ε that was asked about.
    """
    tested = f"ε = {general(test.get('epsilon'))}, δ = {general(test.get('delta'), 2)}"
    if not is_swap(run):
        return tested
    private = [f for f in run.get("arms", {}).values() if f.get("kind") == "dp"]
    own, asked = run.get("arms", {}).get(arm, {}), run.get("judged_by") or {}
    facts = own if own in private else min(private, key=lambda f: f["epsilon"], default=asked)
    return f"ε = {general(facts.get('epsilon'))} (tested as {tested} between in and out, a swap)"


def certified(result: Mapping[str, Any]) -> Json:
    """The certified ε as an estimate: never below an ε that the arm's own test refutes.

    The witness bound uses a weaker form of the test than the verdict; where that refutes ε, ε is
    itself a lower bound at the same family-wise confidence.
    """
    bound = dict(result.get("epsilon_certified") or {})
    tested = part(result.get("test"), "epsilon")
    if result["verdict"] != "violates" or tested is None:
        return bound
    value = max(tested, part(bound, "value") or 0.0)
    return {**bound, "value": value, "low": value}


def certified_label(run: Mapping[str, Any]) -> str:
    """What the certified ε is an ε of: "ε", or "ε between in and out" where that is a swap."""
    return "ε between in and out" if is_swap(run) else "ε"


def diverged(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> int:
    """Models of ``arm`` that ended with parameters that are not finite."""
    recorded = summary["arms"][arm].get("diverged")
    if recorded is not None:
        return int(recorded)
    shards = run.get("shards") or {}
    return sum(
        entry.get("diverged") or 0 for key, entry in shards.items() if key.rpartition("/")[0] == arm
    )


def models_needed(test: Mapping[str, Any]) -> str:
    """How many models the test needs for 80 % power, for a cell: "190", "no number of models"."""
    if not finite(test.get("power")):
        return UNTESTED
    if finite(test.get("models_needed")):
        return count(test["models_needed"])
    return "no number of models" if outright_is_allowed(test) else "over a million"


def claim(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    """Does a private arm keep its claim? *Consistent* only if its privacy curve stands too."""
    result, lost = summary["arms"][arm], diverged(arm, summary, run)
    test, verdict = result.get("test") or {}, result["verdict"]
    said, beyond = claimed(arm, test, run), _beyond_curve(result)
    if verdict == "violates":
        text = _violated(said, result, run)
    elif beyond:
        verdict = "could_not_tell"
        text = (
            "The mechanism that was accounted for is refuted by its own privacy curve: "
            f"{_lie(beyond)} beyond it by more than chance, although the bare claim of {said} was "
            "not refuted by itself. The claimed ε was read off that curve, so the claim has lost "
            "its ground."
        )
        reasons = _undecided(test, summary, lost)
        text += f" About the bare claim: {reasons}." if reasons else ""
    elif verdict == "consistent" and not lost:
        text = (
            f"What was measured on {counted(summary.get('models'), 'model')} is consistent with "
            f"the claim of {said}: no example was found to break it. One memorized as ordinary "
            f"training memorizes would have been found with {probability(test.get('power'))} "
            "power. This is not a proof."
        )
    else:
        verdict = "could_not_tell"
        text = f"The test could not tell whether the claim of {said} holds"
        text += f": {_undecided(test, summary, lost) or 'the data do not decide'}."
    fails = verdict == "violates" or bool(beyond)
    return finding(
        f"{CLAIM}{arm}",
        f"Does {arm_words(arm, run)} keep its privacy claim?",
        text,
        verdict,
        _test_method(result, run),
        estimate=certified(result),
        threshold=test.get("epsilon"),
        fails=fails,
        inconclusive=verdict == "could_not_tell" and not fails,
        needed=_needed(test) if verdict == "could_not_tell" and not fails else None,
    )


def forbidden(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    """What the run's strictest claim would have forbidden an arm that claims nothing."""
    result, lost = summary["arms"][arm], diverged(arm, summary, run)
    test, verdict = result.get("test") or {}, result["verdict"]
    witnesses = [str(i) for i in result.get("witnesses") or []]
    label, said = arm_words(arm, run), claimed(arm, test, run)
    if verdict == "violates":
        text = (
            f"A claim of {said} would have forbidden what {label} does to "
            f"{counted(result.get('n_refuted'), 'training example')}"
            + (f" (for instance {_numbers(witnesses[:5])})" if witnesses else "")
            + ". It makes no such claim; this shows that the test can see memorization here."
        )
    elif verdict == "consistent" and not lost:
        text = (
            f"Nothing that {label} does was found to break {said}, although it makes no "
            "such claim: on these data there is little memorization for privacy to prevent"
            + (
                ", and finding none in the private models says little."
                if private_arms(summary, run)
                else "."
            )
        )
    else:
        verdict = "could_not_tell"
        text = f"The test could not tell whether {label} would break {said}"
        text += f": {_undecided(test, summary, lost) or 'the data do not decide'}."
    return finding(
        f"forbidden-{arm}",
        f"What would privacy have forbidden {label}?",
        text,
        verdict,
        _test_method(result, run),
        estimate=certified(result),
        threshold=test.get("epsilon"),
        inconclusive=verdict == "could_not_tell",
        needed=_needed(test) if verdict == "could_not_tell" else None,
    )


_CAP_OF = {
    True: "the accountant's privacy curve; examples beyond the curve, in either direction: exact "
    "test, a Holm family of its own at 5 %",
    False: "(ε, δ) alone, the privacy curve behind it not being known; examples beyond it: the "
    "test of the claim",
}


def has_curve(result: Mapping[str, Any]) -> bool:
    """Whether the arm was also held against a whole privacy curve, not only against (ε, δ)."""
    return finite((result.get("above_bound") or {}).get("tradeoff_cap"))


def largest(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    """Is the largest memorization under the cap? An excess that few models cannot tell from chance
    is *inconclusive*, never *holds*."""
    result = summary["arms"][arm]
    mem, above = result.get("mem_max"), result.get("above_bound") or {}
    curve = has_curve(result)
    cap = part(above, "tradeoff_cap" if curve else "memorization_cap")
    bound = "the trade-off bound" if curve else "the bound e^ε allows"
    bound += " between in and out" if is_swap(run) else ""
    beyond = _beyond_curve(result) if curve else result.get("n_refuted") or 0
    shown = f"The largest memorization in {arm_words(arm, run)} is {estimate(mem)}"
    if beyond:
        verdict = "fails"
        text = f"{shown}; {_lie(beyond)} beyond {bound} by more than chance."
    elif part(mem, "value") is None or part(mem, "low") is None or cap is None:
        verdict, text = "inconclusive", f"{shown}; it could not be compared with {bound}."
    else:
        verdict, place = _place(result, cap, f"{bound} of {number(cap)}")
        text = f"{shown}, {place}."
    lost = diverged(arm, summary, run)
    if verdict == "holds" and lost:
        verdict, text = "inconclusive", f"{text[:-1]}; but {_lost(lost, summary)}."
    return finding(
        f"largest-memorization-{arm}",
        f"Is the largest memorization in {arm_words(arm, run)} under what "
        f"{'the accounting' if curve else 'the claim'} allows?",
        text,
        verdict,
        "largest p_in − p_out, 95 % limits for the largest true one (Newcombe's score, corrected "
        f"for the choice among all examples), against the cap from {_CAP_OF[curve]}; an excess is "
        "called chance only where the test of the claim has 80 % power",
        estimate=mem,
        threshold=cap,
        fails=verdict == "fails",
        inconclusive=verdict == "inconclusive",
        needed=_needed(result.get("test") or {}) if verdict == "inconclusive" else None,
    )


def _place(result: Mapping[str, Any], cap: float, limit: str) -> tuple[str, str]:
    """Verdict on a largest memorization that no test refutes, and where it lies."""
    value, low, high = (part(result["mem_max"], k) or 0.0 for k in ("value", "low", "high"))
    power = part(result.get("test"), "power")
    if value <= cap:
        return "holds", f"under {limit}" + (", which its interval reaches" if high > cap else "")
    if low > cap:
        return "inconclusive", (
            f"above {limit}, and so is its interval, but the exact test, after correction for all "
            "examples, does not confirm it"
        )
    if power is not None and power >= ENOUGH_POWER:
        return "holds", f"within its interval of {limit}"
    found = "no example could be tested" if power is None else f"{probability(power)} power"
    return "inconclusive", f"above {limit}; that the test found no excess says nothing ({found})"


def _beyond_curve(result: Mapping[str, Any]) -> int:
    above = result.get("above_bound") or {}
    return int(above.get("above_tradeoff_significant") or 0)


def _violated(said: str, result: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    n = result.get("n_refuted")
    who = (
        "1 training example differs between the models that saw it"
        if n == 1
        else f"{counted(n, 'training example')} differ between the models that saw them"
    )
    return (
        f"The claim of {said} is violated: {who} and those that did not by more than the claim "
        f"allows; the data certify {certified_label(run)} of at least "
        f"{at_least(certified(result)['value'])}."
    )


def _undecided(test: Mapping[str, Any], summary: Mapping[str, Any], lost: int) -> str:
    """Why the test of the bare claim decides nothing; empty if it had power and every model."""
    reasons = [_lost(lost, summary)] if lost else []
    models, power = summary.get("models"), part(test, "power")
    if power is None:
        one = "with 1 model no example is both in and out"
        many = "no example is in some models and out of others"
        reasons.append(f"{one if models == 1 else many}, so {UNTESTED}")
    elif power < ENOUGH_POWER:
        reasons.append(
            f"with {counted(models, 'model')}, even a fully memorized example would have been "
            f"found with only {probability(power)} power; {_needed_words(test)}"
        )
    return "; ".join(reasons)


def _needed(test: Mapping[str, Any]) -> str:
    """What would decide a claim, for its finding."""
    power = part(test, "power")
    if power is None:
        return "at least 2 models, with examples that are in some of them and out of others"
    if power >= ENOUGH_POWER:
        return "it cannot be said: the test had the power to decide; other evidence contradicts"
    return _needed_words(test)


def _needed_words(test: Mapping[str, Any]) -> str:
    if finite(test.get("models_needed")):
        return f"about {count(test['models_needed'])} models are needed"
    if outright_is_allowed(test):
        return (
            "no number of models would be enough, because so large an ε allows even an example "
            "that models get right in 99 % of cases when they saw it and in 1 % when not"
        )
    return "more than a million models would be needed"


def outright_is_allowed(test: Mapping[str, Any]) -> bool:
    """Whether the example that the power is computed for obeys the claim (in all directions)."""
    epsilon, delta = part(test, "epsilon"), part(test, "delta")
    if epsilon is None or delta is None:
        return False
    return math.exp(min(epsilon, 700.0)) * _P_OUT + delta >= _P_IN


def _lost(lost: int, summary: Mapping[str, Any]) -> str:
    return (
        f"{count(lost)} of {counted(summary.get('models'), 'model')} ended with non-finite "
        f"parameters and {'answers' if lost == 1 else 'answer'} nothing"
    )


def _lie(n: int) -> str:
    return f"{counted(n, 'training example')} {'lies' if n == 1 else 'lie'}"


def _numbers(witnesses: list[str]) -> str:
    return f"number{'' if len(witnesses) == 1 else 's'} {joined(witnesses)}"


def _test_method(result: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    test = result.get("test") or {}
    curve = (
        "; the privacy curve is tested beside it, a second Holm family at 5 %"
        if has_curve(result)
        else ""
    )
    scale = "; value and threshold are ε between in and out (a swap)" if is_swap(run) else ""
    return (
        "exact test of p_in against p_out per example, both outcomes and both directions, "
        f"{test.get('correction') or 'Holm'} over {count(test.get('hypotheses'))} hypotheses at "
        f"{percent(test.get('alpha'), 0)}; smallest p = {general(test.get('smallest_p'), 2)}"
        f"{curve}{scale}"
    )
