"""The one-run audit of (ε, δ)-DP by Steinke, Nasr & Jagielski (2023, Theorem 5.2)."""

from __future__ import annotations

import numpy as np
from scipy import stats

from audit.errors import BadInput

_HALVINGS = 30
_LARGEST = 64.0


def one_run_p_value(
    *,
    coins: int,
    guesses: int,
    correct: int,
    epsilon: float,
    delta: float,
    p: float = 0.5,
    guesses_in: int | None = None,
) -> float:
    """P[so many correct guesses] under (ε, δ)-DP, at most.

    Under ε-DP a guess "in" is right with probability at most e^ε p/(e^ε p + 1 − p), whatever the
    other guesses did, a guess "out" with e^ε (1 − p)/(e^ε (1 − p) + p): the number of right ones is
    no larger than a sum of such coins. δ adds at most 2·coins·δ·A. For p = ½, A is the published
    max_i P[correct − i ≤ sum < correct]/i. For other p the law of the sum depends on how many
    guesses say "in", which the output decides, so the part of δ could fall where it helps most: A
    is then a bound for all of these laws, the largest probability of one value of the sum over that
    half of the guesses that is of one kind.

    Args:
        guesses_in: how many of the guesses say "in"; needed where ``p`` is not ½.

    Raises:
        BadInput: impossible counts.
    """
    if not 0 <= correct <= guesses <= coins:
        raise BadInput(
            "correct, guesses, coins",
            (correct, guesses, coins),
            "must satisfy 0 ≤ correct ≤ guesses ≤ coins",
            "Check the counts",
        )
    if guesses_in is None:
        if p != 0.5:
            raise BadInput("guesses_in", None, "is needed where p is not ½", "Count the guesses")
        guesses_in = guesses
    odds = np.exp(epsilon)
    right_in, right_out = odds * p / (odds * p + 1 - p), odds * (1 - p) / (odds * (1 - p) + p)
    inside = stats.binom.pmf(np.arange(guesses_in + 1), guesses_in, right_in)
    outside = stats.binom.pmf(np.arange(guesses - guesses_in + 1), guesses - guesses_in, right_out)
    mass = np.convolve(inside, outside) if guesses_in < guesses else inside
    tail = float(mass[correct:].sum())
    if p == 0.5:
        # P[correct − i ≤ sum < correct] for i = 1 … correct.
        below = np.cumsum(mass[:correct][::-1])
        steepest = float((below / np.arange(1, correct + 1)).max(initial=0.0))
    else:
        half = (guesses + 1) // 2
        steepest = max(
            float(stats.binom.pmf(np.floor((half + 1) * q), half, q)) for q in (right_in, right_out)
        )
    return min(1.0, tail + 2 * coins * delta * steepest)


def one_run_epsilon(
    *,
    coins: int,
    guesses: int,
    correct: int,
    delta: float,
    level: float = 0.05,
    p: float = 0.5,
    guesses_in: int | None = None,
) -> float:
    """Lower bound on ε at ``delta``, with probability ≥ 1 − ``level``; 0 where none is refuted."""

    def refutes(epsilon: float) -> bool:
        value = one_run_p_value(
            coins=coins,
            guesses=guesses,
            correct=correct,
            epsilon=epsilon,
            delta=delta,
            p=p,
            guesses_in=guesses_in,
        )
        return value < level

    if guesses == 0 or not refutes(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refutes(high) and high < _LARGEST:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(middle) else (low, middle)
    return low
