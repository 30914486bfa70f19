"""The galleries as blocks of the page: what is said of the examples, and how they were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.report import blocks
from audit.report.frames import records
from audit.report.gallery import Pair, Wanted, wanted
from audit.report.inputs import ReportInputs
from audit.report.subgroup_section import main_grouping
from audit.report.words import (
    Json,
    arm_label,
    count,
    counted,
    finite,
    general,
    interval,
    joined,
    name,
    number,
    percent,
)

UNPROTECTED = "These are single records of the data, shown without any privacy protection."
_EXTREMES = (
    "The extremes of many noisy estimates look more extreme than they are, and would come out "
    "closer to 0 with other models (regression to the mean): read each with its interval."
)


def memorization_gallery(inputs: ReportInputs) -> list[Json]:
    """The galleries at the end of the section on memorization; none where ``inputs`` has none."""
    if inputs.gallery is None:
        return []
    cards = _Cards.of(inputs)
    chosen = cards.chosen
    shown = [arm for arm, numbers in chosen.memorized.items() if numbers]
    # A refuted claim comes first, then the arm without a claim and what contrasts with it.
    shown.sort(key=lambda arm: (not cards.refuted(arm), arm != chosen.reference))
    galleries = []
    for arm in shown:
        galleries.append(_most_gallery(cards, arm))
        if arm == chosen.reference and chosen.typical:
            galleries.append(_typical_gallery(cards))
    none = [arm_label(arm, inputs.run) for arm in chosen.memorized if arm not in shown]
    return [
        blocks.heading("Single examples: the most memorized, and typical ones"),
        blocks.text(
            "The caption of each example says how many models label it correctly, of those that "
            "had it in their training subset (“with it”) and of those that had not; its "
            "memorization, the difference, with the 95 % interval; the same in the other ways of "
            "training; and how often an attacker is right about whether it was in (50 % is a "
            "coin).",
            f"In {joined(none)} no example has an estimate above 0 to show." if none else "",
        ),
        *galleries,
    ]


def _most_gallery(cards: _Cards, arm: str) -> Json:
    numbers, run = cards.chosen.memorized[arm], cards.inputs.run
    which = "the lower ends of their 95 % intervals are the highest"
    if cards.refuted(arm):
        which = f"they refute the privacy claim, and then because {which}"
    return blocks.gallery(
        f"Memorized most in {arm_label(arm, run)}: {count(len(numbers))} of "
        f"{counted(run['data']['n'], 'training example')}. Memorized means that models label the "
        "example correctly when it was in their training subset, and wrongly when it was not. "
        f"These were chosen because {which}. {_EXTREMES}",
        [cards.example(number, arm) for number in numbers],
        cards.note,
    )


def _typical_gallery(cards: _Cards) -> Json:
    arm = cards.chosen.reference
    return blocks.gallery(
        f"For contrast, in {arm_label(arm, cards.inputs.run)}: typical examples of the same "
        "classes, in the same order. Models label them correctly whether or not they have seen "
        "them; of their class they are those of which that is true most often.",
        [cards.example(number, arm) for number in cards.chosen.typical],
        cards.note,
    )


def influence_gallery(inputs: ReportInputs) -> list[Json]:
    """The pairs at the end of the section on influence; none where ``inputs`` has none."""
    if inputs.gallery is None or not (pairs := wanted(inputs).pairs):
        return []
    cards = _Cards.of(inputs)
    return [
        blocks.heading("The strongest pairs"),
        blocks.gallery(
            f"The {count(len(pairs))} strongest of {count(len(inputs.influence))} reported pairs: "
            "a training example (first), and a test example (second) that models label correctly "
            f"more often, by the influence, when they were trained on the first. {_EXTREMES}",
            [cards.pair(pair) for pair in pairs],
            cards.note,
            wide=True,
        ),
    ]


@dataclass(frozen=True)
class _Cards:
    """What is said of each example, beside its picture or row; ``of_arm`` has its estimates."""

    inputs: ReportInputs
    chosen: Wanted
    grouping: str | None
    of_arm: Mapping[tuple[str, int], Mapping[str, Any]]

    @classmethod
    def of(cls, inputs: ReportInputs) -> _Cards:
        chosen = wanted(inputs)
        rows = inputs.examples.loc[inputs.examples["example"].isin(chosen.train)]
        of_arm = {(r["arm"], int(r["example"])): r for r in records(rows)}
        return cls(inputs, chosen, main_grouping(inputs.subgroups), of_arm)

    @property
    def shown(self) -> Json:
        assert self.inputs.gallery is not None, "galleries are made only where there is one"
        return self.inputs.gallery

    @property
    def note(self) -> str:
        return f"{self.shown['how']} {UNPROTECTED}"

    def refuted(self, arm: str) -> bool:
        """Whether ``arm`` claims (ε, δ) and single examples refute that."""
        return any(self._refutes(number, arm) for number in self.chosen.memorized[arm])

    def _refutes(self, number: int, arm: str) -> bool:
        own = self.inputs.run["arms"].get(arm, {}).get("kind") == "dp"
        return own and self.of_arm[arm, number]["verdict"] == "violates"

    def example(self, number: int, arm: str) -> Json:
        """A training example as ``arm`` memorizes it, and as the other arms do."""
        facts = self.of_arm[arm, number]
        attacked = finite(facts.get("exposure"))
        subgroup = facts.get(self.grouping or "")
        others = [other for other in self.inputs.summary["arms"] if other != arm]
        lines = [
            "Refutes the privacy claim" if self._refutes(number, arm) else "",
            f"Memorization {_memorization(facts)}",
            f"Right with it: {_right(facts, 'in')} models",
            f"Right without it: {_right(facts, 'out')}",
            *(f"{self._short(a)}: {_memorization(self.of_arm[a, number])}" for a in others),
            f"An attacker is right: {percent(facts['exposure'])}" if attacked else "",
            f"Subgroup: {name(subgroup)}" if subgroup is not None else "",
        ]
        title = f"{number}: “{name(self.shown['train'][number]['label'])}”"
        return {
            "title": title,
            "lines": [line for line in lines if line],
            "examples": [self._card("train", number)],
        }

    def pair(self, pair: Pair) -> Json:
        rows = self.inputs.influence
        of_pair = (rows["train_example"] == pair.train) & (rows["test_example"] == pair.test)
        (facts,) = records(rows.loc[of_pair & (rows["arm"] == pair.arm)])
        lines = [
            f"Influence {_interval(facts, 'influence', 'low', 'high')}, "
            f"q-value {general(facts['q_value'], 2)}",
            f"Training example memorized {_memorization(self.of_arm[pair.arm, pair.train])}",
        ]
        if len(self.inputs.summary["arms"]) > 1:
            lines.append(f"In {arm_label(pair.arm, self.inputs.run)}")
        return {
            "title": f"{pair.train} carries test example {pair.test}",
            "lines": lines,
            "examples": [self._card("train", pair.train), self._card("test", pair.test)],
        }

    def _short(self, arm: str) -> str:
        """An arm before its number in a line of a card."""
        label = arm_label(arm, self.inputs.run)
        epsilon = label.partition(", ")[2]
        return f"At {epsilon}" if epsilon else f"{label[:1].upper()}{label[1:]}"

    def _card(self, side: str, number: int) -> Json:
        shown = self.shown[side][number]
        kind = {"train": "Training", "test": "Test"}[side]
        return {
            "words": f"{kind} example {number}, “{name(shown['label'])}”",
            "png": shown["png"],
            "width": shown["width"],
            "height": shown["height"],
            "cells": [[name(column), name(value)] for column, value in shown["cells"]],
        }


def _memorization(facts: Mapping[str, Any]) -> str:
    return _interval(facts, "mem", "mem_low", "mem_high")


def _interval(facts: Mapping[str, Any], value: str, low: str, high: str) -> str:
    if not finite(facts[value]):
        return number(facts[value])
    return f"{number(facts[value], 2)} ({interval(facts[low], facts[high], digits=2)})"


def _right(facts: Mapping[str, Any], side: str) -> str:
    """ "139 of 141": models right about it among those that had it ``in``, or ``out``."""
    n, share = facts[f"n_{side}"], facts[f"p_{side}"]
    return f"{count(round(share * n) if finite(share) else 0)} of {count(n)}"
