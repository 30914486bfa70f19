"""The stratified split: exact size, proportions, no empty training class."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from audit.data.splits import stratified_test_rows


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 5),
)
def test_each_class_gives_its_share(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)) * 3, counts).astype(np.int64)
    n_test = int(share * len(labels))
    test = stratified_test_rows(labels, n_test=n_test, seed=seed)
    taken = np.array([test[labels == 3 * k].sum() for k in range(len(counts))])
    assert (taken < counts).all()
    assert test.sum() <= n_test
    quota = n_test * np.array(counts) / len(labels)
    # What a class too small to give its share leaves over goes to others, one row each.
    assert (taken <= np.floor(quota) + 1).all()
    if (np.ceil(quota) < np.array(counts)).all():
        assert test.sum() == n_test
        assert (np.floor(quota) <= taken).all()
        assert (taken <= np.ceil(quota)).all()
    np.testing.assert_array_equal(test, stratified_test_rows(labels, n_test=n_test, seed=seed))


def test_every_row_is_as_likely_to_be_tested() -> None:
    labels = np.repeat([0, 1], [30, 10]).astype(np.int64)
    hits = np.zeros(40)
    for seed in range(400):
        hits += stratified_test_rows(labels, n_test=10, seed=seed)
    expected = np.repeat([7.5, 2.5], [30, 10]) / [30] * 30 / np.repeat([30, 10], [30, 10]) * 400
    assert abs(hits.sum() - 4_000) < 1e-9
    # 5 standard deviations of a binomial count of 400 at 1/4.
    assert np.abs(hits - expected).max() < 5 * np.sqrt(400 * 0.25 * 0.75)
