"""The label of a table: classes, or a refusal that says why the column is none."""

from __future__ import annotations

import pyarrow as pa

from audit.data.columns import (
    Categories,
    LeftOut,
    Numbers,
    as_categories,
    is_text,
    read_column,
    text_categories,
)
from audit.data.names import did_you_mean, listed
from audit.errors import BadInput

_MOST_CLASSES = 1_000
_MOST_NUMERIC_CLASSES = 100
# Numbers with decimals may be classes (a grade of 1.5), but not many of them.
_MOST_FRACTIONAL_CLASSES = 20
_MOST_CLASSES_PER_ROW = 0.5


def label_name(label: str | None, names: list[str]) -> str:
    """The label's column name, checked.

    Raises:
        BadInput: no label is given, or no column has that name.
    """
    if label is None:
        raise BadInput(
            "label",
            None,
            "a table needs the column to predict",
            f"Add --label COLUMN; the columns are {listed(names)}.",
        )
    if label not in names:
        raise BadInput("label", label, "is no column of the data", did_you_mean(label, names))
    return label


def read_labels(name: str, column: pa.ChunkedArray) -> Categories:
    """The label as categories: at most 1,000 classes, at most 100 if they are numbers.

    Raises:
        BadInput: missing labels, fewer than two classes, or a quantity (regression).
    """
    nested = pa.types.is_nested(column.type) or pa.types.is_binary(column.type)
    if column.null_count == len(column) and not nested:
        raise BadInput("label", name, "is empty in every row", "Choose another column.")
    read = read_column(name, column)
    if isinstance(read, LeftOut) and is_text(column):
        read = text_categories(name, column)
    elif isinstance(read, LeftOut):
        raise _not_classes(name, f"is {read.reason}")
    classes = as_categories(
        read, most=_MOST_NUMERIC_CLASSES if isinstance(read, Numbers) else _MOST_CLASSES
    )
    if classes is None or len(classes.levels) > _MOST_CLASSES_PER_ROW * len(column):
        raise _not_classes(name, "has too many different values to be classes")
    count = len(classes.levels)
    whole = all(level.lstrip("-").isdigit() for level in classes.levels)
    if isinstance(read, Numbers) and count > _MOST_FRACTIONAL_CLASSES and not whole:
        raise _not_classes(name, f"has {count} values, some with decimals: a quantity")
    missing = int((classes.codes < 0).sum())
    if missing:
        raise BadInput(
            "label",
            name,
            f"is missing in {missing:,} of {len(column):,} rows",
            "Remove these rows, or give them a class of their own such as 'unknown'.",
        )
    if count < 2:
        raise BadInput(
            "label",
            name,
            f"has only one class, {''.join(classes.levels)!r}",
            "Choose a label with at least two classes.",
        )
    return classes


def _not_classes(name: str, rule: str) -> BadInput:
    step = "An audit needs classes: bin the column into classes, or choose another one."
    return BadInput("label", name, rule, step)
