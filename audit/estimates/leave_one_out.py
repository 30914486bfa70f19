"""Mean, median and standard deviation of the *other* models' margins, for every model at once.

An attack on model k may use every model but k. Refitting K times would cost K² n; here each cell
gets its fit in closed form from the sums, or the order, of its column. One block of examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int64

Centre = Literal["mean", "median"]

# Beneath this share of the sum of squares, what is left after subtracting is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Others:
    """What the other models of one side ("in" or "out") show, per cell [models, b].

    ``count``: how many there are. ``centre``: their mean or median, NaN without any. ``deviation``:
    their standard deviation around their mean (divided by ``count``, as ``numpy.std``), NaN where
    they are fewer than two or all equal: no Gaussian fits these.
    """

    count: Int64[np.ndarray, "models b"]
    centre: Float64[np.ndarray, "models b"]
    deviation: Float64[np.ndarray, "models b"]


def others(
    margin: Float64[np.ndarray, "models b"], side: Bool[np.ndarray, "models b"], centre: Centre
) -> Others:
    """Fits to the cells of ``side`` in each column, without the cell's own model.

    Args:
        margin: finite wherever ``side`` is true.
        side: the cells that belong to this side; all others have nothing to leave out.
    """
    size = side.sum(axis=0, dtype=np.int64)
    count = size - side
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(side, margin, 0.0).sum(axis=0) / size
        # Around the column's mean: margins of 10⁴ would lose the digits of a variance of 10⁻⁴.
        d = np.where(side, margin - shift, 0.0)
        squares = d**2
        mean = (d.sum(axis=0) - d) / count
        raw = (squares.sum(axis=0) - squares) / count
        variance = raw - mean**2
        lost = variance <= _ROUNDING * squares.sum(axis=0) / size
        undefined = (count < 2) | _all_equal(margin, side, size) | lost
        deviation = np.where(undefined, np.nan, np.sqrt(np.where(undefined, 1.0, variance)))
        if centre == "median":
            middle = _median(margin, side, size)
        else:
            middle = np.where(count > 0, shift + mean, np.nan)
    return Others(count, middle, deviation)


def _all_equal(
    margin: Float64[np.ndarray, "models b"],
    side: Bool[np.ndarray, "models b"],
    size: Int64[np.ndarray, " b"],
) -> Bool[np.ndarray, "models b"]:
    """Whether the others of a cell all have the same margin: decided by comparing, not by sums."""
    low = np.where(side, margin, np.inf).min(axis=0)
    high = np.where(side, margin, -np.inf).max(axis=0)
    at_low = ((margin == low) & side).sum(axis=0)
    at_high = ((margin == high) & side).sum(axis=0)
    one_above = (at_low == size - 1) & side & (margin == high)
    one_below = (at_high == size - 1) & side & (margin == low)
    return (low == high) | one_above | one_below


def _median(
    margin: Float64[np.ndarray, "models b"],
    side: Bool[np.ndarray, "models b"],
    size: Int64[np.ndarray, " b"],
) -> Float64[np.ndarray, "models b"]:
    """The median of the others, from each column's order: leaving out rank r moves those above."""
    models = margin.shape[0]
    filled = np.where(side, margin, np.inf)
    order = np.argsort(filled, axis=0, kind="stable")
    ordered = np.take_along_axis(filled, order, axis=0)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(models)[:, None], axis=0)
    left = size - side
    low, high = (left - 1) // 2, left // 2
    # Cells of the other side leave nobody out: a rank beyond every place.
    rank = np.where(side, rank, models)
    picked = [
        np.take_along_axis(ordered, np.clip(at + (rank <= at), 0, models - 1), axis=0)
        for at in (low, high)
    ]
    return np.where(left > 0, (picked[0] + picked[1]) / 2, np.nan)
