"""Subpopulations discovered inside each class: k-means centres, the nearest of them merged.

The talk's long tail is made of subpopulations nobody labelled: the writing styles of a digit, the
kinds of a class. Plain k-means cuts a class into pieces of similar size and so hides that tail;
here a class is cut into twice as many pieces as wanted and the closest centres are merged (average
linkage), so that common styles come out large and rare ones small. The number of styles is a public
choice; the centres are fitted on the training rows and are therefore outside every ε.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from audit.data.dataset import Grouping
from audit.errors import BadInput
from audit.seeds import Purpose, generator

NAME = "style within class"
DEFAULT_CLUSTERS_PER_CLASS = 5

_PIECES_PER_STYLE = 2
# A class gets one style per this many training rows at most: smaller ones cannot be told apart.
_ROWS_PER_STYLE = 5
_MOST_CLUSTERS = 1_000
# Above this many features distances are dominated by noise: keep the principal components.
_COMPONENTS = 64
_PCA_ROWS = 5_000
_MINIBATCH_ABOVE = 20_000
_BLOCK_ROWS = 10_000


def subpopulations(
    x_train: Float32[np.ndarray, "n features"],
    y_train: Int64[np.ndarray, " n"],
    x_test: Float32[np.ndarray, "n_test features"],
    y_test: Int64[np.ndarray, " n_test"],
    *,
    class_names: tuple[str, ...],
    clusters_per_class: int,
    seed: int,
) -> Grouping:
    """The grouping "style within class"; style 1 of a class is its largest in training.

    Test rows join the style of the nearest centre of their own class. A class with fewer than ten
    training rows keeps one style. Deterministic for a given seed (one thread).

    Raises:
        BadInput: ``clusters_per_class`` is not positive, or makes more than 1,000 subgroups.
    """
    _check_number(clusters_per_class, len(class_names))
    train = np.zeros(len(y_train), dtype=np.int32)
    test = np.zeros(len(y_test), dtype=np.int32)
    names: list[str] = []
    with threadpool_limits(1):
        projection = _Projection.fit(x_train, seed=seed)
        for label, class_name in enumerate(class_names):
            rows, test_rows = np.flatnonzero(y_train == label), np.flatnonzero(y_test == label)
            styles = min(clusters_per_class, max(1, len(rows) // _ROWS_PER_STYLE))
            if styles == 1:
                sizes, own, others = 1, 0, 0
            else:
                random_state = int(generator(seed, Purpose.SUBPOPULATIONS, label).integers(2**31))
                sizes, own, others = _styles_of_class(
                    projection(x_train, rows),
                    projection(x_test, test_rows),
                    styles=styles,
                    random_state=random_state,
                )
            train[rows], test[test_rows] = own + len(names), others + len(names)
            names += [f"class {class_name} · style {k + 1}" for k in range(sizes)]
    return Grouping(NAME, "subpopulation", tuple(names), train, test, uses_training_data=True)


def _check_number(clusters_per_class: int, classes: int) -> None:
    most = max(1, _MOST_CLUSTERS // max(1, classes))
    if not 1 <= clusters_per_class <= most:
        raise BadInput(
            "clusters_per_class",
            clusters_per_class,
            f"must lie between 1 and {most} ({classes} classes, {_MOST_CLUSTERS} subgroups in all)",
            f"Use for example {min(DEFAULT_CLUSTERS_PER_CLASS, most)}.",
        )


@dataclass(frozen=True)
class _Projection:
    """Principal components where there are many features; the identity otherwise."""

    pca: PCA | None

    @classmethod
    def fit(cls, x: Float32[np.ndarray, "n features"], *, seed: int) -> _Projection:
        if x.shape[1] <= _COMPONENTS or len(x) <= _COMPONENTS:
            return cls(None)
        rng = generator(seed, Purpose.SUBPOPULATIONS)
        rows = np.sort(rng.choice(len(x), size=min(len(x), _PCA_ROWS), replace=False))
        pca = PCA(_COMPONENTS, svd_solver="randomized", random_state=int(rng.integers(2**31)))
        return cls(pca.fit(x[rows]))

    def __call__(
        self, x: Float32[np.ndarray, "n features"], rows: Int64[np.ndarray, " rows"]
    ) -> Float32[np.ndarray, "rows components"]:
        """The components of some rows, block by block: PCA copies what it gets."""
        if self.pca is None:
            return x[rows]
        result = np.empty((len(rows), _COMPONENTS), dtype=np.float32)
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            result[block] = self.pca.transform(x[rows[block]])
        return result


def _styles_of_class(
    x: np.ndarray, x_test: np.ndarray, *, styles: int, random_state: int
) -> tuple[int, Int32[np.ndarray, " rows"], Int32[np.ndarray, " test_rows"]]:
    """Number of styles and the style of each row, 0 the largest; empty styles do not count."""
    pieces = min(len(x), styles * _PIECES_PER_STYLE)
    # sklearn's stubs know neither a number for n_init nor the type of fitted attributes.
    kind: Any = MiniBatchKMeans if len(x) > _MINIBATCH_ABOVE else KMeans
    model = kind(pieces, n_init=4, random_state=random_state)
    with warnings.catch_warnings():
        # Fewer distinct rows than pieces: some pieces stay empty, which is handled below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        piece = model.fit_predict(x)
    used, piece = np.unique(piece, return_inverse=True)
    centres: np.ndarray = model.cluster_centers_[used]
    merged = _merge(centres, styles)
    counts = np.bincount(merged[piece])
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return len(order), rank[merged[piece]], rank[merged[_nearest(x_test, centres)]]


def _merge(centres: np.ndarray, styles: int) -> np.ndarray:
    """Style (0-based, none empty) of each centre: average linkage, cut at ``styles`` clusters."""
    if len(centres) <= styles:
        return np.arange(len(centres))
    tree = linkage(pdist(centres.astype(np.float64)), method="average")
    cut = fcluster(tree, t=styles, criterion="maxclust")
    return np.unique(cut, return_inverse=True)[1]


def _nearest(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre of each row, by squared Euclidean distance."""
    distances = (centres**2).sum(axis=1) - 2 * (x @ centres.T)
    return np.argmin(distances, axis=1)
