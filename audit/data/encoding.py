"""Columns → one float32 matrix: numbers standardised, categories one-hot, missing values kept.

Means, standard deviations and levels are taken from the training rows once for the whole audit,
never per model; they are outside every ε and :attr:`Encoding.fitted` names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from audit.data.columns import Categories, Numbers
from audit.data.limits import check_matrix
from audit.data.names import distinct_names, listed

MISSING = "(missing)"
OTHER = "(other)"

# Levels of a column that get a feature of their own, most first; the next cap is taken while the
# matrix would exceed the comfortable size. Rarer levels share one feature, "(other)".
_LEVEL_CAPS = (100, 50, 25, 10)
_COMFORTABLE_BYTES = 600_000_000
# A standardised value beyond this is a recording error or a tail that would drown all else.
_CLIP = 10.0


@dataclass(frozen=True)
class Encoding:
    """The encoded rows and what was fitted and noticed on the way."""

    x_train: Float32[np.ndarray, "n features"]
    x_test: Float32[np.ndarray, "n_test features"]
    feature_names: tuple[str, ...]
    fitted: tuple[str, ...]
    warnings: tuple[str, ...]
    constant: tuple[str, ...]


def encode(
    columns: Sequence[Numbers | Categories], train: Bool[np.ndarray, " rows"], *, source: str
) -> Encoding:
    """The matrix of ``columns``; rows with ``train`` false are test rows.

    A number is standardised with the training mean and standard deviation and cut at ±10; where
    training values are missing it becomes the mean and a second feature says so. A category gets a
    feature per training level, with "(missing)" one of them; a level that only test rows have
    counts as "(other)", or as none of the features where there is no "(other)".

    Raises:
        BadInput: the matrix would be too large.
    """
    rows = np.flatnonzero(train), np.flatnonzero(~train)
    cap, plans = _plans(columns, rows[0], total=len(train))
    kept = [plan for plan in plans if plan.names]
    names = [name for plan in kept for name in plan.names]
    check_matrix(source, len(train), len(names), "Keep fewer columns, or a sample of the rows.")
    matrices = tuple(np.zeros((len(part), len(names)), dtype=np.float32) for part in rows)
    start = 0
    for plan in kept:
        plan.write(matrices, rows, start)
        start += len(plan.names)
    return Encoding(
        *matrices,
        feature_names=distinct_names(names),
        fitted=_fitted(kept),
        warnings=_cap_warning(kept, cap),
        constant=tuple(plan.column.name for plan in plans if not plan.names),
    )


Matrices = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class _NumberPlan:
    column: Numbers
    mean: float
    scale: float
    flag_missing: bool

    @property
    def names(self) -> tuple[str, ...]:
        flag = (f"{self.column.name} is missing",) if self.flag_missing else ()
        return (self.column.name, *flag) if self.scale else flag

    def write(self, matrices: Matrices, rows: Matrices, start: int) -> None:
        values = self.column.values()
        missing = np.isnan(values)
        if self.scale:
            # A missing value takes the mean, which is 0 after standardising.
            values = np.where(missing, 0.0, (values - self.mean) / self.scale)
            values = np.clip(values, -_CLIP, _CLIP)
            for matrix, part in zip(matrices, rows, strict=True):
                matrix[:, start] = values[part]
        if self.flag_missing:
            for matrix, part in zip(matrices, rows, strict=True):
                matrix[:, start + bool(self.scale)] = missing[part]


@dataclass(frozen=True)
class _CategoryPlan:
    column: Categories
    names: tuple[str, ...]
    # Feature of each level; last that of a missing value; −1 for none.
    feature_of: np.ndarray
    capped: bool

    def write(self, matrices: Matrices, rows: Matrices, start: int) -> None:
        features = self.feature_of[self.column.codes]
        for matrix, part in zip(matrices, rows, strict=True):
            at = np.flatnonzero(features[part] >= 0)
            matrix[at, start + features[part][at]] = 1


def _plans(
    columns: Sequence[Numbers | Categories], train_rows: np.ndarray, *, total: int
) -> tuple[int, list[_NumberPlan | _CategoryPlan]]:
    """A plan per column with the largest level cap that keeps the matrix comfortable."""
    numbers = {
        at: _plan_number(column, train_rows)
        for at, column in enumerate(columns)
        if isinstance(column, Numbers)
    }
    cap, plans = 0, []
    for cap in _LEVEL_CAPS:
        plans = [
            numbers[at] if isinstance(column, Numbers) else _plan_category(column, train_rows, cap)
            for at, column in enumerate(columns)
        ]
        features = sum(len(plan.names) for plan in plans)
        if 4 * features * total <= _COMFORTABLE_BYTES:
            break
    return cap, plans


def _plan_number(column: Numbers, train_rows: np.ndarray) -> _NumberPlan:
    values = column.values()[train_rows]
    recorded = values[~np.isnan(values)]
    mean, scale = _mean_and_scale(recorded)
    return _NumberPlan(column, mean, scale, 0 < len(recorded) < len(values))


def _mean_and_scale(values: Float64[np.ndarray, " recorded"]) -> tuple[float, float]:
    """Mean and standard deviation; a deviation of 0 means that there is nothing to learn."""
    if not len(values) or values.min() == values.max():
        return 0.0, 0.0
    # Scaled first: the squares of values near 1e200 overflow.
    largest = float(np.abs(values).max())
    small = values / largest
    return float(small.mean()) * largest, float(small.std()) * largest


def _plan_category(column: Categories, train_rows: np.ndarray, cap: int) -> _CategoryPlan:
    codes = column.codes[train_rows]
    counts = np.bincount(codes + 1, minlength=len(column.levels) + 1)
    missing, counts = int(counts[0]), counts[1:]
    seen = np.flatnonzero(counts)
    most_frequent = seen[np.argsort(-counts[seen], kind="stable")][:cap]
    own = np.sort(most_frequent)
    names = [f"{column.name}={column.levels[level]}" for level in own]
    feature_of = np.full(len(column.levels) + 1, -1, dtype=np.int64)
    capped = len(seen) > cap
    if capped:
        feature_of[:] = len(names)
        names.append(f"{column.name}={OTHER}")
    feature_of[own] = np.arange(len(own))
    feature_of[-1] = -1
    if missing:
        feature_of[-1] = len(names)
        names.append(f"{column.name}={MISSING}")
    if len(names) < 2:
        names = []
    return _CategoryPlan(column, tuple(names), feature_of, capped)


def _fitted(plans: Sequence[_NumberPlan | _CategoryPlan]) -> tuple[str, ...]:
    numbers = [plan.column.name for plan in plans if isinstance(plan, _NumberPlan)]
    categories = [plan.column.name for plan in plans if isinstance(plan, _CategoryPlan)]
    lines = []
    if numbers:
        lines.append(f"mean and standard deviation of {listed(numbers)}")
    if categories:
        lines.append(f"levels of {listed(categories)}")
    return tuple(lines)


def _cap_warning(plans: Sequence[_NumberPlan | _CategoryPlan], cap: int) -> tuple[str, ...]:
    capped = [p.column.name for p in plans if isinstance(p, _CategoryPlan) and p.capped]
    if not capped:
        return ()
    return (f"only the {cap} most frequent levels have a feature of their own: {listed(capped)}",)
