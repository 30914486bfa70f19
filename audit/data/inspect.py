"""What a data set looks like and what looks wrong with it: plain data for ``data inspect``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from audit.data.dataset import Dataset, Grouping, GroupingKind
from audit.data.names import listed

_FEW_PER_CLASS = 10
_FEW_PER_GROUP = 10
_IMBALANCE = 0.9
_LARGE_VALUE = 100.0
_LEAK_CORRELATION = 0.999
# The correlation of features with labels is measured on this many rows at most.
_LEAK_ROWS = 20_000


@dataclass(frozen=True)
class ClassSize:
    """Examples of one class."""

    name: str
    n_train: int
    n_test: int


@dataclass(frozen=True)
class GroupingSize:
    """A grouping with the training and test examples of each subgroup (name, n_train, n_test)."""

    name: str
    kind: GroupingKind
    uses_training_data: bool
    subgroups: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Inspection:
    """What a source becomes. ``concerns`` are sentences about what looks wrong, the data set's
    own warnings first; nothing in them stops an audit."""

    name: str
    source: str
    licence: str
    fingerprint: str
    n_train: int
    n_test: int
    features: int
    input_shape: tuple[int, ...]
    classes: tuple[ClassSize, ...]
    groupings: tuple[GroupingSize, ...]
    fitted_on_train: tuple[str, ...]
    notes: dict[str, str]
    concerns: tuple[str, ...]


def inspect(dataset: Dataset) -> Inspection:
    """Counts and checks of ``dataset``: duplicates across the split, classes and groups too small
    to say anything, constant features, imbalance, extreme values, features that give the label
    away."""
    classes = _classes(dataset)
    return Inspection(
        name=dataset.name,
        source=dataset.source,
        licence=dataset.licence,
        fingerprint=dataset.fingerprint(),
        n_train=len(dataset.y_train),
        n_test=len(dataset.y_test),
        features=dataset.x_train.shape[1],
        input_shape=dataset.input_shape,
        classes=classes,
        groupings=tuple(_grouping_size(grouping) for grouping in dataset.groupings),
        fitted_on_train=dataset.fitted_on_train,
        notes=dict(dataset.notes),
        concerns=(
            *dataset.warnings,
            *_class_concerns(classes),
            *_group_concerns(dataset),
            *_value_concerns(dataset),
            *_leak_concerns(dataset),
            *_duplicate_concerns(dataset),
        ),
    )


def _classes(dataset: Dataset) -> tuple[ClassSize, ...]:
    counts = (
        np.bincount(y, minlength=len(dataset.class_names)).tolist()
        for y in (dataset.y_train, dataset.y_test)
    )
    return tuple(
        ClassSize(name, n_train, n_test)
        for name, n_train, n_test in zip(dataset.class_names, *counts, strict=True)
    )


def _grouping_size(grouping: Grouping) -> GroupingSize:
    counts = grouping.train_counts().tolist(), grouping.test_counts().tolist()
    return GroupingSize(
        grouping.name,
        grouping.kind,
        grouping.uses_training_data,
        tuple(zip(grouping.subgroups, *counts, strict=True)),
    )


def _class_concerns(classes: tuple[ClassSize, ...]) -> list[str]:
    concerns = []
    few = [c.name for c in classes if c.n_train < _FEW_PER_CLASS]
    if few:
        concerns.append(
            f"{len(few)} of {len(classes)} classes have fewer than {_FEW_PER_CLASS} training "
            f"examples: {listed(few)}"
        )
    untested = [c.name for c in classes if not c.n_test]
    if untested:
        concerns.append(f"no test example of {len(untested)} classes: {listed(untested)}")
    total = sum(c.n_train for c in classes)
    largest = max(classes, key=lambda c: c.n_train)
    if largest.n_train > _IMBALANCE * total:
        concerns.append(
            f"class {largest.name!r} is {largest.n_train / total:.1%} of the training examples: "
            "always answering it is right that often"
        )
    return concerns


def _group_concerns(dataset: Dataset) -> list[str]:
    concerns = []
    for grouping in dataset.groupings:
        counts = grouping.test_counts()
        few = [grouping.subgroups[at] for at in np.flatnonzero(counts < _FEW_PER_GROUP)]
        if few:
            concerns.append(
                f"{len(few)} of {len(counts)} subgroups of {grouping.name!r} have fewer than "
                f"{_FEW_PER_GROUP} test examples, too few for narrow intervals: {listed(few)}"
            )
    return concerns


def _value_concerns(dataset: Dataset) -> list[str]:
    concerns = []
    low, high = dataset.x_train.min(axis=0), dataset.x_train.max(axis=0)
    broken = sum(int((~np.isfinite(x)).sum()) for x in (dataset.x_train, dataset.x_test))
    if broken:
        concerns.append(f"{broken:,} feature values are NaN or infinite: training will fail")
    constant = np.flatnonzero(low == high)
    if len(constant):
        names = [dataset.feature_names[at] for at in constant]
        concerns.append(
            f"{len(constant):,} of {len(low):,} features are the same in all training examples: "
            + listed(names)
        )
    largest = float(np.nanmax(np.abs([low, high]), initial=0.0))
    if largest > _LARGE_VALUE:
        concerns.append(
            f"features reach {largest:.3g}: scale them by a public constant, or SGD may diverge"
        )
    return concerns


def _leak_concerns(dataset: Dataset) -> list[str]:
    """Features that alone tell a class from the rest (correlation above 0.999)."""
    x, y = dataset.x_train[:_LEAK_ROWS], dataset.y_train[:_LEAK_ROWS]
    correlation = _correlations(x, y)
    leaks = np.flatnonzero((correlation > _LEAK_CORRELATION).any(axis=1))
    if not len(leaks):
        return []
    names = [dataset.feature_names[at] for at in leaks]
    return [f"{len(leaks)} features give the label away: {listed(names)}"]


def _correlations(
    x: Float32[np.ndarray, "rows features"], y: Int64[np.ndarray, " rows"]
) -> Float32[np.ndarray, "features classes"]:
    """|correlation| of each feature with each class's indicator; 0 where one is constant."""
    indicator = (y[:, None] == np.unique(y)).astype(np.float32)
    indicator -= indicator.mean(axis=0)
    centred = x - x.mean(axis=0)
    scale = np.outer(np.linalg.norm(centred, axis=0), np.linalg.norm(indicator, axis=0))
    product = np.abs(centred.T @ indicator)
    return np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)


def _duplicate_concerns(dataset: Dataset) -> list[str]:
    train, test = _digests(dataset.x_train), _digests(dataset.x_test)
    seen = set(train)
    concerns = []
    copies = len(train) - len(seen)
    if copies:
        concerns.append(
            f"{copies:,} training examples repeat the features of another one: the bound of an "
            "example in c copies is that of c·ε"
        )
    shared = sum(digest in seen for digest in test)
    if shared:
        concerns.append(
            f"{shared:,} test examples have the same features as a training example: being right "
            "on them may be memory, not learning"
        )
    return concerns


def _digests(x: Float32[np.ndarray, "rows features"]) -> list[bytes]:
    """16 bytes per row that are equal for equal rows (−0 and 0 count as equal)."""
    return [hashlib.blake2b((row + 0.0).tobytes(), digest_size=16).digest() for row in x]
