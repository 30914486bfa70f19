"""Which rows train and which test: a stratified split, drawn once per data set."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from audit.errors import BadInput
from audit.seeds import Purpose, generator


def stratified_test_rows(
    labels: Int64[np.ndarray, " rows"], *, n_test: int, seed: int
) -> Bool[np.ndarray, " rows"]:
    """Marks ``n_test`` rows as test rows, each class in proportion (largest remainders).

    Each class keeps a training row, so that a few rows less are marked where many classes have
    hardly any. Depends on the arguments only.
    """
    rng = generator(seed, Purpose.SPLIT)
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    quota = n_test * counts / len(labels)
    taken = np.floor(quota).astype(np.int64)
    # Stable sort, largest remainder first: ties go to the class that sorts first.
    for group in np.argsort(-(quota - taken), kind="stable"):
        if taken.sum() >= n_test:
            break
        if taken[group] < counts[group] - 1:
            taken[group] += 1
    test = np.zeros(len(labels), dtype=bool)
    for group, size in enumerate(taken):
        rows = np.flatnonzero(codes == group)
        test[rng.choice(rows, size=int(size), replace=False)] = True
    return test


def test_size(rows: int, fraction: float) -> int:
    """Number of test rows for ``fraction`` of ``rows``.

    Raises:
        BadInput: the fraction is not between 0 and 1, or would leave one side empty.
    """
    if not 0 < fraction < 1:
        raise BadInput(
            "test_fraction", fraction, "must lie between 0 and 1", "Use for example 0.25."
        )
    size = round(rows * fraction)
    if not 0 < size < rows:
        raise BadInput(
            "test_fraction",
            fraction,
            f"leaves the training or the test side of {rows} rows empty",
            "Use for example 0.25, or more rows.",
        )
    return size
