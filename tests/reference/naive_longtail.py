"""The long-tail model by enumeration: every draw of values, every sample, every shown label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product


@dataclass
class Enumerated:
    """Expectations over all draws and samples."""

    once: float
    """Points seen once."""
    of_once: float
    """Sum of their frequencies."""
    unseen: float
    """Mass of points never seen."""


def enumerate_model(values: Sequence[Fraction], points: int, samples: int) -> Enumerated:
    """Each of ``points`` draws one of ``values`` (equally likely); ``samples`` are drawn."""
    once = of_once = unseen = Fraction(0)
    for drawn in product(values, repeat=points):
        total = sum(drawn)
        frequencies = [Fraction(value) / total for value in drawn]
        chance = Fraction(1, len(values) ** points)
        for sample in product(range(points), repeat=samples):
            weight = chance
            for point in sample:
                weight *= frequencies[point]
            seen = Counter(sample)
            singles = [point for point in range(points) if seen[point] == 1]
            once += weight * len(singles)
            of_once += weight * sum((frequencies[point] for point in singles), Fraction(0))
            missed = (frequencies[point] for point in range(points) if not seen[point])
            unseen += weight * sum(missed, Fraction(0))
    return Enumerated(float(once), float(of_once), float(unseen))


def vote_error(votes: int, classes: int, noise: float) -> float:
    """How often the most frequent of the shown labels (ties at random) is not the right one, 0."""
    wrong = 0.0
    for shown in product(range(classes), repeat=votes):
        chance = 1.0
        for label in shown:
            chance *= 1 - noise if label == 0 else noise / (classes - 1)
        counts = Counter(shown)
        most = [c for c in range(classes) if counts[c] == max(counts.values(), default=0)]
        wrong += chance * (1 - (1 / len(most) if 0 in most else 0))
    return wrong
