"""``FILE.npz`` and ``FILE.npy``: arrays somebody already prepared, taken as they are."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from audit.data.array_examples import split_arrays, whole_arrays
from audit.data.damage import NO_ARRAY, holds_objects
from audit.data.examples import Examples
from audit.data.limits import MATRIX_BYTES
from audit.data.names import listed
from audit.errors import BadInput
from audit.files import home_expanded, require_regular

ARRAY_SUFFIXES = (".npz", ".npy")

_SPLIT_KEYS = ("x_train", "y_train", "x_test", "y_test")
_WHOLE_KEYS = ("x", "y")
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
        return _split_file(path, stored)
    if all(key in stored for key in _WHOLE_KEYS):
        groups = {key: stored[key] for key in stored if key not in _WHOLE_KEYS}
        return whole_arrays(
            stored["x"],
            stored["y"],
            groups,
            name=path.stem,
            source=str(path),
            seed=seed,
            test_fraction=test_fraction,
        )
    raise BadInput(
        "data",
        str(path),
        f"holds {listed(list(stored)) or 'nothing'}, but neither x_train, y_train, x_test, "
        "y_test nor x, y",
        "Name the arrays so, for example np.savez(FILE, x=x, y=y).",
    )


def _split_file(path: Path, stored: Mapping[str, np.ndarray]) -> Examples:
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
        sides[name] = (stored[f"{name}_train"], stored[f"{name}_test"])
    return split_arrays(
        (stored["x_train"], stored["y_train"]),
        (stored["x_test"], stored["y_test"]),
        sides,
        name=path.stem,
        source=str(path),
        split="the file's own",
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
    # Of an entry that is encrypted or packed in an unknown way: RuntimeError.
    except (OSError, RuntimeError, zipfile.BadZipFile, *NO_ARRAY) as error:
        raise _damaged(path) from error


def _read_npy(path: Path, label: str | None) -> dict[str, np.ndarray]:
    if label is None:
        raise BadInput("label", None, "an .npy file holds features only", "Add --label LABELS.npy.")
    labels = home_expanded("label", label)
    require_regular("label", labels)
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
        # NumPy warns, too, where the shape in a forged header overflows.
        with np.errstate(over="ignore"):
            array = read()
    except NO_ARRAY as error:
        if holds_objects(error):
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
