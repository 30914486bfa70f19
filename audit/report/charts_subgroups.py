"""Charts of subgroups: loss against frequency, the largest losses, who is exposed and who pays."""

from __future__ import annotations

from typing import Any

import altair as alt

from audit.report.chart_data import EXPOSURE, OTHERS, RARE
from audit.report.chart_labels import placed
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
from audit.report.colours import BAND, INK, MUTED, PAPER, STANDARD
from audit.report.words import Json, count, estimate, name

_EXPOSED_HEIGHT = 330
# What the axes and the legend leave of it, near enough to place names.
_PLOT = (float(WIDTH - 62), float(_EXPOSED_HEIGHT - 96))


def trend(contents: Json, colour: str) -> alt.LayerChart:
    """Loss by subgroup against its share of the training set, with the fitted line and its band."""
    points = [{**p, "tip": _loss_tip(p)} for p in contents["points"]]
    band = [{"loss": p[end]} for p in contents["line"] for end in ("low", "high")]
    shown = window([*points, *band], "loss", "low", "high")
    title = "share of the training set (each step: double)"
    x = alt.X(
        "frequency:Q",
        scale=alt.Scale(type="log", base=2, nice=False, padding=10),
        axis=alt.Axis(values=_frequency_ticks(points), format=".2~p", grid=False),
        title=title,
    )
    scale = alt.Scale(domain=list(shown))
    y, low = alt.Y("loss:Q", title=LOSS, scale=scale), alt.Y("low:Q", title=LOSS, scale=scale)
    size = alt.Size("n_test:Q", scale=alt.Scale(domainMin=0, range=[16, 190]), legend=None)
    bars, line = (
        cut(points, "low", "high", shown),
        data(cut(contents["line"], "low", "high", shown)),
    )
    return layer(
        alt.Chart(line).mark_area(color=BAND).encode(x=x, y=low, y2="high:Q"),
        zero(),
        alt.Chart(data(bars))
        .mark_rule(color=MUTED, strokeOpacity=0.4)
        .encode(x=x, y=low, y2="high:Q"),
        *_cut_ends(bars, x=x, vertical=True),
        alt.Chart(line).mark_line(color=INK, strokeWidth=1.5).encode(x=x, y=y),
        alt.Chart(data(points))
        .mark_circle(color=colour, opacity=1, stroke=PAPER, strokeWidth=0.8)
        .encode(x=x, y=y, size=size, tooltip=TIP),
        height=290,
    )  # fmt: skip


def _loss_tip(row: Json) -> str:
    loss = {"value": row["loss"], "low": row["low"], "high": row["high"]}
    return tip(
        row["name"],
        ("training examples", count(row["n_train"])),
        ("test examples", count(row["n_test"])),
        ("accuracy loss (points)", estimate(loss, digits=1)),
    )


def _cut_ends(rows: list[Json], *, vertical: bool, **encoded: Any) -> list[alt.Chart]:
    """Arrow heads where an interval goes on beyond the edge of the chart."""
    sides = ("down", "up") if vertical else ("left", "right")
    layers = []
    for end, side in zip(("low", "high"), sides, strict=True):
        ends = [r for r in rows if r[f"cut_{end}"]]
        if ends:
            mark = alt.Chart(data(ends)).mark_point(
                shape=f"triangle-{side}", filled=True, size=22, color=MUTED, opacity=1
            )
            layers.append(mark.encode(**encoded, **{"y" if vertical else "x": f"{end}:Q"}))
    return layers


