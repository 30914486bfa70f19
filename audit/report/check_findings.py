"""Findings about the run itself: diverged models, the self-check, the live cross-check."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from audit.report.claim_findings import diverged
from audit.report.verdicts import finding
from audit.report.words import (
    Json,
    arm_words,
    count,
    counted,
    finite,
    general,
    joined,
    name,
    number,
    part,
    percent,
)

GAP_TOLERANCE = 0.01
# With fewer models an interval from resampling them says too little for a verdict.
_FEWEST_MODELS = 5
# The reference loop itself, learners that train themselves, outputs from elsewhere: there is
# no second program to check against.
_NOT_CHECKED = frozenset({"opacus", "estimator", "elsewhere"})


def divergence(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json | None:
    """Models that ended with non-finite parameters; ``None`` without any."""
    lost, models = diverged(arm, summary, run), summary.get("models")
    if not lost:
        return None
    private = run.get("arms", {}).get(arm, {}).get("kind") == "dp"
    of = f"{count(lost)} of {counted(models, 'model')} of {arm_words(arm, run)}"
    if is_learner(arm, run):
        text = f"{of} gave scores that are not numbers; those answers count as wrong"
        method = "models with an undefined score for at least one example"
    else:
        text = f"{of} ended with non-finite parameters: a diverged model answers nothing"
        method = "models whose parameters are not all finite after training"
    text += ", and which models diverge can itself reveal who was in." if private else "."
    return finding(
        f"diverged-{arm}",
        f"Did training end with usable models ({arm_words(arm, run)})?",
        text,
        "fails" if private else "inconclusive",
        method,
        estimate={"value": lost, "n": models},
        threshold=0,
        fails=private,
        inconclusive=not private,
    )


def self_check(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    """Mean memorization against the generalization gap; with few models it cannot fail."""
    result = summary["arms"][arm]
    mem = part(result.get("mem_mean"), "value")
    gap = part(result.get("generalization_gap"), "value")
    difference = None if mem is None or gap is None else mem - gap
    # With few models the two ways weigh the examples differently, and differ by chance.
    noise = _half_width(result.get("mem_mean")) + _half_width(result.get("generalization_gap"))
    if (part(summary, "models") or 0) < _FEWEST_MODELS:
        noise = math.inf
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
        "self-check of the estimates: mean memorization ≈ generalization gap at this subset size; "
        f"under {_FEWEST_MODELS} models it cannot fail",
        estimate={"value": difference, "n": part(result.get("mem_mean"), "n")},
        threshold=GAP_TOLERANCE,
        fails=verdict == "fails",
        inconclusive=verdict == "inconclusive",
    )


def _half_width(estimate: Mapping[str, Any] | None) -> float:
    """Half the width of an interval; infinite where there is none (nothing can then be refuted)."""
    low, high = part(estimate, "low"), part(estimate, "high")
    return math.inf if low is None or high is None else (high - low) / 2


def is_reference(arm: str, run: Mapping[str, Any]) -> bool:
    """Whether there is nothing to cross-check: the reference loop trained the arm, or a learner
    itself, or nobody here did."""
    return _engine(arm, run).get("name") in _NOT_CHECKED


def is_learner(arm: str, run: Mapping[str, Any]) -> bool:
    """Whether the arm's learner trained itself: this tool saw its subsets and answers alone."""
    return _engine(arm, run).get("name") == "estimator"


def trained_by(arm: str, run: Mapping[str, Any]) -> str:
    """The program behind a learner that trained itself: "scikit-learn 1.7.2"."""
    return name(_engine(arm, run).get("trained_by") or "its own code", 200)


def _engine(arm: str, run: Mapping[str, Any]) -> Mapping[str, Any]:
    return (run.get("engine") or {}).get(arm) or {}


def check_verdict(check: Mapping[str, Any]) -> str:
    """``holds`` | ``fails`` | ``inconclusive``: as recorded; "holds" needs ``passed``."""
    recorded, passed = check.get("verdict"), bool(check.get("passed"))
    if recorded in {"fails", "inconclusive"}:
        return str(recorded)
    return "holds" if passed else "fails"


def shared_words(check: Mapping[str, Any]) -> str:
    """What both sides of a cross-check have in common, as a sentence; empty if not recorded."""
    shared = [name(s, 200) for s in check.get("shared") or []]
    return f"Not an independent implementation of: {'; '.join(shared)}." if shared else ""


