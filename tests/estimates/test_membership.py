"""Attacks: scores against plain loops and the published program, and what must not leak."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit.estimates.membership import default_variance, global_threshold, lira
from audit.estimates.rmia import rmia
from audit.estimates.roc import roc
from tests.reference import naive_lira as naive

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "lira.json").read_text())


def trained(rng, models, n, leak=0.0, p=0.7):
    """Margins of models that treat members better by ``leak`` standard deviations."""
    membership = rng.random((models, n)) < p
    level, spread = 2 * rng.normal(size=n), 0.5 + rng.random(n)
    margin = level + spread * (rng.normal(size=(models, n)) + leak * membership)
    return margin.astype(np.float16), membership


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("variance", ["per-example", "fixed"])
@pytest.mark.parametrize("centre", ["mean", "median"])
@pytest.mark.parametrize("models", [12, 13])
def test_lira_equals_plain_loops(online, variance, centre, models):
    rng = np.random.default_rng(models)
    margin, membership = trained(rng, models, 15, leak=1.0, p=0.5)
    membership[:3], membership[3:6] = True, False  # at least two others on each side
    found = lira(margin, membership, online=online, variance=variance, centre=centre)
    wanted = naive.lira(
        margin, membership, online=online, fixed=variance == "fixed", median=centre == "median"
    )
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("variance", ["per-example", "fixed"])
def test_the_published_program_gives_the_same_scores(variance):
    margin = np.array(GOLDEN["margin"], dtype=np.float16)
    membership = np.array(GOLDEN["membership"], dtype=bool)
    found = lira(margin, membership, variance=variance, centre="median")[-1]
    # Its scores are higher for non-members.
    np.testing.assert_allclose(-found, GOLDEN[f"online {variance}"], rtol=1e-5, atol=1e-6)
    offline = lira(margin, membership, online=False, variance=variance, centre="median")[-1]
    x, out = margin[:-1].astype(float), ~membership[:-1]
    sigma = [np.std(x[out]) if variance == "fixed" else np.std(x[out[:, i], i]) for i in range(6)]
    # The program's two-sided form, from the one-sided distance that the paper orders by.
    density = -np.log(sigma) - np.log(2 * np.pi) / 2 - offline.astype(float) ** 2 / 2
    np.testing.assert_allclose(density, GOLDEN[f"offline {variance}"], rtol=1e-5)


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_equals_plain_loops(online, gamma):
    rng = np.random.default_rng(5)
    margin, membership = trained(rng, 9, 12, leak=1.0, p=0.5)
    membership[:2], membership[2:4] = True, False
    population = rng.normal(size=(9, 31)).astype(np.float16)
    found = rmia(margin, membership, population, online=online, gamma=gamma)
    wanted = naive.rmia(margin, membership, population, online=online, gamma=gamma)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def attacks(margin, membership, population):
    return {
        "online": lira(margin, membership),
        "own variance": lira(margin, membership, variance="per-example"),
        "median": lira(margin, membership, centre="median"),
        "offline": lira(margin, membership, online=False),
        "rmia": rmia(margin, membership, population),
        "rmia offline": rmia(margin, membership, population, online=False),
        "threshold": global_threshold(margin),
    }


def test_higher_means_more_likely_a_member():
    rng = np.random.default_rng(0)
    margin, membership = trained(rng, 40, 200, leak=2.0)
    for name, scores in attacks(margin, membership, rng.normal(size=(40, 300))).items():
        assert roc(scores, membership).auc.value > 0.6, name


def test_noise_tells_nothing_and_only_because_the_model_itself_is_left_out():
    rng = np.random.default_rng(1)
    margin, membership = trained(rng, 20, 1500, p=0.5)
    for name, scores in attacks(margin, membership, rng.normal(size=(20, 300))).items():
        assert abs(roc(scores, membership).auc.value - 0.5) < 0.03, name
    # Planted: the same attack with the target model among those it is fitted on.
    x, inside = margin.astype(float), membership
    sides = [np.where(side, x, np.nan) for side in (inside, ~inside)]
    own = [(np.nanmean(s, axis=0), np.nanstd(s, axis=0)) for s in sides]
    leaky = sum(
        sign * (-0.5 * ((x - m) / s) ** 2 - np.log(s))
        for sign, (m, s) in zip((1, -1), own, strict=True)
    )
    leaky = np.where(np.isfinite(leaky), leaky, np.nan)
    assert roc(leaky, membership).auc.value > 0.55


def test_the_score_of_a_model_does_not_depend_on_its_own_membership():
    rng = np.random.default_rng(2)
    margin, membership = trained(rng, 16, 30, leak=1.0)
    turned = membership.copy()
    turned[3] = ~turned[3]
    for variance in ("per-example", "fixed"):
        before, after = (lira(margin, m, variance=variance)[3] for m in (membership, turned))
        np.testing.assert_allclose(before, after, rtol=1e-5)


def test_undefined_scores_are_nan_where_they_should_be():
    rng = np.random.default_rng(3)
    margin, membership = trained(rng, 10, 8, p=0.5)
    membership[1:4], membership[4:7] = True, False
    margin[0] = np.nan  # diverged
    membership[:, 1], membership[:, 2] = True, False
    membership[:, 3] = [True, *[False] * 9]  # in one model alone, and that one diverged
    margin[membership[:, 4], 4] = 3  # all that saw it agree
    margin[:, 5] = 7
    margin[1, 6], margin[2, 6] = np.inf, -np.inf  # cut, and defined
    own = lira(margin, membership, variance="per-example")
    assert np.isnan(own[0]).all()
    assert np.isnan(own[:, [1, 2, 3, 4, 5]]).all()
    assert np.isfinite(own[1:, [0, 6, 7]]).all()
    fixed = lira(margin, membership, variance="fixed")
    assert np.isfinite(fixed[1:, [0, 4, 5, 6, 7]]).all()
    assert np.isnan(fixed[:, [1, 2, 3]]).all()
    found = roc(own, membership)
    assert found.n_undefined == np.isnan(own).sum()
    assert found.n_in + found.n_out + found.n_undefined == own.size


def test_one_model_has_nothing_to_learn_from():
    rng = np.random.default_rng(4)
    margin, membership = trained(rng, 1, 50)
    for scores in (lira(margin, membership), rmia(margin, membership, margin)):
        assert np.isnan(scores).all()
        assert np.isnan(roc(scores, membership).auc.value)
    alone = roc(global_threshold(margin), membership)
    assert np.isfinite(alone.auc.value)
    assert np.isnan([alone.auc.low, alone.balanced_accuracy.value]).all()


def test_an_outlier_of_all_others_that_agree_leaves_no_variance():
    # From sums of squares, rounding would leave a variance here that is none.
    margin = np.full((8, 1), 0.1, dtype=np.float16)
    membership = np.array([[True]] * 4 + [[False]] * 4)
    margin[0], margin[5:] = 65504, [[1], [2], [3]]
    scores = lira(margin, membership, variance="per-example")
    assert np.isnan(scores[0, 0])
    assert np.isfinite(scores[1:, 0]).all()


@pytest.mark.parametrize(("models", "wanted"), [(64, "fixed"), (65, "per-example"), (1, "fixed")])
def test_a_variance_of_its_own_needs_64_other_models(models, wanted):
    assert default_variance(models) == wanted
