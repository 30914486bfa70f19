"""``FILE.npz`` and ``FILE.npy``: arrays somebody already prepared, taken as they are."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy.lib.format import open_memmap

from audit.data.dataset import NOT_RECORDED, Grouping
from audit.data.examples import Examples, GroupColumns
from audit.data.groupings import MOST_SUBGROUPS, column_grouping
from audit.data.limits import MATRIX_BYTES, check_matrix
from audit.data.names import distinct_names, listed
from audit.data.splits import stratified_test_rows, test_size
from audit.errors import BadInput

ARRAY_SUFFIXES = (".npz", ".npy")

_SPLIT_KEYS = ("x_train", "y_train", "x_test", "y_test")
_WHOLE_KEYS = ("x", "y")
_MOST_CLASSES = 1_000
# Features may be stored in double precision: twice what they take here.
_MOST_STORED_BYTES = 2 * MATRIX_BYTES


def arrays(path: Path, *, label: str | None, seed: int, test_fraction: float) -> Examples:
    """The examples in an ``.npz`` (``x_train, y_train, x_test, y_test``, or ``x, y``), or in an
    ``.npy`` of features with the labels in a second ``.npy`` that ``label`` names.

    Further arrays of an ``.npz`` group the examples: ``NAME`` beside ``x, y``, or ``NAME_train``
    and ``NAME_test``. Features [rows, …] may have any shape; bytes are divided by 255, other
    numbers are taken as they are. Labels are whole numbers or strings.

    Raises:
        BadInput: pickled objects (never loaded), damage, shapes or types that do not fit, NaN.
    """
    stored = _read_npz(path) if path.suffix.lower() == ".npz" else _read_npy(path, label)
    if path.suffix.lower() == ".npz" and label is not None:
        raise BadInput("label", label, "an .npz file holds its own labels", "Leave --label out.")
    if all(key in stored for key in _SPLIT_KEYS):
        parts = _split_parts(path, stored)
    elif all(key in stored for key in _WHOLE_KEYS):
        parts = _whole_parts(path, stored, seed=seed, test_fraction=test_fraction)
    else:
        raise BadInput(
            "data",
            str(path),
            f"holds {listed(list(stored)) or 'nothing'}, but neither x_train, y_train, x_test, "
            "y_test nor x, y",
            "Name the arrays so, for example np.savez(FILE, x=x, y=y).",
        )
    return parts


def _whole_parts(
    path: Path, stored: Mapping[str, np.ndarray], *, seed: int, test_fraction: float
) -> Examples:
    x = _features(path, "x", stored["x"])
    names, y = _classes(path, "y", stored["y"], rows=len(x))
    test = stratified_test_rows(y, n_test=test_size(len(y), test_fraction), seed=seed)
    extra = [key for key in stored if key not in _WHOLE_KEYS]
    values = {key: _group_values(path, key, stored[key], rows=len(x)) for key in extra}
    sides = {key: (one[~test], one[test]) for key, one in values.items()}
    split = f"stratified by label, {test.sum():,} of {len(y):,} rows to test, seed {seed}"
    shape = stored["x"].shape[1:]
    return _examples(path, (x[~test], y[~test], x[test], y[test]), names, shape, sides, split)


def _split_parts(path: Path, stored: Mapping[str, np.ndarray]) -> Examples:
    if stored["x_train"].shape[1:] != stored["x_test"].shape[1:]:
        raise BadInput(
            "data",
            str(path),
            f"x_train has rows of shape {stored['x_train'].shape[1:]}, x_test of "
            f"{stored['x_test'].shape[1:]}",
            "Use the same features on both sides.",
        )
    x_train = _features(path, "x_train", stored["x_train"])
    x_test = _features(path, "x_test", stored["x_test"])
    both = _joined_labels(path, stored, len(x_train), len(x_test))
    names, y = _classes(path, "y_train", both, rows=len(both))
    sides = {}
    for key in stored:
        if key in _SPLIT_KEYS:
            continue
        name = key.removesuffix("_train").removesuffix("_test")
        if f"{name}_train" not in stored or f"{name}_test" not in stored:
            raise BadInput(
                "data",
                str(path),
                f"has an array {key!r} without its other side",
                f"Groups need both {name}_train and {name}_test.",
            )
        sides[name] = (
            _group_values(path, f"{name}_train", stored[f"{name}_train"], rows=len(x_train)),
            _group_values(path, f"{name}_test", stored[f"{name}_test"], rows=len(x_test)),
        )
    shape = stored["x_train"].shape[1:]
    quadruple = (x_train, y[: len(x_train)], x_test, y[len(x_train) :])
    return _examples(path, quadruple, names, shape, sides, "the file's own")


def _examples(
    path: Path,
    quadruple: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    class_names: tuple[str, ...],
    shape: tuple[int, ...],
    sides: dict[str, tuple[np.ndarray, np.ndarray]],
    split: str,
) -> Examples:
    x_train, y_train, x_test, y_test = quadruple
    return Examples(
        name=path.stem,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        class_names=class_names,
        feature_names=tuple(f"x[{','.join(map(str, at))}]" for at in np.ndindex(*shape)),
        input_shape=shape,
        source=str(path),
        licence="not stated",
        columns=GroupColumns(tuple(sides), lambda name: _grouping(name, *sides[name])),
        notes={"split": split, "scaling": "bytes divided by 255; other numbers as they are"},
    )


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _MOST_STORED_BYTES:
            raise BadInput(
                "data",
                str(path),
                f"unpacks to {unpacked / 1e9:.1f} GB; at most {_MOST_STORED_BYTES / 1e9:.0f} GB "
                "are allowed",
                "Keep fewer rows, or use float32.",
            )
        with np.load(path, allow_pickle=False) as loaded:
            return {key: _safely(path, lambda key=key: loaded[key]) for key in loaded.files}
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise _damaged(path) from error


def _read_npy(path: Path, label: str | None) -> dict[str, np.ndarray]:
    if label is None:
        raise BadInput("label", None, "an .npy file holds features only", "Add --label LABELS.npy.")
    labels = Path(label).expanduser()
    try:
        x = _safely(path, lambda: open_memmap(path, mode="r"))
        y = _safely(labels, lambda: open_memmap(labels, mode="r"))
    except FileNotFoundError as error:
        raise BadInput("label", label, "is no file here", "Give the labels' .npy file.") from error
    except OSError as error:
        raise _damaged(path) from error
    return {"x": x, "y": y}


def _safely(path: Path, read: Callable[[], np.ndarray]) -> np.ndarray:
    """Reads an array; one that holds pickled Python objects is refused, never unpickled."""
    try:
        array = read()
    except (ValueError, MemoryError, zlib.error) as error:
        # NumPy says "Object arrays cannot be loaded" of an .npz, "Python objects in dtype" here.
        if "object" in str(error).lower():
            raise BadInput(
                "data",
                str(path),
                "holds pickled Python objects, which can run code when loaded",
                "Save plain arrays: np.asarray(x, dtype=np.float32), labels as integers.",
            ) from error
        raise _damaged(path) from error
    if not isinstance(array, np.ndarray):
        raise _damaged(path)
    return array


def _damaged(path: Path) -> BadInput:
    return BadInput("data", str(path), "is no readable NumPy file", "Save it again with NumPy.")


def _features(path: Path, key: str, x: np.ndarray) -> Float32[np.ndarray, "rows features"]:
    if x.ndim < 2 or not x.size:
        raise _wrong(path, key, f"has the shape {x.shape}", "Use rows × features, none empty.")
    if x.dtype.kind not in "buif":
        raise _wrong(path, key, f"holds {x.dtype}, not real numbers", "Convert it to float32.")
    check_matrix(str(path), len(x), x[0].size, "Keep fewer rows or features.")
    flat = x.reshape(len(x), -1)
    if x.dtype == np.uint8:
        return np.divide(flat, np.float32(255), dtype=np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite: refused below
        result = flat.astype(np.float32)
    finite = np.isfinite(result)
    if not finite.all():
        row = int(np.argmin(finite.all(axis=1)))
        raise _wrong(
            path,
            key,
            f"has {int((~finite).sum()):,} values that are NaN, infinite or too large for "
            f"float32 (first in row {row})",
            "Replace them, or use a CSV file, where missing values are encoded.",
        )
    return result


def _joined_labels(path: Path, stored: Mapping[str, np.ndarray], n: int, n_test: int) -> np.ndarray:
    y_train, y_test = stored["y_train"], stored["y_test"]
    for key, y, rows in (("y_train", y_train, n), ("y_test", y_test, n_test)):
        _check_labels(path, key, y, rows)
    if (y_train.dtype.kind in "US") != (y_test.dtype.kind in "US"):
        raise _wrong(path, "y_test", "is not of the same kind as y_train", "Use one kind.")
    return np.concatenate([y_train, y_test])


def _check_labels(path: Path, key: str, y: np.ndarray, rows: int) -> None:
    if y.ndim == 2 and y.shape[1] > 1:
        raise _wrong(
            path, key, f"has the shape {y.shape}", "Use y.argmax(axis=1) if it is one-hot."
        )
    if y.size != rows or y.ndim > 2:
        raise _wrong(
            path, key, f"has {y.size:,} labels for {rows:,} rows", "Give one label per row."
        )
    whole = y.dtype.kind in "buiUS" or (y.dtype.kind == "f" and bool((y == np.floor(y)).all()))
    if not whole:
        raise _wrong(
            path, key, f"holds {y.dtype} values that are not whole numbers", "Use class numbers."
        )


def _classes(
    path: Path, key: str, y: np.ndarray, *, rows: int
) -> tuple[tuple[str, ...], Int64[np.ndarray, " rows"]]:
    _check_labels(path, key, y, rows)
    distinct, codes = np.unique(y.ravel(), return_inverse=True)
    if len(distinct) > min(_MOST_CLASSES, max(2, rows // 2)):
        raise _wrong(
            path, key, f"has {len(distinct):,} different labels", "Use class numbers, not targets."
        )
    return distinct_names(map(_shown, distinct)), codes.astype(np.int64)


def _shown(value: np.generic) -> str:
    plain = value.item()
    if isinstance(plain, bytes):
        return plain.decode("utf-8", errors="backslashreplace")
    return str(int(plain)) if isinstance(plain, float) and plain.is_integer() else str(plain)


def _group_values(path: Path, key: str, values: np.ndarray, *, rows: int) -> np.ndarray:
    if values.shape != (rows,):
        raise _wrong(
            path,
            key,
            f"has the shape {values.shape} where groups need ({rows},)",
            "Give one group per row, or remove the array.",
        )
    return values


def _grouping(name: str, train: np.ndarray, test: np.ndarray) -> Grouping:
    distinct, codes = np.unique(np.concatenate([train, test]), return_inverse=True)
    if len(distinct) > MOST_SUBGROUPS:
        raise BadInput(
            "subgroups",
            name,
            f"has {len(distinct):,} different values; the most is {MOST_SUBGROUPS:,}",
            "Bin the values first.",
        )
    codes = codes.astype(np.int32)
    names = [NOT_RECORDED if value != value else _shown(value) for value in distinct]
    return column_grouping(name, names, codes[: len(train)], codes[len(train) :])


def _wrong(path: Path, key: str, rule: str, next_step: str) -> BadInput:
    return BadInput("data", f"{path}:{key}", rule, next_step)
