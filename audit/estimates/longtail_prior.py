"""Priors over frequencies, and the frequency of one point of the domain (Feldman 2020, §2.1, §2.3).

A point of the domain draws its value from the prior, independently of the others, and its frequency
is its share of the sum of all values. What the theorems need is the distribution of that share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

Draw = Literal["random", "fixed"]

# Grid on which the sum of the other points' values is convolved. A value between two cells is split
# among them so that its mean is kept; the relative variance this adds to the sum is N · 3e-13.
_CELLS = 2**20
# Of equal probability, each at its mean: the sum varies little within one. On Zipf priors 256 and
# 2,048 nodes differ by 1e-5 (relative) in what comes out. As many as ``_ATOMS`` leaves room for.
_NODES = (256, 4096)
_ATOMS = 2_000_000
# Values closer than this (relative) are taken together at their mean.
_TOGETHER = 1e-3


class OutOfRange(ValueError):
    """A number of the model that means nothing: its name, its value and the rule it breaks."""

    def __init__(self, name: str, value: object, rule: str) -> None:
        super().__init__(f"{name} = {value}: {rule}")
        self.name, self.value, self.rule = name, value, rule


@dataclass(frozen=True)
class Prior:
    """What a point of the domain draws its unnormalised frequency from.

    ``domain``: points. ``values``: what can be drawn, above 0; ``weights``: with which probability.
    """

    name: str
    domain: int
    values: Float[np.ndarray, " values"]
    weights: Float[np.ndarray, " values"]


@dataclass(frozen=True)
class Marginal:
    """The distribution of one point's frequency: α = ``frequencies`` with probability ``weights``.

    ``domain`` times an expectation over it is the expected sum over all points.
    """

    domain: int
    frequencies: Float[np.ndarray, " atoms"]
    weights: Float[np.ndarray, " atoms"]


def zipf(domain: int, exponent: float = 1.0) -> Prior:
    """Values 1/jˢ for j = 1 … domain, equally likely: s = 1 is the prior of the papers' examples.

    Raises:
        OutOfRange: a domain under 1, or an exponent that is not above 0 and finite.
    """
    _check(domain)
    if not (np.isfinite(exponent) and exponent > 0):
        raise OutOfRange("exponent", exponent, "must be above 0")
    values = np.arange(1, domain + 1, dtype=float) ** -exponent
    if not values[-1] > 0:
        raise OutOfRange("exponent", exponent, f"makes 1/{domain:,} to this power 0 in floats")
    return _uniform(f"Zipf (s = {exponent:g})", values)


def geometric(domain: int, ratio: float) -> Prior:
    """Values rʲ for j = 0 … domain − 1: a tail that is not long.

    Raises:
        OutOfRange: a domain under 1, a ratio outside (0, 1), or values too small for a float.
    """
    _check(domain)
    if not 0 < ratio < 1:
        raise OutOfRange("ratio", ratio, "must lie between 0 and 1")
    values = ratio ** np.arange(domain, dtype=float)
    if not values[-1] > 0:
        raise OutOfRange("ratio", ratio, f"to the power {domain - 1} is 0 in floats")
    return _uniform(f"geometric (r = {ratio:g})", values)


def two_levels(domain: int, head: int, tail_mass: float) -> Prior:
    """``head`` common points share 1 − ``tail_mass`` of the mass equally, all others the rest.

    Raises:
        OutOfRange: not 1 ≤ head < domain, or a tail mass outside (0, 1).
    """
    _check(domain)
    if not 1 <= head < domain:
        raise OutOfRange("head", head, f"must be at least 1 and under domain = {domain}")
    if not 0 < tail_mass < 1:
        raise OutOfRange("tail-mass", tail_mass, "must lie between 0 and 1")
    values = np.array([(1 - tail_mass) / head, tail_mass / (domain - head)])
    weights = np.array([head, domain - head]) / domain
    name = f"mixture ({head:,} common points, {tail_mass:.0%} of the mass in the rest)"
    return Prior(name, domain, values, weights)


def of_counts(counts: Int[np.ndarray, " groups"], name: str = "counts") -> Prior:
    """A data set's own subgroup counts as values; subgroups without any example do not enter.

    Raises:
        OutOfRange: no count is above 0.
    """
    counts = counts[counts > 0]
    if not len(counts):
        raise OutOfRange("counts", len(counts), "none is above 0")
    return _uniform(name, counts.astype(float))


def marginal(prior: Prior, draw: Draw) -> Marginal:
    """The frequency of one point.

    ``draw``: "random", as in the theorem: every point draws from the prior, and the sum of all is
    random. "fixed": the prior's values are the frequencies themselves, each as often as its weight
    says; the sum is a constant.
    """
    values, weights = _grouped(prior.values, prior.weights)
    if draw == "fixed":
        return Marginal(prior.domain, values / (prior.domain * (values * weights).sum()), weights)
    nodes = int(np.clip(_ATOMS // len(values), *_NODES))
    others, chance = sum_of_draws(values, weights, prior.domain - 1, nodes)
    frequencies = values[:, None] / (values[:, None] + others)
    return Marginal(prior.domain, frequencies.ravel(), (weights[:, None] * chance).ravel())


def sum_of_draws(
    values: Float[np.ndarray, " values"],
    weights: Float[np.ndarray, " values"],
    draws: int,
    nodes: int,
) -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """The sum of ``draws`` independent values, as at most ``nodes`` atoms: where, with what chance.

    The distribution of one is transformed (FFT), taken to the power ``draws`` and transformed back.
    """
    if draws == 0:
        return np.zeros(1), np.ones(1)
    mean = (values * weights).sum()
    deviation = np.sqrt(draws * (values**2 * weights).sum())
    # Far out: Bennett's inequality leaves less than 1e-12 beyond.
    top = min(draws * values.max(), draws * mean + 12 * (deviation + values.max()))
    step = top / (_CELLS // 2)
    cell = np.floor(values / step).astype(int)
    rest = values / step - cell
    one = np.zeros(_CELLS)
    np.add.at(one, cell, weights * (1 - rest))
    np.add.at(one, cell + 1, weights * rest)
    chance = np.fft.irfft(np.fft.rfft(one) ** draws, _CELLS).clip(0)
    kept = np.flatnonzero(chance > 1e-15)
    chance = chance[kept] / chance[kept].sum()
    place = ((chance.cumsum() - chance / 2) * nodes).astype(int).clip(0, nodes - 1)
    mass = np.bincount(place, chance, nodes)
    where = np.bincount(place, chance * kept * step, nodes)
    used = mass > 0
    return where[used] / mass[used], mass[used]


def _grouped(
    values: Float[np.ndarray, " values"], weights: Float[np.ndarray, " values"]
) -> tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " groups"]]:
    """Values that hardly differ, taken together at their mean."""
    _, place = np.unique(np.round(np.log(values) / _TOGETHER), return_inverse=True)
    mass = np.bincount(place, weights)
    return np.bincount(place, values * weights) / mass, mass


def _uniform(name: str, values: Float[np.ndarray, " values"]) -> Prior:
    return Prior(name, len(values), values, np.full(len(values), 1 / len(values)))


def _check(domain: int) -> None:
    if domain < 1:
        raise OutOfRange("domain", domain, "must be at least 1")
