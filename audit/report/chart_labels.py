"""Which points of a chart are named beside them, and on which side, so that nothing overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audit.report.words import Json

MOST_NAMED = 5
LONGEST = 26
# Width of a character and height of a line at 10 px, and the room around a mark, in pixels.
_CHARACTER, _LINE, _MARK = 5.3, 13.0, 6.0
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """The name of a point, set to its right (``align`` left) or left."""

    name: str
    x: float
    loss: float
    align: Literal["left", "right"]

    def row(self) -> Json:
        """As data of a chart."""
        return {"label": self.name, "x": self.x, "loss": self.loss}


def placed(
    points: Sequence[Json],
    xs: tuple[float, float],
    ys: tuple[float, float],
    width: float,
    height: float,
) -> list[Label]:
    """Labels for the points that lie furthest out, right and up, at most ``MOST_NAMED``.

    ``points`` have ``name``, ``x`` and ``loss``; ``xs``, ``ys``: the ranges of the axes; ``width``,
    ``height``: the plot in pixels, near enough. A label that would touch a mark or another label
    on both sides is left out: its subgroup is in the table.
    """
    at = [
        (width * (p["x"] - xs[0]) / (xs[1] - xs[0]), height * (ys[1] - p["loss"]) / (ys[1] - ys[0]))
        for p in points
    ]
    taken = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in at]
    outermost = sorted(range(len(points)), key=lambda i: -_outlying(points[i], xs, ys))
    labels: list[Label] = []
    for i in outermost[: 2 * MOST_NAMED]:
        shown = str(points[i]["name"])
        shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
        for align in ("left", "right"):
            box = _box(at[i], _CHARACTER * len(shown), align)
            others = [t for k, t in enumerate(taken) if k != i]
            if box[0] >= 0 and box[2] <= width and not any(_overlap(box, t) for t in others):
                taken.append(box)
                labels.append(Label(shown, points[i]["x"], points[i]["loss"], align))
                break
        if len(labels) == MOST_NAMED:
            break
    return labels


def _outlying(point: Json, xs: tuple[float, float], ys: tuple[float, float]) -> float:
    """How far out a point lies towards more exposed and more loss, in shares of the axes."""
    across, up = (point["x"] - xs[0]) / (xs[1] - xs[0]), point["loss"] / (ys[1] - ys[0])
    return max(across, 0) ** 2 + max(up, 0) ** 2


def _box(at: tuple[float, float], width: float, align: str) -> Box:
    x, y = at
    left, right = (x + _MARK + 1, x + _MARK + 1 + width) if align == "left" else (
        x - _MARK - 1 - width, x - _MARK - 1,
    )  # fmt: skip
    return left, y - _LINE / 2, right, y + _LINE / 2


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
