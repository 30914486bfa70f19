"""What every loader returns: numbers, labels, groupings, and where they came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int32, Int64

GroupingKind = Literal["column", "crossing", "class", "subpopulation"]
NOT_RECORDED = "(not recorded)"


@dataclass(frozen=True)
class Grouping:
    """A partition of the examples into subgroups; codes index ``subgroups``.

    ``uses_training_data`` says whether drawing the partition looked at training features (k-means
    subpopulations do): such a partition is not covered by any ε and the report says so.
    """

    name: str
    kind: GroupingKind
    subgroups: tuple[str, ...]
    train: Int32[np.ndarray, " n"]
    test: Int32[np.ndarray, " n_test"]
    uses_training_data: bool = False

    def train_counts(self) -> Int64[np.ndarray, " subgroups"]:
        """Training examples per subgroup."""
        return np.bincount(self.train, minlength=len(self.subgroups)).astype(np.int64)

    def test_counts(self) -> Int64[np.ndarray, " subgroups"]:
        """Test examples per subgroup."""
        return np.bincount(self.test, minlength=len(self.subgroups)).astype(np.int64)


@dataclass(frozen=True)
class Dataset:
    """Training and test examples with labels, groupings and provenance.

    ``input_shape`` is the shape of one example (``(1, 8, 8)`` for digits, ``(30,)`` for a table);
    ``x_*`` are stored flat. ``fitted_on_train`` names each quantity computed from training rows
    (means, category levels, …): these are outside every ε and the report lists them.
    ``warnings`` are what a reviewer should know about the data ("column id was left out").
    """

    name: str
    x_train: Float32[np.ndarray, "n features"]
    y_train: Int64[np.ndarray, " n"]
    x_test: Float32[np.ndarray, "n_test features"]
    y_test: Int64[np.ndarray, " n_test"]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    groupings: tuple[Grouping, ...]
    source: str
    licence: str
    fitted_on_train: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """SHA-256 over numbers, labels, names and groupings: what a resumed run must find again."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        for text in (*self.class_names, *self.feature_names, str(self.input_shape)):
            digest.update(f"{len(text)}:{text}".encode())
        for grouping in self.groupings:
            names = "".join(f"{len(s)}:{s}" for s in (grouping.name, *grouping.subgroups))
            digest.update(names.encode())
            digest.update(np.ascontiguousarray(grouping.train).data)
            digest.update(np.ascontiguousarray(grouping.test).data)
        return digest.hexdigest()
