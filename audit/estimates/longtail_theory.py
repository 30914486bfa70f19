"""What the long-tail model predicts for given numbers (Feldman 2020, §2 and §4).

A population is a domain of points whose frequencies come from a prior. Points are labelled
uniformly at random, independently, among ``classes``; an example shows the label of its point or,
with probability ``noise``, a uniformly drawn other one. All errors are against the points' own
labels. Several populations, each with its share of all examples, make a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

from audit.estimates.longtail import expected_seen, tau
from audit.estimates.longtail_prior import Draw, Marginal, OutOfRange, Prior, marginal

# Beyond so many examples of a point a vote is taken to be wrong as often as with these: at most by
# the second number. More label noise than that is refused.
_VOTES = 64
_SETTLED = 1e-3


@dataclass(frozen=True)
class Labels:
    """``classes`` equally likely labels; ``noise``: how often an example shows another one."""

    classes: int
    noise: float = 0.0

    @property
    def guess(self) -> float:
        """How often a guess at a point's label is wrong."""
        return 1 - 1 / self.classes

    @property
    def worth(self) -> float:
        """How much more often what an example shows is right than each other label."""
        return 1 - self.noise * self.classes / (self.classes - 1)


@dataclass(frozen=True)
class Population:
    """A long-tailed population and its ``share`` of all examples."""

    name: str
    prior: Prior
    share: float = 1.0


@dataclass(frozen=True)
class Predicted:
    """What the model says of one population; errors are shares of its own mass.

    ``samples``: its expected examples. ``singletons``: expected share of them that are their
    point's only one. ``weight``: mass of points with a frequency in [1/2n, 2/n]. ``unseen``: mass
    of points that no example shows. ``tau``: expected frequency of a point seen once, times n.
    ``optimum``: error of the best learner, which fits all. ``unfitted``: error added, at least, by
    fitting no singleton: by labelling each at random. ``limited``: error added where singletons
    are memorized by at most the limit (NaN without one).
    """

    population: str
    samples: float
    singletons: float
    weight: float
    unseen: float
    tau: float
    optimum: float
    unfitted: float
    limited: float


def predict(
    populations: Sequence[Population],
    samples: int,
    labels: Labels,
    *,
    draw: Draw = "random",
    limit: float | None = None,
) -> list[Predicted]:
    """The model's numbers for each population of a mixture, of which ``samples`` are drawn.

    ``limit``: the most that a singleton may be memorized: how much more often its own label is
    said of it when it is in the sample. An unfitted one is labelled at random.

    Raises:
        OutOfRange: shares that do not sum to 1, fewer than 2 samples or classes, noise outside
            [0, 1 − 1/classes) (labels that say nothing) or so high that 64 examples do not settle
            a point's label, a limit outside [0, 1].
    """
    check(populations, samples, labels, limit)
    return [_predict(p, marginal(p.prior, draw), samples, labels, limit) for p in populations]


def spectrum(
    populations: Sequence[Population], samples: int, *, draw: Draw = "random"
) -> list[dict[str, float]]:
    """Where the mass lies, and how often its points are seen, by frequency: bins of a factor of 2.

    Each row: ``low`` (the bin's lower end as a multiple of 1/``samples``), and the mass of points
    in it that the sample shows never, once, more than once (``unseen``, ``once``, ``more``).
    """
    found: dict[int, np.ndarray] = {}
    for population in populations:
        own = marginal(population.prior, draw)
        frequencies = own.frequencies * population.share
        mass = own.domain * own.weights * frequencies
        with np.errstate(divide="ignore"):
            none = np.exp(samples * np.log1p(-frequencies))
            once = samples * frequencies * np.exp((samples - 1) * np.log1p(-frequencies))
        place = np.floor(np.log2(frequencies * samples)).astype(int)
        for at in np.unique(place):
            here = place == at
            parts = mass[here] * np.array([none[here], once[here], (1 - none - once)[here]])
            found[int(at)] = found.get(int(at), np.zeros(3)) + parts.sum(axis=1)
    return [
        {"low": 2.0**at, "unseen": float(u), "once": float(o), "more": float(m)}
        for at, (u, o, m) in sorted(found.items())
    ]


def unfitted_share(labels: Labels, limit: float | None) -> float:
    """How often a singleton is not labelled as it was seen, where memorization has a ``limit``.

    Without memorization it is labelled at random; None: every singleton is fitted.
    """
    return 0.0 if limit is None else max(0.0, labels.guess - limit)


def mixed(predicted: Sequence[Predicted], samples: int) -> dict[str, float]:
    """Errors over the whole mixture: those of its populations, weighted by their examples."""
    shares = np.array([p.samples for p in predicted]) / samples
    return {
        name: float((shares * [getattr(p, name) for p in predicted]).sum())
        for name in ("singletons", "weight", "unseen", "optimum", "unfitted", "limited")
    }


