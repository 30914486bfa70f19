"""``FILE.csv`` and ``FILE.parquet``: any table with a label column → examples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int32, Int64

from audit.data.array_examples import value_grouping
from audit.data.columns import (
    Categories,
    Column,
    LeftOut,
    Numbers,
    as_categories,
    is_text,
    read_column,
    text_categories,
)
from audit.data.dataset import NOT_RECORDED, Grouping
from audit.data.encoding import encode
from audit.data.examples import Examples, GroupColumns
from audit.data.groupings import MOST_SUBGROUPS, column_grouping
from audit.data.labels import label_name, read_labels
from audit.data.names import distinct_names, listed
from audit.data.rows import Rows
from audit.data.splits import stratified_test_rows, test_size
from audit.data.table_reader import read_table
from audit.errors import BadInput

_FEWEST_ROWS = 20
# A numeric column with more distinct values than this is grouped by its quartiles.
_MOST_NUMERIC_LEVELS = 12
# Subpopulations are found by distances, which say little among many sparse one-hot features.
_MOST_FEATURES_FOR_STYLES = 512


def tabular(path: Path, *, label: str | None, seed: int, test_fraction: float) -> Examples:
    """The examples in a CSV or Parquet file.

    Every column but the label and ``split`` becomes features (columns used for grouping included:
    the audit is of the model people train); identifiers, row numbers, constant and nested columns
    are left out with a warning. Test rows are those with ``test`` in a column ``split``, or a
    stratified share ``test_fraction`` drawn from ``seed``.

    Raises:
        BadInput: anything wrong with the file, the label, the split or the size.
    """
    table, warnings = read_table(path)
    return table_examples(
        table,
        name=path.stem,
        source=str(path),
        label=label,
        groups={},
        warnings=warnings,
        seed=seed,
        test_fraction=test_fraction,
    )


def table_examples(
    table: pa.Table,
    *,
    name: str,
    source: str,
    label: str | None,
    groups: Mapping[str, np.ndarray],
    warnings: tuple[str, ...] = (),
    seed: int,
    test_fraction: float,
) -> Examples:
    """The examples in a table, as :func:`tabular`.

    ``source``: what messages call the place the table comes from. ``groups``: values [rows] that
    group the examples without being features; one that is called like a column goes before it.

    Raises:
        BadInput: as :func:`tabular`.
    """
    _refuse_few_rows(source, table.num_rows)
    label = label_name(label, table.column_names)
    classes = read_labels(label, table[label])
    split = next((c for c in table.column_names if c.lower() == "split" and c != label), None)
    y = classes.codes.astype(np.int64)
    train = _train_rows(table, split, y, seed=seed, test_fraction=test_fraction)
    names = tuple(name for name in table.column_names if name not in (label, split))
    columns = {name: read_column(name, table[name]) for name in names}
    usable = [column for column in columns.values() if not isinstance(column, LeftOut)]
    encoding = encode(usable, train, source=source)
    _refuse_no_feature(source, encoding.feature_names, label)
    said = [column.warning for column in usable if column.warning]
    learned = [column.name for column in usable if column.name not in encoding.constant]
    few = len(encoding.feature_names) <= _MOST_FEATURES_FOR_STYLES
    groupable = tuple(dict.fromkeys((*names, *groups)))
    return Examples(
        name=name,
        x_train=encoding.x_train,
        y_train=y[train],
        x_test=encoding.x_test,
        y_test=y[~train],
        class_names=distinct_names(classes.levels),
        feature_names=encoding.feature_names,
        input_shape=(len(encoding.feature_names),),
        source=source,
        licence="not stated",
        label_name=label,
        columns=GroupColumns(groupable, _GroupingsOf(table, columns, train, groups)),
        default_subgroups=("class", "subpopulations") if few else ("class",),
        fitted_on_train=encoding.fitted,
        warnings=(*warnings, *_left_out(columns, encoding.constant), *said, *encoding.warnings),
        notes=_notes(split, train, seed),
        rows=lambda: Rows(table.select(learned), train, y),
    )


def _refuse_few_rows(source: str, rows: int) -> None:
    if rows < _FEWEST_ROWS:
        raise BadInput(
            "data",
            source,
            f"has {rows} rows; an audit needs at least {_FEWEST_ROWS}",
            "Use more rows.",
        )


def _notes(split: str | None, train: Bool[np.ndarray, " rows"], seed: int) -> dict[str, str]:
    drawn = (
        f"stratified by label, {np.count_nonzero(~train):,} of {len(train):,} rows to test, "
        f"seed {seed}"
    )
    return {
        "split": drawn if split is None else f"column {split!r}",
        "scaling": "numbers standardised and cut at ±10, dates as days since 1970, categories "
        "one-hot",
        "missing": "a level of its own for categories; the mean and a flag for numbers",
    }


def _train_rows(
    table: pa.Table,
    split: str | None,
    y: Int64[np.ndarray, " rows"],
    *,
    seed: int,
    test_fraction: float,
) -> Bool[np.ndarray, " rows"]:
    if split is None:
        n_test = test_size(len(y), test_fraction)
        return ~stratified_test_rows(y, n_test=n_test, seed=seed)
    column = table[split]
    found = text_categories(split, column) if is_text(column) else None
    sides = {"train": True, "training": True, "test": False, "testing": False}
    side = [sides.get(level.lower()) for level in found.levels] if found else []
    if found is None or set(side) != {True, False} or (found.codes < 0).any():
        raise BadInput(
            "split",
            list(found.levels[:8]) if found else str(column.type),
            "a column named split must say train or test in each row, and both must occur",
            "Write train or test, or rename the column.",
        )
    return np.asarray(side, dtype=bool)[found.codes]


def _refuse_no_feature(source: str, features: tuple[str, ...], label: str) -> None:
    if not features:
        raise BadInput(
            "data",
            source,
            f"has no column to learn from beside the label {label!r}",
            "Check the separator (a comma is expected) and add columns that vary.",
        )


def _left_out(columns: dict[str, Column], constant: tuple[str, ...]) -> list[str]:
    """One warning per reason, however many columns it concerns."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for column in columns.values():
        if isinstance(column, LeftOut):
            reasons[column.reason].append(column.name)
    if constant:
        reasons["constant in training"].extend(constant)
    return [f"left out as {reason}: {listed(names)}" for reason, names in reasons.items()]


