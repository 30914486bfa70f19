"""Page one's words for what was claimed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.brought import AS_STATED, is_brought
from audit.report.page_one_arms import SELDOM, factor, most_after, share
from audit.report.words import (
    arm_words,
    finite,
    general,
    name,
    percent,
    private_arms,
)

# From here on a limit on the share of right answers is hardly one.
_MUCH = 0.9


def claimed(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """What each private arm claims, with an example of what that allows; or that none claims."""
    said = []
    for arm in private_arms(summary, run):
        facts = run["arms"][arm]
        epsilon, delta = facts["epsilon"], facts["delta"]
        most = most_after(epsilon, delta)
        limits = ", not more" if most < _MUCH else ": so large an ε limits single examples little"
        said.append(
            f"For {arm_words(arm, run)}: {_exchange(facts)} changes the chance of any outcome by a "
            f"factor of {factor(epsilon)} at most (ε = {general(epsilon)}, read: epsilon), "
            f"{_slack(delta)}. For instance, an example "
            f"that models get right in {percent(SELDOM, 0)} of cases without having seen it, they "
            f"may get right in {share(most)} of cases after having seen it{limits}. The smaller "
            f"ε, the stricter the claim. The claim is about the way of training."
            f"{AS_STATED if is_brought(run) else _claimant(facts)}"
        )
    return said or [_nothing_claimed(run)]


def _exchange(facts: Mapping[str, Any]) -> str:
    if facts.get("adjacency") == "replace_one":
        return "exchanging any single training example for another"
    return "taking any single example into the training data, or leaving it out,"


def claimed_in_common(run: Mapping[str, Any], arms: list[str]) -> list[str]:
    """What several arms claim in common; their numbers are in the table."""
    facts = [run["arms"][arm] for arm in arms]
    ways = " or ".join(dict.fromkeys(_exchange(each) for each in facts))
    claimants = set(filter(None, map(_claimant, facts)))
    return [
        f"For each of {len(arms)} private ways of training: {ways} changes the chance of any "
        f"outcome by a factor of e^ε at most (ε, read: epsilon), {_slacks(facts)}. The smaller ε, "
        "the stricter the claim. The claims are about the way of training."
        + ("".join(sorted(claimants)) if not is_brought(run) else AS_STATED)
    ]


def _nothing_claimed(run: Mapping[str, Any]) -> str:
    asked = run.get("judged_by") or {}
    text = "No arm of this run makes a privacy claim."
    if run.get("no_private_arm"):
        text += f" Why: {name(run['no_private_arm'], 600)}."
    if not finite(asked.get("epsilon")):
        return text
    return (
        f"{text} What was measured is held against ε = {general(asked['epsilon'])} all the same: "
        "what a claim of that size would have forbidden."
    )


def _slack(delta: float) -> str:
    if delta == 0:
        return "without any slack (δ = 0)"
    return f"apart from a slack of {percent(delta, 3)} (δ, read: delta)"


def _slacks(facts: list[Mapping[str, Any]]) -> str:
    """The slack of several claims; the smallest and the largest where they differ."""
    deltas = [each["delta"] for each in facts]
    if min(deltas) == max(deltas):
        return _slack(deltas[0])
    ends = f"{percent(min(deltas), 3)} to {percent(max(deltas), 3)}"
    return f"apart from a slack of {ends} (δ, read: delta)"


def _claimant(facts: Mapping[str, Any]) -> str:
    """Who makes a claim that no accountant of this tool computed."""
    if facts.get("accountant") or not facts.get("claimed_by"):
        return ""
    return f" It is {name(facts['claimed_by'], 200)}."
