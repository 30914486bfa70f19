"""Binned pictures of single examples in which no bin holds a few of them. PURE.

Bins of a line are merged until each holds no example or enough; cells of the plane that hold few
are left out, and of the others only the class of the count is told, so that nothing can be found by
subtraction. Counts are rounded. That an example is in no picture (in every model or in none) is
chance of the subsets, not a fact about it, and counted exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from audit.report import chart_data
from audit.report.disclosure import rounding
from audit.report.frames import rows_known, values
from audit.report.words import Json

# The limits are drawn between the p_out of examples; more decimals could tell where these lie.
_LIMIT_DECIMALS = 2


def merged(counts: Int[np.ndarray, "arms bins"], fewest: int) -> list[int]:
    """Where merged bins begin and end, as indices of edges, from the first to the last.

    From the right (the tail of memorization): a bin is closed when every arm has none or at least
    ``fewest`` in it. Empty bins to the right of a bin of few join it, or they would tell where in
    the merged bin these few are. What is left over on the left joins the next.
    """
    edges, end = [counts.shape[1]], counts.shape[1]
    occupied = np.asarray(counts.any(axis=0))
    for begin in range(end - 1, -1, -1):
        before = np.flatnonzero(occupied[:begin])
        empty = not occupied[begin:end].any()
        if empty and len(before) and not _enough(counts[:, before[-1:]], fewest):
            continue
        if _enough(counts[:, begin:end], fewest):
            edges.append(begin)
            end = begin
    while len(edges) > 1 and not _enough(counts[:, : edges[-1]], fewest):
        edges.pop()
    return sorted({0, *edges})


def _enough(counts: Int[np.ndarray, "arms bins"], fewest: int) -> bool:
    sums = counts.sum(axis=1)
    return bool(((sums == 0) | (sums >= fewest)).all())


def histograms(
    arms: Sequence[Float[np.ndarray, " n"]], low: float, high: float, fewest: int
) -> list[Json]:
    """``chart_data.histogram`` of each arm, over the same merged bins."""
    fine = [chart_data.histogram(mem, low, high) for mem in arms]
    begin = merged(np.array([h["counts"] for h in fine]), fewest)
    return [
        {
            "edges": [h["edges"][i] for i in begin],
            "counts": [rounding.count(sum(h["counts"][a:b])) for a, b in pairwise(begin)],
            "undefined": h["undefined"],
        }
        for h in fine
    ]


def plane(rows: pd.DataFrame, fewest: int) -> Json:
    """``chart_data.plane`` without cells of fewer than ``fewest`` examples, counts told as classes.

    ``left_out``: how many examples are in no cell that is drawn (rounded).
    """
    drawn = chart_data.plane(rows, whole_cells=True)
    cells = [{k: v for k, v in c.items() if k != "count"}
             for c in drawn["cells"] if c["count"] >= fewest]  # fmt: skip
    left_out = sum(c["count"] for c in drawn["cells"] if c["count"] < fewest)
    bounds = {
        key: {
            side: [{axis: round(v, _LIMIT_DECIMALS) for axis, v in point.items()} for point in line]
            for side, line in sides.items()
        }
        for key, sides in drawn["bounds"].items()
    }
    return {**drawn, "cells": cells, "bounds": bounds, "left_out": rounding.count(left_out)}


def bands(rows: pd.DataFrame, fewest: int) -> list[Json]:
    """``chart_data.bands`` merged until each holds enough; without what is of single examples.

    The highest p_in of a band is one example's, and those above a limit are few: both are None.
    """
    known = rows_known(rows, "p_in", "p_out")
    p_in, p_out = values(known, "p_in"), values(known, "p_out")
    band = chart_data.bin_of(p_out, chart_data.BANDS)
    begin = merged(np.bincount(band, minlength=chart_data.BANDS)[None], fewest)
    found = []
    for a, b in pairwise(begin):
        here = (band >= a) & (band < b)
        if here.any():
            found.append({
                "from": a / chart_data.BANDS, "to": b / chart_data.BANDS,
                "n": rounding.count(int(here.sum())), "median": float(np.median(p_in[here])),
                "max": None, "above_bound": None, "above_tradeoff": None,
            })  # fmt: skip
    return found
