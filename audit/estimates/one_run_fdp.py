"""How many coins can be guessed from the outcome of an f-DP mechanism (docs/method-one-run.md).

The one-run audit of Mahloujifar, Melis & Chaudhuri (2024, Theorem 3.2 and Algorithm 3): the number
of correct guesses about independent coins is bounded by the whole trade-off function, not by one
(ε, δ). Coins of several independent trainings are coins of one mechanism, and count together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from audit.errors import BadInput
from audit.estimates.tradeoff import (
    CoinGame,
    Profile,
    dp_game,
    gaussian_epsilon,
    gaussian_game,
)

_LARGEST = 64.0
_PRECISION = 1e-4
"""Relative; what is certified is rounded down."""


def refuted(
    profile: Profile, *, coins: int, guesses: int, correct: int, level: float, p: float = 0.5
) -> bool:
    """Whether ``correct`` of exactly ``guesses`` guesses about ``coins`` coins refute a guarantee.

    A mechanism that keeps it gets so many right with probability at most ``level``. The recursion
    goes down from c correct guesses: r and l are the masses P[guessed and right] and P[guessed and
    wrong], per coin, on the event that at least i guesses are right; they outgrow what exactly
    ``guesses`` guesses can weigh if the event is too rare under the guarantee.

    Raises:
        BadInput: impossible counts.
    """
    _check(coins, guesses, correct, level)
    return _won(CoinGame(profile, p), coins, guesses, correct, level)


def fdp_p_value(
    profile: Profile, *, coins: int, guesses: int, correct: int, p: float = 0.5
) -> float:
    """The smallest level at which the guarantee is refuted, to 0.1 % and rounded up; at most 1.

    Raises:
        BadInput: impossible counts.
    """
    _check(coins, guesses, correct, 0.5)
    game = CoinGame(profile, p)
    low, high = 0.0, 1.0
    while high - low > 1e-3 * high and high > 1e-12:
        middle = (low + high) / 2 if low else high / 4
        if _won(game, coins, guesses, correct, middle):
            high = middle
        else:
            low = middle
    return high


def _won(game: CoinGame, coins: int, guesses: int, correct: int, level: float) -> bool:
    if guesses == 0:
        return False
    right, wrong = level * correct / coins, level * (guesses - correct) / coins
    most = guesses / coins
    # Written out: this loop runs as often as there are right guesses, and calls would cost most.
    crossings, rise, offset = game.lines
    for i in range(correct - 1, -1, -1):
        line = bisect_right(crossings, right)
        needed = rise[line] * right - offset[line]
        if needed <= wrong:
            # Nothing can change any more further down.
            return right + wrong >= most
        right += i / (guesses - i) * (needed - wrong)
        wrong = needed
        if right + wrong >= most:
            return True
    return right + wrong >= most


def certified_mu(
    *,
    coins: int,
    guesses: int,
    correct: int,
    level: float,
    p: float = 0.5,
    at_least: float = 0.0,
) -> float:
    """The largest μ for which μ-GDP is refuted; 0 where not even μ = 0 is.

    ``at_least``: what others have certified already; returned where this is not above it.

    Raises:
        BadInput: impossible counts.
    """
    _check(coins, guesses, correct, level)
    return _largest(lambda mu: _won(gaussian_game(mu, p), coins, guesses, correct, level), at_least)


def fdp_epsilon(
    *, coins: int, guesses: int, correct: int, delta: float, level: float, p: float = 0.5
) -> float:
    """Lower bound on ε at ``delta`` of a mechanism whose trade-off function is Gaussian.

    Holds with probability ≥ 1 − ``level``; 0 where nothing is refuted.
    """
    mu = certified_mu(coins=coins, guesses=guesses, correct=correct, level=level, p=p)
    return gaussian_epsilon(mu, delta)


def certified_epsilon_any(
    *,
    coins: int,
    guesses: int,
    correct: int,
    delta: float,
    level: float,
    p: float = 0.5,
    at_least: float = 0.0,
) -> float:
    """The same for any mechanism: the largest ε for which (ε, ``delta``)-DP is refuted.

    Raises:
        BadInput: impossible counts.
    """
    _check(coins, guesses, correct, level)
    return _largest(
        lambda epsilon: _won(dp_game(epsilon, delta, p), coins, guesses, correct, level), at_least
    )


def _largest(refutes: Callable[[float], bool], at_least: float) -> float:
    """Largest argument ≥ ``at_least`` that is refuted, rounded down; else ``at_least``."""
    if not refutes(at_least):
        return at_least
    # From the same start for all: the games of dyadic arguments are kept.
    low, high = 0.0, 0.5
    while refutes(high):
        low, high = high, 2 * high
        if high > _LARGEST:
            return max(low, at_least)
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(middle) else (low, middle)
    return max(low, at_least)


def _check(coins: int, guesses: int, correct: int, level: float) -> None:
    if not 0 <= correct <= guesses <= coins:
        raise BadInput(
            "correct, guesses, coins",
            (correct, guesses, coins),
            "must satisfy 0 ≤ correct ≤ guesses ≤ coins",
            "Check the counts",
        )
    if not 0 < level < 1:
        raise BadInput("level", level, "must be between 0 and 1", "Use 0.05")
