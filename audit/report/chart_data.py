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
from scipy import stats

from audit.report.words import Json, finite, name, part

HISTOGRAM_BIN = 0.05
PLANE_BINS = 20
BANDS = 10
# Upper limits of the count classes of the plane; five sizes and shades can be told apart.
COUNT_CLASSES = (1, 9, 99, 999)
CURVE_POINTS = 41
_HALF_95 = 1.96


def histogram(mem: pd.Series, low: float, high: float) -> Json:
    """Counts of ``mem`` in bins of .05 from ``low`` to ``high``; undefined values are counted."""
    bins = round((high - low) / HISTOGRAM_BIN)
    edges = np.round(low + HISTOGRAM_BIN * np.arange(bins + 1), 10)
    values = mem[mem.notna()].to_numpy(dtype=float)
    # Guarded against .15 landing below its own edge: binary fractions, not data, would decide.
    index = np.clip(np.floor((values - low) / HISTOGRAM_BIN + 1e-9).astype(int), 0, bins - 1)
    return {
        "edges": edges.tolist(),
        "counts": np.bincount(index, minlength=bins).tolist(),
        "undefined": int(mem.isna().sum()),
    }


def histogram_range(mem: pd.Series) -> tuple[float, float]:
    """The common range of the histograms of all arms: whole bins around the data, at least 0–1."""
    lowest = min(0.0, float(mem.min())) if mem.notna().any() else 0.0
    low = math.floor(round(lowest / HISTOGRAM_BIN, 9)) * HISTOGRAM_BIN
    return round(max(-1.0, low), 10), 1.0


