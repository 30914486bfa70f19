"""Membership matrices: the designs' distributions, and what the streams may depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from audit.inclusion import membership
from audit.seeds import Purpose, generator


def test_poisson_membership_is_independent_coins():
    matrix = membership(400, range(1500), p=0.7, design="poisson", seed=0)
    error = np.sqrt(0.7 * 0.3 / 1500)
    assert np.abs(matrix.mean(axis=0) - 0.7).max() < 4.5 * error
    # Sizes vary as a binomial: the design is not secretly "fixed".
    assert matrix.sum(axis=1).std() == pytest.approx(np.sqrt(400 * 0.21), rel=0.1)
    correlations = np.corrcoef(matrix[:, :40].T) - np.eye(40)
    assert stats.kstest(correlations[np.triu_indices(40, 1)] * np.sqrt(1500), "norm").pvalue > 1e-3


def test_fixed_membership_has_the_paper_s_size():
    matrix = membership(401, range(300), p=0.7, design="fixed", seed=0)
    assert (matrix.sum(axis=1) == 281).all()
    assert np.abs(matrix.mean(axis=0) - 0.7).max() < 4.5 * np.sqrt(0.21 / 300)


@pytest.mark.parametrize("design", ["poisson", "fixed"])
def test_a_row_depends_on_its_model_alone(design):
    all_rows = membership(50, range(10), p=0.5, design=design, seed=3)
    np.testing.assert_array_equal(
        all_rows[4:7], membership(50, range(4, 7), p=0.5, design=design, seed=3)
    )
    assert len(np.unique(all_rows, axis=0)) == 10
    other = membership(50, range(10), p=0.5, design=design, seed=4)
    assert not np.array_equal(all_rows, other)


def test_streams_differ_by_purpose_key_and_root():
    draws = {
        (root, purpose, key): generator(root, purpose, *key).integers(2**63)
        for root in (0, 1)
        for purpose in Purpose
        for key in ((0,), (1,), ("standard", 0), ("dp-2", 0), ("dp-20", 0), (0, 0))
    }
    assert len(set(draws.values())) == len(draws)


def test_a_negative_key_is_a_bug():
    with pytest.raises(ValueError, match="negative"):
        generator(0, Purpose.MEMBERSHIP, -1)
