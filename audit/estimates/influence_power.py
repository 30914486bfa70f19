"""Power of the influence estimates: which pairs would be reported (method §3).

A pair (i → j) is reported if Fisher's exact test of "j right" against "i in" survives
Benjamini–Hochberg and the estimate reaches the cut. The power here is for one pair at a fixed level
per pair; at the FDR over the number of pairs, a pair that no other one helps is found as often.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from audit.estimates.power import ENOUGH_POWER, MOST_MODELS, representative, splits_of

_TOLERANCE = 1e-4
_SLICES = 3


def smallest_influence(
    models: int, p: float, level: float, right_out: float, *, min_influence: float = 0.15
) -> float:
    """Smallest influence that is reported with 80 % power; NaN if not even the largest is.

    ``right_out``: how often the test example is right without the training example; influence can
    be 1 − ``right_out`` at most. ``level``: per pair. The training example is taken to pass the cut
    of memorization.
    """
    regions = _regions(models, p, level, right_out, min_influence)
    if _power(regions, 1.0) < ENOUGH_POWER:
        return float("nan")
    low, high = right_out, 1.0
    while high - low > _TOLERANCE:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(regions, middle) >= ENOUGH_POWER else (middle, high)
    return high - right_out


def models_for_influence(
    influence: float, p: float, level: float, right_out: float, *, min_influence: float = 0.15
) -> int | None:
    """Fewest models (to 1 %, at least 10) that report ``influence`` with 80 % power.

    None if more than a million, if p_in would exceed 1, or if the influence does not exceed the
    cut: an estimate falls below its own truth half of the time, with any number of models.
    """
    right_in = right_out + influence
    if right_in > 1 or influence <= min_influence:
        return None

    def enough(models: int) -> bool:
        return _power(_regions(models, p, level, right_out, min_influence), right_in) >= (
            ENOUGH_POWER
        )

    low, high = 0, 10
    while not enough(high):
        if high >= MOST_MODELS:
            return None
        low, high = high, min(2 * high, MOST_MODELS)
    while high - low > max(10, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return -(-high // 10) * 10


_Region = tuple[float, int, Int64[np.ndarray, " _"], Float64[np.ndarray, " _"]]


def _regions(
    models: int, p: float, level: float, right_out: float, min_influence: float
) -> list[_Region]:
    """Per split (n_in, n_out): its share, n_in, the fewest "in right" that are reported for likely
    numbers of "out right" (n_in + 1 where none are), and the weights of these numbers."""
    splits = splits_of(models, p, _SLICES)
    found = []
    for (n_in, n_out), times in splits.items():
        if n_in == 0 or n_out == 0:
            continue
        out, weight = representative(n_out, right_out)
        low, high = np.zeros_like(out), np.full_like(out, n_in + 1)
        while (low < high).any():
            middle = (low + high) // 2
            p_value = stats.hypergeom.sf(middle - 1, models, middle + out, n_in)
            reported = (p_value <= level) & (middle <= n_in)
            reported &= middle / n_in - out / n_out >= min_influence - 1e-12
            high = np.where(reported, middle, high)
            low = np.where(reported, low, np.minimum(middle + 1, high))
        found.append((times / splits.total(), n_in, high, weight))
    return found


def _power(regions: list[_Region], right_in: float) -> float:
    return float(
        sum(
            share * (weight @ stats.binom.sf(first - 1, n_in, right_in))
            for share, n_in, first, weight in regions
        )
    )
