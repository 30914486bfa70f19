"""Priors, predictions and the simulation of the long-tail model, against enumeration."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from audit.estimates import longtail_prior as priors
from audit.estimates.longtail import expected_seen, tau, unseen_mass
from audit.estimates.longtail_prior import Prior, marginal, sum_of_draws
from audit.estimates.longtail_simulation import (
    FITS_ALL,
    LIMITED,
    NO_PAIRS,
    NO_SINGLETONS,
    Side,
    simulate,
)
from audit.estimates.longtail_theory import (
    Labels,
    Population,
    mixed,
    predict,
    spectrum,
    unfitted_share,
    vote_error,
)
from tests.reference import naive_longtail

TEN = Labels(10)


def alone(prior: Prior) -> list[Population]:
    return [Population("all", prior)]


@pytest.mark.parametrize(("points", "samples"), [(2, 3), (3, 4), (4, 3)])
def test_against_enumeration(points: int, samples: int) -> None:
    """Random frequencies: every draw of values and every sample, exactly."""
    values = [Fraction(1), Fraction(1, 2), Fraction(1, 5)]
    expected = naive_longtail.enumerate_model(values, points, samples)
    prior = Prior("three", points, np.array([float(v) for v in values]), np.full(3, 1 / 3))
    (found,) = predict(alone(prior), samples, TEN)
    assert found.singletons * samples == pytest.approx(expected.once, rel=1e-5)
    assert found.tau / samples == pytest.approx(expected.of_once / expected.once, rel=1e-5)
    assert found.unseen == pytest.approx(expected.unseen, rel=1e-5)
    assert found.optimum == pytest.approx(0.9 * expected.unseen, rel=1e-5)
    assert found.unfitted == pytest.approx(0.9 * expected.of_once, rel=1e-5)


def test_the_sum_of_draws_has_the_moments_of_a_sum() -> None:
    prior = priors.zipf(2_000)
    where, chance = sum_of_draws(prior.values, prior.weights, 1_999, 2_048)
    mean = 1_999 * prior.values.mean()
    assert chance.sum() == pytest.approx(1)
    assert (where * chance).sum() == pytest.approx(mean, rel=1e-9)
    variance = 1_999 * prior.values.var()
    # Within a node the sum varies, and its square is missed there.
    assert ((where - mean) ** 2 * chance).sum() == pytest.approx(variance, rel=1e-3)


def test_every_prior_has_a_mass_of_one() -> None:
    for prior in (
        priors.zipf(500),
        priors.zipf(500, 2.0),
        priors.geometric(50, 0.8),
        priors.two_levels(100, 3, 0.4),
        priors.of_counts(np.array([5, 1, 0, 1, 40])),
        priors.zipf(1),
    ):
        for draw in ("random", "fixed"):
            own = marginal(prior, draw)
            mass = own.domain * (own.frequencies * own.weights).sum()
            assert mass == pytest.approx(1, rel=1e-4), (prior.name, draw)
            assert own.weights.sum() == pytest.approx(1)


def test_fixed_frequencies_are_those_of_the_counts() -> None:
    counts = np.array([6, 1, 1, 2])
    (found,) = predict(alone(priors.of_counts(counts)), 10, TEN, draw="fixed")
    shares = counts / 10
    assert found.singletons * 10 == pytest.approx(expected_seen(shares, 10, 1), rel=1e-6)
    assert found.tau / 10 == pytest.approx(tau(shares, 10), rel=1e-6)
    assert found.unseen == pytest.approx(unseen_mass(shares, 10), rel=1e-6)
    assert found.weight == pytest.approx(0.4)  # 1/n and 2/n


@pytest.mark.parametrize(("classes", "noise"), [(2, 0.2), (3, 0.3), (4, 0.1)])
def test_votes_against_enumeration(classes: int, noise: float) -> None:
    for votes in range(6):
        expected = naive_longtail.vote_error(votes, classes, noise)
        assert vote_error(votes, Labels(classes, noise)) == pytest.approx(expected, abs=1e-12)


def test_a_limit_leaves_the_rest_unfitted() -> None:
    """Method §8: of .9, a limit of ½ leaves .4; and the price is in proportion."""
    assert unfitted_share(TEN, None) == 0
    assert unfitted_share(TEN, 0.5) == pytest.approx(0.4)
    assert unfitted_share(TEN, 0.95) == 0
    (found,) = predict(alone(priors.zipf(300)), 200, TEN, limit=0.5)
    assert found.limited == pytest.approx(found.unfitted * 4 / 9)
    assert np.isnan(predict(alone(priors.zipf(300)), 200, TEN)[0].limited)


def test_a_mixture_is_its_populations_on_their_shares() -> None:
    """Each population has the numbers it would have alone, with its own expected samples."""
    parts = [Population("a", priors.zipf(500), 5 / 6), Population("b", priors.zipf(500), 1 / 6)]
    found = predict(parts, 6_000, TEN, limit=0.5)
    for part, samples in zip(found, (5_000, 1_000), strict=True):
        (own,) = predict(alone(priors.zipf(500)), samples, TEN, limit=0.5)
        assert part.samples == pytest.approx(samples)
        assert part.optimum == pytest.approx(own.optimum, rel=2e-3)
        assert part.limited == pytest.approx(own.limited, rel=2e-3)
    together = mixed(found, 6_000)
    assert together["optimum"] == pytest.approx((5 * found[0].optimum + found[1].optimum) / 6)


def test_the_spectrum_is_the_whole_population() -> None:
    rows = spectrum(alone(priors.zipf(1_000)), 1_000)
    (found,) = predict(alone(priors.zipf(1_000)), 1_000, TEN)
    assert sum(r["unseen"] + r["once"] + r["more"] for r in rows) == pytest.approx(1, rel=1e-4)
    assert sum(r["unseen"] for r in rows) == pytest.approx(found.unseen, rel=1e-6)
    price = sum(r["once"] for r in rows) * 0.9
    assert price == pytest.approx(found.unfitted, rel=1e-6)
    assert all(after["low"] == 2 * before["low"] for before, after in pairwise(rows))


def sides(**changes: object) -> dict[str, Side]:
    given = {"noise": 0.0, "worlds": 300, "limit": 0.5, "draw": "random", "scale": 1.0, **changes}
    labels = Labels(10, given["noise"])
    parts = [Population("a", priors.zipf(400), 0.75), Population("b", priors.zipf(800), 0.25)]
    predicted = predict(parts, 1_500, labels, limit=given["limit"], draw=given["draw"])
    # A planted wrong answer.
    predicted = [replace(p, tau=given["scale"] * p.tau) for p in predicted]
    found = simulate(
        parts, predicted, 1_500, labels, draw=given["draw"], worlds=given["worlds"],
        rng=np.random.default_rng(11), limit=given["limit"],
    )  # fmt: skip
    return {side.learner: side for side in found}


@pytest.mark.parametrize("noise", [0.0, 0.15])
@pytest.mark.parametrize("draw", ["random", "fixed"])
def test_both_sides_of_the_theorem(noise: float, draw: str) -> None:
    """Equality for all that leave nothing but singletons unfitted; more is lost by the last."""
    found = sides(noise=noise, draw=draw)
    for learner in (FITS_ALL, NO_SINGLETONS, LIMITED):
        # Four intervals of a fixed seed: at three standard errors.
        excess = found[learner].excess
        assert abs(excess.value) < 1.5 * (excess.high - excess.value), learner
        assert not found[learner].violates or excess.high > -1e-3
    assert found[FITS_ALL].unfitted.value == 0
    assert found[LIMITED].unfitted.value == pytest.approx(
        found[NO_SINGLETONS].unfitted.value * 4 / 9, rel=0.05
    )
    assert found[NO_PAIRS].excess.low > 0.01
    assert not found[NO_PAIRS].tight


def test_a_wrong_tau_is_caught() -> None:
    assert sides(scale=1.15)[NO_SINGLETONS].violates
    assert not sides(scale=0.85)[NO_SINGLETONS].tight


def test_worlds_without_singletons_say_nothing() -> None:
    counts = np.array([500, 700, 800])
    parts = alone(priors.of_counts(counts))
    predicted = predict(parts, 2_000, TEN, draw="fixed")
    found = simulate(
        parts, predicted, 2_000, TEN, draw="fixed", worlds=5, rng=np.random.default_rng(0)
    )
    assert all(side.says_nothing and not side.tight and not side.violates for side in found)


def test_a_single_point_is_never_seen_once() -> None:
    (found,) = predict(alone(priors.zipf(1)), 10, TEN, limit=0.2)
    assert (found.unfitted, found.limited, found.optimum) == (0, 0, 0)
    assert np.isnan(found.tau)


def test_numbers_that_mean_nothing_are_refused() -> None:
    prior = priors.zipf(10)
    for wrong, match in (
        ({"labels": Labels(10, 0.95)}, "noise"),
        ({"labels": Labels(2, 0.45)}, "not settle"),
        ({"labels": Labels(1)}, "classes = 1"),
        ({"samples": 1}, "samples = 1"),
        ({"limit": 1.5}, "limit"),
        ({"populations": [Population("half", prior, 0.5)]}, "sum to 1"),
    ):
        given = {"populations": alone(prior), "samples": 10, "labels": TEN, "limit": None, **wrong}
        with pytest.raises(ValueError, match=match):
            predict(given["populations"], given["samples"], given["labels"], limit=given["limit"])
    with pytest.raises(ValueError, match="domain = 0"):
        priors.zipf(0)
    with pytest.raises(ValueError, match="ratio"):
        priors.geometric(10, 1.0)
    with pytest.raises(ValueError, match="is 0 in floats"):
        priors.geometric(100_000, 0.5)
    with pytest.raises(ValueError, match="head = 10"):
        priors.two_levels(10, 10, 0.5)
    with pytest.raises(ValueError, match="none is above 0"):
        priors.of_counts(np.array([0]))
