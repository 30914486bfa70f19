"""Charts: plain data (``chart_data``) → Vega-Lite (Altair) → inline SVG, drawn without a browser.

Every chart is 360 units wide, so that its text stays readable when it is scaled down to a phone
(320 px); wide pages put two side by side. Colours are fixed hexadecimal values that the style sheet
exchanges in dark mode; no meaning rests on colour alone (shape, size, dash and label repeat it).
Strings from the data appear in data values only, never in an expression or a field name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import altair as alt
import vl_convert

from audit.report.colours import PRIVATE, STANDARD
from audit.report.svg import inline_svg
from audit.report.words import Json

WIDTH = 360
INK, MUTED, GRID = "#1c2330", "#59626f", "#e1e5ea"
FORBIDDEN_BY_CURVE, FORBIDDEN, BAND = "#f7f0e6", "#ecdcc8", "#d3e3f0"
LEVELS = ("#b9cde0", "#8fb0d0", "#5f8fbd", "#36699b", "#173f6b")
LOSS = "accuracy loss (points)"
LEVEL_AREAS = (16, 36, 64, 100, 144)
LEVEL_NAMES = ("1", "2–9", "10–99", "100–999", "1,000 or more")
# Liberation Sans has Arial's metrics and is what vl-convert measures with where Arial is absent.
_FONT = "Arial, 'Liberation Sans', sans-serif"
_VEGA_LITE = "_".join(alt.SCHEMA_VERSION.split(".")[:2])


def draw(chart: Json) -> str:
    """The SVG of one chart of a document (``id``, ``kind``, ``title``, ``description``, ``data``).

    The result is sanitised (``audit.report.svg``) and may be put into a page as it is.
    """
    spec = _KINDS[chart["kind"]](chart["data"], chart["colour"])
    spec = spec.configure(**_theme()).to_dict()
    svg = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
    return inline_svg(
        svg, ident=chart["id"], title=chart["title"], description=chart["description"]
    )


def _theme() -> dict[str, Any]:
    axis = {
        "labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 12,
        "titleFontWeight": "normal", "gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED,
        "labelFont": _FONT, "titleFont": _FONT, "tickSize": 4, "titlePadding": 6,
    }  # fmt: skip
    legend = {
        "labelColor": MUTED, "titleColor": INK, "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "orient": "bottom", "labelFont": _FONT, "titleFont": _FONT,
    }  # fmt: skip
    return {
        "axis": axis, "legend": legend, "view": {"stroke": None}, "background": "transparent",
        "text": {"font": _FONT, "fontSize": 11, "color": INK}, "font": _FONT,
    }  # fmt: skip


def _data(values: list[Json]) -> alt.InlineData:
    return alt.InlineData(values=values)


def _layer(*layers: alt.Chart, height: int) -> alt.LayerChart:
    fit = alt.AutoSizeParams(type="fit", contains="padding")
    return alt.LayerChart(layer=list(layers), width=WIDTH, height=height, autosize=fit, padding=4)


def _histogram(data: Json, colour: str) -> alt.LayerChart:
    edges = data["edges"]
    bars = [
        {"from": a, "to": b, "count": c, "zero": 0}
        for a, b, c in zip(edges[:-1], edges[1:], data["counts"], strict=True)
        if c
    ]
    top = max([10, *data["counts"]])
    ticks = [0, *(10**k for k in range(8) if 10**k <= top)]
    count_axis = alt.Axis(values=ticks, format=",d", title="examples (log scale)")
    x_scale, y_scale = (
        alt.Scale(domain=[edges[0], 1]),
        alt.Scale(type="symlog", domain=[0, 3 * top]),
    )
    rects = alt.Chart(_data(bars)).mark_rect(color=colour).encode(
        x=alt.X("from:Q", scale=x_scale, title="memorization (p_in − p_out)"),
        x2="to:Q",
        y=alt.Y("count:Q", scale=y_scale, axis=count_axis),
        y2="zero:Q",
    )  # fmt: skip
    caps = [
        {**c, "top": 3 * top, "y": (3 * top) / (1 + 2.5 * i)} for i, c in enumerate(data["caps"])
    ]
    rule = alt.Chart(_data(caps)).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="value:Q")
    layers = [rects, rule]
    # A label right of its line, or left of it where the right edge of the chart is near.
    left = alt.Chart(_data([c for c in caps if c["value"] <= 0.6]))
    right = alt.Chart(_data([c for c in caps if c["value"] > 0.6]))
    for text in (
        left.mark_text(align="left", dx=4, baseline="top", color=INK),
        right.mark_text(align="right", dx=-4, baseline="top", color=INK),
    ):
        layers.append(text.encode(x="value:Q", y="y:Q", text="label:N"))
    return _layer(*layers, height=200)


def _plane(data: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (the count scale is its colour)
    size = 1 / data["bins"]
    unit = alt.Scale(domain=[0, 1])
    layers: list[alt.Chart] = []
    x = alt.X("x:Q", scale=unit, title="right without the example (p_out)")
    y = alt.Y("y:Q", scale=unit, title="right with the example (p_in)")
    shades = (("tradeoff_bound", FORBIDDEN_BY_CURVE, []), ("bound", FORBIDDEN, [5, 3]))
    for key, fill, dash in shades:
        for side, edge in (("upper", 1), ("lower", 0)):
            limit = [{**p, "edge": edge} for p in data["bounds"][key][side]]
            line = {"color": INK, "strokeWidth": 1, "strokeDash": dash}
            area = alt.Chart(_data(limit)).mark_area(color=fill, line=line)
            layers.append(area.encode(x=x, y=y, y2="edge:Q"))
    cells = [
        {"x": c["x"] + size / 2, "y": c["y"] + size / 2, "class": LEVEL_NAMES[c["level"]]}
        for c in data["cells"]
    ]
    legend = alt.Legend(title="examples per cell", symbolType="square", columns=5)
    marks = alt.Chart(_data(cells)).mark_square(opacity=1, stroke=INK, strokeWidth=0.4).encode(
        x="x:Q",
        y="y:Q",
        color=alt.Color(
            "class:N", scale=alt.Scale(domain=LEVEL_NAMES, range=LEVELS), legend=legend, sort=None
        ),
        size=alt.Size(
            "class:N", scale=alt.Scale(type="ordinal", domain=LEVEL_NAMES, range=LEVEL_AREAS),
            legend=legend, sort=None,
        ),
    )  # fmt: skip
    return _layer(*layers, marks, height=370)


def _trend(data: Json, colour: str) -> alt.LayerChart:
    axis = alt.Axis(values=_frequency_ticks(data["points"]), format=".2~p")
    title = "share of the training set (each step: double)"
    x = alt.X(
        "frequency:Q",
        scale=alt.Scale(type="log", base=2, nice=False, padding=10),
        axis=axis,
        title=title,
    )
    y = alt.Y("loss:Q", title=LOSS)
    low = alt.Y("low:Q", title=LOSS)
    size = alt.Size("n_test:Q", scale=alt.Scale(domainMin=0, range=[14, 190]), legend=None)
    points, line = _data(data["points"]), _data(data["line"])
    intervals = _data(_with_interval(data["points"]))
    return _layer(
        _zero(),
        alt.Chart(line).mark_area(color=BAND).encode(x=x, y=low, y2="high:Q"),
        alt.Chart(intervals).mark_rule(color=MUTED, opacity=0.45).encode(x=x, y=low, y2="high:Q"),
        alt.Chart(line).mark_line(color=INK, strokeWidth=1.5).encode(x=x, y=y),
        alt.Chart(points).mark_circle(color=colour, opacity=1).encode(x=x, y=y, size=size),
        height=270,
    )


def _with_interval(rows: list[Json]) -> list[Json]:
    """Rows with both limits: Vega would draw an undefined limit as 0."""
    return [r for r in rows if r["low"] is not None and r["high"] is not None]


def _frequency_ticks(points: list[Json]) -> list[float]:
    """Powers of two among the shares, at most 7; the ends where fewer than two are among them."""
    shares = [p["frequency"] for p in points]
    powers = [2.0**-k for k in range(40) if min(shares) <= 2.0**-k <= max(shares)]
    if len(powers) < 2:
        return sorted({min(shares), max(shares)})
    return powers[:: -(-len(powers) // 7)]


def _zero() -> alt.Chart:
    return alt.Chart(_data([{"zero": 0}])).mark_rule(color=INK, strokeWidth=1).encode(y="zero:Q")


def _forest(data: Json, colour: str) -> alt.LayerChart:
    rows = [
        {**r, "label_y": r["row"] - 0.24, "mark_y": r["row"] + 0.16, "zero": 0,
         "overall": data["overall"], "top": r["row"] - 0.02, "bottom": r["row"] + 0.34}
        for r in data["rows"]
    ]  # fmt: skip
    scale = alt.Scale(domain=[len(rows) - 0.5, -0.6], nice=False)
    x = alt.X("low:Q", title=LOSS, axis=alt.Axis(grid=False))
    y, top = alt.Y("mark_y:Q", scale=scale, axis=None), alt.Y("top:Q", scale=scale, axis=None)
    chart = alt.Chart(_data(rows))
    # The two reference lines are broken at each row's label, so that the label stays readable.
    return _layer(
        chart.mark_rule(color=INK, strokeWidth=1).encode(x="zero:Q", y=top, y2="bottom:Q"),
        chart.mark_rule(color=MUTED, strokeDash=[2, 2]).encode(x="overall:Q", y=top, y2="bottom:Q"),
        alt.Chart(_data(_with_interval(rows)))
        .mark_rule(color=colour, strokeWidth=2)
        .encode(x=x, x2="high:Q", y=y),
        chart.mark_point(color=colour, filled=True, size=50, shape="diamond", opacity=1)
        .encode(x="loss:Q", y=y),
        chart.mark_text(align="left", baseline="middle", limit=WIDTH - 20)
        .encode(x=alt.value(2), y=alt.Y("label_y:Q", scale=scale), text="name:N"),
        height=60 + 29 * max(1, len(rows)),
    )  # fmt: skip


def _exposure(data: Json, colour: str) -> alt.LayerChart:
    names = ["rarest third", "other subgroups"]
    legend = alt.Legend(title=None, symbolOpacity=1)
    x = alt.X("mem:Q", axis=alt.Axis(tickCount=5), title="mean memorization, standard training")
    points = alt.Chart(_data(data["points"])).mark_point(filled=True, size=52, opacity=1).encode(
        x=x,
        y=alt.Y("loss:Q", title=LOSS),
        color=alt.Color(
            "group:N", scale=alt.Scale(domain=names, range=[STANDARD, colour]), legend=legend
        ),
        shape=alt.Shape(
            "group:N", scale=alt.Scale(domain=names, range=["diamond", "circle"]), legend=legend
        ),
    )  # fmt: skip
    return _layer(_zero(), points, height=290)


def _certified(data: Json, colour: str) -> alt.LayerChart:
    rows = [
        {**r, "label_y": r["row"] - 0.24, "mark_y": r["row"] + 0.16, "zero": 0,
         "top": r["row"] - 0.02, "bottom": r["row"] + 0.34}
        for r in data["points"]
    ]  # fmt: skip
    scale = alt.Scale(domain=[len(rows) - 0.5, -0.6], nice=False)
    ends = [r[key] for r in rows for key in ("epsilon", "claimed") if r[key] is not None]
    x_scale = alt.Scale(domain=[0, 1.05 * max([1.0, *ends])], nice=False)
    x = alt.X("epsilon:Q", title="ε", scale=x_scale, axis=alt.Axis(grid=False))
    y, top = alt.Y("mark_y:Q", scale=scale, axis=None), alt.Y("top:Q", scale=scale, axis=None)
    claims = alt.Chart(_data([r for r in rows if r["claimed"] is not None]))
    points = alt.Chart(_data(rows))
    return _layer(
        points.mark_rule(color=MUTED, strokeWidth=1).encode(
            x=alt.X("zero:Q", title="ε", scale=x_scale), x2="epsilon:Q", y=y
        ),
        claims.mark_rule(color=INK, strokeWidth=2).encode(
            x=alt.X("claimed:Q", title="ε", scale=x_scale), y=top, y2="bottom:Q"
        ),
        points.mark_point(color=colour, filled=True, size=60, shape="circle", opacity=1).encode(
            x=x, y=y
        ),
        points.mark_text(align="left", baseline="middle", limit=WIDTH - 20).encode(
            x=alt.value(2), y=alt.Y("label_y:Q", scale=scale), text="label:N"
        ),
        height=60 + 29 * max(1, len(rows)),
    )


def _roc(data: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (arms have colours of their own)
    names = [curve["name"] for curve in data["curves"]]
    points = [
        {**point, "arm": curve["name"]} for curve in data["curves"] for point in curve["points"]
    ]
    lowest = min([0.1, *(p[rate] for p in points for rate in ("fpr", "tpr"))])
    decades = [10.0**k for k in range(-6, 1) if 10.0**k >= lowest * 0.999]
    scale = alt.Scale(type="log", domain=[lowest, 1], nice=False)
    axis = alt.Axis(values=decades, format=".2~%")
    x = alt.X("fpr:Q", scale=scale, axis=axis, title="non-members accused (FPR, log scale)")
    y = alt.Y("tpr:Q", scale=scale, axis=axis, title="members found (TPR, log scale)")
    ends = _data([{"fpr": rate, "tpr": rate} for rate in (lowest, 1.0)])
    legend = alt.Legend(title=None, columns=1, symbolSize=300, labelLimit=300)
    colours = [PRIVATE if curve["private"] else STANDARD for curve in data["curves"]]
    dashes = [list(_DASHES[i % len(_DASHES)]) for i in range(len(names))]
    lines = alt.Chart(_data(points)).mark_line(strokeWidth=2, interpolate="step-after").encode(
        x=x,
        y=y,
        color=alt.Color("arm:N", scale=alt.Scale(domain=names, range=colours), legend=legend),
        strokeDash=alt.StrokeDash(
            "arm:N", scale=alt.Scale(domain=names, range=dashes), legend=legend
        ),
    )  # fmt: skip
    coin = alt.Chart(ends).mark_line(color=MUTED, strokeDash=[2, 3]).encode(x=x, y=y)
    return _layer(coin, lines, height=380)


_DASHES = ((1, 0), (8, 3), (4, 4), (10, 3, 2, 3), (2, 2))


def _power(data: Json, colour: str) -> alt.LayerChart:
    names = list(dict.fromkeys(point["bound"] for point in data["points"]))
    models = sorted({point["models"] for point in data["points"]})
    # One number of models is a point: a logarithmic axis needs an extent.
    extent = [models[0] / 1.2, models[-1] * 1.2]
    x = alt.X(
        "models:Q",
        scale=alt.Scale(type="log", base=2, domain=extent, nice=False),
        axis=alt.Axis(values=models, format=",d", labelOverlap=True),
        title="models per arm (each step: double)",
    )
    y = alt.Y("memorization:Q", scale=alt.Scale(domain=[0, 1]), title="smallest memorization found")
    legend = alt.Legend(title="bound", symbolOpacity=1)
    colours = alt.Scale(domain=names, range=[STANDARD, colour][: len(names)])
    dashes = alt.Scale(domain=names, range=[[1, 0], [5, 3]][: len(names)])
    shapes = alt.Scale(domain=names, range=["circle", "diamond"][: len(names)])
    base = alt.Chart(_data(data["points"]))
    lines = base.mark_line(strokeWidth=1.5).encode(
        x=x,
        y=y,
        color=alt.Color("bound:N", scale=colours, legend=legend),
        strokeDash=alt.StrokeDash("bound:N", scale=dashes, legend=legend),
    )
    marks = base.mark_point(filled=True, size=45, opacity=1).encode(
        x=x,
        y=y,
        color=alt.Color("bound:N", scale=colours, legend=legend),
        shape=alt.Shape("bound:N", scale=shapes, legend=legend),
    )
    return _layer(lines, marks, height=250)


_KINDS: dict[str, Callable[[Json, str], alt.LayerChart]] = {
    "histogram": _histogram,
    "plane": _plane,
    "trend": _trend,
    "forest": _forest,
    "exposure": _exposure,
    "certified": _certified,
    "power": _power,
    "roc": _roc,
}