def group_columns(
    table: pa.Table, train: Bool[np.ndarray, " rows"]
) -> tuple[GroupColumns, tuple[str, ...]]:
    """The columns of a table as groupings, and warnings about how they were read.

    ``train`` says which rows are training rows.
    """
    columns = {name: read_column(name, table[name]) for name in table.column_names}
    read = [column for column in columns.values() if not isinstance(column, LeftOut)]
    warnings = tuple(column.warning for column in read if column.warning)
    return GroupColumns(tuple(columns), _GroupingsOf(table, columns, train, {})), warnings


@dataclass(frozen=True)
class _GroupingsOf:
    """Builds the grouping of a column when it is asked for."""

    table: pa.Table
    columns: dict[str, Column]
    train: np.ndarray
    groups: Mapping[str, np.ndarray]

    def __call__(self, name: str) -> Grouping:
        if name in self.groups:
            values = self.groups[name]
            return value_grouping(name, values[self.train], values[~self.train])
        column = self.columns[name]
        if isinstance(column, LeftOut):
            column = self._despite(column)
        if isinstance(column, Numbers):
            few = as_categories(column, most=_MOST_NUMERIC_LEVELS)
            if few is None:
                levels, codes = _quartiles(column, self.train)
                return self._grouping(name, levels, codes, uses_training_data=True)
            column = few
        return self._grouping(name, column.levels, column.codes, uses_training_data=False)

    def _grouping(
        self,
        name: str,
        levels: tuple[str, ...],
        codes: Int32[np.ndarray, " rows"],
        *,
        uses_training_data: bool,
    ) -> Grouping:
        if (codes < 0).any():
            codes, levels = np.where(codes < 0, len(levels), codes), (*levels, NOT_RECORDED)
        codes = codes.astype(np.int32)
        return column_grouping(
            name,
            levels,
            codes[self.train],
            codes[~self.train],
            uses_training_data=uses_training_data,
        )

    def _despite(self, column: LeftOut) -> Categories:
        """A column no model learns from can still group people (a site, an identifier of few)."""
        values = self.table[column.name]
        categories = text_categories(column.name, values) if is_text(values) else None
        if categories is None or len(categories.levels) > MOST_SUBGROUPS:
            raise BadInput(
                "subgroups",
                column.name,
                f"is {column.reason}: it does not group the rows",
                "Choose a column with few different values.",
            )
        return categories


def _quartiles(
    column: Numbers, train: Bool[np.ndarray, " rows"]
) -> tuple[tuple[str, ...], Int32[np.ndarray, " rows"]]:
    """Bands cut at the quartiles of the training rows; equal quartiles make one cut."""
    values = column.values()
    known = values[train]
    cuts = np.unique(np.quantile(known[~np.isnan(known)], (0.25, 0.5, 0.75)))
    shown = [column.show(float(cut)) for cut in cuts]
    between = [f"over {low} to {high}" for low, high in pairwise(shown)]
    codes = np.searchsorted(cuts, values, side="left").astype(np.int32)
    codes[np.isnan(values)] = -1
    return (f"up to {shown[0]}", *between, f"over {shown[-1]}"), codes
