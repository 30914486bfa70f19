"""Power of the exact test: would a memorized example have been refuted at all?

Computed, not simulated: the rejection region is known, so its probability under p_in and p_out is a
sum. The number of models that have an example in varies between examples; the power is averaged
over at most nine representative splits (equal slices of their distribution).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

import numpy as np
from jaxtyping import Float64, Int, Int64
from scipy import optimize, stats

from audit.estimates.bounds import Bound
from audit.estimates.exact_test import (
    LARGEST_EXACT,
    fisher_p,
    last_column,
    log_order,
    size,
    staircase,
)

ENOUGH_POWER = 0.8
"""Power from which "nothing was refuted" may be called *consistent* (method §4)."""
MOST_MODELS = 1_000_000
_SLICES = 9
_COLUMNS = 60
_SMOOTH = 2000
"""Models from which the spread of n_in no longer moves the power noticeably."""
_P_IN_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Form:
    """Which form of the test the power is that of.

    ``both_outcomes``: "in right" and "out wrong" are tested, each by itself, as against (ε, δ); a
    trade-off bound speaks about both at once, and "in right" is tested alone
    (:func:`audit.estimates.dp_test.bound_p_values`). ``exact``: the exact unconditional form up to
    ``LARGEST_EXACT`` models, as the test itself uses; else Fisher's form, which is quick to compute
    and slightly weaker, so that the power is understated.
    """

    both_outcomes: bool = True
    exact: bool = True


def average_power(
    models: int,
    p: float,
    bound: Bound,
    level: float,
    *,
    p_in: float = 0.99,
    p_out: float = 0.01,
    n_in: Int[np.ndarray, " n"] | None = None,
    n_out: Int[np.ndarray, " n"] | None = None,
    test: Form = Form(),
    slices: int = _SLICES,
) -> float:
    """Chance that an example with ``p_in`` > ``p_out`` has p ≤ ``level`` in some direction.

    Over the given ``n_in`` and ``n_out``, or over n_in binomial(``models``, ``p``). Examples that
    were never in or never out count with power 0.
    """
    if n_in is None or n_out is None:
        splits = splits_of(models, p, slices)
    else:
        order = np.argsort(n_in, kind="stable")
        middles = ((np.arange(slices) + 0.5) / slices * n_in.size).astype(np.int64)
        chosen = order[np.minimum(middles, n_in.size - 1)]
        sizes = np.stack([n_in[chosen], n_out[chosen]], axis=1).astype(np.int64)
        splits = Counter((int(a), int(b)) for a, b in sizes)
    powers = [_power(a, b, bound, level, p_in, p_out, test) for a, b in splits]
    return float(np.average(powers, weights=list(splits.values())))


def smallest_p_in(
    models: int,
    p: float,
    bound: Bound,
    level: float,
    p_out: float,
    *,
    test: Form = Form(),
    slices: int = _SLICES,
) -> float:
    """Smallest p_in that is refuted with 80 % power at ``p_out``; NaN if not even p_in = 1 is.

    For n_in binomial(``models``, ``p``), at ``level`` per hypothesis. The rejection region depends
    on p_out alone, so one region serves the whole search.
    """
    splits = splits_of(models, p, slices)
    regions = [
        (a, *_refuted_from(a, b, bound, level, p_out, test)) for a, b in splits if a > 0 and b > 0
    ]
    shares = [times for (a, b), times in splits.items() if a > 0 and b > 0]

    def power(p_in: float) -> float:
        each = [weight @ stats.binom.sf(first - 1, a, p_in) for a, first, weight in regions]
        return float(np.dot(each, shares)) / splits.total() if each else 0.0

    if power(1.0) < ENOUGH_POWER:
        return float("nan")
    low, high = p_out, 1.0
    while high - low > _P_IN_TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= ENOUGH_POWER else (middle, high)
    return high


def smallest_number_of_models(
    p: float,
    bound: Bound,
    level: float,
    *,
    p_in: float = 0.99,
    p_out: float = 0.01,
    test: Form = Form(),
) -> int | None:
    """Fewest models (in tens) with 80 % power; None if over a million or if the null holds there.

    From 2,000 models on, to 1 %. Power rises with the number of models up to the small steps of
    discrete counts: a bisection at the average n_in finds the neighbourhood, a walk in tens over
    the spread of n_in the answer.
    """

    def enough(tens: int, slices: int) -> bool:
        power = average_power(
            10 * tens, p, bound, level, p_in=p_in, p_out=p_out, test=test, slices=slices
        )
        return power >= ENOUGH_POWER

    at_p_out, at_wrong_in = bound(np.array([p_out, 1 - p_in]))
    if p_in <= at_p_out and 1 - p_out <= at_wrong_in:
        return None
    low, high = 0, 1
    while not enough(high, 1):
        low, high = high, 4 * high
        if low == MOST_MODELS // 10:
            return None
        high = min(high, MOST_MODELS // 10)
    while high - low > max(1, high // 100 if 10 * high > _SMOOTH else 1):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle, 1) else (middle, high)
    if 10 * high > _SMOOTH:
        return 10 * high
    if not enough(high, _SLICES):
        return 10 * next(tens for tens in count(high + 1) if enough(tens, _SLICES))
    while high > 1 and enough(high - 1, _SLICES):
        high -= 1
    return 10 * high


# The same for each p_out that is asked about, and for many splits.
@lru_cache(maxsize=4096)
def critical_log_order(n_1: int, n_2: int, bound: Bound, level: float) -> float:
    """Largest ln S with p ≤ ``level`` among the tables of (n₁, n₂); all below it is refuted."""
    fisher = _fisher_critical(level)
    if n_1 + n_2 > LARGEST_EXACT:
        return fisher
    columns = np.arange(last_column(n_2, bound) + 1)
    surely = staircase(fisher, columns, n_1, n_2, bound)
    possibly = staircase(float(np.log(level)), columns, n_1, n_2, bound)
    # Only tables between the two can differ: S ≤ exact p ≤ S(1 − ln S).
    x_2 = np.repeat(columns, surely - possibly)
    starts = np.repeat(np.cumsum(surely - possibly) - (surely - possibly), surely - possibly)
    x_1 = np.repeat(possibly, surely - possibly) + np.arange(x_2.size) - starts
    log_s = log_order(x_1, np.full_like(x_1, n_1), x_2, np.full_like(x_2, n_2), bound)
    candidates = np.unique(log_s)
    low, high = 0, candidates.size
    while low < high:
        middle = (low + high) // 2
        first = surely.copy()
        extreme = log_s <= candidates[middle]
        np.minimum.at(first, x_2[extreme], x_1[extreme])
        if size(first, n_1, n_2, bound) <= level:
            low = middle + 1
        else:
            high = middle
    return float(candidates[low - 1]) if low else fisher


def splits_of(models: int, p: float, slices: int) -> Counter[tuple[int, int]]:
    """Representative (n_in, n_out) of n_in binomial(``models``, ``p``), with their multiplicity."""
    middles = (np.arange(slices) + 0.5) / slices
    inside = stats.binom.ppf(middles, models, p).astype(np.int64)
    return Counter((int(a), models - int(a)) for a in inside)


def _power(
    n_in: int, n_out: int, bound: Bound, level: float, p_in: float, p_out: float, test: Form
) -> float:
    """Power of the directions in which memorization shows, together."""
    if n_in == 0 or n_out == 0:
        return 0.0
    first, weight = _refuted_from(n_in, n_out, bound, level, p_out, test)
    return float(weight @ stats.binom.sf(first - 1, n_in, p_in))


# All arms of a run are tested against few claims at the same counts, and so are its power tables.
@lru_cache(maxsize=4096)
def _refuted_from(
    n_in: int, n_out: int, bound: Bound, level: float, p_out: float, test: Form
) -> tuple[Int64[np.ndarray, " values"], Float64[np.ndarray, " values"]]:
    """For likely numbers of "out right" at ``p_out``, the fewest "in right" that are refuted
    (n_in + 1 where none are), and the weights of these numbers."""
    critical_right = _critical(n_in, n_out, bound, level, test)
    critical_wrong = -np.inf
    if test.both_outcomes:
        critical_wrong = _critical(n_out, n_in, bound, level, test)
    right_out, weight = representative(n_out, p_out)
    ones = np.ones_like(right_out)
    low, high = np.zeros_like(right_out), ones * (n_in + 1)
    while (low < high).any():
        middle = (low + high) // 2
        right_in = np.minimum(middle, n_in)
        by_right = log_order(right_in, ones * n_in, right_out, ones * n_out, bound)
        refuted = by_right <= critical_right
        if test.both_outcomes:
            wrong_in, wrong_out = n_in - right_in, n_out - right_out
            by_wrong = log_order(wrong_out, ones * n_out, wrong_in, ones * n_in, bound)
            refuted |= by_wrong <= critical_wrong
        refuted &= middle <= n_in
        high = np.where(refuted, middle, high)
        low = np.where(refuted, low, np.minimum(middle + 1, high))
    for kept in (high, weight):
        kept.flags.writeable = False
    return high, weight


def _critical(n_1: int, n_2: int, bound: Bound, level: float, test: Form) -> float:
    if not test.exact:
        return _fisher_critical(level)
    return critical_log_order(n_1, n_2, bound, level)


def representative(
    n: int, p: float
) -> tuple[Int64[np.ndarray, " values"], Float64[np.ndarray, " values"]]:
    """Values of a binomial with their weights: all likely ones, or as many equal slices."""
    first, last = (int(v) for v in stats.binom.ppf([1e-6, 1 - 1e-6], n, p))
    if last - first < _COLUMNS:
        values = np.arange(first, last + 1)
        return values, np.asarray(stats.binom.pmf(values, n, p), dtype=np.float64)
    middles = (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    values = stats.binom.ppf(middles, n, p).astype(np.int64)
    return values, np.full(_COLUMNS, 1 / _COLUMNS)


def _fisher_critical(level: float) -> float:
    """ln S with S(1 − ln S) = ``level``."""

    def excess(log_s: float) -> float:
        return float(fisher_p(np.array([log_s]))[0]) - level

    return float(optimize.root_scalar(excess, bracket=(-700.0, 0.0), xtol=1e-12).root)
