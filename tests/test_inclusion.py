"""Membership matrices: the designs' distributions, and what the streams may depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from audit.errors import BadInput
from audit.inclusion import check_design, membership
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


def check(rows, **options):
    check_design(rows.sum(axis=1), rows.mean(axis=0), **options)


def test_honest_subsets_are_not_refused():
    """At one chance in a million per tail, a thousand honest studies pass."""
    rng = np.random.default_rng(0)
    for study in range(1000):
        n, models = rng.integers(1, 400), rng.integers(1, 60)
        p = rng.uniform(0.02, 0.98, size=n if study % 2 else 1)
        check(rng.random((models, n)) < p, design="poisson")


@pytest.mark.parametrize("models", [1, 2, 8, 200])
def test_subsets_of_one_size_need_the_fixed_design(models):
    rows = membership(500, range(models), p=0.7, design="fixed", seed=0)
    check(rows, design="fixed", p=0.7)
    if models < 3:  # one or two models can agree by chance
        check(rows, design="poisson")
    else:
        with pytest.raises(BadInput, match="Use --inclusion fixed"):
            check(rows, design="poisson")


def test_stratified_subsets_are_not_independent():
    """Planted: half of each of ten classes; sizes almost agree, as no independent draw's do."""
    rng = np.random.default_rng(0)
    rows = np.zeros((100, 500), dtype=bool)
    for row in rows:
        for first in range(0, 500, 50):
            row[first + rng.choice(50, size=25, replace=False)] = True
        row[499] = rng.random() < 0.5
    with pytest.raises(BadInput, match="so equal in size"):
        check(rows, design="poisson")


def test_examples_that_come_together_are_not_independent():
    """Planted: people with ten rows each, in or out as a whole; models with a p of their own."""
    rng = np.random.default_rng(0)
    people = np.repeat(rng.random((100, 50)) < 0.5, 10, axis=1)
    own = rng.random((100, 500)) < rng.uniform(0.3, 0.7, size=(100, 1))
    for rows in (people, own):
        with pytest.raises(BadInput, match="so different in size"):
            check(rows, design="poisson")


def test_each_example_in_as_many_models_is_independent_inclusion():
    """LiRA's design: every example in exactly half of the models, each model's rows independent."""
    order = np.random.default_rng(0).random((64, 300)).argsort(axis=0)
    check(order < 32, design="poisson", p=0.5)


def test_a_stated_probability_must_be_that_of_the_subsets():
    rows = membership(500, range(50), p=0.7, design="poisson", seed=0)
    check(rows, design="poisson", p=0.7)
    for p in (0.5, 0.73):
        with pytest.raises(BadInput, match="is not the share"):
            check(rows, design="poisson", p=p)
    with pytest.raises(BadInput, match="model 0 has"):
        check(rows, design="fixed")
