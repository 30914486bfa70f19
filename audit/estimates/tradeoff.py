"""What a privacy guarantee allows in a game about coins: trade-off functions by their tangents.

A mechanism is f-DP if no test of "out" against "in" does better than f (Dong, Roth & Su 2022,
Definition 3). With F(x) = 1 − f(x), an event that has probability x on one side has at most F(x) on
the other. F is concave, and its conjugate is the privacy profile: sup_x F(x) − s·x = δ(log s), for
every slope s > 0 (ibid., Proposition 2.12). A guarantee is therefore given here as its *profile*,
s → δ(log s), and F by its tangents s·x + δ(log s).

A guesser who says of coins with P[in] = π whether they are in is right with probability at most G
of what he is wrong with, where G(L) = max over u + w = L of π F(u/(1 − π)) + (1 − π) F(w/π)
(docs/method-one-run.md). Its conjugate at slope λ is π δ(λ(1 − π)/π) + (1 − π) δ(λ π/(1 − π)), so
tangents of G are known exactly, and any finite number of them bounds it from above.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64
from scipy import optimize
from scipy.special import log_ndtr, ndtr

from audit.errors import BadInput

Slopes = Float64[np.ndarray, " slopes"]


@dataclass(frozen=True)
class Profile:
    """δ(log s) of slopes s > 0: the least δ with which the mechanism is (log s, δ)-DP; for s < 1
    too. ``kinks``: the slopes of F where it is piecewise linear."""

    delta: Callable[[Slopes], Slopes]
    kinks: tuple[float, ...] = ()

    def __call__(self, slopes: Slopes) -> Slopes:
        return self.delta(slopes)


_STEEPEST, _TANGENTS = 40.0, 4001
_LARGEST_MU = 30.0
# e^700 is about as far as floating point goes.
_LARGEST_EPSILON = 700.0


@dataclass(frozen=True)
class _GaussianDelta:
    """δ(log s) of μ-GDP (Dong, Roth & Su 2022, Corollary 2.13)."""

    mu: float

    def __call__(self, slopes: Slopes) -> Slopes:
        least = np.maximum(0.0, 1 - slopes)
        if self.mu <= 0:
            return least
        log_slope = np.log(slopes)
        first = ndtr(self.mu / 2 - log_slope / self.mu)
        second = np.exp(log_slope + log_ndtr(-self.mu / 2 - log_slope / self.mu))
        return np.maximum(first - second, least)

    def at(self, epsilon: float) -> float:
        """δ(ε)."""
        return float(self(np.exp(np.array([epsilon])))[0])


def gaussian_profile(mu: float) -> Profile:
    """μ-GDP: telling N(0, 1) from N(μ, 1) (Dong, Roth & Su 2022, Corollary 2.13)."""
    return Profile(_GaussianDelta(mu))


def dp_profile(epsilon: float, delta: float) -> Profile:
    """(ε, δ)-DP and nothing more: the largest profile among all such mechanisms."""
    corner = (1 - delta) / (1 + np.exp(epsilon))
    top = np.exp(epsilon) * corner + delta

    def profile(slopes: Slopes) -> Slopes:
        # F is piecewise linear: its conjugate is attained at a corner.
        return np.maximum.reduce(
            [np.full_like(slopes, delta), top - slopes * corner, 1 - slopes * (1 - delta)]
        )

    return Profile(profile, (float(np.exp(epsilon)), float(np.exp(-epsilon))))


def curve_profile(
    epsilon: Float64[np.ndarray, " points"], delta: Float64[np.ndarray, " points"]
) -> Profile:
    """A privacy curve known at ε ≥ 0. Between its points δ is interpolated in e^ε, in which it is
    convex, and beyond the last it stays: never less than the true one. Before the first it falls
    from 1 at slope 0, where the profile of every mechanism starts."""
    known, at_known = np.append(0.0, np.exp(epsilon)), np.append(1.0, delta)

    def above(slopes: Slopes) -> Slopes:
        return np.interp(slopes, known, at_known)

    def profile(slopes: Slopes) -> Slopes:
        flat = slopes < 1
        # δ(−ε) = 1 − e^−ε (1 − δ(ε)): the relation is symmetric.
        turned = 1 - slopes * (1 - above(1 / slopes))
        return np.where(flat, turned, above(slopes))

    return Profile(profile)


class CoinGame:
    """How often a guesser must be wrong to be right as often as he is, under a guarantee.

    Args:
        profile: of the guarantee.
        p: P[in] of a coin.
    """

    def __init__(self, profile: Profile, p: float = 0.5) -> None:
        if not 0 < p < 1:
            raise BadInput("p", p, "must be between 0 and 1", "Give the share that is in")
        # Steepest last: its line is the lowest at large r and the first to matter at small r.
        even = np.exp(np.linspace(_STEEPEST, -_STEEPEST, _TANGENTS))
        odds = p / (1 - p)
        exact = [kink * turn for kink in profile.kinks for turn in (odds, 1 / odds)]
        slopes = np.unique([*even, *exact])[::-1]
        conjugate = p * profile(slopes * (1 - p) / p)
        conjugate += (1 - p) * profile(slopes * p / (1 - p))
        rise, offset = 1 / slopes, conjugate / slopes
        crossings = np.diff(offset) / np.diff(rise)
        # Arrays of Python's, which bisect reads quickly, at a third of a list's memory.
        self.lines = tuple(
            array("d", each.tobytes()) for each in (np.maximum.accumulate(crossings), rise, offset)
        )
        """Where one tangent takes over from the last, and slope and offset of each."""

    def least_wrong(self, right: float) -> float:
        """A lower bound on P[guessed and wrong, E] where P[guessed and right, E] = ``right``, for
        any event E about everything else: the inverse of G."""
        crossings, rise, offset = self.lines
        line = bisect_right(crossings, right)
        return max(0.0, rise[line] * right - offset[line])


@lru_cache(maxsize=256)
def gaussian_game(mu: float, p: float) -> CoinGame:
    """The game under μ-GDP; kept, since bisections ask for the same μ again and again."""
    return CoinGame(gaussian_profile(mu), p)


@lru_cache(maxsize=256)
def dp_game(epsilon: float, delta: float, p: float) -> CoinGame:
    """The game under (ε, δ)-DP; kept."""
    return CoinGame(dp_profile(epsilon, delta), p)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The least ε with which μ-GDP is (ε, ``delta``)-DP; ∞ at δ = 0."""
    if delta <= 0:
        return np.inf if mu > 0 else 0.0

    least = _GaussianDelta(mu).at
    if mu <= 0 or least(0.0) <= delta:
        return 0.0
    high = 1.0
    while least(high) > delta and high < _LARGEST_EPSILON:
        high = min(2 * high, _LARGEST_EPSILON)
    if least(high) >= delta:
        return high
    return float(optimize.brentq(lambda e: least(e) - delta, 0.0, high))  # pyright: ignore


@lru_cache(maxsize=256)
def gaussian_mu(epsilon: float, delta: float) -> float:
    """The μ of the Gaussian mechanism that is exactly (ε, δ)-DP: δ(ε) grows with μ. Kept, since
    each trial of a calibration asks for the same.

    Raises:
        BadInput: no such mechanism: δ outside (0, 1), ε negative or beyond e^ε in floats.
    """
    if not 0 < delta < 1:
        raise BadInput("delta", delta, "must be between 0 and 1", "Give the δ of the claim")
    if not 0 <= epsilon <= _LARGEST_EPSILON:
        raise BadInput(
            "epsilon", epsilon, f"must be from 0 to {_LARGEST_EPSILON:g}", "Give the ε of the claim"
        )
    return float(
        optimize.brentq(  # pyright: ignore
            lambda mu: _GaussianDelta(mu).at(epsilon) - delta, 1e-6, _LARGEST_MU, xtol=1e-14
        )
    )
