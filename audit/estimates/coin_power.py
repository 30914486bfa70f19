"""Would the pooled one-run audit have refuted a worse mechanism? Computed for the best attack."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, stats

from audit.estimates.coin_audit import GUESSED, guess_numbers
from audit.estimates.one_run_fdp import certified_mu, refuted
from audit.estimates.tradeoff import Profile, gaussian_epsilon, gaussian_mu

_POWER = 0.8


def certifiable_epsilon(
    coins: int, *, epsilon: float, delta: float, alpha: float = 0.05, power: float = _POWER
) -> float:
    """The ε that is certified with at least this ``power`` of a Gaussian mechanism that is exactly
    (``epsilon``, ``delta``)-DP, attacked as well as can be, from so many fair ``coins``.

    By the likelihood ratio, at the numbers of guesses of :func:`audit.estimates.coin_audit`; right
    guesses are counted as independent.
    """
    mu = gaussian_mu(epsilon, delta)
    found = [certified_mu(**counts) for counts in _expected(coins, mu, alpha=alpha, power=power)]
    return gaussian_epsilon(max(found, default=0.0), delta)


def would_refute(
    coins: int,
    profile: Profile,
    *,
    epsilon: float,
    delta: float,
    alpha: float = 0.05,
    power: float = _POWER,
) -> bool:
    """Whether a claim of ``profile`` would be refuted with this ``power`` if the mechanism were the
    Gaussian one of (``epsilon``, ``delta``), attacked as well as can be."""
    mu = gaussian_mu(epsilon, delta)
    return any(
        refuted(profile, **counts) for counts in _expected(coins, mu, alpha=alpha, power=power)
    )


def _expected(coins: int, mu: float, *, alpha: float, power: float) -> list[dict[str, Any]]:
    """Counts that are reached with probability ``power`` at each number of guesses."""
    rows = []
    for guesses in guess_numbers(coins):
        share = _accuracy(mu, guesses / coins)
        correct = int(stats.binom.ppf(1 - power, guesses, share))
        rows.append({"coins": coins, "guesses": guesses, "correct": correct,
                     "level": alpha / len(GUESSED)})  # fmt: skip
    return rows


def _accuracy(mu: float, guessed: float) -> float:
    """Share of right guesses about the surest ``guessed`` part of fair coins: N(0, 1), N(μ, 1)."""

    def made(t: float) -> float:
        return float(stats.norm.cdf(mu / 2 - t) + stats.norm.cdf(-mu / 2 - t))

    if guessed >= 1:
        return float(stats.norm.cdf(mu / 2))
    high = mu / 2 + 40.0
    t = float(optimize.brentq(lambda t: made(t) - guessed, 0.0, high))  # pyright: ignore
    right = float(stats.norm.cdf(mu / 2 - t))
    return min(1.0, right / np.maximum(made(t), 1e-300))
