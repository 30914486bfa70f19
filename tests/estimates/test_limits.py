"""Limits for thresholds: against Student's own, and by simulation of what they are to prevent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from audit.estimates.crossed import crossed_means
from audit.estimates.intervals import student
from audit.estimates.limits import (
    fewest_degrees,
    stretch,
    unseen_share,
    upper_limit,
    widened,
    widened_share,
)


@pytest.mark.parametrize("degrees", [1, 3, 11, 199])
@pytest.mark.parametrize("comparisons", [1, 2, 10, 50])
def test_widened_limits_are_students_at_their_share_of_the_level(degrees: int, comparisons: int):
    value, error = np.array([0.07]), np.array([0.02])
    low, high = (float(x[0]) for x in student(value, error, np.array([float(degrees)])))
    many = student(value, error, np.array([float(degrees)]), confidence=1 - 0.05 / comparisons)
    found = widened(0.07, low, high, degrees=degrees, comparisons=comparisons)
    assert found == pytest.approx((many[0][0], many[1][0]))


def test_fewer_degrees_stretch_more_so_that_the_fewest_are_enough_for_any():
    for comparisons in (2, 10, 1000):
        by = [stretch(degrees, comparisons) for degrees in (1, 2, 5, 20, 100, 1e6)]
        assert by == sorted(by, reverse=True)
    assert stretch(7, 1) == 1
    assert fewest_degrees(200, 12) == 11


@pytest.mark.parametrize("degrees", [0, -1, 0.5, math.nan])
def test_without_degrees_of_freedom_there_are_no_limits(degrees: float):
    assert math.isnan(stretch(degrees, 3))
    assert all(map(math.isnan, widened(0.1, 0.0, 0.2, degrees=degrees, comparisons=3)))


def test_a_side_cut_off_at_the_end_of_the_scale_counts_as_long_as_the_other():
    low, high = widened(0.9, 0.5, 1.0, degrees=10, comparisons=5)
    assert high - 0.9 == pytest.approx(0.9 - low)
    assert low < 0.5


def test_stored_crossed_limits_are_stretched_at_least_to_the_wider_ones_themselves():
    """The oracle: the interval computed at the wider level from the cells."""
    rng = np.random.default_rng(4)
    for n in (3, 10, 40):
        codes = np.repeat(np.arange(6), n)
        cells = rng.choice([-1, 0, 0, 0, 1], size=(25, 6 * n)).astype(np.int8)
        plain, wide = (
            crossed_means(cells, codes, 6, limits=(-1.0, 1.0), confidence=c)
            for c in (0.95, 1 - 0.05 / 6)
        )
        for g in range(6):
            value, low, high = (float(x[g]) for x in (plain.mean, plain.low, plain.high))
            found = widened(value, low, high, degrees=fewest_degrees(25, n), comparisons=6)
            assert found[0] <= wide.low[g] + 1e-12
            assert found[1] >= wide.high[g] - 1e-12


def test_a_share_is_widened_at_least_as_on_the_logit_scale_it_came_from():
    logit, error, degrees = 0.4, 0.3, 9
    t, t_many = (float(stats.t.ppf(1 - 0.025 / m, degrees)) for m in (1, 4))

    def share(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    value, low, high = (share(logit + k * t * error) for k in (0, -1, 1))
    found = widened_share(value, low, high, degrees=degrees, comparisons=4)
    assert found[0] <= share(logit - t_many * error) + 1e-12
    assert found[1] >= share(logit + t_many * error) - 1e-12
    assert found[0] >= 0
    assert found[1] <= 1
    assert widened_share(0.0, 0.0, 0.02, degrees=9, comparisons=4)[0] == 0
    assert widened_share(0.3, 0.0, 1.0, degrees=9, comparisons=4) == (0.0, 1.0)


def test_the_share_that_n_examples_may_well_miss():
    for n in (1, 2, 10, 500):
        assert (1 - unseen_share(n)) ** n == pytest.approx(0.025)
    assert unseen_share(0) == 1
    assert unseen_share(10_000) == pytest.approx(3.69 / 10_000, rel=0.01)
    # One or two examples exclude next to nothing, whatever they show.
    assert upper_limit(0.0, 0.0, 1) > 0.97
    assert upper_limit(-1.0, -1.0, 2) > 0.6


def _lost_outright(rng: np.random.Generator, models: int, n: int, share: float) -> np.ndarray:
    """Losses of few examples that every model loses, on others next to none."""
    lost = rng.random(n) < share
    noise = rng.integers(-1, 2, (models, n)) * (rng.random((models, n)) < 0.01)
    return np.where(lost, 1, noise).astype(np.int8)


def _spread_out(rng: np.random.Generator, models: int, n: int, share: float) -> np.ndarray:
    each = rng.beta(4, 4 * (1 - share) / share, n)
    return (rng.random((models, n)) < each).astype(np.int8)


def _upper_limits(make, n: int, share: float, seed: int, trials: int = 300) -> tuple[float, float]:
    """How often the upper limit lies below the true mean loss: Student's, and the guarded one."""
    rng, codes = np.random.default_rng(seed), np.zeros(n, dtype=np.int64)
    plain = guarded = 0
    for _ in range(trials):
        found = crossed_means(make(rng, 20, n, share), codes, 1, limits=(-1.0, 1.0))
        value, high = float(found.mean[0]), float(found.high[0])
        plain += high < share - 1e-9
        guarded += upper_limit(value, high, n) < share - 1e-9
    return plain / trials, guarded / trials


@pytest.mark.parametrize("n", [10, 20, 50, 200])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2])
def test_upper_limits_of_few_lost_examples_rarely_lie_below_the_truth(n: int, share: float):
    """Nominal 2.5 % on one side; at most 8 % in truth, plus what 300 trials may show by chance."""
    for make in (_lost_outright, _spread_out):
        _, guarded = _upper_limits(make, n, share, seed=round(1000 * share) + n)
        assert guarded <= 0.08 + 2.6 * math.sqrt(0.08 * 0.92 / 300)


def test_without_the_guard_most_of_them_do():
    plain, guarded = _upper_limits(_lost_outright, 20, 0.02, seed=7)
    assert plain > 0.5
    assert guarded == 0


def test_equal_groups_at_the_threshold_are_rarely_said_to_be_above_it():
    """False alarms of "some group loses more than t" where all lose exactly t: 5 % at most."""
    rng, groups, n, loss, alarms, trials = np.random.default_rng(8), 10, 15, 0.1, 0, 200
    codes = np.repeat(np.arange(groups), n)
    for trial in range(trials):
        make = _spread_out if trial % 2 else _lost_outright
        found = crossed_means(make(rng, 20, groups * n, loss), codes, groups, limits=(-1.0, 1.0))
        lows = [
            widened(
                float(found.mean[g]), float(found.low[g]), float(found.high[g]),
                degrees=fewest_degrees(20, n), comparisons=groups,
            )[0]
            for g in range(groups)
        ]  # fmt: skip
        alarms += max(lows) > loss
    assert alarms / trials <= 0.05


def test_a_group_that_loses_far_more_is_found():
    rng, groups, n = np.random.default_rng(9), 10, 40
    codes = np.repeat(np.arange(groups), n)
    cells = _spread_out(rng, 20, groups * n, 0.05)
    cells[:, codes == 3] = _spread_out(rng, 20, n, 0.5)
    found = crossed_means(cells, codes, groups, limits=(-1.0, 1.0))
    low, _ = widened(
        float(found.mean[3]), float(found.low[3]), float(found.high[3]),
        degrees=fewest_degrees(20, n), comparisons=groups,
    )  # fmt: skip
    assert low > 0.1
