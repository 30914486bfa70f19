"""The class-8 curve as a picture: published beside measured, with and without DP.

    python -m benchmarks.studies.class_eight_picture FILE.svg --lenet DIR [--mlp DIR]

Each folder is an ``--out`` of ``benchmarks.studies.class_eight``. Small points are single models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
from scipy import stats

from audit.report.chart_parts import FONT, SYMBOLS, data, layer, theme
from audit.report.charts import svg
from audit.report.colours import PAPER, PRIVATE, STANDARD
from benchmarks.studies.class_eight import ARMS, PUBLISHED, RARE, gather

_NAMES = {"standard": "without DP", "dp": "with DP"}
_SOURCES = ("published", "measured", "MLP")
_DASHES = ((4, 4), (1, 0), (2, 2))


def rows_of(folder: Path, source: str) -> list[dict[str, Any]]:
    """A point for each arm and m: mean over models in percent, and its 95 % interval."""
    found = []
    for (m, arm), accuracy in sorted(gather(folder).items()):
        rare = 100 * accuracy["rare"]
        half = 0.0
        if len(rare) > 2:
            half = stats.t.ppf(0.975, len(rare) - 1) * rare.std(ddof=1) / np.sqrt(len(rare))
        mean = float(rare.mean())
        found.append({"m": m, "series": f"{source}, {_NAMES[arm]}", "value": mean,
                      "low": mean - half, "high": mean + half})  # fmt: skip
    return found


def single_models(folder: Path, source: str) -> list[dict[str, Any]]:
    """A point for each model, where an arm has several."""
    return [
        {"m": m, "series": f"{source}, {_NAMES[arm]}", "value": float(100 * right)}
        for (m, arm), accuracy in sorted(gather(folder).items())
        if len(accuracy["rare"]) > 1
        for right in accuracy["rare"]
    ]


def chart(rows: list[dict[str, Any]], models: list[dict[str, Any]]) -> alt.LayerChart:
    """Accuracy on the rare class against how many examples of it there are."""
    ms = list(PUBLISHED)
    axis = alt.Axis(values=ms, format=",", grid=False)
    x_scale = alt.Scale(type="log", domain=[40, 6500])
    title = f"training examples of class {RARE} (log scale)"
    x = alt.X("m:Q", title=title, axis=axis, scale=x_scale)
    scale = alt.Scale(domain=[0, 100])
    y = alt.Y("value:Q", title=f"accuracy on class {RARE} (%)", scale=scale)
    order = [f"{source}, {arm}" for source in _SOURCES for arm in _NAMES.values()]
    order = [name for name in order if any(row["series"] == name for row in rows)]
    arms, sources = len(_NAMES), len(order) // len(_NAMES)

    def encoded(channel: type, values: Sequence[Any]) -> Any:
        """Colour and shape have one field, and so one legend."""
        scale = alt.Scale(domain=order, range=list(values))
        return channel(
            "series:N", scale=scale, sort=order, legend=alt.Legend(title=None, columns=2)
        )

    colour = encoded(alt.Color, (STANDARD, PRIVATE) * sources)
    shape = encoded(alt.Shape, [s for s in SYMBOLS[:sources] for _ in range(arms)])
    dash = encoded(alt.StrokeDash, [list(d) for d in _DASHES[:sources] for _ in range(arms)])
    whole = alt.Chart(data(rows))
    ends = whole.encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour)
    each = alt.Chart(data(models))
    return layer(
        each.mark_point(filled=True, size=14, opacity=0.45).encode(x=x, y=y, color=colour),
        whole.mark_line(strokeWidth=1.5).encode(x=x, y=y, color=colour, strokeDash=dash),
        ends.mark_rule(strokeWidth=1.5),
        whole.mark_point(filled=True, size=55, opacity=1).encode(
            x=x, y=y, color=colour, shape=shape
        ),
        height=360,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--mlp", type=Path)
    parser.add_argument("--lenet", type=Path)
    given = parser.parse_args()
    rows = [
        {"m": m, "series": f"{_SOURCES[0]}, {_NAMES[arm]}", "value": v, "low": v, "high": v}
        for m, both in PUBLISHED.items()
        for arm, v in zip(ARMS, both, strict=True)
    ]
    models: list[dict[str, Any]] = []
    for folder, source in ((given.lenet, _SOURCES[1]), (given.mlp, _SOURCES[2])):
        if folder is not None:
            rows += rows_of(folder, source)
            models += single_models(folder, source)
    spec = {**chart(rows, models).to_dict(), "config": theme()}
    spec.pop("$schema")
    drawn = svg(
        spec,
        ident="class-eight",
        title=f"Accuracy on class {RARE} of MNIST against how rare it is",
        description="Published and measured, with and without differential privacy.",
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{FONT}" style="background:{PAPER}" '
    )
    given.file.write_text(head + drawn.removeprefix("<svg "), encoding="utf-8")


if __name__ == "__main__":
    main()
