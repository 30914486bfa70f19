"""Tables that group examples whose features are not known here: labels and subgroups alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from audit.data.dataset import NOT_RECORDED, Dataset
from audit.data.examples import Examples
from audit.data.groupings import build_groupings
from audit.data.labels import label_name, read_labels
from audit.data.names import distinct_names, listed, printable
from audit.data.table_reader import CSV_SUFFIXES, PARQUET_SUFFIXES, read_table
from audit.data.tabular import group_columns
from audit.errors import BadInput
from audit.files import home_expanded, require_regular


def without_features(
    n: int,
    n_test: int,
    *,
    name: str,
    source: str,
    train_table: Path | None = None,
    test_table: Path | None = None,
    label: str | None = None,
    subgroups: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> Dataset:
    """A data set of ``n`` training and ``n_test`` test examples of which only groups are known.

    Row i of a table is example i. Labels are those of the column ``label``; without one they are
    not known, and all examples have the class "(not recorded)". Groupings as in
    :func:`audit.data.groupings.group`; without ``subgroups`` the classes, if there are labels.

    Raises:
        BadInput: tables that do not fit the outputs or each other, or as reading a table does.
    """
    _refuse_half(train_table, test_table, n_test, label, subgroups)
    table, said = None, ()
    if train_table is not None:
        table, said = _read(train_table, test_table, n, n_test)
    classes, codes = (NOT_RECORDED,), np.zeros(n + n_test, dtype=np.int64)
    if table is not None and label is not None:
        read = read_labels(label_name(label, table.column_names), table[label])
        classes, codes = distinct_names(read.levels), read.codes.astype(np.int64)
    examples = Examples(
        name=name,
        x_train=np.zeros((n, 0), dtype=np.float32),
        y_train=codes[:n],
        x_test=np.zeros((n_test, 0), dtype=np.float32),
        y_test=codes[n:],
        class_names=classes,
        feature_names=(),
        input_shape=(0,),
        source=source,
        licence="not known here",
        label_name=label or "class",
    )
    groupings = ()
    if table is not None:
        specs = subgroups or ("class",)
        columns = [c for c in table.column_names if c != label]
        grouped, doubts = group_columns(table.select(columns), np.arange(table.num_rows) < n)
        examples = replace(examples, columns=grouped)
        groupings, more = build_groupings(examples, specs, clusters_per_class=1, seed=0)
        said += (*doubts, *more)
    return Dataset(
        name=printable(name),
        x_train=examples.x_train,
        y_train=examples.y_train,
        x_test=examples.x_test,
        y_test=examples.y_test,
        class_names=examples.class_names,
        feature_names=(),
        input_shape=examples.input_shape,
        groupings=groupings,
        source=printable(source),
        licence=examples.licence,
        warnings=(*warnings, *said),
    )


def _refuse_half(
    train: Path | None, test: Path | None, n_test: int, label: str | None, subgroups: tuple
) -> None:
    """Refuse half of what grouping needs; nothing asked for is silently left out."""
    if train is None:
        asked = {"test-table": test, "label": label, "subgroups": ",".join(subgroups) or None}
        for option, value in asked.items():
            if value is not None:
                raise BadInput(
                    option,
                    str(value),
                    "needs a table of the training examples",
                    "Add --train-table FILE",
                )
        return
    if test is None and n_test:
        raise BadInput(
            "test-table", None, "is missing: the test examples need groups, too", "Add it"
        )
    if test is not None and not n_test:
        raise BadInput(
            "test-table", str(test), "has no test outputs to group", "Add --test-correct FILE"
        )
    if label is None and not subgroups:
        raise BadInput(
            "train-table",
            str(train),
            "is given, but nothing of it is asked for",
            "Add --label COLUMN, --subgroups COLUMN,COLUMN×COLUMN, or both",
        )


def _read(train: Path, test: Path | None, n: int, n_test: int) -> tuple[pa.Table, tuple[str, ...]]:
    """Training rows and, below them, test rows."""
    first, warnings = _table("train-table", train, n)
    if test is None:
        return first, warnings
    second, more = _table("test-table", test, n_test)
    if set(first.column_names) != set(second.column_names):
        odd = sorted(set(first.column_names) ^ set(second.column_names))
        raise BadInput(
            "test-table",
            str(test),
            f"does not have the columns of the training table ({listed(odd)} only in one)",
            "Use the same columns in both",
        )
    both = {name: _stacked(name, first[name], second[name]) for name in first.column_names}
    return pa.table(both), tuple(dict.fromkeys((*warnings, *more)))


def _table(option: str, path: Path, rows: int) -> tuple[pa.Table, tuple[str, ...]]:
    path = home_expanded(option, path)
    require_regular(option, path)
    if path.suffix.lower() not in CSV_SUFFIXES + PARQUET_SUFFIXES:
        raise BadInput(option, str(path), "is no table", "Use .csv, .tsv or .parquet")
    try:
        table, warnings = read_table(path)
    except BadInput as error:
        raise BadInput(option, error.value, error.rule, error.next_step) from error
    if table.num_rows != rows:
        raise BadInput(
            option,
            str(path),
            f"has {table.num_rows:,} rows for {rows:,} examples",
            "Give a row per example, in the order of the arrays' columns",
        )
    return table, warnings


def _stacked(name: str, first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.ChunkedArray:
    """One column of both tables; as text where it was read as another type in each."""
    if first.type != second.type:
        numbers = (pa.types.is_integer, pa.types.is_floating)
        plain = all(any(is_kind(c.type) for is_kind in numbers) for c in (first, second))
        shared = pa.float64() if plain else pa.string()
        try:
            first, second = first.cast(shared), second.cast(shared)
        except pa.ArrowException as error:
            raise BadInput(
                "test-table",
                name,
                f"is of another type ({second.type}) than in the training table ({first.type})",
                "Write the column the same way in both",
            ) from error
    return pa.chunked_array([*first.chunks, *second.chunks], type=first.type)
