"""Accuracy lost against the number of training examples removed: by memorization, and at random."""

from __future__ import annotations

import altair as alt

from audit.report.chart_parts import LOSS, TIP, cut, data, layer, tip, window, zero
from audit.report.colours import MUTED, STANDARD
from audit.report.words import Json, count, estimate

_LABELS = {"memorized": "the most memorized", "random": "as many at random"}
_HEIGHT = 250
_APART = 0.008
"""Intervals at the same number stand beside each other, this share of the axis to either side."""


def removal(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (two curves, fixed)
    """Two curves of losses with 95 % intervals; both start at 0, where nothing is removed.

    ``contents``: ``points``, each with ``which`` (memorized, random), ``removed``, ``value``,
    ``low`` and ``high`` (fractions), ``threshold`` (None where nothing was removed) and ``n``.
    """
    most = max(p["removed"] for p in contents["points"])
    side = {"memorized": _APART * most, "random": -_APART * most}
    points = [
        {"loss": 100 * p["value"], **{k: None if p[k] is None else 100 * p[k]
                                      for k in ("low", "high")},
         "which": _LABELS[p["which"]], "tip": _tip(p),
         "removed": p["removed"] + (side[p["which"]] if p["removed"] else 0)}
        for p in contents["points"]
    ]  # fmt: skip
    shown = window(points, "loss", "low", "high", room=1.0)
    order = list(_LABELS.values())
    scale = alt.Scale(domain=order, range=[STANDARD, MUTED])
    shapes = alt.Scale(domain=order, range=["diamond", "circle"])
    legend = alt.Legend(title=None, columns=1)
    axis = alt.Axis(grid=False, tickCount=6)
    x = alt.X("removed:Q", title="training examples removed", axis=axis)
    y_scale = alt.Scale(domain=list(shown))
    y = alt.Y("loss:Q", title=LOSS, scale=y_scale)
    tint = alt.Color("which:N", scale=scale, sort=order, legend=legend)
    shape = alt.Shape("which:N", scale=shapes, sort=order, legend=legend)
    chart = alt.Chart(data(points))
    return layer(
        zero(),
        alt.Chart(data(cut(points, "low", "high", shown)))
        .mark_rule(strokeWidth=1.5)
        .encode(x=x, y=alt.Y("low:Q", title=LOSS, scale=y_scale), y2="high:Q", color=tint,
                tooltip=TIP),
        chart.mark_line(strokeWidth=1.5).encode(x=x, y=y, color=tint),
        chart.mark_point(filled=True, size=56, opacity=1)
        .encode(x=x, y=y, color=tint, shape=shape, tooltip=TIP),
        height=_HEIGHT,
    )  # fmt: skip


def _tip(point: Json) -> str:
    if point["threshold"] is None:
        return tip("nothing removed", ("accuracy loss", "0 by definition"))
    what = f"{count(point['removed'])} removed, {_LABELS[point['which']]}"
    loss = estimate({k: point[k] for k in ("value", "low", "high", "n")}, "points", 2)
    return tip(what, ("accuracy loss", loss))
