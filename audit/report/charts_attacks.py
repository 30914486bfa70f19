"""Charts of attacks: ROC curves, certified against claimed ε, and what the test could find."""

from __future__ import annotations

import altair as alt

from audit.report.chart_parts import (
    DASHES,
    SYMBOLS,
    TIP,
    WIDTH,
    choosing,
    chosen,
    data,
    decades,
    layer,
    tip,
)
from audit.report.colours import FORBIDDEN, INK, MUTED, PAPER, PRIVATE, STANDARD
from audit.report.words import Json, count, number, percent

# Rates of false alarms at which a curve carries a mark that can be asked for its numbers.
_ASKED = (0.001, 0.01, 0.1)
# Of the chart without its legend's rows; then the diagonal rises by so much (degrees).
_ROC_HEIGHT, _LEGEND_ROW, _RISE = 355, 17, 43


def roc(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (arms have colours of their own)
    """A curve per arm on log axes, a coin's diagonal, and what each claim allows."""
    curves, limits = contents["curves"], contents.get("limits") or []
    points = [{**p, "arm": c["name"]} for c in curves for p in c["points"]]
    lowest = min([0.1, *(p[rate] for p in points for rate in ("fpr", "tpr"))])
    # The lower left corner: TPR and FPR share a scale, so that a coin's line is the diagonal.
    scale = alt.Scale(type="log", domain=[lowest, 1], nice=False)
    axis = alt.Axis(values=decades(lowest, 1.0), format=".2~%")
    x = alt.X("fpr:Q", scale=scale, axis=axis, title="non-members accused (FPR, log scale)")
    y = alt.Y("tpr:Q", scale=scale, axis=axis, title="members found (TPR, log scale)")
    names = [c["name"] for c in curves]
    legend = alt.Legend(title=None, columns=1, symbolSize=300, symbolType="stroke")
    colours = [PRIVATE if c["private"] else STANDARD for c in curves]
    dashes = [list(DASHES[i % len(DASHES)]) for i in range(len(names))]
    selection, opacity = chosen("arm")
    colour_of = alt.Color("arm:N", scale=alt.Scale(domain=names, range=colours), legend=legend)
    lines = alt.Chart(data(points)).mark_line(strokeWidth=2).encode(
        x=x, y=y, color=colour_of, opacity=opacity,
        strokeDash=alt.StrokeDash(
            "arm:N", scale=alt.Scale(domain=names, range=dashes), legend=legend
        ),
    )  # fmt: skip
    marks = alt.Chart(data([m for c in curves for m in _roc_marks(c)])).mark_circle(
        size=46, stroke=PAPER, strokeWidth=1
    ).encode(x=x, y=y, color=colour_of, opacity=opacity, tooltip=TIP)  # fmt: skip
    coin = alt.Chart(data([{"fpr": rate, "tpr": rate} for rate in (lowest, 1.0)]))
    return layer(
        *_allowed(limits, lowest, x, y),
        coin.mark_line(color=MUTED, strokeDash=[2, 3]).encode(x=x, y=y),
        choosing(lines, selection),
        marks,
        height=_ROC_HEIGHT + _LEGEND_ROW * len(names),
    )


def _roc_marks(curve: Json) -> list[Json]:
    """The points of a curve nearest below the rates that the table has too."""
    found = {}
    for asked in _ASKED:
        below = [p for p in curve["points"] if p["fpr"] <= asked * 1.0001]
        if below:
            found[below[-1]["fpr"]] = below[-1]
    return [
        {**p, "arm": curve["name"],
         "tip": tip(curve["name"], ("non-members accused", percent(p["fpr"], 2)),
                    ("members found", percent(p["tpr"], 2)))}
        for p in found.values()
    ]  # fmt: skip


def _allowed(limits: list[Json], lowest: float, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """What claims allow: a dashed line each; of a single claim, the region beyond it in sand."""
    layers = []
    drawn = [{**limit, "points": [p for p in limit["points"] if p["fpr"] >= lowest]}
             for limit in limits]  # fmt: skip
    drawn = [limit for limit in drawn if limit["points"]]
    if len(drawn) == 1:
        beyond = data([{**p, "top": 1.0} for p in drawn[0]["points"]])
        area = alt.Chart(beyond).mark_area(color=FORBIDDEN)
        layers.append(area.encode(x=x, y=y, y2=alt.Y2("top:Q")))
    for limit in drawn:
        line = alt.Chart(data(limit["points"]))
        layers.append(line.mark_line(color=INK, strokeWidth=1, strokeDash=[5, 3]).encode(x=x, y=y))
    ends = [{**limit["points"][0], "label": limit["name"]} for limit in drawn]
    look = {"align": "left", "baseline": "bottom", "dx": 8, "dy": -3, "angle": 360 - _RISE}
    names = alt.Chart(data(ends)).mark_text(color=INK, fontSize=10, **look)
    return [*layers, names.encode(x=x, y=y, text="label:N")] if ends else []


def certified(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (arms have colours of their own)
    """A row per arm and procedure: the certified lower bound, and a tick at the claim."""
    rows = [
        {**r, "label_y": r["row"] - 0.24, "mark_y": r["row"] + 0.16, "zero": 0,
         "top": r["row"] - 0.02, "bottom": r["row"] + 0.34, "tip": _certified_tip(r)}
        for r in contents["points"]
    ]  # fmt: skip
    scale = alt.Scale(domain=[len(rows) - 0.5, -0.6], nice=False)
    ends = [r[key] for r in rows for key in ("epsilon", "claimed") if r[key] is not None]
    x_scale = alt.Scale(domain=[0, 1.05 * max([1.0, *ends])], nice=False)
    x = alt.X("epsilon:Q", title="ε", scale=x_scale, axis=alt.Axis(grid=False, tickCount=6))
    y, top = alt.Y("mark_y:Q", scale=scale, axis=None), alt.Y("top:Q", scale=scale, axis=None)
    claims = alt.Chart(data([r for r in rows if r["claimed"] is not None]))
    points = alt.Chart(data(rows))
    looks = ((True, PRIVATE, "circle"), (False, STANDARD, "diamond"))
    return layer(
        points.mark_rule(color=MUTED, strokeWidth=1).encode(
            x=alt.X("zero:Q", title="ε", scale=x_scale), x2="epsilon:Q", y=y
        ),
        claims.mark_rule(color=INK, strokeWidth=2.5).encode(
            x=alt.X("claimed:Q", title="ε", scale=x_scale), y=top, y2="bottom:Q", tooltip=TIP
        ),
        *(
            alt.Chart(data([r for r in rows if r["private"] is private]))
            .mark_point(color=look, filled=True, size=70, shape=shape, opacity=1)
            .encode(x=x, y=y, tooltip=TIP)
            for private, look, shape in looks
        ),
        points.mark_text(align="left", baseline="middle", limit=WIDTH - 20).encode(
            x=alt.value(2), y=alt.Y("label_y:Q", scale=scale), text="label:N"
        ),
        height=60 + 29 * max(1, len(rows)),
    )


def _certified_tip(row: Json) -> str:
    lines = [("certified ε", f"at least {number(row['epsilon'], 2)}")]
    claimed = row["claimed"]
    return tip(row["label"], *lines, *([] if claimed is None else [("claimed ε", f"{claimed:g}")]))


def power(contents: Json, colour: str) -> alt.LayerChart:
    """The smallest memorization found against the number of models, a line per bound."""
    points = [
        {**p, "tip": tip(p["bound"], ("models per arm", count(p["models"])),
                         ("smallest memorization found", number(p["memorization"], 2)))}
        for p in contents["points"]
    ]  # fmt: skip
    names = list(dict.fromkeys(p["bound"] for p in points))
    here = contents.get("models")
    models = sorted({p["models"] for p in points} | ({here} if here else set()))
    # One number of models is a point: a logarithmic axis needs an extent.
    extent = [models[0] / 1.2, models[-1] * 1.2]
    x = alt.X(
        "models:Q",
        scale=alt.Scale(type="log", base=2, domain=extent, nice=False),
        axis=alt.Axis(values=models, format=",d", labelOverlap=True, grid=False),
        title="models per arm (each step: double)",
    )
    y = alt.Y("memorization:Q", scale=alt.Scale(domain=[0, 1]), title="smallest memorization found")
    legend = alt.Legend(title="bound")
    selection, opacity = chosen("bound")
    pick = slice(0, len(names))
    colours = alt.Scale(domain=names, range=[STANDARD, colour][pick])
    dashes = alt.Scale(domain=names, range=[[1, 0], [5, 3]][pick])
    shapes = alt.Scale(domain=names, range=list(SYMBOLS)[pick])
    base = alt.Chart(data(points)).encode(
        x=x, y=y, opacity=opacity, color=alt.Color("bound:N", scale=colours, legend=legend)
    )
    lines = base.mark_line(strokeWidth=1.5).encode(
        strokeDash=alt.StrokeDash("bound:N", scale=dashes, legend=legend)
    )
    marks = base.mark_point(filled=True, size=60).encode(
        shape=alt.Shape("bound:N", scale=shapes, legend=legend), tooltip=TIP
    )
    return layer(*_this_run(here, x), choosing(lines, selection), marks, height=260)


def _this_run(models: int | None, x: alt.X) -> list[alt.Chart]:
    """A line at the number of models that this run has."""
    if not models:
        return []
    row = alt.Chart(data([{"models": models, "memorization": 0.02, "label": "this run"}]))
    rule = row.mark_rule(color=MUTED, strokeDash=[2, 3]).encode(x=x)
    text = row.mark_text(color=MUTED, align="left", baseline="bottom", dx=4, fontSize=10)
    return [rule, text.encode(x=x, y="memorization:Q", text="label:N")]
