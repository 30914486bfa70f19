"""Findings about attacks: is an attacker better than a coin? Neither answer is a failed claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.exposure_section import ATTACKS, LOW, attacked
from audit.report.verdicts import finding
from audit.report.words import Json, arm_words, estimate, name, part


def exposures(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """One finding per attacked arm: *shown* where the interval of the AUC lies above ½."""
    return [_exposure(arm, found, run) for arm, found in attacked(summary).items()]


def _exposure(arm: str, found: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    subject, low = arm_words(arm, run), part(found.get("auc"), "low")
    attack = ATTACKS.get(found["attack"], name(found["attack"]))
    shown = low is not None and low > 0.5
    detail = f"{attack}: AUC {estimate(found.get('auc'))}"
    if part(found.get(LOW), "value") is not None:
        detail += f", {estimate(found[LOW], 'percent')} of the members found at 1 % false alarms"
    text = (
        f"An attacker tells members of the training data of {subject} from others better than a "
        f"coin does ({detail})."
        if shown
        else f"Whether an attacker does better than a coin on {subject} could not be decided "
        f"({detail})."
    )
    return finding(
        f"exposure-{arm}",
        f"Can be told who was in the training data of {subject}?",
        text,
        "shown" if shown else "inconclusive",
        f"{attack} ({name(found.get('variant', ''))}), each model attacked with the others; "
        "jackknife over models",
        estimate=found.get("auc"),
        threshold=0.5,
        inconclusive=not shown,
    )
