"""Charts of training examples, binned: memorization against the caps, and p_in against p_out."""

from __future__ import annotations

import altair as alt

from audit.report.chart_parts import TIP, data, layer, tip
from audit.report.colours import FORBIDDEN, FORBIDDEN_BY_CURVE, INK, LEVELS, MUTED, PAPER
from audit.report.words import Json, counted, number

LEVEL_AREAS = (16, 36, 64, 100, 144)
LEVEL_NAMES = ("1", "2–9", "10–99", "100–999", "1,000 or more")
_LIMITS = {"tradeoff_bound": "trade-off curve", "bound": "e^ε"}


def histogram(contents: Json, colour: str) -> alt.LayerChart:
    """Examples by memorization on a logarithmic count axis; shaded: beyond the caps."""
    edges, caps = contents["edges"], sorted(contents["caps"], key=lambda c: c["value"])
    bars = [
        {"from": a, "to": b, "count": c, "zero": 0, "tip": _bar_tip(a, b, c)}
        for a, b, c in zip(edges[:-1], edges[1:], contents["counts"], strict=True)
        if c
    ]
    most = max([10, *contents["counts"]])
    top = 3 * most
    ticks = [0, *(10**k for k in range(8) if 10**k <= most)]
    axis = alt.Axis(values=ticks, format=",d", title="examples (log scale)", labelOverlap=False)
    x = alt.Scale(domain=[edges[0], 1])
    y = alt.Y("count:Q", scale=alt.Scale(type="symlog", domain=[0, top]), axis=axis)
    title = "memorization (p_in − p_out)"
    rects = alt.Chart(data(bars)).mark_rect(color=colour, stroke=PAPER, strokeWidth=0.8).encode(
        x=alt.X("from:Q", scale=x, title=title, axis=alt.Axis(grid=False, tickCount=6)),
        x2="to:Q", y=y, y2="zero:Q", tooltip=TIP,
    )  # fmt: skip
    beyond = [
        {"from": cap["value"], "to": caps[i + 1]["value"] if i + 1 < len(caps) else 1,
         "top": top, "zero": 0, "last": i + 1 == len(caps)}
        for i, cap in enumerate(caps)
    ]  # fmt: skip
    shades = [
        alt.Chart(data([b for b in beyond if b["last"] is last])).mark_rect(color=fill).encode(
            x="from:Q", x2="to:Q", y="top:Q", y2="zero:Q"
        )
        for last, fill in ((False, FORBIDDEN_BY_CURVE), (True, FORBIDDEN))
    ]  # fmt: skip
    # Labels stand under each other: caps may lie close together.
    marked = [{**cap, "y": top / (1 + 2.5 * i)} for i, cap in enumerate(caps)]
    rules = alt.Chart(data(marked)).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="value:Q")
    return layer(*shades, rects, rules, *_cap_labels(marked), height=205)


def _bar_tip(low: float, high: float, examples: int) -> str:
    return tip(
        counted(examples, "training example"),
        ("memorization", f"{number(low, 2)} to {number(high, 2)}"),
    )


def _cap_labels(caps: list[Json]) -> list[alt.Chart]:
    """A label right of its line, or left of it where the right edge of the chart is near."""
    sides = (
        ([c for c in caps if c["value"] <= 0.6], {"align": "left", "dx": 4}),
        ([c for c in caps if c["value"] > 0.6], {"align": "right", "dx": -4}),
    )
    return [
        alt.Chart(data(here))
        .mark_text(color=INK, baseline="top", dy=3, **look)
        .encode(x="value:Q", y="y:Q", text="label:N")
        for here, look in sides
        if here
    ]


def plane(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (the count scale is its colour)
    """Cells of examples in the p_out–p_in plane; shaded: what the bounds forbid."""
    size, unit = 1 / contents["bins"], alt.Scale(domain=[0, 1])
    x = alt.X("x:Q", scale=unit, title="right without the example (p_out)", axis=_UNIT_AXIS)
    y = alt.Y("y:Q", scale=unit, title="right with the example (p_in)", axis=_UNIT_AXIS)
    layers: list[alt.Chart] = []
    limits = []
    for key, fill in (("tradeoff_bound", FORBIDDEN_BY_CURVE), ("bound", FORBIDDEN)):
        for side, edge in (("upper", 1), ("lower", 0)):
            line = contents["bounds"][key][side]
            limits += [{**p, "limit": _LIMITS[key], "side": side} for p in line]
            area = alt.Chart(data([{**p, "edge": edge} for p in line])).mark_area(color=fill)
            layers.append(area.encode(x=x, y=y, y2="edge:Q"))
    same = alt.Chart(data([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    layers.append(same.mark_line(color=MUTED, strokeWidth=1, strokeDash=[1, 3]).encode(x=x, y=y))
    if limits:
        layers.append(_limit_lines(limits, x, y))
    cells = [
        {"x": c["x"] + size / 2, "y": c["y"] + size / 2, "class": LEVEL_NAMES[c["level"]],
         "tip": _cell_tip(c, size)}
        for c in contents["cells"]
    ]  # fmt: skip
    legend = alt.Legend(title="examples per cell", symbolType="square", columns=5)
    marks = alt.Chart(data(cells)).mark_square(opacity=1, stroke=INK, strokeWidth=0.4).encode(
        x="x:Q",
        y="y:Q",
        color=alt.Color(
            "class:O", scale=alt.Scale(domain=LEVEL_NAMES, range=LEVELS), legend=legend
        ),
        size=alt.Size(
            "class:O", scale=alt.Scale(type="ordinal", domain=LEVEL_NAMES, range=LEVEL_AREAS),
            legend=legend,
        ),
        tooltip=TIP,
    )  # fmt: skip
    return layer(*layers, marks, height=390)


_UNIT_AXIS = alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], format=".1f")


def _limit_lines(limits: list[Json], x: alt.X, y: alt.Y) -> alt.Chart:
    """The limits as lines, named in the legend: solid the curve, dashed e^ε."""
    names = [n for n in _LIMITS.values() if any(p["limit"] == n for p in limits)]
    dashes = {"trade-off curve": [1, 0], "e^ε": [5, 3]}
    legend = alt.Legend(title="limits of p_in", symbolStrokeColor=INK, symbolSize=300)
    scale = alt.Scale(domain=names, range=[dashes[n] for n in names])
    return alt.Chart(data(limits)).mark_line(color=INK, strokeWidth=1).encode(
        x=x, y=y, detail="side:N",
        strokeDash=alt.StrokeDash("limit:N", scale=scale, legend=legend),
    )  # fmt: skip


def _cell_tip(cell: Json, size: float) -> str:
    """Where a cell lies and how many it holds: as a class where the count itself is withheld."""
    words = f"{LEVEL_NAMES[cell['level']]} training examples"
    if "count" in cell:
        words = counted(cell["count"], "training example")
    sides = ((name, f"{number(cell[k], 2)} to {number(cell[k] + size, 2)}")
             for name, k in (("p_in", "y"), ("p_out", "x")))  # fmt: skip
    return tip(words, *sides)
