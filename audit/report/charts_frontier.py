"""The ε frontier as small multiples: one measure against ε, standard training as a reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import altair as alt

from audit.report.chart_parts import TIP, data, layer, tip
from audit.report.colours import BAND_STANDARD, FORBIDDEN, INK, MUTED, PAPER, PRIVATE, STANDARD
from audit.report.words import Json, estimate, finite, general

_HEIGHT = 215
_SCALED = ("value", "low", "high", "limit")


@dataclass(frozen=True)
class _Axes:
    """Both axes of a panel: encodings of any field, on the same scales and with the same titles."""

    epsilons: tuple[float, ...]
    extent: tuple[float, float]
    range: tuple[float, float]
    title: str

    def x(self, field: str = "epsilon") -> alt.X:
        scale = alt.Scale(type="log", base=2, domain=list(self.extent), nice=False)
        axis = alt.Axis(values=list(self.epsilons), format="~g", grid=False)
        return alt.X(f"{field}:Q", scale=scale, axis=axis, title="ε (log scale)")

    def y(self, field: str = "value") -> alt.Y:
        scale = alt.Scale(domain=list(self.range), nice=True, zero=False)
        return alt.Y(f"{field}:Q", scale=scale, title=self.title, axis=alt.Axis(tickCount=5))

    def across(self, **row: Any) -> alt.Chart:
        """A chart of one row whose ``start`` and ``end`` are those of the ε axis."""
        return alt.Chart(data([{**row, "start": self.extent[0], "end": self.extent[1]}]))


def frontier(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (private against standard)
    """Values with intervals at every ε on a log axis; a band where standard training lies.

    Where the claims limit the measure, what lies beyond them is in sand.
    """
    scale_by = 100.0 if contents["unit"] == "percent" else 1.0
    points = [_scaled(p, scale_by) | {"tip": _tip(p, contents)} for p in contents["points"]]
    standard = _scaled(contents["standard"], scale_by) if contents["standard"] else None
    coin = None if contents["coin"] is None else scale_by * contents["coin"]
    axes = _axes(points, standard, contents["axis"], scale_by, coin)
    ends = [p for p in points if finite(p["low"]) and finite(p["high"])]
    bars, chart = alt.Chart(data(ends)), alt.Chart(data(points))
    mark = {"filled": True, "size": 64, "opacity": 1, "stroke": PAPER, "strokeWidth": 0.8}
    return layer(
        *_forbidden(points, axes),
        *([] if standard is None else _standard(standard, contents, axes)),
        *([] if coin is None else [_coin(coin, axes)]),
        bars.mark_rule(color=PRIVATE, strokeWidth=1.5).encode(
            x=axes.x(), y=axes.y("low"), y2="high:Q"
        ),
        chart.mark_line(color=PRIVATE, strokeWidth=1.5).encode(x=axes.x(), y=axes.y()),
        chart.mark_point(color=PRIVATE, **mark).encode(x=axes.x(), y=axes.y(), tooltip=TIP),
        height=_HEIGHT,
    )


def _axes(
    points: list[Json], standard: Json | None, title: str, scale_by: float, coin: float | None
) -> _Axes:
    """Everything that is drawn, and at least three hundredths: no mountain out of noise."""
    rows = [*points, *([standard] if standard else [])]
    seen = [r[k] for r in rows for k in _SCALED if finite(r.get(k))]
    seen += [] if coin is None else [coin]
    room = max(0.03 * scale_by - (max(seen) - min(seen)), 0) / 2
    epsilons = tuple(dict.fromkeys(p["epsilon"] for p in points))
    extent = (epsilons[0] / 1.25, epsilons[-1] * 1.25)
    return _Axes(epsilons, extent, (min(seen) - room, max(seen) + room), title)


def _scaled(point: Json, by: float) -> Json:
    return {k: by * v if k in _SCALED and finite(v) else v for k, v in point.items()}


def _tip(point: Json, contents: Json) -> str:
    lines = [_measured(point, contents)]
    if finite(point.get("limit")):
        lines.append(("the claim allows", _written({"value": point["limit"]}, contents["unit"])))
    return tip(f"private training, ε = {general(point['epsilon'])}", *lines)


def _measured(e: Json, contents: Json) -> tuple[str, str]:
    return contents["axis"].partition(" (")[0], _written(e, contents["unit"])


def _written(e: Json, unit: str) -> str:
    return estimate(e, unit, 1 if unit == "percent" else 2)


def _forbidden(points: list[Json], axes: _Axes) -> list[alt.Chart]:
    """What is more than the claims allow, and its edge."""
    limited = [{**p, "top": axes.range[1]} for p in points if finite(p.get("limit"))]
    if not limited:
        return []
    chart = alt.Chart(data(limited))
    last = alt.Chart(data([{**limited[-1], "label": "the claim allows no more"}]))
    look = {"align": "right", "baseline": "bottom", "dx": 2, "dy": -6, "fontSize": 10}
    return [
        chart.mark_area(color=FORBIDDEN).encode(x=axes.x(), y=axes.y("limit"), y2="top:Q"),
        chart.mark_line(color=INK, strokeWidth=1, strokeDash=[5, 3]).encode(
            x=axes.x(), y=axes.y("limit")
        ),
        last.mark_text(color=INK, **look).encode(x=axes.x(), y=axes.y("limit"), text="label:N"),
    ]


def _standard(standard: Json, contents: Json, axes: _Axes) -> list[alt.Chart]:
    """Standard training across all ε: its value, the band of its interval, its name."""
    said = tip("standard training (no ε)", _measured(contents["standard"], contents))
    chart = axes.across(**standard, tip=said, label="standard training")
    layers = []
    if finite(standard["low"]) and finite(standard["high"]):
        band = chart.mark_rect(color=BAND_STANDARD)
        layers.append(band.encode(x=axes.x("start"), x2="end:Q", y=axes.y("low"), y2="high:Q"))
    rule = chart.mark_rule(color=STANDARD, strokeWidth=1.5, strokeDash=[8, 3])
    layers.append(rule.encode(x=axes.x("start"), x2="end:Q", y=axes.y(), tooltip=TIP))
    name = chart.mark_text(color=INK, align="right", baseline="bottom", dx=-4, dy=-3, fontSize=10)
    return [*layers, name.encode(x=axes.x("end"), y=axes.y(), text="label:N")]


def _coin(coin: float, axes: _Axes) -> alt.Chart:
    rule = axes.across(value=coin).mark_rule(color=MUTED, strokeDash=[2, 3])
    return rule.encode(x=axes.x("start"), x2="end:Q", y=axes.y())
