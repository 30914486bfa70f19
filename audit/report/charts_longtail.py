"""The long tail as a picture: where the mass of a population lies, and how often it is seen."""

from __future__ import annotations

import altair as alt

from audit.report.chart_parts import TIP, data, layer, tip
from audit.report.colours import FORBIDDEN, INK, MUTED, PAPER, PRIVATE, STANDARD
from audit.report.words import Json, general, percent

_HEIGHT = 250
# From the axis up; the words are the legend's.
_PARTS = (
    ("unseen", "never seen: lost to every learner", FORBIDDEN),
    ("once", "seen once: lost without memorization", STANDARD),
    ("more", "seen more than once", PRIVATE),
)


def longtail(contents: Json, colour: str) -> alt.LayerChart:  # noqa: ARG001  (three parts, fixed)
    """Mass by frequency in bins of a factor of 2, in three parts; dashed: a frequency of 1/n.

    ``contents``: ``rows`` as ``estimates.longtail_theory.spectrum`` gives them.
    """
    rows = [
        {**part, "end": 2 * part["low"]}
        for row in contents["rows"]
        for part in _stacked(row)
        if part["top"] > part["bottom"]
    ]
    order = [words for _, words, _ in _PARTS]
    scale = alt.Scale(domain=order, range=[c for _, _, c in _PARTS])
    x = alt.X(
        "low:Q", title="frequency × n (log scale, bins of a factor of 2)",
        scale=alt.Scale(type="log", base=2, nice=False), axis=alt.Axis(format="~g", grid=False,
                                                                      labelOverlap=True),
    )  # fmt: skip
    bars = alt.Chart(data(rows)).mark_rect(stroke=PAPER, strokeWidth=0.7)
    highest = max(row["top"] for row in rows)
    line = alt.Chart(data([{"low": 1, "label": "1/n", "bottom": 0, "top": highest}]))
    y = alt.Y("bottom:Q", title="share of the population (%)", axis=alt.Axis(tickCount=5))
    label = line.mark_text(color=INK, align="left", dx=4, dy=-2, baseline="bottom", fontSize=10)
    return layer(
        bars.encode(
            x=x, x2="end:Q", y=y, y2="top:Q", tooltip=TIP,
            color=alt.Color(
                "part:N", scale=scale, sort=order, title=None, legend=alt.Legend(columns=1)
            ),
        ),
        line.mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x=x, y=y, y2="top:Q"),
        label.encode(x=x, y=alt.Y("top:Q"), text="label:N"),
        height=_HEIGHT,
    )  # fmt: skip


def _stacked(row: Json) -> list[Json]:
    bottom, parts = 0.0, []
    said = tip(
        f"frequency × n from {general(row['low'])} to {general(2 * row['low'])}",
        *((words.partition(":")[0], percent(row[key], 2)) for key, words, _ in _PARTS),
    )
    for key, words, _ in _PARTS:
        top = bottom + 100 * row[key]
        parts.append({"low": row["low"], "part": words, "bottom": bottom, "top": top, "tip": said})
        bottom = top
    return parts
