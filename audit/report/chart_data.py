"""What the charts show, as plain JSON: binned, thinned and named. PURE.

Single training examples are never drawn: memorization is binned (method §11), and a subgroup's
name is data, never part of a chart's specification.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from audit.report.frames import records, rows_known, values
from audit.report.words import Json, finite, name, part, plain_number

HISTOGRAM_BIN = 0.05
PLANE_BINS = 20
BANDS = 10
# Upper limits of the count classes of the plane; five sizes and shades can be told apart.
COUNT_CLASSES = (1, 9, 99, 999)
CURVE_POINTS = 41
LINE_POINTS = 21
EXPOSURE, MEMORIZATION = "exposure", "mem"
RARE, OTHERS = "rarest third", "other subgroups"


def histogram(mem: Float[np.ndarray, " n"], low: float, high: float) -> Json:
    """Counts of ``mem`` in bins of .05 from ``low`` to ``high``; undefined values are counted."""
    bins = round((high - low) / HISTOGRAM_BIN)
    edges = np.round(low + HISTOGRAM_BIN * np.arange(bins + 1), 10)
    known = mem[~np.isnan(mem)]
    # Guarded against .15 landing below its own edge: binary fractions, not data, would decide.
    index = np.clip(np.floor((known - low) / HISTOGRAM_BIN + 1e-9).astype(int), 0, bins - 1)
    return {
        "edges": edges.tolist(),
        "counts": np.bincount(index, minlength=bins).tolist(),
        "undefined": len(mem) - len(known),
    }


def histogram_range(mem: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The common range of the histograms of all arms: whole bins around the data, at least 0–1."""
    lowest = min(0.0, float(np.min(mem, initial=0.0, where=~np.isnan(mem))))
    low = math.floor(round(lowest / HISTOGRAM_BIN, 9)) * HISTOGRAM_BIN
    return round(max(-1.0, low), 10), 1.0


