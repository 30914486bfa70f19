"""Outputs of models trained elsewhere: ``.npy`` arrays, checked before anything is made of them.

Arrays are memory-mapped and read in blocks of rows, so that 2,000 models on 60,000 examples need no
more memory than their bits. Pickled objects are never loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float16, Float64, Int64
from numpy.lib.format import open_memmap

from audit.data.damage import NO_ARRAY, holds_objects
from audit.errors import BadInput
from audit.files import home_expanded

_BLOCK_CELLS = 2**23
# Beyond this, a margin says "right" (p_y > 1/2): less is rounding.
_SURELY_RIGHT = 1e-2
_LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class StoredArray:
    """One array in a file: ``name`` is the option that brought it; ``array`` is memory-mapped."""

    name: str
    path: Path
    array: np.ndarray
    sha256: str

    def facts(self) -> dict[str, object]:
        """What ``run.json`` says of the file."""
        return {
            "file": str(self.path),
            "sha256": self.sha256,
            "shape": list(self.array.shape),
            "dtype": str(self.array.dtype),
        }

    def bits(self, rows: slice) -> Bool[np.ndarray, "rows columns"]:
        """Rows of an array of 0 and 1.

        Raises:
            BadInput: any other value, naming the first and its place.
        """
        block = np.ascontiguousarray(self.array[rows])
        if block.dtype == np.bool_:
            return block
        one = block == 1
        wrong = ~(one | (block == 0))
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            raise BadInput(
                f"{self.name}[{rows.start + row}, {column}]",
                block[row, column].item(),
                f"must be 0 or 1 (or false, true) in {self.path}",
                "Save 1 where the model has seen the example, or was right, and 0 elsewhere",
            )
        return one

    def margins(self, rows: slice) -> Float16[np.ndarray, "rows columns"]:
        """Rows of an array of margins, as they are stored: float16, cut at its largest number."""
        block = np.clip(self.array[rows], -_LARGEST_HALF, _LARGEST_HALF)
        return np.asarray(block, dtype=np.float16)


@dataclass(frozen=True)
class ArmArrays:
    """What the models of one arm did; test outputs and margins may be missing."""

    train_correct: StoredArray
    test_correct: StoredArray | None = None
    train_margin: StoredArray | None = None
    test_margin: StoredArray | None = None

    def present(self) -> list[StoredArray]:
        """The arrays that were brought."""
        every = (self.train_correct, self.test_correct, self.train_margin, self.test_margin)
        return [stored for stored in every if stored is not None]


@dataclass(frozen=True)
class Memberships:
    """What the tool needs to know of who trained on what, without holding it.

    ``sizes``: training examples of each model; ``share``: share of the models that saw each
    example; ``same``: a pair of models with the same training set, if there is one; ``copies``:
    arrays of who was right that equal the membership in every cell.
    """

    sizes: Int64[np.ndarray, " models"]
    share: Float64[np.ndarray, " n"]
    same: tuple[int, int] | None
    copies: tuple[str, ...] = ()


def open_array(name: str, path: Path) -> StoredArray:
    """The array in ``path``, memory-mapped, with the SHA-256 of its file.

    Raises:
        BadInput: no such file, not readable, no ``.npy`` file, damaged, or pickled objects.
    """
    try:
        path = home_expanded(name, path)
        if not path.is_file():
            rule = "is a folder" if path.is_dir() else "is no file here"
            raise BadInput(name, str(path), rule, "Name a file written by np.save")
        with path.open("rb") as file:
            zipped = file.read(2) == b"PK"
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if zipped:
            raise BadInput(
                name, str(path), "is an archive (.npz)", "Save each array alone, with np.save"
            )
        # NumPy warns, too, where the shape in a forged header overflows.
        with np.errstate(over="ignore"):
            array = open_memmap(path, mode="r")
    except OSError as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise BadInput(
            name, str(path), f"cannot be read ({reason})", "Check the path and its permissions"
        ) from error
    except NO_ARRAY as error:
        raise _unreadable(name, path, error) from error
    return StoredArray(name, path, array, sha256)


def _unreadable(name: str, path: Path, error: Exception) -> BadInput:
    if holds_objects(error):
        return BadInput(
            name,
            str(path),
            "holds pickled Python objects, which can run code when loaded",
            "Save a plain array: np.save(FILE, np.asarray(rows, dtype=bool))",
        )
    return BadInput(
        name, str(path), "is no readable .npy file, or a part of one", "Save it again with np.save"
    )


def check_outputs(membership: StoredArray, arms: dict[str, ArmArrays]) -> Memberships:
    """Read every array once: shapes that fit, values that can be, margins that agree.

    Raises:
        BadInput: naming the array, the first wrong value and its place.
    """
    models, n = _two_axes(membership, "[models, training examples]")
    for arm in arms.values():
        _fits(arm.train_correct, (models, n), "membership")
        _same_file(arm.train_correct, membership)
        _check_test(arm, models, n)
    sizes, seen = np.empty(models, dtype=np.int64), np.zeros(n, dtype=np.int64)
    first: dict[bytes, int] = {}
    same, copies = None, [arm.train_correct for arm in arms.values()]
    for rows in row_blocks(models, n):
        block = membership.bits(rows)
        copies = [stored for stored in copies if (stored.array[rows] == block).all()]
        sizes[rows] = block.sum(axis=1)
        seen += block.sum(axis=0)
        for model, packed in enumerate(np.packbits(block, axis=1), rows.start):
            earlier = first.setdefault(hashlib.sha256(packed).digest(), model)
            same = same or (None if earlier == model else (earlier, model))
    for arm in arms.values():
        _check_values(arm.train_correct, arm.train_margin)
        if arm.test_correct is not None:
            _check_values(arm.test_correct, arm.test_margin)
    return Memberships(sizes, seen / models, same, tuple(stored.name for stored in copies))


def row_blocks(models: int, columns: int) -> Iterator[slice]:
    """Slices of rows, each of a few million cells."""
    step = max(1, _BLOCK_CELLS // max(columns, 1))
    return (slice(start, min(start + step, models)) for start in range(0, models, step))


def _two_axes(stored: StoredArray, axes: str) -> tuple[int, int]:
    shape = stored.array.shape
    if len(shape) != 2 or 0 in shape:
        raise BadInput(stored.name, shape, f"must have the shape {axes}", "Save it so, none empty")
    if stored.array.dtype.kind not in "buif":
        raise BadInput(
            stored.name, str(stored.array.dtype), "is no type of plain numbers", "Save bool or 0/1"
        )
    return int(shape[0]), int(shape[1])


def _fits(stored: StoredArray, wanted: tuple[int, int], like: str) -> None:
    shape = _two_axes(stored, "[models, examples]")
    if shape == wanted:
        return
    rule = f"must be {wanted}, like {like}: a row per model, a column per example"
    step = "Bring outputs of the same models on the same examples"
    if shape == wanted[::-1]:
        rule, step = f"is {like} turned over: rows are models", "Save its transpose, array.T"
    raise BadInput(stored.name, shape, rule, step)


def _check_test(arm: ArmArrays, models: int, n: int) -> None:
    if arm.train_margin is not None:
        _fits(arm.train_margin, (models, n), arm.train_correct.name)
        _floating(arm.train_margin)
    if arm.test_correct is None:
        return
    rows, n_test = _two_axes(arm.test_correct, "[models, test examples]")
    if rows != models:
        raise BadInput(
            arm.test_correct.name,
            (rows, n_test),
            f"has {rows:,} rows for the {models:,} models of membership",
            "Bring a row per model, a column per test example",
        )
    if arm.test_margin is not None:
        _fits(arm.test_margin, (models, n_test), arm.test_correct.name)
        _floating(arm.test_margin)


def _same_file(stored: StoredArray, other: StoredArray) -> None:
    if stored.sha256 == other.sha256:
        raise BadInput(
            stored.name,
            str(stored.path),
            f"has the same content as {other.name}: who was right cannot be who was in",
            f"Check the two paths ({other.path})",
        )


def _floating(stored: StoredArray) -> None:
    if stored.array.dtype.kind != "f":
        raise BadInput(
            stored.name,
            str(stored.array.dtype),
            "must be floating-point numbers: log(p_y / (1 - p_y))",
            "Save the margins, not who was right",
        )


def _check_values(correct: StoredArray, margin: StoredArray | None) -> None:
    models, columns = correct.array.shape
    for rows in row_blocks(models, columns):
        right = correct.bits(rows)
        if margin is None:
            continue
        block = np.asarray(margin.array[rows])
        with np.errstate(invalid="ignore"):
            wrong = np.where(right, np.isnan(block), block > _SURELY_RIGHT)
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            raise BadInput(
                f"{margin.name}[{rows.start + row}, {column}]",
                float(block[row, column]),
                f"does not go with {correct.name}, which is {int(right[row, column])} there: a "
                "positive margin means right, and only a wrong answer may have none (NaN)",
                "Check that both arrays have the same models and examples in the same order",
            )