def cross_check(arm: str, run: Mapping[str, Any]) -> Json | None:
    """Does the fast engine compute what the reference does? ``None`` where it was not used."""
    check = (run.get("cross_check") or {}).get(arm)
    ident = f"cross-check-{arm}"
    question = f"Does the fast training engine compute what it should ({arm_words(arm, run)})?"
    if not check:
        return None if is_reference(arm, run) else finding(
            ident, question,
            f"No model of {arm_words(arm, run)} was trained again by the reference loop in this "
            "run, so the engine's arithmetic is unchecked here.",
            "inconclusive", "live cross-check: not made", inconclusive=True,
        )  # fmt: skip
    verdict, difference = check_verdict(check), check.get("parameters_relative_difference")
    text = (
        f"Checked against {check.get('against') or 'the reference loop'} in this run: "
        f"{_which(check)} trained again from the same subset, minibatches and noise; "
        f"{_outcome(check, verdict)} ({_differences(check)})."
    )
    text += "".join(f" {s}" for s in (_stream_words(check), shared_words(check)) if s)
    return finding(
        ident,
        question,
        text,
        verdict,
        f"live cross-check of one model over {count(check.get('steps'))} steps",
        estimate={"value": difference, "n": 1},
        threshold=check.get("tolerance"),
        fails=verdict == "fails",
        inconclusive=verdict == "inconclusive",
    )


def _which(check: Mapping[str, Any]) -> str:
    model = check.get("model")
    return "one model" if model is None else f"model {model}"


def _outcome(check: Mapping[str, Any], verdict: str) -> str:
    difference, tolerance = (
        part(check, k) for k in ("parameters_relative_difference", "tolerance")
    )
    near = difference is not None and tolerance is not None and difference <= tolerance
    if verdict == "holds":
        # Where training amplifies rounding, the reference does not reproduce itself either.
        amplified = "" if near or tolerance is None else ", up to rounding that training amplifies"
        return f"the same model came out{amplified}"
    if verdict == "inconclusive":
        return "whether the same model came out could not be decided"
    step = part(check, "single_step_relative_difference")
    near = near and (step is None or tolerance is None or step <= tolerance)
    broken = (check.get("stream") or {}).get("passed") is False
    wrong = ["its random streams are not what the accountant assumes"] if broken else []
    return joined([*wrong, *(["a different model came out"] if not near or not broken else [])])


def _differences(check: Mapping[str, Any]) -> str:
    differences = [
        "relative difference of the parameters "
        f"{general(check.get('parameters_relative_difference'), 2)}"
    ]
    if "single_step_relative_difference" in check:
        step = general(check["single_step_relative_difference"], 2)
        differences.append(f"of single steps from the same state {step}")
    if finite(check.get("self_relative_difference")):
        itself = general(check["self_relative_difference"], 2)
        differences.append(f"of the reference from itself with its sums reordered {itself}")
    differences.append(
        f"{count(check.get('predictions_differing'))} of {count(check.get('predictions'))} "
        "predictions differ"
    )
    return ", ".join(differences)


def _stream_words(check: Mapping[str, Any]) -> str:
    """The shared random streams against what the accountant assumes; what is missing is omitted."""
    stream = check.get("stream") or {}
    said = []
    if finite(stream.get("minibatch_z")):
        said.append(f"number of selected examples z = {number(stream['minibatch_z'], 2)}")
    if finite(stream.get("minibatch_spread_z")):
        said.append(
            f"their spread over examples and steps z = {number(stream['minibatch_spread_z'], 2)}"
        )
    if finite(stream.get("outside_subset")):
        said.append(f"{count(stream['outside_subset'])} selected from outside the subset")
    if finite(stream.get("noise_rms_relative_error")):
        error = percent(stream["noise_rms_relative_error"], 2)
        said.append(f"size of the noise off by {error}")
    for key, between in (("step", "successive steps"), ("model", "two models")):
        if finite(value := stream.get(f"noise_{key}_correlation")):
            said.append(f"correlation of the noise of {between} {number(value, 5)}")
    return (
        f"Random streams against the accountant's assumptions: {', '.join(said)}." if said else ""
    )