def check(
    populations: Sequence[Population], samples: int, labels: Labels, limit: float | None
) -> None:
    """The rules of ``predict``, which the simulation shares."""
    if not populations or not math.isclose(sum(p.share for p in populations), 1, abs_tol=1e-9):
        raise OutOfRange("populations", len(populations), "their shares must sum to 1")
    if samples < 2:
        raise OutOfRange("samples", samples, "must be at least 2")
    if labels.classes < 2:
        raise OutOfRange("classes", labels.classes, "must be at least 2")
    if not 0 <= labels.noise < labels.guess:
        raise OutOfRange(
            "noise",
            labels.noise,
            f"must lie between 0 and {labels.guess:.3g}, from which on a label says nothing",
        )
    if vote_error(_VOTES, labels) > _SETTLED:
        raise OutOfRange(
            "noise",
            labels.noise,
            f"must be lower: {_VOTES} examples of a point would not settle its label in "
            f"{1 - _SETTLED:.1%} of cases, and the optimum is not known well enough",
        )
    if limit is not None and not 0 <= limit <= 1:
        raise OutOfRange("limit", limit, "must lie between 0 and 1")


def _predict(
    population: Population, own: Marginal, samples: int, labels: Labels, limit: float | None
) -> Predicted:
    share = population.share
    frequencies = own.frequencies * share
    points = own.domain * own.weights
    once = expected_seen(frequencies, samples, 1, points)
    of_one = tau(frequencies, samples, weights=points)
    # A vote on no example is a guess; without noise a single one is never wrong.
    masses = _masses(frequencies, points, samples, 0 if labels.noise == 0 else _VOTES)
    wrong = np.array([vote_error(votes, labels) for votes in range(len(masses))])
    beyond = share - masses.sum()
    near = (frequencies >= 0.5 / samples) & (frequencies <= 2 / samples)
    # Where no point can be seen once τ is undefined, and nothing is lost by it.
    per_singleton = of_one * once * labels.worth / share if once > 0 else 0.0
    return Predicted(
        population=population.name,
        samples=share * samples,
        singletons=once / (share * samples),
        weight=float((points * frequencies)[near].sum()) / share,
        unseen=float(masses[0]) / share,
        tau=of_one * samples,
        optimum=float((masses * wrong).sum() + max(0.0, beyond) * wrong[-1] * (labels.noise > 0))
        / share,
        unfitted=per_singleton * unfitted_share(labels, 0.0),
        limited=math.nan if limit is None else per_singleton * unfitted_share(labels, limit),
    )


def _masses(
    frequencies: Float[np.ndarray, " atoms"],
    points: Float[np.ndarray, " atoms"],
    samples: int,
    most: int,
) -> Float[np.ndarray, " counts"]:
    """Mass of the points that are seen 0, 1, … ``most`` times, in expectation."""
    return np.array(
        [
            expected_seen(frequencies, samples, seen, points * frequencies)
            for seen in range(min(most, samples) + 1)
        ]
    )


@cache
def vote_error(votes: int, labels: Labels) -> float:
    """How often the most frequent of ``votes`` shown labels, ties broken at random, is wrong.

    The best guess there is, for uniform labels and uniform noise. By generating functions: the
    right label is shown k times, t of the others as often, the rest less.
    """
    if votes == 0:
        return labels.guess
    others = labels.classes - 1
    right = 0.0
    for k in range(1, votes + 1):
        chance = math.comb(votes, k) * (1 - labels.noise) ** k * labels.noise ** (votes - k)
        rest = votes - k
        if chance:
            right += chance * _outvoted(k, rest, others)
    return max(0.0, 1 - right)


def _outvoted(k: int, rest: int, others: int) -> float:
    """Chance of label "k times" to win against ``rest`` votes spread evenly over ``others``."""
    fewer = np.array([1 / math.factorial(i) for i in range(min(k, rest + 1))])
    total = 0.0
    for ties in range(min(others, rest // k) + 1):
        left = rest - ties * k
        spread = _power(fewer, others - ties, left)
        total += math.comb(others, ties) / (1 + ties) / math.factorial(k) ** ties * spread
    return total * math.exp(math.lgamma(rest + 1) - rest * math.log(others))


def _power(series: Float[np.ndarray, " terms"], exponent: int, degree: int) -> float:
    """The coefficient of ``degree`` in a power series to a power."""
    found, base = np.ones(1), series
    while exponent:
        if exponent & 1:
            found = np.convolve(found, base)[: degree + 1]
        base = np.convolve(base, base)[: degree + 1]
        exponent >>= 1
    return float(found[degree]) if degree < len(found) else 0.0
