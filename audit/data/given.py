"""Data in memory (NumPy, pandas, torch, lists) → a :class:`Dataset`, by the rules for files.

An array is taken as an ``.npz`` file would be, a DataFrame as a CSV file would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from audit.data.array_examples import split_arrays, whole_arrays
from audit.data.dataset import Dataset
from audit.data.examples import Examples
from audit.data.given_columns import column, detached, groups_of, labels, refuse_other_order
from audit.data.groupings import group
from audit.data.table_reader import column_names
from audit.data.tabular import table_examples
from audit.errors import BadInput

_ARRAYS, _FRAME = "arrays in memory", "DataFrame in memory"
IN_MEMORY = (_ARRAYS, _FRAME)
"""What the data section of ``run.json`` names as source of such data."""
_AS_GIVEN = "as given (x_test)"
_SPLIT = "split"


def given(
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    groups: Any = None,
    groups_test: Any = None,
    name: str,
    subgroups: Sequence[str],
    clusters_per_class: int,
    seed: int,
    test_fraction: float,
) -> Dataset:
    """The data set in ``x`` [rows, …] and ``y`` [rows]; the arguments are those of ``audit.run``.

    Raises:
        BadInput: anything that does not fit; one line says which.
    """
    frame, has_test = isinstance(x, pd.DataFrame), x_test is not None
    if not frame:
        x = _features("x", x)
    if has_test and isinstance(x_test, pd.DataFrame) is not frame:
        wanted = "DataFrame" if frame else "array"
        raise BadInput("x_test", type(x_test).__name__, f"is no {wanted}, as x is", "Use one kind")
    if has_test and not frame:
        x_test = _features("x_test", x_test)
    _refuse_half_a_test_set(y, has_test, y_test, groups_test)
    own = groups_of("groups", groups, x)
    other = groups_of("groups_test", groups_test, x_test) if has_test else {}
    if has_test and own.keys() != other.keys():
        raise BadInput(
            "groups_test",
            sorted(other),
            f"must have the names that groups has, {sorted(own)}",
            "Give both sides of each grouping",
        )
    read = _frame_examples if frame else _array_examples
    examples = read(
        (x, y, own), (x_test, y_test, other), name=name, seed=seed, test_fraction=test_fraction
    )
    if own:
        # Who names groups wants to read about these.
        examples = replace(examples, default_subgroups=tuple(own))
    return group(examples, subgroups, clusters_per_class=clusters_per_class, seed=seed)


def _refuse_half_a_test_set(y: Any, has_test: bool, y_test: Any, groups_test: Any) -> None:
    if has_test and y_test is None and not isinstance(y, str):
        raise BadInput("y_test", None, "is missing, and x_test is given", "Give both or neither")
    for key, value in (("y_test", y_test), ("groups_test", groups_test)):
        if value is not None and not has_test:
            raise BadInput(
                key, type(value).__name__, "is given without x_test", "Give both or neither"
            )


Side = tuple[Any, Any, dict[str, np.ndarray]]
"""Features, labels and groups of the training or of the test rows."""


def _array_examples(
    train: Side, test: Side, *, name: str, seed: int, test_fraction: float
) -> Examples:
    (x, y, groups), (x_test, y_test, groups_test) = train, test
    if isinstance(y, str):
        raise BadInput("y", y, "names a column, but x is no DataFrame", "Give the labels")
    y = labels("y", y, len(x))
    if x_test is None:
        return whole_arrays(
            x, y, groups, name=name, source=_ARRAYS, seed=seed, test_fraction=test_fraction
        )
    sides = {key: (values, groups_test[key]) for key, values in groups.items()}
    y_test = labels("y_test", y_test, len(x_test))
    return split_arrays((x, y), (x_test, y_test), sides, name=name, source=_ARRAYS, split=_AS_GIVEN)


def _features(name: str, x: Any) -> np.ndarray:
    """Features as an array; what NumPy would turn into objects, or drop unseen, is refused."""
    if x is None or isinstance(x, str | bytes):
        raise BadInput(name, x, "is no array of features", "Or name a data set: data='digits'")
    if hasattr(x, "toarray"):
        raise BadInput(name, type(x).__name__, "is a sparse matrix", "Use x.toarray()")
    x = detached(name, x)
    if np.ma.is_masked(x):
        raise BadInput(name, "a masked array", "has masked values", "Fill them: x.filled(value)")
    try:
        array = np.asarray(x)
    except Exception as error:  # the conversion of a foreign type may raise anything
        raise BadInput(
            name,
            type(x).__name__,
            f"is no rectangular array of numbers ({type(error).__name__})",
            "Use a NumPy array [rows, features], or a DataFrame",
        ) from error
    if array.ndim < 2:
        raise BadInput(
            name, f"an array of shape {array.shape}", "must be [rows, features] or [rows, …]",
            "Use x.reshape(-1, 1) for a single feature",
        )  # fmt: skip
    return array


def _frame_examples(
    train: Side, test: Side, *, name: str, seed: int, test_fraction: float
) -> Examples:
    (x, y, groups), (x_test, y_test, groups_test) = train, test
    label = y if isinstance(y, str) else _label_name(y, x)
    table = _labelled("x", x, "y", y, label)
    if x_test is not None:
        table = _stacked(table, _labelled("x_test", x_test, "y_test", y_test, label))
        groups = {
            key: np.concatenate([values.astype(object), groups_test[key].astype(object)])
            for key, values in groups.items()
        }
    examples = table_examples(
        pa.table({key: _arrow(key, table[key]) for key in table.columns}),
        name=name,
        source=_FRAME,
        label=label,
        groups=groups,
        seed=seed,
        test_fraction=test_fraction,
    )
    if x_test is None:
        return examples
    return replace(examples, notes={**examples.notes, "split": _AS_GIVEN})


def _label_name(y: Any, x: pd.DataFrame) -> str:
    """What the label column is called where ``y`` holds the labels themselves."""
    name = getattr(y, "name", None)
    label = name.strip() if isinstance(name, str) and name.strip() else "label"
    if label not in {str(key).strip() for key in x.columns}:
        return label
    raise BadInput(
        "y",
        label,
        "is also a column of x: models would read the label",
        f"Drop it from x, or give its name instead: y={label!r}",
    )


def _labelled(x_name: str, x: pd.DataFrame, y_name: str, y: Any, label: str) -> pd.DataFrame:
    """``x`` with plain column names and the label as a column; a ``y`` that names one adds none."""
    table = x.set_axis(column_names(x_name, [str(key) for key in x.columns]), axis=1)
    table = table.reset_index(drop=True)
    if y is None or isinstance(y, str):
        return table
    refuse_other_order(y_name, y, x)
    return table.assign(**{label: pd.Series(column(y_name, y, len(x)))})


def _stacked(table: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """Training and test rows in one table, with a column that tells them apart."""
    if set(table.columns) != set(test.columns):
        odd = sorted(set(table.columns) ^ set(test.columns))
        raise BadInput("x_test", odd[:5], "are columns of one side only", "Use the same columns")
    taken = [key for key in table.columns if key.lower() == _SPLIT]
    if taken:
        raise BadInput(
            "x", taken[0], "is a column that says train or test, and x_test is given", "Drop one"
        )
    both = pd.concat([table, test[table.columns]], ignore_index=True)
    return both.assign(**{_SPLIT: ["train"] * len(table) + ["test"] * len(test)})


def _arrow(name: str, values: Any) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            "x",
            name,
            "is a column with values of several kinds",
            "Convert it, e.g. with .astype(str)",
        ) from error
