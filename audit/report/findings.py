"""Numbers → verdicts, in careful words: *consistent with* is no proof, *could not tell* no pass.

PURE. A finding is a plain dict: ``id``, ``question``, ``statement`` (one sentence for a reader who
has not read the method), ``value``, ``low``, ``high``, ``n``, ``threshold``, ``verdict``,
``method``, ``fails``, ``inconclusive``. Verdicts:

- a privacy claim: ``violates`` | ``consistent`` | ``could_not_tell`` (method §4);
- differences and trends: ``shown`` | ``equivalent`` | ``inconclusive`` | ``too_few_groups`` (§7);
- checks of the tool on itself and on the plan: ``holds`` | ``fails`` | ``inconclusive``.

``fails`` is true where a claim or a check is refuted; the standard arm claims nothing, so what its
test shows never fails. ``inconclusive`` is true where the data could not decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from audit.errors import EXIT_FINDING_FAILS, EXIT_INCONCLUSIVE, EXIT_OK
from audit.report import subgroup_findings
from audit.report.verdicts import finding
from audit.report.words import (
    Json,
    arm_words,
    count,
    estimate,
    finite,
    general,
    joined,
    number,
    part,
    percent,
    points,
    private_arms,
    probability,
    span,
)

GAP_TOLERANCE = 0.01
CLAIM = "claim-"


def findings(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """Every finding of a run, the privacy claims first (``summary.json`` and ``run.json`` as read).

    Parts of the summary that are absent (no trends, no cross-check) give no finding: the report's
    list of what is not covered names them.
    """
    private = private_arms(summary, run)
    found = [_claim(arm, summary, run) for arm in private]
    found += [_forbidden(arm, summary, run) for arm in summary["arms"] if arm not in private]
    found += [_largest(arm, summary, run) for arm in private]
    found += [_delta(arm, run) for arm in private]
    found += [_loss(arm, summary, run) for arm in private]
    found += subgroup_findings.trends(summary, run)
    found += subgroup_findings.disparities(summary, run)
    found += [_gap(arm, summary, run) for arm in summary["arms"]]
    found += [_cross_check(arm, run) for arm in summary["arms"] if arm in _checks(run)]
    return found


def exit_code(found: list[Json]) -> int:
    """1 if any finding fails; else 3 if a privacy claim could not be decided; else 0."""
    if any(f["fails"] for f in found):
        return EXIT_FINDING_FAILS
    if any(f["inconclusive"] for f in found if f["id"].startswith(CLAIM)):
        return EXIT_INCONCLUSIVE
    return EXIT_OK


def _checks(run: Mapping[str, Any]) -> Json:
    return run.get("cross_check") or {}


def _test_method(test: Mapping[str, Any]) -> str:
    return (
        "exact test of p_in against p_out per example, both outcomes and both directions, "
        f"{test.get('correction') or 'Holm'} over {count(test.get('hypotheses'))} hypotheses at "
        f"{percent(test.get('alpha'), 0)}; smallest p = {general(test.get('smallest_p'), 2)}"
    )


def claimed(test: Mapping[str, Any]) -> str:
    """The tested claim: "ε = 2, δ = 0.00038"."""
    return f"ε = {general(test.get('epsilon'))}, δ = {general(test.get('delta'), 2)}"


def _claim(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    result, models = summary["arms"][arm], summary.get("models")
    test, verdict = result.get("test") or {}, result["verdict"]
    power, needed = probability(test.get("power")), test.get("models_needed")
    if verdict == "violates":
        text = (
            f"The claim ({claimed(test)}) is violated: {_examples(result.get('n_refuted'))} "
            "differ between the models that saw them and those that did not by more than the "
            f"claim allows; the data certify ε of at least "
            f"{number(part(result.get('epsilon_certified'), 'value'), 2)}."
        )
    elif verdict == "consistent":
        text = (
            f"What was measured on {count(models)} models is consistent with the claim "
            f"({claimed(test)}): no example was found to break it. One memorized as ordinary "
            f"training memorizes would have been found with {power} power. This is not a proof."
        )
    else:
        enough = (
            f"about {count(needed)} models are needed"
            if finite(needed)
            else ("no feasible number of models would be enough for this claim")
        )
        text = (
            f"The test could not tell whether the claim ({claimed(test)}) holds: with "
            f"{count(models)} models, even a fully memorized example would have been found with "
            f"only {power} power; {enough}."
        )
    return finding(
        f"{CLAIM}{arm}",
        f"Does {arm_words(arm, run)} keep its privacy claim?",
        text,
        verdict,
        _test_method(test),
        estimate=result.get("epsilon_certified"),
        threshold=test.get("epsilon"),
        fails=verdict == "violates",
        inconclusive=verdict == "could_not_tell",
    )


def _examples(n: Any) -> str:
    return f"{count(n)} training {'example' if n == 1 else 'examples'}"


def _forbidden(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    result = summary["arms"][arm]
    test, verdict = result.get("test") or {}, result["verdict"]
    witnesses = [str(i) for i in result.get("witnesses") or []]
    label = arm_words(arm, run)
    if verdict == "violates":
        text = (
            f"A claim of {claimed(test)} would have forbidden what {label} does to "
            f"{_examples(result.get('n_refuted'))}"
            + (f" (for instance numbers {joined(witnesses[:5])})" if witnesses else "")
            + ". It makes no such claim; this shows that the test can see memorization here."
        )
    elif verdict == "consistent":
        text = (
            f"Nothing that {label} does was found to break {claimed(test)}, although it makes no "
            "such claim: on these data there is little memorization for privacy to prevent, "
            "and finding none in the private models says little."
        )
    else:
        text = (
            f"The test could not tell whether {label} would break {claimed(test)}: "
            f"power {probability(test.get('power'))} with {count(summary.get('models'))} models."
        )
    return finding(
        f"forbidden-{arm}",
        f"What would privacy have forbidden {label}?",
        text,
        verdict,
        _test_method(test),
        estimate=result.get("epsilon_certified"),
        threshold=test.get("epsilon"),
        inconclusive=verdict == "could_not_tell",
    )


def _largest(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    result = summary["arms"][arm]
    above, largest = result.get("above_bound") or {}, result.get("mem_max")
    has_curve = finite(above.get("tradeoff_cap"))
    cap = above.get("tradeoff_cap") if has_curve else above.get("memorization_cap")
    value, low = part(largest, "value"), part(largest, "low")
    bound = "the trade-off bound" if has_curve else "the bound e^ε allows"
    significant = above.get("above_tradeoff_significant") or 0
    shown = f"The largest memorization in {arm_words(arm, run)} is {estimate(largest)}"
    if value is None or low is None or not finite(cap):
        verdict, text = "inconclusive", f"{shown}; it could not be compared with {bound}."
    elif significant:
        verdict = "fails"
        text = f"{shown}; {_examples(significant)} lie above {bound} beyond chance."
    elif low <= cap:
        place = "under" if value <= cap else "within its interval of"
        verdict, text = "holds", f"{shown}, {place} {bound} of {number(cap)}."
    else:
        verdict = "inconclusive"
        text = (
            f"{shown}, above {bound} of {number(cap)}; it is the largest of many, and after "
            "correction for having picked it the excess is not beyond chance."
        )
    return finding(
        f"largest-memorization-{arm}",
        f"Is the largest memorization in {arm_words(arm, run)} under what the accounting allows?",
        text,
        verdict,
        "largest p_in − p_out, 95 % limits for the largest true one (Newcombe's score, corrected "
        "for the choice among all examples), against the cap from the accountant's privacy curve",
        estimate=largest,
        threshold=cap,
        fails=verdict == "fails",
        inconclusive=verdict == "inconclusive",
    )


def _delta(arm: str, run: Mapping[str, Any]) -> Json:
    facts, n = run["arms"][arm], run["data"]["n"]
    holds = facts["delta"] < 1 / n
    text = f"δ = {general(facts['delta'], 2)} is {number(facts['delta'] * n, 2)} times 1/n"
    why = "as it must be" if holds else "a mechanism that publishes whole records at random fits it"
    return finding(
        f"delta-{arm}",
        f"Is δ of {arm_words(arm, run)} small against the number of examples?",
        f"{text} (n = {count(n)}): {'below' if holds else 'not below'} 1/n, {why}.",
        "holds" if holds else "fails",
        "δ against 1/n (Dwork & Roth 2014, §2.3)",
        estimate={"value": facts["delta"], "n": n},
        threshold=1 / n,
        fails=not holds,
    )


def _loss(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    loss = summary["arms"][arm].get("loss")
    value, low, high = (part(loss, k) for k in ("value", "low", "high"))
    label = arm_words(arm, run)
    sure = low is not None and high is not None and (low > 0 or high < 0)
    if value is None:
        text = f"The accuracy {label} costs could not be estimated."
    elif sure:
        more = "costs" if value > 0 else "gains"
        text = f"{label.capitalize()} {more} {points(abs(value))} of test accuracy on average"
        text += f" (95 % interval of the loss {span(loss)})."
    else:
        text = f"The average accuracy loss of {label}, {points(value)}, could also be none"
        text += f" (95 % interval {span(loss)})."
    return finding(
        f"loss-{arm}",
        f"What does {label} cost in accuracy overall?",
        text,
        "shown" if sure else "inconclusive",
        "accuracy of standard − private models, paired by training subset, test examples only; "
        "crossed models × examples variance, Satterthwaite t",
        estimate=loss,
        threshold=0.0,
        inconclusive=not sure,
    )


def _gap(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    result = summary["arms"][arm]
    mem = part(result.get("mem_mean"), "value")
    gap = part(result.get("generalization_gap"), "value")
    difference = None if mem is None or gap is None else mem - gap
    # With few models the two ways weigh the examples differently, and differ by chance.
    noise = _half_width(result.get("mem_mean")) + _half_width(result.get("generalization_gap"))
    if difference is None or GAP_TOLERANCE < abs(difference) <= noise:
        verdict = "inconclusive"
    else:
        verdict = "holds" if abs(difference) <= GAP_TOLERANCE else "fails"
    return finding(
        f"self-check-{arm}",
        f"Do two ways to the same number agree for {arm_words(arm, run)}?",
        f"Mean memorization {number(mem, 4)} against accuracy on included minus excluded examples "
        f"{number(gap, 4)}: difference {number(difference, 4)}, allowed {GAP_TOLERANCE}.",
        verdict,
        "self-check of the estimates: mean memorization ≈ generalization gap at this subset size",
        estimate={"value": difference, "n": part(result.get("mem_mean"), "n")},
        threshold=GAP_TOLERANCE,
        fails=verdict == "fails",
        inconclusive=verdict == "inconclusive",
    )


def _half_width(estimate: Mapping[str, Any] | None) -> float:
    """Half the width of an interval; infinite where there is none (nothing can then be refuted)."""
    low, high = part(estimate, "low"), part(estimate, "high")
    return math.inf if low is None or high is None else (high - low) / 2


def _cross_check(arm: str, run: Mapping[str, Any]) -> Json:
    check = _checks(run)[arm]
    against = check.get("against") or "the reference loop"
    passed = bool(check.get("passed"))
    difference = check.get("parameters_relative_difference")
    outcome = "the same model came out" if passed else "a different model came out"
    return finding(
        f"cross-check-{arm}",
        f"Does the fast training engine agree with an independent one ({arm_words(arm, run)})?",
        f"Checked against {against} in this run: model {check.get('model', '?')} trained again "
        f"from the same subset, minibatches and noise; {outcome} (relative difference of the "
        f"parameters {general(difference, 2)}, {count(check.get('predictions_differing'))} of "
        f"{count(check.get('predictions'))} predictions differ).",
        "holds" if passed else "fails",
        f"live cross-check of one model over {count(check.get('steps'))} steps",
        estimate={"value": difference, "n": 1},
        threshold=check.get("tolerance"),
        fails=not passed,
    )
