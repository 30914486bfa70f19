"""The long-tail model simulated: both sides of the theorem, for learners that fit less and less.

Feldman 2020, theorem 2.3: for every learner A, err(A) ≥ opt + τ · E[singletons that A does not
fit]. Frequencies, labels and samples are drawn as the model says, learners label every point of
the domain, and errors are exact over the drawn frequencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from audit.estimates.longtail_prior import Draw, OutOfRange, Prior
from audit.estimates.longtail_theory import (
    Labels,
    Population,
    Predicted,
    check,
    mixed,
    unfitted_share,
)
from audit.estimates.result import Estimate

FITS_ALL = "fits every example"
LIMITED = "memorizes singletons up to the limit"
NO_SINGLETONS = "fits no singleton"
NO_PAIRS = "fits nothing seen once or twice"
# Rounding of sums of frequencies.
_NO_SPREAD = 1e-12


@dataclass(frozen=True)
class Side:
    """A learner in the simulation: means over the drawn worlds, with 95 % intervals (Student t).

    ``error``: of the learner, against the points' own labels. ``unfitted``: singletons per sample
    that it does not label as they were seen. ``bound``: opt + τ · (singletons it does not fit), the
    theorem's right side. ``excess``: error − bound, world by world: the theorem says ≥ 0 in
    expectation, with equality where nothing but singletons is left unfitted.
    """

    learner: str
    error: Estimate
    unfitted: Estimate
    bound: Estimate
    excess: Estimate

    @property
    def says_nothing(self) -> bool:
        """Whether all worlds gave the same: none had a point unseen or seen once, say."""
        return self.excess.high - self.excess.low < _NO_SPREAD

    @property
    def violates(self) -> bool:
        """Whether the simulation shows an error below the theorem's bound."""
        return not self.says_nothing and self.excess.high < 0

    @property
    def tight(self) -> bool:
        """Whether error and bound cannot be told apart."""
        return not self.says_nothing and self.excess.low <= 0 <= self.excess.high


@dataclass(frozen=True)
class _World:
    """One draw: what every point's frequency, label and votes are."""

    frequencies: Float[np.ndarray, " points"]
    label: Int[np.ndarray, " points"]
    said: Int[np.ndarray, " points"]  # what fitting says: the vote on its examples, else a guess
    guess: Int[np.ndarray, " points"]
    seen: Int[np.ndarray, " points"]


def simulate(
    populations: Sequence[Population],
    predicted: Sequence[Predicted],
    samples: int,
    labels: Labels,
    *,
    draw: Draw,
    worlds: int,
    rng: np.random.Generator,
    limit: float | None = None,
) -> list[Side]:
    """Both sides of the theorem over ``worlds`` draws of frequencies, labels and samples.

    ``predicted``: of the same numbers, for the optimum and τ.

    Raises:
        OutOfRange: as ``predict`` does; fewer than 2 worlds; "fixed" frequencies of a prior whose
            weights are no whole numbers of points.
    """
    check(populations, samples, labels, limit)
    if worlds < 2:
        raise OutOfRange("worlds", worlds, "must be at least 2")
    unfitted_if = {FITS_ALL: (0.0, 0), NO_SINGLETONS: (1.0, 1), NO_PAIRS: (1.0, 2)}
    if limit is not None:
        unfitted_if[LIMITED] = (unfitted_share(labels, limit) / labels.guess, 1)
    optimum = mixed(predicted, samples)["optimum"]
    own = np.repeat(
        [p.tau * labels.worth / samples for p in predicted],
        [p.prior.domain for p in populations],
    )
    found = np.empty((len(unfitted_if), worlds, 3))
    for w in range(worlds):
        world = _draw(populations, samples, labels, draw, rng)
        for at, (share, most) in enumerate(unfitted_if.values()):
            guessing = (world.seen > 0) & (world.seen <= most)
            guessing &= rng.random(len(guessing)) < share
            wrong, unfitted = _measure(world, guessing, rng, labels)
            found[at, w] = wrong, unfitted.sum() / samples, optimum + own[unfitted].sum()
    return [_side(name, *found[at].T) for at, name in enumerate(unfitted_if)]


def _side(
    learner: str,
    error: Float[np.ndarray, " worlds"],
    unfitted: Float[np.ndarray, " worlds"],
    bound: Float[np.ndarray, " worlds"],
) -> Side:
    return Side(learner, _mean(error), _mean(unfitted), _mean(bound), _mean(error - bound))


def _draw(
    populations: Sequence[Population],
    samples: int,
    labels: Labels,
    draw: Draw,
    rng: np.random.Generator,
) -> _World:
    frequencies = np.concatenate([p.share * _frequencies(p.prior, draw, rng) for p in populations])
    points = len(frequencies)
    label = rng.integers(labels.classes, size=points)
    guess = rng.integers(labels.classes, size=points)
    seen = rng.multinomial(samples, frequencies / frequencies.sum())
    return _World(frequencies, label, _vote(label, guess, seen, labels, rng), guess, seen)


def _frequencies(
    prior: Prior, draw: Draw, rng: np.random.Generator
) -> Float[np.ndarray, " points"]:
    if draw == "random":
        values = rng.choice(prior.values, size=prior.domain, p=prior.weights)
    else:
        times = prior.weights * prior.domain
        if not np.allclose(times, times.round()):
            raise OutOfRange("prior", prior.name, "its weights are no whole numbers of points")
        values = np.repeat(prior.values, times.round().astype(int))
    return values / values.sum()


def _vote(
    label: Int[np.ndarray, " points"],
    guess: Int[np.ndarray, " points"],
    seen: Int[np.ndarray, " points"],
    labels: Labels,
    rng: np.random.Generator,
) -> Int[np.ndarray, " points"]:
    """The label shown most often per point, ties broken at random; a guess where none is shown."""
    said = np.where(seen > 0, label, guess)
    if labels.noise == 0:
        return said
    point = np.repeat(np.arange(len(label)), seen)
    shift = rng.integers(1, labels.classes, size=len(point))
    noisy = rng.random(len(point)) < labels.noise
    shown = (label[point] + np.where(noisy, shift, 0)) % labels.classes
    votes = np.bincount(point * labels.classes + shown, minlength=len(label) * labels.classes)
    # Less than one vote, at random: among equals the largest is any of them.
    broken = votes.reshape(-1, labels.classes) + rng.random((len(label), labels.classes))
    return np.where(seen > 0, broken.argmax(axis=1), guess)


def _measure(
    world: _World, guessing: Bool[np.ndarray, " points"], rng: np.random.Generator, labels: Labels
) -> tuple[float, Bool[np.ndarray, " points"]]:
    """Error of a learner that guesses where ``guessing``, and which singletons it does not fit."""
    says = np.where(guessing, rng.integers(labels.classes, size=len(guessing)), world.said)
    wrong = world.frequencies[says != world.label].sum()
    # The vote of one example is what it showed.
    return float(wrong), (world.seen == 1) & (says != world.said)


def _mean(values: Float[np.ndarray, " worlds"]) -> Estimate:
    n, mean = len(values), float(values.mean())
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)
