"""Poisson minibatches: the distribution the accountant assumes, and nothing that depends on |T|."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from audit.training.minibatches import poisson_minibatches


def per_step(membership: np.ndarray, q: float, steps: int, *, arm: str = "standard", seed: int = 0):
    """selected[step][model] = list of examples."""
    models = range(len(membership))
    selected = []
    blocks = poisson_minibatches(membership, models, arm=arm, sample_rate=q, steps=steps, seed=seed)
    for block in blocks:
        for examples, sizes in block.steps():
            selected.append(np.split(examples, np.cumsum(sizes)[:-1]))
    return selected


def test_each_member_is_selected_with_probability_q_independently():
    n, q, steps = 40, 0.3, 4000
    membership = np.ones((1, n), dtype=bool)
    counts = np.zeros((steps, n), dtype=int)
    for step, (examples,) in enumerate(per_step(membership, q, steps)):
        assert len(np.unique(examples)) == len(examples)
        counts[step, examples] = 1
    # Rate of each example, within 4.5 standard errors of q (40 examples).
    error = np.sqrt(q * (1 - q) / steps)
    assert np.abs(counts.mean(axis=0) - q).max() < 4.5 * error
    # Sizes are binomial: a χ² test over the whole distribution.
    sizes = counts.sum(axis=1)
    edges = np.arange(7, 18)
    observed = np.array(
        [(sizes <= 6).sum(), *[(sizes == k).sum() for k in edges], (sizes > 17).sum()]
    )
    expected = steps * np.array(
        [stats.binom.cdf(6, n, q), *stats.binom.pmf(edges, n, q), stats.binom.sf(17, n, q)]
    )
    assert stats.chisquare(observed, expected).pvalue > 1e-3
    # Successive steps and neighbouring examples are uncorrelated.
    assert abs(np.corrcoef(counts[:-1].ravel(), counts[1:].ravel())[0, 1]) < 4.5 / np.sqrt(
        steps * n
    )
    assert abs(np.corrcoef(counts[:, :-1].ravel(), counts[:, 1:].ravel())[0, 1]) < 0.012


def test_others_selections_do_not_change_when_an_example_leaves():
    rng = np.random.default_rng(1)
    membership = rng.random((1, 200)) < 0.7
    without = membership.copy()
    without[0, np.flatnonzero(membership[0])[10]] = False
    left = np.flatnonzero(membership[0] & ~without[0])[0]
    for (before,), (after,) in zip(
        per_step(membership, 0.1, 50), per_step(without, 0.1, 50), strict=True
    ):
        np.testing.assert_array_equal(before[before != left], after)


def test_a_model_has_the_same_minibatches_alone_and_in_a_cohort():
    rng = np.random.default_rng(2)
    membership = rng.random((3, 500)) < 0.7
    together = per_step(membership, 0.05, 30)
    blocks = poisson_minibatches(
        membership[2:], range(2, 3), arm="standard", sample_rate=0.05, steps=30, seed=0
    )
    alone = [examples for block in blocks for examples, _ in block.steps()]
    for step in range(30):
        np.testing.assert_array_equal(together[step][2], alone[step])


def test_arms_and_models_draw_different_minibatches():
    membership = np.ones((2, 300), dtype=bool)
    standard, dp = per_step(membership, 0.1, 5), per_step(membership, 0.1, 5, arm="dp-2")
    assert not np.array_equal(standard[0][0], dp[0][0])
    assert not np.array_equal(standard[0][0], standard[0][1])


@pytest.mark.parametrize("q", [1.0, 1e-4])
def test_extreme_rates(q: float):
    membership = np.ones((1, 100), dtype=bool)
    membership[0, :10] = False
    selected = per_step(membership, q, 20)
    assert len(selected) == 20
    if q == 1.0:
        assert all(np.array_equal(s[0], np.arange(10, 100)) for s in selected)


def test_blocks_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch):
    # Memory is bounded by drawing blocks of steps; each block's selections stay in range.
    from audit.training import minibatches

    monkeypatch.setattr(minibatches, "_BLOCK_EXAMPLES", 50)
    membership = np.ones((2, 100), dtype=bool)
    selected = per_step(membership, 0.1, 23)
    assert len(selected) == 23
    assert all(s.max(initial=0) < 100 for step in selected for s in step)
