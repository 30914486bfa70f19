"""What clipping, noise and pruning alone cost each subgroup, beside what they cost together."""

from __future__ import annotations

import altair as alt

from audit.report.chart_parts import (
    LOSS,
    TIP,
    WIDTH,
    choosing,
    chosen,
    cut,
    data,
    halo,
    layer,
    tip,
    window,
    zero,
)
from audit.report.colours import INK, LEVELS, MUTED, PRIVATE, STANDARD
from audit.report.words import Json, count, estimate, name

# The private arm first; no two of eight have the same shape.
_COLOURS = (PRIVATE, INK, MUTED, STANDARD, LEVELS[-1])
_SHAPES = (
    *("circle", "diamond", "square", "triangle-up"),
    *("cross", "triangle-down", "triangle-right", "triangle-left"),
)
_ROW = 13
"""Height of one interval; a subgroup takes one for each arm, and two for its name."""


def controls(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (an arm has its own)
    """A block per subgroup, rare ones first, in it an interval for each arm."""
    order = list(contents["arms"])
    each = len(order) + 2
    rows = [
        {**r, "y": r["row"] * each + 1 + order.index(r["arm"]), "tip": _tip(r)}
        for r in contents["rows"]
    ]
    names = [
        {"y": i * each, "label": f"{name(g['name'], 34)} (n={count(g['n_test'])})"}
        for i, g in enumerate(contents["groups"])
    ]
    shown = window(rows, "loss", "low", "high")
    y_scale = alt.Scale(domain=[len(names) * each - 1, -1], nice=False)
    x_scale = alt.Scale(domain=list(shown))
    axis = alt.Axis(grid=False, tickCount=6)
    y = alt.Y("y:Q", scale=y_scale, axis=None)
    colours = alt.Scale(
        domain=order, range=[_COLOURS[i % len(_COLOURS)] for i in range(len(order))]
    )
    shapes = alt.Scale(domain=order, range=[_SHAPES[i % len(_SHAPES)] for i in range(len(order))])
    legend = alt.Legend(title=None, columns=1)
    selection, opacity = chosen("arm")
    tint = alt.Color("arm:N", scale=colours, sort=order, legend=legend)
    points = alt.Chart(data(rows)).mark_point(filled=True, size=48)
    label = alt.Chart(data(names))
    return layer(
        zero("x"),
        alt.Chart(data(cut(rows, "low", "high", shown)))
        .mark_rule(strokeWidth=1.5)
        .encode(x=alt.X("low:Q", title=LOSS, axis=axis, scale=x_scale), x2="high:Q", y=y,
                color=tint, opacity=opacity, tooltip=TIP),
        choosing(points, selection).encode(
            x=alt.X("loss:Q", title=LOSS, axis=axis, scale=x_scale), y=y, color=tint,
            shape=alt.Shape("arm:N", scale=shapes, sort=order, legend=legend), opacity=opacity,
            tooltip=TIP,
        ),
        *(
            text.encode(x=alt.value(2), y=alt.Y("y:Q", scale=y_scale), text="label:N")
            for text in halo(label, align="left", baseline="middle", limit=WIDTH - 20)
        ),
        height=72 + 16 * len(order) + _ROW * each * max(1, len(names)),
    )  # fmt: skip


def _tip(row: Json) -> str:
    e = {key: row[f] / 100 if row[f] is not None else None
         for key, f in (("value", "loss"), ("low", "low"), ("high", "high"))}  # fmt: skip
    return tip(
        name(row["name"]),
        ("arm", row["arm"]),
        ("accuracy loss", estimate({**e, "n": row["n_test"]}, "points")),
        ("n test", count(row["n_test"])),
    )
