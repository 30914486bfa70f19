"""Influence pairs: exactness, false discoveries on noise, the winner's curse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from audit.errors import BadInput
from audit.estimates.influence import _fisher_exact, influence_matrix, influential_pairs
from tests.reference import naive_memorization as naive


def planted(rng, models, n, n_test, pairs, strength):
    """Noise, except that test j is right more often when its training example is in."""
    membership = rng.random((models, n)) < 0.7
    p = np.full((models, n_test), 0.5)
    for i, j in pairs:
        p[:, j] = np.where(membership[:, i], 0.5 + strength / 2, 0.5 - strength / 2)
    memorized = np.zeros(n, dtype=bool)
    memorized[: max(n // 4, 1)] = True
    correct = np.where(memorized, membership, rng.random((models, n)) < 0.5)
    return membership, correct, rng.random((models, n_test)) < p


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_matrix_equals_the_naive_oracle(models, seed):
    rng = np.random.default_rng(seed)
    membership, test_correct = rng.random((models, 4)) < 0.6, rng.random((models, 3)) < 0.5
    matrix = influence_matrix(membership, test_correct)
    for i in range(4):
        for j in range(3):
            expected = naive.influence(membership, test_correct, i, j)
            np.testing.assert_allclose(matrix[i, j], expected, atol=1e-12)


def test_pairs_and_q_values_are_those_of_scipy_over_the_whole_family():
    rng = np.random.default_rng(0)
    data = planted(rng, 80, 16, 30, [(0, 3), (1, 7)], 0.9)
    result = influential_pairs(*data, block=5)
    membership, correct, test_correct = data
    matrix = influence_matrix(membership, test_correct)
    mem = np.array(naive.memorization(membership, correct))
    cut = (matrix >= 0.15) & (mem >= 0.25)[:, None]
    p = np.ones(matrix.shape)
    for i, j in zip(*np.nonzero(cut), strict=True):
        inside, right = membership[:, i], test_correct[:, j]
        both = int((inside & right).sum())
        p[i, j] = stats.hypergeom.sf(both - 1, 80, right.sum(), inside.sum())
    q = np.asarray(multipletests(p.ravel(), method="fdr_bh")[1]).reshape(p.shape)
    expected = {(int(i), int(j)) for i, j in zip(*np.nonzero(cut & (q <= 0.1)), strict=True)}
    assert set(zip(result.train.tolist(), result.test.tolist(), strict=True)) == expected
    assert {(0, 3), (1, 7)} <= expected
    np.testing.assert_allclose(result.q_value, q[result.train, result.test], rtol=1e-8)
    np.testing.assert_allclose(result.influence, matrix[result.train, result.test])
    np.testing.assert_allclose(result.mem, mem[result.train])
    assert (np.diff(result.influence) <= 0).all()
    assert ((result.low < result.influence) & (result.influence < result.high)).all()
    assert (result.n_by_cuts, result.n_tested) == (cut.sum(), 480)
    again = influential_pairs(*data, block=1000)
    np.testing.assert_array_equal(again.train, result.train)
    assert (again.mean_selected, again.n_split) == (result.mean_selected, result.n_split)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 9), st.integers(0, 7), st.sampled_from([0.05, 0.5, 0.95]),
    st.integers(1, 6), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_pairs_are_those_of_the_naive_rules(models, n, n_test, fdr, block, seed):
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.2, 1.0)
    membership, correct = rng.random((models, n)) < share, rng.random((models, n)) < 0.5
    correct |= membership & (rng.random((models, n)) < 0.6)
    test_correct = membership[:, rng.integers(n, size=n_test)] ^ (
        rng.random((models, n_test)) < rng.uniform(0, 0.5)
    )
    result = influential_pairs(membership, correct, test_correct, fdr=fdr, block=block)
    mem = np.array(naive.memorization(membership, correct), dtype=float)
    matrix = influence_matrix(membership, test_correct)
    with np.errstate(invalid="ignore"):
        cut = (matrix >= 0.15 - 1e-12) & (mem >= 0.25 - 1e-12)[:, None]
    p = np.ones(matrix.shape)
    for i, j in zip(*np.nonzero(cut), strict=True):
        inside, right = membership[:, i], test_correct[:, j]
        both = int((inside & right).sum())
        p[i, j] = stats.hypergeom.sf(both - 1, models, right.sum(), inside.sum())
    q = (
        p
        if p.size == 0
        else np.asarray(multipletests(p.ravel(), method="fdr_bh")[1]).reshape(p.shape)
    )
    expected = {(int(i), int(j)) for i, j in zip(*np.nonzero(cut & (q <= fdr)), strict=True)}
    # On the edge of the FDR the last bit decides.
    edge = {(int(i), int(j)) for i, j in zip(*np.nonzero(abs(q - fdr) < 1e-9), strict=True)}
    found = set(zip(result.train.tolist(), result.test.tolist(), strict=True))
    assert found - edge == expected - edge
    assert result.n_by_cuts == cut.sum()


@pytest.mark.parametrize("models", [50, 3_000_000])
def test_p_values_are_those_of_scipy_for_millions_of_models_too(models):
    """Three counts below 3,000,000 in one 64-bit number would not fit."""
    rng = np.random.default_rng(0)
    n_in = rng.binomial(models, 0.7, size=40)
    right = rng.binomial(models, 0.9, size=40)
    right_in = rng.hypergeometric(n_in, models - n_in, right)
    p = _fisher_exact(right_in, n_in, right, models)
    expected = stats.hypergeom.sf(right_in - 1, models, n_in, right)
    np.testing.assert_allclose(p, expected, rtol=1e-6)


def test_pairs_that_tie_at_the_fdr_are_reported():
    # Every pair with a memorized example has p = 1/3 and q = 1/2, the FDR exactly.
    in_one = np.array([True, False, False])[:, None]
    membership = np.tile(in_one, (1, 3))
    correct = np.hstack([in_one, in_one, ~in_one | True])
    result = influential_pairs(membership, correct, np.tile(in_one, (1, 2)), fdr=0.5)
    assert result.train.size == 4
    np.testing.assert_allclose(result.q_value, 0.5)


def test_noise_is_not_reported_though_it_passes_the_cuts():
    rng = np.random.default_rng(1)
    trials, any_reported = 60, 0
    for _ in range(trials):
        result = influential_pairs(*planted(rng, 60, 40, 40, [], 0.0))
        assert result.n_by_cuts > 20
        any_reported += result.train.size > 0
    # With every hypothesis null the FDR is the chance of any report.
    assert any_reported / trials <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / trials)


def test_re_estimation_shows_the_winners_curse():
    rng = np.random.default_rng(2)
    pairs = [(i, j) for i in range(10) for j in range(i, 40, 10)]
    result = influential_pairs(*planted(rng, 120, 40, 40, pairs, 0.4))
    assert result.n_split > 0
    assert result.mean_selected > result.mean_reestimated
    assert result.mean_reestimated == pytest.approx(0.4, abs=0.1)


def test_touched_shares():
    rng = np.random.default_rng(3)
    result = influential_pairs(*planted(rng, 300, 20, 50, [(0, 0), (1, 1), (2, 2)], 0.95))
    assert set(result.test.tolist()) == {0, 1, 2}
    assert result.share_touched.value == pytest.approx(3 / 50)
    assert result.share_touched.n == 50
    assert result.share_touched.low < 3 / 50 < result.share_touched.high
    counts = np.bincount(result.test, minlength=50)
    assert result.share_touched_once.value == pytest.approx((counts == 1).mean())


def test_one_to_one_pairs_share_neither_example():
    rng = np.random.default_rng(4)
    planted_pairs = [(0, 0), (0, 1), (1, 2), (3, 4)]
    result = influential_pairs(*planted(rng, 400, 20, 50, planted_pairs, 0.95))
    found = list(zip(result.train.tolist(), result.test.tolist(), strict=True))
    assert set(found) == set(planted_pairs)
    assert (result.n_train, result.n_test, result.n_one_to_one) == (3, 4, 2)


def test_hostile_cases():
    one = np.ones((1, 3), dtype=bool)
    result = influential_pairs(one, one, one)
    assert (result.train.size, result.n_by_cuts) == (0, 0)
    assert np.isnan(result.mean_selected)
    assert result.share_touched.value == 0
    rng = np.random.default_rng(4)
    membership = rng.random((50, 5)) < 0.7
    membership[:, 0] = True
    result = influential_pairs(membership, membership, np.ones((50, 4), dtype=bool))
    assert result.train.size == 0
    with pytest.raises(BadInput, match="fdr"):
        influential_pairs(one, one, one, fdr=0.0)
    with pytest.raises(BadInput, match="min_mem"):
        influential_pairs(one, one, one, min_mem=-1.0)
