"""Rules about attacks: how well any of those that were run may do on a private arm. PURE."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from audit.estimates.limits import fewest_degrees, widened_share
from audit.report.exposure_section import ATTACKS, LOW
from audit.report.policy import ExposureRules
from audit.report.policy_result import NOT_MET, OPEN, Result, at_most, gravest
from audit.report.words import Json, count, interval, joined, name, number, part

_RATES = {
    "auc_at_most": ("auc", "AUC"),
    "balanced_accuracy_at_most": ("balanced_accuracy", "balanced accuracy"),
    "tpr_at_1_percent_fpr_at_most": (LOW, "true-positive rate at 1 % false positives"),
}


def exposure_results(
    rules: ExposureRules, report: Mapping[str, Any], arms: list[str]
) -> Iterator[Result]:
    """Every rule of the section [exposure] on each of ``arms``."""
    for arm in arms:
        for key, (rate, words) in _RATES.items():
            if (most := getattr(rules, key)) is not None:
                yield _result(f"exposure.{key}", rate, words, report, arm, most)


def _result(
    rule: str, rate: str, words: str, report: Mapping[str, Any], arm: str, most: float
) -> Result:
    """Met if every attack's own interval is under ``most``; not met if one's is above it at its
    share of the level (Bonferroni over the attacks)."""
    exposure = report["results"]["arms"][arm].get("exposure") or {}
    attacks = exposure.get("attacks") or {}
    if not attacks:
        why = name(exposure.get("why_not") or "not recorded", 200)
        return Result(rule, OPEN, f"no attack was run ({why})", arm, threshold=most)
    judged = [_judged(a, found.get(rate), len(attacks), most) for a, found in attacks.items()]
    outcome = gravest([each["outcome"] for each in judged])
    side = "low" if outcome == NOT_MET else "high"
    of = [each for each in judged if each["outcome"] == outcome]
    worst = max(of, key=lambda each: -math.inf if each[side] is None else each[side])
    unknown = [_attack(each["attack"]) for each in judged if each["value"] is None]
    shown = number(worst["value"])
    if worst["own"] is not None:
        shown += f" (95 % interval {interval(*worst['own'])})"
    place = "the clearest excess" if outcome == NOT_MET else "the largest upper limit"
    text = f"{words}: {place} of {count(len(attacks))} attacks is that of "
    text += f"{_attack(worst['attack'])}, {shown}"
    if outcome == NOT_MET:
        text += f", at least {number(worst['low'])} corrected for all attacks"
    text += f"; at most {number(most)} is asked for"
    if unknown:
        text += f"; not estimable: {joined(unknown)}"
    return Result(
        rule,
        outcome,
        text,
        arm,
        value=worst["value"],
        low=worst["low"],
        high=worst["high"],
        threshold=most,
    )


def _attack(attack: str) -> str:
    return ATTACKS.get(attack, name(attack))


def _judged(attack: str, found: Mapping[str, Any] | None, attacks: int, most: float) -> Json:
    value, low, high = (part(found, key) for key in ("value", "low", "high"))
    judged: Json = {"attack": attack, "value": value, "low": None, "high": high, "own": None}
    if value is None or low is None or high is None:
        return {**judged, "outcome": OPEN}
    degrees = fewest_degrees(part(found, "n") or 0)
    least, _ = widened_share(value, low, high, degrees=degrees, comparisons=attacks)
    lower = None if math.isnan(least) else least
    return {**judged, "low": lower, "own": (low, high), "outcome": at_most(lower, high, most)}
