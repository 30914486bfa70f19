"""Small tables written to disk, shared by the tests of this room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

ROWS = 60


def columns(**extra: Sequence[object]) -> dict[str, Sequence[object]]:
    """A well-formed table of 60 rows: two numbers, a category, a two-class label."""
    rng = np.random.default_rng(0)
    return {
        "height": rng.normal(170, 10, ROWS).round(2).tolist(),
        "weight": rng.normal(70, 10, ROWS).round(2).tolist(),
        "city": [("Rome", "Oslo", "Bonn")[k % 3] for k in range(ROWS)],
        "ill": [("yes", "no")[k % 2] for k in range(ROWS)],
        **extra,
    }


def write_csv(path: Path, table: Mapping[str, Sequence[object]], *, separator: str = ",") -> Path:
    """Writes ``table``; a None is an empty cell, cells are quoted where they need it."""
    lines = [separator.join(_cell(name, separator) for name in table)]
    for row in zip(*table.values(), strict=True):
        lines.append(separator.join(_cell(value, separator) for value in row))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _cell(value: object, separator: str) -> str:
    text = "" if value is None else str(value)
    if any(c in text for c in (separator, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text
