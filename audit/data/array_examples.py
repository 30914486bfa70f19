"""NumPy arrays of features, labels and groups → examples; files and callers both come here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float32, Int64

from audit.data.dataset import NOT_RECORDED, Grouping
from audit.data.examples import Examples, GroupColumns
from audit.data.groupings import MOST_SUBGROUPS, column_grouping
from audit.data.limits import check_matrix
from audit.data.names import distinct_names
from audit.data.rows import Rows
from audit.data.splits import stratified_test_rows, test_size
from audit.errors import BadInput

_MOST_CLASSES = 1_000


def whole_arrays(
    x: np.ndarray,
    y: np.ndarray,
    groups: Mapping[str, np.ndarray],
    *,
    name: str,
    source: str,
    seed: int,
    test_fraction: float,
) -> Examples:
    """Examples from features [rows, …] and labels [rows]; a stratified share becomes test rows.

    ``groups``: further arrays [rows] that group the examples. ``source``: what messages call the
    place the arrays come from.

    Raises:
        BadInput: shapes or types that do not fit, NaN, too many labels.
    """
    numbers = _features(source, "x", x)
    names, codes = _classes(source, "y", y, rows=len(numbers))
    test = stratified_test_rows(codes, n_test=test_size(len(codes), test_fraction), seed=seed)
    values = {key: _group_values(source, key, one, rows=len(x)) for key, one in groups.items()}
    sides = {key: (one[~test], one[test]) for key, one in values.items()}
    split = f"stratified by label, {test.sum():,} of {len(codes):,} rows to test, seed {seed}"
    quadruple = (numbers[~test], codes[~test], numbers[test], codes[test])
    return _examples(
        name,
        source,
        quadruple,
        names,
        x.shape[1:],
        sides,
        split,
        lambda: Rows(_table(x), ~test, codes),
    )


def split_arrays(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    groups: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    name: str,
    source: str,
    split: str,
) -> Examples:
    """The same from (features, labels) of training and of test rows; ``split`` says whose it is.

    Raises:
        BadInput: as :func:`whole_arrays`, or sides that do not match.
    """
    (x_train, y_train), (x_test, y_test) = train, test
    if x_train.shape[1:] != x_test.shape[1:]:
        raise BadInput(
            "data",
            source,
            f"x_train has rows of shape {x_train.shape[1:]}, x_test of {x_test.shape[1:]}",
            "Use the same features on both sides.",
        )
    numbers = _features(source, "x_train", x_train), _features(source, "x_test", x_test)
    n, n_test = map(len, numbers)
    both = _joined_labels(source, y_train, y_test, n, n_test)
    names, y = _classes(source, "y_train", both, rows=len(both))
    sides = {
        key: (
            _group_values(source, f"{key}_train", one, rows=n),
            _group_values(source, f"{key}_test", other, rows=n_test),
        )
        for key, (one, other) in groups.items()
    }
    quadruple = (numbers[0], y[:n], numbers[1], y[n:])
    return _examples(
        name,
        source,
        quadruple,
        names,
        x_train.shape[1:],
        sides,
        split,
        lambda: Rows(_table(x_train, x_test), np.arange(n + n_test) < n, y),
    )


def value_grouping(name: str, train: np.ndarray, test: np.ndarray) -> Grouping:
    """The grouping by the values of an array: numbers in ascending order, anything else as text.

    Missing values (NaN, None) are the subgroup "(not recorded)".

    Raises:
        BadInput: more than 1,000 different values, or values that cannot be compared.
    """
    try:
        codes, distinct = pd.factorize(np.concatenate([train, test]))
    except TypeError as error:
        raise BadInput(
            "groups", name, "holds values that cannot be compared", "Use numbers or text."
        ) from error
    if len(distinct) > MOST_SUBGROUPS:
        raise BadInput(
            "subgroups",
            name,
            f"has {len(distinct):,} different values; the most is {MOST_SUBGROUPS:,}",
            "Bin the values first.",
        )
    names = [_shown(value) for value in distinct]
    numeric = all(isinstance(value, Real | np.bool_) for value in distinct)
    order = sorted(range(len(names)), key=list(distinct if numeric else names).__getitem__)
    place = np.empty(len(order) + 1, dtype=np.int32)
    # A missing value has the code −1: it reads the last place, which is a subgroup only if used.
    place[order], place[-1] = np.arange(len(order)), len(order)
    levels = [names[at] for at in order] + [NOT_RECORDED] * bool((codes < 0).any())
    codes = place[codes]
    return column_grouping(name, levels, codes[: len(train)], codes[len(train) :])


def _examples(
    name: str,
    source: str,
    quadruple: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    class_names: tuple[str, ...],
    shape: tuple[int, ...],
    sides: dict[str, tuple[np.ndarray, np.ndarray]],
    split: str,
    rows: Callable[[], Rows],
) -> Examples:
    x_train, y_train, x_test, y_test = quadruple
    return Examples(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=class_names,
        feature_names=_feature_names(shape),
        input_shape=shape,
        source=source,
        licence="not stated",
        columns=GroupColumns(tuple(sides), lambda key: value_grouping(key, *sides[key])),
        notes={"split": split, "scaling": "bytes divided by 255; other numbers as they are"},
        rows=rows,
    )


def _feature_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"x[{','.join(map(str, at))}]" for at in np.ndindex(*shape))


def _table(*parts: np.ndarray) -> pa.Table:
    """Arrays [rows, …] below each other as a table with a column per number of a row."""
    flat = np.concatenate([part.reshape(len(part), -1) for part in parts])
    if flat.dtype.kind == "f" and flat.dtype != np.float64:
        # Arrow compares no float16 and has no longer floats.
        flat = flat.astype(np.float32 if flat.dtype.itemsize < 8 else np.float64)
    names = _feature_names(parts[0].shape[1:])
    return pa.table({name: flat[:, j] for j, name in enumerate(names)})


def _features(source: str, key: str, x: np.ndarray) -> Float32[np.ndarray, "rows features"]:
    if x.ndim < 2 or not x.size:
        raise _wrong(source, key, f"has the shape {x.shape}", "Use rows × features, none empty.")
    if x.dtype.kind not in "buif":
        raise _wrong(source, key, f"holds {x.dtype}, not real numbers", "Convert it to float32.")
    check_matrix(source, len(x), x[0].size, "Keep fewer rows or features.")
    flat = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        return np.divide(flat, np.float32(255), dtype=np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
        result = flat.astype(np.float32)
    finite = np.isfinite(result)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        raise _wrong(
            source,
            key,
            f"has {int((~finite).sum()):,} values that are NaN, infinite or too large for "
            f"float32 (first in row {row})",
            "Replace them, or use a CSV file, where missing values are encoded.",
        )
    return result


def _joined_labels(
    source: str, y_train: np.ndarray, y_test: np.ndarray, n: int, n_test: int
) -> np.ndarray:
    for key, y, rows in (("y_train", y_train, n), ("y_test", y_test, n_test)):
        _check_labels(source, key, y, rows)
    if (y_train.dtype.kind in "US") != (y_test.dtype.kind in "US"):
        raise _wrong(source, "y_test", "is not of the same kind as y_train", "Use one kind.")
    return np.concatenate([y_train, y_test])


def _check_labels(source: str, key: str, y: np.ndarray, rows: int) -> None:
    if y.ndim == 2 and y.shape[1] > 1:
        raise _wrong(
            source, key, f"has the shape {y.shape}", "Use y.argmax(axis=1) if it is one-hot."
        )
    if y.size != rows or y.ndim > 2:
        raise _wrong(
            source, key, f"has {y.size:,} labels for {rows:,} rows", "Give one label per row."
        )
    whole = y.dtype.kind in "buiUS" or (
        y.dtype.kind == "f" and bool((np.isfinite(y) & (y == np.floor(y))).all())
    )
    if not whole:
        raise _wrong(
            source, key, f"holds {y.dtype} values that are not whole numbers", "Use class numbers."
        )


def _classes(
    source: str, key: str, y: np.ndarray, *, rows: int
) -> tuple[tuple[str, ...], Int64[np.ndarray, " rows"]]:
    _check_labels(source, key, y, rows)
    distinct, codes = np.unique(y.ravel(), return_inverse=True)
    if len(distinct) > min(_MOST_CLASSES, max(2, rows // 2)):
        raise _wrong(
            source,
            key,
            f"has {len(distinct):,} different labels",
            "Use class numbers, not targets.",
        )
    return distinct_names(map(_shown, distinct)), codes.astype(np.int64)


def _shown(value: object) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, bytes):
        return plain.decode("utf-8", errors="backslashreplace")
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)


def _group_values(source: str, key: str, values: np.ndarray, *, rows: int) -> np.ndarray:
    if values.shape != (rows,):
        raise _wrong(
            source,
            key,
            f"has the shape {values.shape} where groups need ({rows},)",
            "Give one group per row, or remove the array.",
        )
    return values


def _wrong(source: str, key: str, rule: str, next_step: str) -> BadInput:
    return BadInput("data", f"{source}:{key}", rule, next_step)
