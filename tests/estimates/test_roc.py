"""ROC over models and examples: against scikit-learn, its edges, and its intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from audit.estimates.membership import global_threshold, lira
from audit.estimates.roc import roc
from tests.reference import naive_lira as naive


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(15, 60), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_equals_scikit_learn_ties_and_all(models, n, levels, seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, size=(models, n)).astype(float)
    membership = rng.random((models, n)) < 0.5
    scores[rng.random(scores.shape) < 0.1] = np.nan
    known = ~np.isnan(scores)
    outside = int((~membership & known).sum())
    if not outside or not (membership & known).any():
        assert np.isnan(roc(scores, membership).auc.value)
        return
    found = roc(scores, membership, low_fpr=(0.05, 0.3))
    for at in (0.05, 0.3):
        auc, tpr = naive.auc_and_tpr(scores, membership, at)
        assert found.auc.value == pytest.approx(auc, abs=1e-12)
        if outside * at < 1:
            assert np.isnan(found.tpr[at].value)
        else:
            assert found.tpr[at].value == pytest.approx(tpr, abs=1e-12)
    fpr, tpr, _ = roc_curve(membership[known], scores[known], drop_intermediate=False)
    for x, y in zip(found.curve_fpr, found.curve_tpr, strict=True):
        assert y == pytest.approx(tpr[fpr <= x + 1e-12].max(), abs=1e-12)
    if np.isfinite(found.balanced_accuracy.value):
        learned = _at_thresholds_of_the_others(scores, membership)
        assert found.balanced_accuracy.value == pytest.approx(learned, abs=1e-12)


def _at_thresholds_of_the_others(scores: np.ndarray, membership: np.ndarray) -> float:
    """Balanced accuracy where each model is guessed at the threshold, "at or above", that is best
    for the cells of all others; the highest of several that are."""
    known = ~np.isnan(scores)
    thresholds = [np.inf, *np.unique(scores[known])[::-1]]
    hits = alarms = 0
    for model in range(len(scores)):
        others = known & (np.arange(len(scores)) != model)[:, None]
        inside, outside = (scores[others & side] for side in (membership, ~membership))
        gains = [-1.0] * len(thresholds)
        if inside.size and outside.size:
            gains = [
                (inside >= at).sum() / inside.size - (outside >= at).sum() / outside.size
                for at in thresholds
            ]
        above = scores[model] >= thresholds[int(np.argmax(gains))]
        hits += int((above & membership[model]).sum())
        alarms += int((above & ~membership[model]).sum())
    right = hits / (known & membership).sum() + 1 - alarms / (known & ~membership).sum()
    return float(right / 2)


def test_a_perfect_attack_is_certain_of_nothing():
    membership = np.random.default_rng(0).random((20, 100)) < 0.5
    found = roc(membership.astype(float), membership)
    assert found.auc.value == found.tpr[0.01].value == found.balanced_accuracy.value == 1
    assert 0.8 < found.auc.low < 1
    assert found.auc.high == 1


def test_a_fixed_threshold_counts_ties_half():
    scores = np.array([[1.0, 0.0, -1.0, 0.0], [2.0, 3.0, -1.0, -2.0]])
    membership = np.array([[True, True, False, False], [True, False, True, False]])
    # In: 1, ½ and 1, 0 of 4; out: right 1, ½ and 0, 1.
    assert roc(scores, membership, threshold=0.0).balanced_accuracy.value == 0.625


def test_fewer_non_members_than_one_in_a_thousand_give_no_rate():
    rng = np.random.default_rng(1)
    membership = rng.random((4, 300)) < 0.5
    found = roc(rng.normal(size=(4, 300)), membership)
    assert np.isnan(found.tpr[0.001].value)
    assert np.isfinite(found.tpr[0.01].value)
    assert found.n_out < 1000


def test_models_without_scores_are_no_units():
    rng = np.random.default_rng(2)
    membership = rng.random((9, 50)) < 0.5
    scores = rng.normal(size=(9, 50))
    scores[4] = np.nan
    found = roc(scores, membership)
    assert found.auc.n == 8
    assert found.n_undefined == 50


def shocked(rng, models, n, leak):
    """Noise whose size and level differ between models, and a leak in every third example."""
    membership = rng.random((models, n)) < 0.7
    size = np.exp(0.3 * rng.normal(size=(models, 1)))
    margin = size * rng.normal(size=(models, n)) + 0.3 * rng.normal(size=(models, 1))
    margin += 3 * leak * (np.arange(n) % 3 == 0) * membership
    return margin.astype(np.float16), membership


@pytest.mark.parametrize(("attack", "shared"), [(lira, True), (global_threshold, False)])
def test_on_noise_intervals_hold_coin_flips(attack, shared):
    rng = np.random.default_rng(3)
    held, trials = np.zeros(2), 150
    for _ in range(trials):
        margin, membership = shocked(rng, 25, 120, 0.0)
        scores = attack(margin, membership) if shared else attack(margin)
        found = roc(scores, membership, shared_fits=shared)
        wanted = ((found.auc, 0.5), (found.tpr[0.01], 0.01))
        held += [estimate.low <= truth <= estimate.high for estimate, truth in wanted]
    assert (held / trials > 0.88).all(), held / trials


def test_intervals_hold_the_expected_leak_and_one_that_counts_cells_would_not():
    rng = np.random.default_rng(4)
    found, narrow = [], []
    for _ in range(120):
        margin, membership = shocked(rng, 25, 300, 1.0)
        scores = lira(margin, membership)
        found.append(roc(scores, membership).auc)
        auc, cells = found[-1].value, min(found_sizes(membership))
        # Planted: Hanley & McNeil's error as if every cell were a unit (its simplest bound).
        narrow.append(1.96 * np.sqrt(auc * (1 - auc) / cells) / 2)
    values = np.array([e.value for e in found])
    truth = values.mean()
    held = np.mean([e.low <= truth <= e.high for e in found])
    assert held > 0.9, held
    assert np.mean(np.abs(values - truth) <= narrow) < 0.9


def found_sizes(membership):
    return int(membership.sum()), int((~membership).sum())
