"""What the charts share: size, theme, reference lines, windows, and what a mark says when asked.

Every chart is 360 units wide, so that its text stays readable when it is scaled down to a phone
(320 px); wide pages put two or three side by side. Strings from the data appear in data values
only, never in an expression or a field name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from audit.report.colours import GRID, INK, MUTED, PAPER
from audit.report.words import Json, finite

WIDTH = 360
LOSS = "accuracy loss (points)"
SYMBOLS = ("circle", "diamond", "square", "triangle-up")
DASHES = ((1, 0), (8, 3), (4, 4), (10, 3, 2, 3), (2, 2))
# Liberation Sans has Arial's metrics and is what vl-convert measures with where Arial is absent.
FONT = "Arial, 'Liberation Sans', sans-serif"
# How many intervals of ten a window may cut at either end.
_CUT = 0.1


def theme() -> Json:
    """One typographic system for all charts; no role or label inside: an image has one name."""
    axis = {
        "labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12,
        "titleFontWeight": "normal", "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED,
        "labelFont": FONT, "titleFont": FONT, "tickSize": 4, "titlePadding": 6,
    }  # fmt: skip
    legend = {
        "labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "orient": "bottom", "labelFont": FONT, "titleFont": FONT,
        "rowPadding": 3, "offset": 10, "symbolOpacity": 1, "labelLimit": 300,
        "layout": {"bottom": {"direction": "vertical", "anchor": "start", "margin": 6}},
    }  # fmt: skip
    return {
        "axis": axis, "legend": legend, "view": {"stroke": None}, "background": "transparent",
        "text": {"font": FONT, "fontSize": 11, "color": INK}, "font": FONT, "aria": False,
    }  # fmt: skip


def data(values: Sequence[Json]) -> alt.InlineData:
    """Rows for a chart; the only place where strings from the run may stand."""
    return alt.InlineData(values=list(values))


def layer(*layers: alt.Chart, height: int) -> alt.LayerChart:
    """Layers over each other, drawn to the common width."""
    fit = alt.AutoSizeParams(type="fit", contains="padding")
    return alt.LayerChart(layer=list(layers), width=WIDTH, height=height, autosize=fit, padding=4)


TIP = alt.Tooltip("tip:N")
"""What a mark says when it is pointed at or reached by keyboard: the field ``tip``."""


def tip(first: str, *lines: tuple[str, str]) -> str:
    """What a mark says: a name, then a line per (label, value), as written in the tables."""
    return "\n".join([first, *(f"{label}: {value}" for label, value in lines)])


def chosen(field: str) -> tuple[alt.Parameter, Any]:
    """A selection by clicking the legend, and the opacity that dims everything else."""
    selection = alt.selection_point(name="chosen", fields=[field], bind="legend")
    return selection, alt.when(selection).then(alt.value(1)).otherwise(alt.value(0.15))


def choosing(chart: alt.Chart, selection: alt.Parameter) -> alt.Chart:
    """The layer that owns a selection, under a fixed name (Altair's own are numbered)."""
    return chart.properties(name="chosen-marks").add_params(selection)


def zero(field: str = "y") -> alt.Chart:
    """The line of no difference."""
    rule = alt.Chart(data([{"zero": 0}])).mark_rule(color=INK, strokeWidth=1)
    return rule.encode(**{field: "zero:Q"})


def halo(text: alt.Chart, *, ink: str = INK, **look: Any) -> list[alt.Chart]:
    """A label on a stroke of paper, so that it stays readable over lines."""
    return [
        text.mark_text(color=PAPER, stroke=PAPER, strokeWidth=3, **look),
        text.mark_text(color=ink, **look),
    ]


def window(
    rows: Sequence[Json], value: str, low: str, high: str, *, origin: float = 0.0, room: float = 4.0
) -> tuple[float, float]:
    """The range of an axis: all estimates and ``origin``, and most of their intervals.

    One example's interval may span everything; drawn in full, it would flatten all others. So one
    interval of ten may be cut at either end, unless it ends within ``room`` of the estimates.
    """
    estimates = [origin, *(r[value] for r in rows)]
    least, most = min(estimates), max(estimates)
    lows, highs = ([r[end] for r in rows if finite(r.get(end))] for end in (low, high))
    if lows and highs:
        least = min(least, max(least - room, min(lows)), float(np.quantile(lows, _CUT)))
        most = max(most, min(most + room, max(highs)), float(np.quantile(highs, 1 - _CUT)))
    return least, most


def cut(rows: Sequence[Json], low: str, high: str, shown: tuple[float, float]) -> list[Json]:
    """The rows with both limits, these cut to what is ``shown``; where cut, ``beyond`` says so.

    Vega would draw an undefined limit as 0, and one beyond the axis outside the chart.
    """
    known = [r for r in rows if finite(r.get(low)) and finite(r.get(high))]
    return [
        {**r, low: max(r[low], shown[0]), high: min(r[high], shown[1]),
         "cut_low": r[low] < shown[0], "cut_high": r[high] > shown[1]}
        for r in known
    ]  # fmt: skip


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from ``low`` to ``high``, both above 0."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**k for k in range(first, last + 1)]