def _frequency_ticks(points: list[Json]) -> list[float]:
    """Powers of two among the shares, at most 7; the ends where fewer than two are among them."""
    shares = [p["frequency"] for p in points]
    powers = [2.0**-k for k in range(40) if min(shares) <= 2.0**-k <= max(shares)]
    if len(powers) < 2:
        return sorted({min(shares), max(shares)})
    return powers[:: -(-len(powers) // 7)]


def forest(contents: Json, colour: str) -> alt.LayerChart:
    """The subgroups that lose most, each labelled above its interval."""
    rows = [
        {**r, "label": f"{name(r['name'], 34)} (n={count(r['n_test'])})", "tip": _loss_tip(r),
         "label_y": r["row"] - 0.24, "mark_y": r["row"] + 0.16}
        for r in contents["rows"]
    ]  # fmt: skip
    overall = contents["overall"]
    shown = window(rows, "loss", "low", "high")
    scale = alt.Scale(domain=[len(rows) - 0.5, -1.05], nice=False)
    x_scale = alt.Scale(domain=list(shown))
    axis = alt.Axis(grid=False, tickCount=6)
    x = alt.X("low:Q", title=LOSS, axis=axis, scale=x_scale)
    y = alt.Y("mark_y:Q", scale=scale, axis=None)
    chart, bars = alt.Chart(data(rows)), cut(rows, "low", "high", shown)
    label_y = alt.Y("label_y:Q", scale=scale)
    return layer(
        *_reference(0.0, "no loss", "right", [1, 0], x_scale, scale, len(rows)),
        *_reference(overall, "overall", "left", [3, 3], x_scale, scale, len(rows)),
        alt.Chart(data(bars))
        .mark_rule(color=colour, strokeWidth=2)
        .encode(x=x, x2="high:Q", y=y, tooltip=TIP),
        *_cut_ends(bars, y=y, vertical=False),
        chart.mark_point(color=colour, filled=True, size=60, shape="diamond", opacity=1)
        .encode(x=alt.X("loss:Q", title=LOSS, axis=axis, scale=x_scale), y=y, tooltip=TIP),
        *(
            text.encode(x=alt.value(2), y=label_y, text="label:N")
            for text in halo(chart, align="left", baseline="middle", limit=WIDTH - 20)
        ),
        height=72 + 29 * max(1, len(rows)),
    )  # fmt: skip


def _reference(
    value: float | None, words: str, align: str, dash: list[int], x: alt.Scale, y: alt.Scale,
    rows: int,
) -> list[alt.Chart]:  # fmt: skip
    """A line over all rows of a forest with its name at the top, on its ``align`` side."""
    if value is None:
        return []
    row = {"x": value, "top": -0.72, "bottom": rows - 0.5, "label_y": -0.92, "label": words}
    chart = alt.Chart(data([row]))
    rule = chart.mark_rule(color=MUTED, strokeWidth=1, strokeDash=dash)
    away = "left" if align == "left" else "right"
    text = chart.mark_text(align=away, color=MUTED, fontSize=10, dx=2 if away == "left" else -2)
    at = alt.X("x:Q", title=LOSS, scale=x)
    return [
        rule.encode(x=at, y=alt.Y("top:Q", scale=y, axis=None), y2="bottom:Q"),
        text.encode(x=at, y=alt.Y("label_y:Q", scale=y, axis=None), text="label:N"),
    ]


def exposure(contents: Json, colour: str) -> alt.LayerChart:
    """Exposure without privacy on x, accuracy loss with it on y, a point per subgroup."""
    coin, scale_by = contents["coin"], 100.0 if contents["measure"] == EXPOSURE else 1.0
    points = [
        {**p, "tip": _exposed_tip(p, contents["measure"]),
         **{k: None if p[k] is None else scale_by * p[k] for k in ("x", "x_low", "x_high")}}
        for p in contents["points"]
    ]  # fmt: skip
    origin = scale_by * coin
    xs = window(points, "x", "x_low", "x_high", origin=origin, room=0.03 * scale_by)
    # Charts that stand side by side share their axis of losses.
    ends = [{"loss": loss} for loss in contents["losses"]]
    ys = window([*points, *ends], "loss", "low", "high")
    # Room above and below for the words that name the corners.
    high = 0.09 * (ys[1] - ys[0])
    x_scale = alt.Scale(domain=list(xs), nice=False)
    y_scale = alt.Scale(domain=[ys[0] - high, ys[1] + high], nice=False)
    title = ("attack right without privacy (%; a coin: 50 %)" if contents["measure"] == EXPOSURE
             else "mean memorization without privacy (no attack was run)")  # fmt: skip
    x = alt.X("x:Q", scale=x_scale, title=title, axis=alt.Axis(grid=False, tickCount=6))
    y = alt.Y("loss:Q", scale=y_scale, title=LOSS, axis=alt.Axis(tickCount=7))
    wide, tall = cut(points, "x_low", "x_high", xs), cut(points, "low", "high", ys)
    light = {"color": MUTED, "opacity": 0.28}
    coin_line = alt.Chart(data([{"x": origin}]))
    return layer(
        zero(),
        coin_line.mark_rule(color=INK, strokeWidth=1).encode(x=x),
        alt.Chart(data(wide)).mark_rule(**light)
        .encode(x=alt.X("x_low:Q", scale=x_scale), x2="x_high:Q", y=y),
        alt.Chart(data(tall)).mark_rule(**light)
        .encode(x=x, y=alt.Y("low:Q", scale=y_scale), y2="high:Q"),
        *_corners(x_scale, y_scale, xs, ys, high),
        *_exposed_points(points, colour, x, y),
        *_names(points, x, y, xs, (ys[0] - high, ys[1] + high)),
        height=_EXPOSED_HEIGHT,
    )  # fmt: skip


def _exposed_points(points: list[Json], colour: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    names = [RARE, OTHERS]
    selection, opacity = chosen("group")
    legend = alt.Legend(title=None)
    chart = alt.Chart(data(points)).mark_point(filled=True, size=58, stroke=PAPER, strokeWidth=0.8)
    return [
        choosing(chart.encode(
            x=x, y=y, opacity=opacity, tooltip=TIP,
            color=alt.Color(
                "group:N", scale=alt.Scale(domain=names, range=[STANDARD, colour]), legend=legend
            ),
            shape=alt.Shape(
                "group:N", scale=alt.Scale(domain=names, range=["diamond", "circle"]), legend=legend
            ),
        ), selection)
    ]  # fmt: skip


def _exposed_tip(p: Json, measure: str) -> str:
    reached = {"value": p["x"], "low": p["x_low"], "high": p["x_high"]}
    loss = {"value": p["loss"], "low": p["low"], "high": p["high"]}
    asked = (
        ("attack right without privacy", estimate(reached, "percent"))
        if measure == EXPOSURE
        else ("mean memorization without privacy", estimate(reached, digits=2))
    )
    return tip(
        p["name"],
        ("training examples", count(p["n_train"])),
        ("test examples", count(p["n_test"])),
        asked,
        ("accuracy loss (points)", estimate(loss, digits=1)),
    )


def _corners(
    x: alt.Scale, y: alt.Scale, xs: tuple[float, float], ys: tuple[float, float], high: float
) -> list[alt.Chart]:
    """Words in the corners of the chart, which say how to read it."""
    rows = [
        {"x": xs[1], "y": ys[1] + high / 2, "words": "exposed, and pays"},
        {"x": xs[1], "y": ys[0] - high / 2, "words": "exposed, pays little"},
    ]
    texts = halo(alt.Chart(data(rows)), align="right", fontSize=10, dx=-2, ink=MUTED)
    at = alt.X("x:Q", scale=x), alt.Y("y:Q", scale=y)
    return [text.encode(x=at[0], y=at[1], text="words:N") for text in texts]


def _names(
    points: list[Json], x: alt.X, y: alt.Y, xs: tuple[float, float], ys: tuple[float, float]
) -> list[alt.Chart]:
    """The names of the most notable subgroups, where they overlap nothing."""
    labels = placed(points, xs, ys, *_PLOT)
    layers = []
    for align, dx in (("left", 7), ("right", -7)):
        here = [label.row() for label in labels if label.align == align]
        if here:
            chart = alt.Chart(data(here))
            for text in halo(chart, align=align, baseline="middle", dx=dx, fontSize=10):
                layers.append(text.encode(x=x, y=y, text="label:N"))
    return layers
