"""Exposure of an arm, of its examples and of its subgroups."""

from __future__ import annotations

import numpy as np

from audit.estimates.exposure import exposure, exposure_of_examples, subgroup_exposure
from audit.estimates.membership import lira


def leaky(rng, models=60, n=90):
    """Examples 0–29 leak, the others do not."""
    membership = rng.random((models, n)) < 0.7
    margin = rng.normal(size=(models, n)) + 4 * membership * (np.arange(n) < 30)
    return margin.astype(np.float16), membership


def test_the_examples_that_leak_are_the_exposed_ones():
    rng = np.random.default_rng(0)
    margin, membership = leaky(rng)
    found = exposure(margin, membership, rng.normal(size=(60, 50)))
    assert found.variance == "fixed"
    assert set(found.attacks) == {
        "lira_online", "lira_offline", "rmia_online", "rmia_offline", "global_threshold",
    }  # fmt: skip
    assert found.each[:30].min() > 0.85 > 0.75 > found.each[30:].max()
    groups = subgroup_exposure(found.scores, membership, np.arange(90) // 30, 4)
    assert groups.low[0] > 0.9
    assert (groups.low[1:3] < 0.5).all()
    assert (groups.high[1:3] > 0.5).all()
    assert np.isnan(groups.mean[3])
    assert np.isnan(groups.rocs[3].auc.value)
    np.testing.assert_allclose(groups.mean[:3], found.each.reshape(3, 30).mean(axis=1))


def test_without_a_population_rmia_is_not_run_and_says_why():
    margin, membership = leaky(np.random.default_rng(1))
    for population in (None, np.full((60, 5), np.nan)):
        found = exposure(margin, membership, population)
        assert set(found.not_run) == {"rmia_online", "rmia_offline"}
        assert not set(found.not_run) & set(found.attacks)


def test_exposure_of_an_example_is_counted_by_hand():
    scores = np.array([[1.0], [-1.0], [0.0], [-2.0], [np.nan], [3.0]])
    membership = np.array([[True], [True], [True], [False], [True], [False]])
    # In: 1, 0 and a half of 3; out: right 1 of 2.
    assert exposure_of_examples(scores, membership)[0] == (0.5 + 0.5) / 2
    assert np.isnan(exposure_of_examples(scores, np.ones_like(membership))[0])


def test_intervals_of_subgroups_hold_coin_flips_on_noise():
    rng, held = np.random.default_rng(2), []
    for _ in range(120):
        membership = rng.random((30, 60)) < 0.7
        margin = rng.normal(size=(30, 60)) * np.exp(0.3 * rng.normal(size=(30, 1)))
        found = subgroup_exposure(lira(margin, membership), membership, np.arange(60) // 20, 3)
        held.append((found.low <= 0.5) & (found.high >= 0.5))
        assert (found.pooled_error > 0).all()
    assert np.mean(held) > 0.9, np.mean(held)


def test_models_that_are_certain_of_what_they_saw_are_attacked_with_one_variance():
    rng = np.random.default_rng(3)
    membership = rng.random((80, 40)) < 0.7
    # A tree: probability 1 for every example it saw, so that no example has a variance "in".
    margin = np.where(membership, 65504.0, rng.normal(size=(80, 40))).astype(np.float16)
    margin += rng.normal(size=40) * 0
    found = exposure(margin, membership, None)
    assert found.variance == "fixed" or found.attacks["lira_online"].n_undefined < 100
    assert found.attacks["lira_offline"].auc.value > 0.99
