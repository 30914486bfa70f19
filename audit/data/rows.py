"""The rows of a table as its file has them, to be shown to people; no model learns from these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int64

from audit.data.columns import Categories, LeftOut, read_column

Side = Literal["train", "test"]
Cells = tuple[tuple[str, str], ...]
"""Pairs of column and value."""

MOST_CELLS = 12
MISSING = "(missing)"


@dataclass(frozen=True)
class Rows:
    """The columns that became features, before they did.

    ``train`` says which rows are training rows; ``y``: the class of every row.
    """

    table: pa.Table
    train: Bool[np.ndarray, " rows"]
    y: Int64[np.ndarray, " rows"]

    def cells(self, side: Side, columns: Mapping[int, Sequence[str]]) -> dict[int, Cells]:
        """The values of some training or test examples in some columns, by number from 0.

        Raises:
            IndexError: there is no example of that number.
        """
        rows = np.flatnonzero(self.train if side == "train" else ~self.train)
        return {
            number: tuple((name, _text(self.table[name][int(rows[number])])) for name in names)
            for number, names in columns.items()
        }

    def telling_columns(self, numbers: Sequence[int]) -> dict[int, list[str]]:
        """The columns that say most about some training examples: all, up to :data:`MOST_CELLS`.

        Of more columns those in which the row is least like the training rows of its class
        (:func:`_likeness`), in the order of the table.

        Raises:
            IndexError: there is no training example of that number.
        """
        names = self.table.column_names
        if len(names) <= MOST_CELLS:
            return {number: list(names) for number in numbers}
        at = np.flatnonzero(self.train)[np.asarray(numbers, dtype=np.int64)]
        members = {int(c): np.flatnonzero(self.train & (self.y == c)) for c in set(self.y[at])}
        alike = np.empty((len(at), len(names)))
        for column, name in enumerate(names):
            values = _comparable(name, self.table[name])
            for i, row in enumerate(at):
                alike[i, column] = _likeness(values, members[int(self.y[row])], int(row))
        keep = np.sort(np.argsort(alike, axis=1, kind="stable")[:, :MOST_CELLS], axis=1)
        return {
            number: [names[column] for column in kept]
            for number, kept in zip(numbers, keep, strict=True)
        }


def _comparable(name: str, column: pa.ChunkedArray) -> np.ndarray | Categories | None:
    """A column as numbers or categories; None where it is neither (a row number)."""
    read = read_column(name, column)
    if isinstance(read, LeftOut):
        return None
    return read if isinstance(read, Categories) else read.values()


def _likeness(values: np.ndarray | Categories | None, members: np.ndarray, row: int) -> float:
    """The share of ``members`` that are as unusual among themselves in this column as ``row`` is,
    or more so; near 0 for a value that hardly any other comes up to.

    Numbers are the more unusual the further from the members' median, categories the rarer; a
    missing value is as rare as missing values are.
    """
    if values is None:
        return 1.0
    if isinstance(values, Categories):
        codes = values.codes[members]
        counts = np.bincount(codes + 1, minlength=len(values.levels) + 1)
        own = counts[values.codes[row] + 1]
        return float(counts[counts <= own].sum() / len(members))
    known = values[members][~np.isnan(values[members])]
    if np.isnan(values[row]):
        return 1 - len(known) / len(members)
    if not len(known):
        return 0.0
    centre = np.median(known)
    return float((np.abs(known - centre) >= abs(values[row] - centre)).sum() / len(members))


def _text(scalar: pa.Scalar) -> str:
    """One value for people, as the file has it but for blanks at its ends."""
    value = scalar.as_py()
    if value is None or value != value:  # NaN is the one value that is not itself
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # What a float32 has of digits; the others came with the way to Python's float.
        return f"{value:.{10 if scalar.type == pa.float64() else 7}g}"
    return str(value).strip() or MISSING