def plane(rows: pd.DataFrame) -> Json:
    """The p_out–p_in plane of one arm: counts per cell, and the regions the bounds allow.

    ``cells``: x, y (lower corners), count, level 0–4. ``bounds``: for e^ε and for the trade-off
    curve the highest p_in allowed at each p_out (``upper``), and the lowest (``lower``), which is
    the same curve with in and out exchanged (both bounds are symmetric in the two, method §4).
    """
    known = rows[rows.p_in.notna() & rows.p_out.notna()]
    x = np.minimum((known.p_out.to_numpy(float) * PLANE_BINS + 1e-9).astype(int), PLANE_BINS - 1)
    y = np.minimum((known.p_in.to_numpy(float) * PLANE_BINS + 1e-9).astype(int), PLANE_BINS - 1)
    counts = np.bincount(x * PLANE_BINS + y, minlength=PLANE_BINS**2)
    cells = [
        {
            "x": (i // PLANE_BINS) / PLANE_BINS,
            "y": (i % PLANE_BINS) / PLANE_BINS,
            "count": int(counts[i]),
            "level": int(np.searchsorted(COUNT_CLASSES, counts[i])),
        }
        for i in np.flatnonzero(counts)
    ]
    return {
        "bins": PLANE_BINS,
        "cells": cells,
        "bounds": {k: _limits(known, k) for k in ("bound", "tradeoff_bound")},
        "undefined": len(rows) - len(known),
    }


def _limits(known: pd.DataFrame, column: str) -> dict[str, list[Json]]:
    """The upper and lower limit of p_in over the observed p_out; empty without a curve."""
    curve = known[["p_out", column]].dropna().drop_duplicates().sort_values("p_out")
    if len(curve) < 2:
        return {"upper": [], "lower": []}
    x, upper = np.append(curve.p_out, 1.0), np.append(curve[column], 1.0)
    grid = np.linspace(x[0], 1, CURVE_POINTS)
    pairs = [
        (round(float(g), 4), round(float(u), 4))
        for g, u in zip(grid, np.interp(grid, x, upper), strict=True)
    ]
    return {
        "upper": [{"x": g, "y": u} for g, u in pairs],
        "lower": [{"x": u, "y": g} for g, u in pairs],
    }


def bands(rows: pd.DataFrame) -> list[Json]:
    """The plane in ten bands of p_out: how many examples, how high p_in goes, how many above."""
    known = rows[rows.p_in.notna() & rows.p_out.notna()]
    band = np.minimum((known.p_out.to_numpy(float) * BANDS + 1e-9).astype(int), BANDS - 1)
    return [
        {
            "from": b / BANDS,
            "to": (b + 1) / BANDS,
            "n": len(part_),
            "median": float(part_.p_in.median()),
            "max": float(part_.p_in.max()),
            "above_bound": int((part_.p_in > part_.bound).sum()),
            "above_tradeoff": int((part_.p_in > part_.tradeoff_bound).sum())
            if part_.tradeoff_bound.notna().any()
            else None,
        }
        for b, part_ in known.groupby(band)
    ]


def loss_by_frequency(groups: pd.DataFrame, arm: str, trend: Mapping[str, Any] | None) -> Json:
    """Loss of ``arm`` by subgroup against its share of the training set, with the fitted trend."""
    loss = f"loss_{arm}"
    drawn = groups[groups[loss].notna() & (groups.frequency > 0)]
    points = [
        {
            "frequency": float(row["frequency"]),
            "loss": 100 * float(row[loss]),
            "low": 100 * float(row[f"{loss}_low"]),
            "high": 100 * float(row[f"{loss}_high"]),
            "n_test": int(row["n_test"]),
        }
        for row in drawn.to_dict("records")
    ]
    return {
        "points": points,
        "line": _line(drawn, loss, trend),
        "left_out": len(groups) - len(drawn),
    }


def _line(drawn: pd.DataFrame, loss: str, trend: Mapping[str, Any] | None) -> list[Json]:
    """The trend line and its 95 % band, in points.

    The line has the fitted slope and runs through the precision-weighted mean of the subgroups, as
    every weighted regression line does (weights 1/(se² + τ²), se from each interval); the band adds
    the variance of that mean to the slope's, which are uncorrelated there.
    """
    slope = (trend or {}).get("slope")
    value, low, high = (part(slope, k) for k in ("value", "low", "high"))
    se = (drawn[f"{loss}_high"] - drawn[f"{loss}_low"]).to_numpy(float) / (2 * _HALF_95)
    if value is None or low is None or high is None or len(drawn) < 3 or not (se > 0).all():
        return []
    tau = (trend or {}).get("tau")
    weight = 1 / (se**2 + (float(tau) if finite(tau) else 0.0) ** 2)  # pyright: ignore[reportArgumentType]
    x, y = np.log2(drawn.frequency.to_numpy(float)), drawn[loss].to_numpy(float)
    centre_x, centre_y = np.average(x, weights=weight), np.average(y, weights=weight)
    half_centre = stats.t.ppf(0.975, len(drawn) - 2) / math.sqrt(weight.sum())
    grid = np.linspace(x.min(), x.max(), 21)
    middle = centre_y + value * (grid - centre_x)
    half = np.hypot(half_centre, (high - low) / 2 * (grid - centre_x))
    return [
        {"frequency": float(2**g), "loss": 100 * float(m), "low": 100 * float(m - h), "high": 100 * float(m + h)}
        for g, m, h in zip(grid, middle, half, strict=True)
    ]  # fmt: skip


def forest(groups: pd.DataFrame, arm: str, most: int) -> Json:
    """The ``most`` subgroups that lose most under ``arm``, with intervals; in points."""
    loss = f"loss_{arm}"
    drawn = groups[groups[loss].notna()].sort_values(loss, ascending=False, kind="stable")
    rows = [
        {
            "row": i,
            "name": f"{name(row['subgroup'], 34)} (n={int(row['n_test'])})",
            "loss": 100 * float(row[loss]),
            "low": 100 * float(row[f"{loss}_low"]),
            "high": 100 * float(row[f"{loss}_high"]),
        }
        for i, row in enumerate(drawn.head(most).to_dict("records"))
    ]
    return {"rows": rows, "shown": len(rows), "of": len(groups)}


def exposed_and_paying(groups: pd.DataFrame, arm: str, standard: str) -> Json:
    """Per subgroup: memorization under ``standard`` against accuracy loss under ``arm``."""
    loss, mem = f"loss_{arm}", f"mem_{standard}"
    drawn = groups[groups[loss].notna() & groups[mem].notna()]
    third = drawn.frequency.quantile(1 / 3) if len(drawn) else math.nan
    points = [
        {
            "mem": float(row[mem]),
            "loss": 100 * float(row[loss]),
            "group": "rarest third" if row["frequency"] <= third else "other subgroups",
        }
        for row in drawn.to_dict("records")
    ]
    return {"points": points, "left_out": len(groups) - len(drawn)}
