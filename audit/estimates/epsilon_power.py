"""What ε an audit could certify, before anything is trained (method §5, power).

Two ends are computed. An example memorized outright (p_in = .99, p_out = .01, as without privacy)
shows what the witness bound can certify at all. The ideal attack against a claimed mechanism shows
what the pooled bound could certify at most, were the mechanism exactly what it claims and every
coin as exposed as the claim allows: real attacks certify less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import stats

from audit.estimates.bounds import Bound, curve_bound, line_bound
from audit.estimates.coin_audit import GUESSED, guess_numbers
from audit.estimates.one_run_fdp import certified_mu, refuted
from audit.estimates.power import ENOUGH_POWER, MOST_MODELS, Form, average_power
from audit.estimates.tradeoff import Profile, gaussian_epsilon, gaussian_mu, gaussian_profile

_FISHER = Form(exact=False)
_SLICES = 1
_STEPS = 10
_LARGEST_EPSILON = 64.0


def witness_epsilon(
    models: int, p: float, level: float, delta: float, *, p_in: float = 0.99, p_out: float = 0.01
) -> float:
    """ε that one example with ``p_in`` and ``p_out`` certifies with 80 % power; 0 if none.

    ``level``: per hypothesis, α over the 4n directions of n examples. Fisher's form, as the witness
    bound itself uses (:func:`audit.estimates.epsilon.certified_epsilon`).
    """

    def certified(epsilon: float) -> bool:
        return _witness_power(models, p, level, epsilon, delta, p_in, p_out) >= ENOUGH_POWER

    low, high = 0.0, 1.0
    if not certified(low):
        return 0.0
    while certified(high) and high < _LARGEST_EPSILON:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if certified(middle) else (low, middle)
    return low


def models_for_witness(
    epsilon: float,
    p: float,
    level: float,
    delta: float,
    *,
    p_in: float = 0.99,
    p_out: float = 0.01,
) -> int | None:
    """Fewest models (to 2 %) with which such an example certifies ``epsilon`` with 80 % power."""
    if p_in <= line_bound(epsilon, delta)(np.array([p_out]))[0] and (
        1 - p_out <= line_bound(epsilon, delta)(np.array([1 - p_in]))[0]
    ):
        return None
    low, high = 0, 10
    while _witness_power(high, p, level, epsilon, delta, p_in, p_out) < ENOUGH_POWER:
        if high >= MOST_MODELS:
            return None
        low, high = high, min(2 * high, MOST_MODELS)
    while high - low > max(10, high // 50):
        middle = (low + high) // 2
        enough = _witness_power(middle, p, level, epsilon, delta, p_in, p_out) >= ENOUGH_POWER
        low, high = (low, middle) if enough else (middle, high)
    return -(-high // 10) * 10


def _witness_power(
    models: int, p: float, level: float, epsilon: float, delta: float, p_in: float, p_out: float
) -> float:
    bound = line_bound(epsilon, delta)
    return average_power(
        models, p, bound, level, p_in=p_in, p_out=p_out, test=_FISHER, slices=_SLICES
    )


@dataclass(frozen=True)
class IdealAttack:
    """Who guesses coins from the exact likelihood ratio of a mechanism.

    The trade-off function is piecewise linear, so the likelihood ratio takes one value per segment:
    ``confidence``: chance that the guess on such a coin is right, falling; ``share``: how many of
    the coins have it.
    """

    confidence: Float64[np.ndarray, " segments"]
    share: Float64[np.ndarray, " segments"]

    def accuracy(self, fraction: float) -> float:
        """Expected share of right guesses on the ``fraction`` of the coins that are surest."""
        before = np.cumsum(self.share) - self.share
        used = np.clip(fraction - before, 0.0, self.share)
        return float(used @ self.confidence / used.sum()) if used.sum() > 0 else float("nan")

    def likely_correct(self, coins: int, guesses: int) -> int:
        """Right guesses that are reached or exceeded with 80 % probability (binomial)."""
        right = self.accuracy(guesses / coins)
        return int(stats.binom.ppf(1 - ENOUGH_POWER, guesses, right)) if guesses else 0


def ideal_attack(bound: Bound, p: float) -> IdealAttack:
    """The ideal attack on coins with P[in] = ``p`` under a mechanism with trade-off ``bound``.

    ``bound`` as of :func:`audit.estimates.bounds.curve_bound`: the largest P[event | in] given
    P[event | out]. A segment of width dx and height dF is an event of likelihood ratio dF/dx.
    """
    at, value = bound.at, bound.value
    # What the bound reaches at once, at P[event | out] = 0, betrays "in" for certain.
    out = np.concatenate([[0.0], np.diff(at)]) * (1 - p)
    inside = np.concatenate([[value[0]], np.diff(value)]) * p
    share = out + inside
    real = share > 0
    confidence = np.maximum(out, inside)[real] / share[real]
    order = np.argsort(-confidence, kind="stable")
    return IdealAttack(confidence[order], share[real][order])


def gaussian_curve_bound(epsilon: float, delta: float) -> Bound:
    """The trade-off bound of the Gaussian mechanism that is exactly (``epsilon``, ``delta``)-DP."""
    grid = np.linspace(0.0, max(1.0, 3 * epsilon), 401)
    return curve_bound(grid, gaussian_profile(gaussian_mu(epsilon, delta))(np.exp(grid)))


def pooled_epsilon(
    attack: IdealAttack, coins: int, *, p: float, delta: float, level: float
) -> float:
    """ε that the pooled one-run audit certifies of ``attack`` with 80 % power, at least.

    ``level``: of the score; each number of guesses gets its share of it, and the best of them is
    certified (:func:`audit.estimates.coin_audit.audit_coins`). Right guesses count as independent.
    """
    rows = _expected(attack, coins, level)
    mu = max((certified_mu(**counts, p=p) for counts in rows), default=0.0)
    return gaussian_epsilon(mu, delta)


def would_refute(
    profile: Profile, attack: IdealAttack, coins: int, *, level: float, p: float = 0.5
) -> bool:
    """Whether ``attack`` refutes a claim of ``profile`` with 80 % power, from so many coins."""
    return any(refuted(profile, **counts, p=p) for counts in _expected(attack, coins, level))


def models_for_pooled(
    epsilon: float,
    attack: IdealAttack,
    coins_per_model: float,
    *,
    p: float,
    delta: float,
    level: float,
    fewest: int = 1,
) -> int | None:
    """Fewest models (to 2 %, at least ``fewest``) with which ``epsilon`` is certified with 80 %
    power; None if not by a million."""
    profile = gaussian_profile(gaussian_mu(epsilon, delta))

    def enough(models: int) -> bool:
        return would_refute(profile, attack, int(models * coins_per_model), level=level, p=p)

    high = fewest
    low = high - 1
    while not enough(high):
        if high >= MOST_MODELS:
            return None
        low, high = high, min(2 * high, MOST_MODELS)
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _expected(attack: IdealAttack, coins: int, level: float) -> list[dict[str, Any]]:
    """What is reached with 80 % probability at each number of guesses."""
    if coins < 1:
        return []
    return [
        {
            "coins": coins,
            "guesses": guesses,
            "correct": attack.likely_correct(coins, guesses),
            "level": level / len(GUESSED),
        }
        for guesses in guess_numbers(coins)
    ]