def plane(rows: pd.DataFrame, *, whole_cells: bool = False) -> Json:
    """The p_out–p_in plane of one arm: counts per cell, and the regions the bounds allow.

    ``cells``: x, y (lower corners), count, level 0–4. ``bounds``: for e^ε and for the trade-off
    curve the highest p_in allowed at each p_out (``upper``), and the lowest (``lower``), which is
    the same curve with in and out exchanged (both bounds are symmetric in the two, method §4).
    ``whole_cells``: they begin at the edge of a cell instead of at the lowest p_out observed.
    """
    known = rows_known(rows, "p_in", "p_out")
    x, y = (bin_of(values(known, column), PLANE_BINS) for column in ("p_out", "p_in"))
    counts = np.bincount(x * PLANE_BINS + y, minlength=PLANE_BINS**2)
    cells = [
        {
            "x": int(i // PLANE_BINS) / PLANE_BINS,
            "y": int(i % PLANE_BINS) / PLANE_BINS,
            "count": int(counts[i]),
            "level": int(np.searchsorted(COUNT_CLASSES, counts[i])),
        }
        for i in np.flatnonzero(counts)
    ]
    return {
        "bins": PLANE_BINS,
        "cells": cells,
        "bounds": {k: _limits(known, k, whole_cells) for k in ("bound", "tradeoff_bound")},
        "undefined": len(rows) - len(known),
    }


def bin_of(share: Float[np.ndarray, " n"], bins: int) -> Int[np.ndarray, " n"]:
    """Index of the bin of each share; 1 belongs to the last (guarded as in ``histogram``)."""
    return np.minimum((share * bins + 1e-9).astype(int), bins - 1)


def _limits(known: pd.DataFrame, column: str, whole_cells: bool) -> dict[str, list[Json]]:
    """The upper and lower limit of p_in over the observed p_out; empty without a curve."""
    curve = rows_known(known, column)
    x, index = np.unique(values(curve, "p_out"), return_index=True)
    if len(x) < 2:
        return {"upper": [], "lower": []}
    upper = values(curve, column)[index]
    first = math.ceil(x[0] * PLANE_BINS) / PLANE_BINS if whole_cells else x[0]
    grid = np.linspace(first, 1, CURVE_POINTS)
    limit = np.interp(grid, np.append(x, 1.0), np.append(upper, 1.0))
    pairs = [(round(float(g), 4), round(float(u), 4)) for g, u in zip(grid, limit, strict=True)]
    return {
        "upper": [{"x": g, "y": u} for g, u in pairs],
        "lower": [{"x": u, "y": g} for g, u in pairs],
    }


def bands(rows: pd.DataFrame) -> list[Json]:
    """The plane in ten bands of p_out: how many examples, how high p_in goes, how many above."""
    known = rows_known(rows, "p_in", "p_out")
    band = bin_of(values(known, "p_out"), BANDS)
    p_in, bound, tradeoff = (values(known, c) for c in ("p_in", "bound", "tradeoff_bound"))
    found = []
    for b in np.unique(band):
        here = band == b
        has_curve = bool(np.isfinite(tradeoff[here]).any())
        above = int((p_in[here] > tradeoff[here]).sum())
        found.append(
            {
                "from": int(b) / BANDS,
                "to": (int(b) + 1) / BANDS,
                "n": int(here.sum()),
                "median": float(np.median(p_in[here])),
                "max": float(p_in[here].max()),
                "above_bound": int((p_in[here] > bound[here]).sum()),
                "above_tradeoff": above if has_curve else None,
            }
        )
    return found


def loss_by_frequency(groups: pd.DataFrame, arm: str, trend: Mapping[str, Any] | None) -> Json:
    """Loss of ``arm`` by subgroup against its share of the training set, with the fitted trend."""
    loss = f"loss_{arm}"
    drawn = rows_known(groups, loss, "frequency")
    drawn = drawn.iloc[np.flatnonzero(values(drawn, "frequency") > 0)]
    points = [
        {"frequency": float(row["frequency"]), **_who(row), **_points_of(row, loss)}
        for row in records(drawn)
    ]
    return {
        "points": points,
        "line": _line(drawn, trend),
        "left_out": len(groups) - len(drawn),
    }


def _who(row: Mapping[str, Any]) -> Json:
    """What a mark says of its subgroup when it is asked."""
    return {
        "name": name(row["subgroup"]),
        "n_train": int(row["n_train"]),
        "n_test": int(row["n_test"]),
    }


def _points_of(row: Mapping[str, Any], loss: str) -> Json:
    """A loss and its interval in percentage points; a missing limit stays undefined."""
    limits = {"loss": row[loss], "low": row[f"{loss}_low"], "high": row[f"{loss}_high"]}
    return {key: 100 * float(x) if finite(x) else None for key, x in limits.items()}


def _line(drawn: pd.DataFrame, trend: Mapping[str, Any] | None) -> list[Json]:
    """The fitted trend line and its 95 % band, in points; empty without a fit.

    The fit's level stands at ``centre`` (log2 of the training count); the band adds its variance to
    that of the slope times the distance: the two are uncorrelated there.
    """
    fit = trend or {}
    known = [
        part(fit.get(key), end) for key in ("level", "slope") for end in ("value", "low", "high")
    ]
    level, low, high, slope, flattest, steepest, centre = numbers = [
        math.nan if x is None else x for x in [*known, plain_number(fit.get("centre"))]
    ]
    if not np.isfinite(numbers).all() or drawn.empty:
        return []
    n_train, frequency = values(drawn, "n_train"), values(drawn, "frequency")
    x = np.log2(n_train)
    grid = np.linspace(x.min(), x.max(), LINE_POINTS)
    middle = level + slope * (grid - centre)
    half = np.hypot((high - low) / 2, (steepest - flattest) / 2 * (grid - centre))
    shares = 2**grid * (frequency / n_train).mean()
    return [
        {"frequency": float(f), "loss": 100 * float(m), "low": 100 * float(m - h),
         "high": 100 * float(m + h)}
        for f, m, h in zip(shares, middle, half, strict=True)
    ]  # fmt: skip


def forest(groups: pd.DataFrame, arm: str, most: int) -> Json:
    """The ``most`` subgroups that lose most under ``arm``, with intervals; in points."""
    loss = f"loss_{arm}"
    drawn = rows_known(groups, loss).sort_values(loss, ascending=False, kind="stable")
    rows = [
        {"row": i, **_who(row), **_points_of(row, loss)}
        for i, row in enumerate(records(drawn.head(most)))
    ]
    return {"rows": rows, "shown": len(rows), "of": len(groups)}


def exposed_and_paying(groups: pd.DataFrame, arm: str, standard: str) -> Json:
    """Per subgroup: how exposed it is under ``standard`` against accuracy loss under ``arm``.

    ``measure``: "exposure", how often an attack is right on the subgroup's examples (``coin`` .5);
    "mem", mean memorization (``coin`` 0), where no attack was run on any of them. ``x`` and its
    limits are fractions, ``loss`` and its limits percentage points.
    """
    loss, measure = f"loss_{arm}", exposed_by(groups, standard)
    x = f"{measure}_{standard}"
    drawn = rows_known(groups, loss, x)
    third = np.quantile(values(drawn, "frequency"), 1 / 3) if len(drawn) else math.nan
    points = [
        {
            **_who(row),
            **{f"x{end}": plain_number(row[f"{x}{end}"]) for end in ("", "_low", "_high")},
            **_points_of(row, loss),
            "group": RARE if row["frequency"] <= third else OTHERS,
        }
        for row in records(drawn)
    ]
    return {
        "measure": measure,
        "coin": 0.5 if measure == EXPOSURE else 0.0,
        "points": points,
        "left_out": len(groups) - len(drawn),
    }


def exposed_by(groups: pd.DataFrame, standard: str) -> str:
    """How exposure is measured: by the attack where it was run, else by memorization."""
    column = f"{EXPOSURE}_{standard}"
    attacked = column in groups and np.isfinite(values(groups, column)).any()
    return EXPOSURE if attacked else MEMORIZATION
