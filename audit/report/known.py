"""What the rows share by which the tool speaks beside the attested fields.

What nobody here saw (outputs that were brought, learners that train themselves) is called not
known, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from audit.report.brought import is_brought
from audit.report.check_findings import is_learner, trained_by
from audit.report.words import arm_words, finite, joined

Summary = Mapping[str, Any]
Run = Mapping[str, Any]

NO_CLAIM = "no arm of this run makes a privacy claim"
ELSEWHERE = "not known here: this tool did not train the models"


def by_arm(run: Run, arms: list[str], say: Callable[[str], str], between: str = "\n") -> str:
    """What ``say`` says of each arm, those named together of which it says the same.

    ``between``: what stands between different sayings; a line each, or "; " inside a sentence.
    """
    if not arms:
        return NO_CLAIM
    said: dict[str, list[str]] = {}
    for arm in arms:
        said.setdefault(say(arm), []).append(arm_words(arm, run))
    if len(said) == 1:
        return next(iter(said))
    return between.join(f"{joined(names)}: {words}" for words, names in said.items())


def trained_here(run: Run, arm: str, words: str) -> str:
    """``words`` about how an arm was trained, where this tool trained it."""
    if is_brought(run):
        return ELSEWHERE
    if is_learner(arm, run):
        return f"not known here: {trained_by(arm, run)} trains itself"
    return words


def native(run: Run, arm: str) -> dict[str, Any] | None:
    """Noise multiplier, sampling rate and steps of an arm; None where they are not known."""
    facts = run["arms"][arm]
    known = {key: facts.get(key) for key in ("noise_multiplier", "sample_rate", "steps")}
    usable = all(finite(v) and v > 0 for v in known.values()) and known["sample_rate"] <= 1
    return known if usable else None
