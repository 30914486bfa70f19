"""Tables of results/ made by hand: one row per example from the counts of joint cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audit.report.disclosure.relations import Groups, groups_of

Cell = tuple[str, ...]


@dataclass(frozen=True)
class Joint:
    """Counts of training and test examples by joint cell: the levels of ``columns``."""

    columns: tuple[str, ...]
    train: Mapping[Cell, int]
    test: Mapping[Cell, int]

    @property
    def cells(self) -> list[Cell]:
        return sorted({*self.train, *self.test})


def uniform(columns: Sequence[str], counts: Mapping[Cell, int]) -> Joint:
    """As many test examples as training examples in every cell."""
    return Joint(tuple(columns), counts, counts)


def subgroup(joint: Joint, grouping: str, cell: Cell) -> str:
    """The subgroup that a joint cell is in: "m × w" by "sex×race"."""
    at = [joint.columns.index(c) for c in grouping.split("×")]
    return " × ".join(cell[i] for i in at)


def frames(joint: Joint, groupings: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``subgroups`` and ``examples``; ``groupings`` are names ("sex", "sex×race") and kinds."""
    rows: list[dict[str, Any]] = []
    for grouping, kind in groupings.items():
        sums: dict[str, list[int]] = {}
        for cell in joint.cells:
            counts = sums.setdefault(subgroup(joint, grouping, cell), [0, 0])
            counts[0] += joint.train.get(cell, 0)
            counts[1] += joint.test.get(cell, 0)
        rows += [
            {"grouping": grouping, "kind": kind, "subgroup": g, "n_train": n, "n_test": m}
            for g, (n, m) in sums.items()
            if n or m
        ]
    cells = [cell for cell in joint.cells for _ in range(joint.train.get(cell, 0))]
    columns: dict[str, Any] = {g: [subgroup(joint, g, c) for c in cells] for g in groupings}
    examples = pd.DataFrame({"arm": ["standard"] * len(cells)} | columns)
    return pd.DataFrame(rows), examples


def groups(joint: Joint, groupings: Mapping[str, str]) -> Groups:
    return groups_of(*frames(joint, groupings))


def named(found: Groups, mask: np.ndarray) -> dict[str, list[str]]:
    """The withheld subgroups by grouping."""
    table = found.table[mask]
    return {str(g): list(rows["subgroup"]) for g, rows in table.groupby("grouping", sort=False)}
