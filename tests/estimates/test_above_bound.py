"""How many point estimates lie above a bound by chance: oracle, simulation, wrong answers."""

from __future__ import annotations

import time

import numpy as np
import pytest

from audit.estimates.above_bound import above_bound, expected_by_chance
from audit.estimates.bounds import dp_bound
from audit.estimates.memorization import memorization_from_counts
from tests.reference.naive_above_bound import chance_above


def test_every_way_to_share_out_the_right_answers():
    """All tables of up to six models in and four out, at a strict and a loose bound."""
    for epsilon, delta in ((0.1, 0.0), (1.0, 0.01), (8.0, 1e-3)):
        bound = dp_bound(epsilon, delta)
        for n_in in range(1, 7):
            for n_out in range(1, 5):
                for correct in range(n_in + n_out + 1):
                    naive = chance_above(
                        n_in, n_out, correct, lambda p, b=bound: float(b(np.array([p]))[0])
                    )
                    mine = expected_by_chance(
                        np.array([n_in]), np.array([n_out]), np.array([correct]), bound
                    )
                    assert mine == pytest.approx(naive, abs=1e-12), (n_in, n_out, correct)


def simulated(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Counts above the bound and what is expected of them, over 60 cohorts of 200 models.

    True shares from hard to nearly always right, where plugging them in would be biased.
    ``shift``: how much likelier models that saw an example are right.
    """
    rng = np.random.default_rng(seed)
    share = np.concatenate([rng.uniform(0, 1, 150), 1 - rng.exponential(0.004, 350)]).clip(0, 1)
    found, expected = [], []
    for _ in range(60):
        n_in = rng.binomial(200, 0.7, share.size)
        n_out = 200 - n_in
        right_in = rng.binomial(n_in, np.minimum(1, share + shift))
        right_out = rng.binomial(n_out, share)
        estimate = memorization_from_counts(n_in, n_out, right_in, right_out)
        result = above_bound(estimate, 1.0, 1e-4)
        found.append(result.count)
        expected.append(result.by_chance)
    return np.array(found), np.array(expected)


def test_without_an_effect_the_expected_count_is_met():
    found, expected = simulated(seed=1, shift=0.0)
    difference = found - expected
    assert expected.mean() > 5
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    assert abs(difference.mean()) < 4 * error
    assert error < 0.15 * expected.mean()


def test_an_effect_gives_more_than_chance():
    found, expected = simulated(seed=2, shift=0.05)
    difference = found - expected
    assert difference.mean() > 5 * difference.std(ddof=1) / np.sqrt(len(difference))


def test_examples_in_every_model_or_in_none_do_not_count():
    n_in, n_out, correct = np.array([5, 0]), np.array([0, 5]), np.array([3, 3])
    assert expected_by_chance(n_in, n_out, correct, dp_bound(1.0, 0.0)) == 0


def test_many_examples_cost_little():
    rng = np.random.default_rng(3)
    n_in = rng.binomial(1000, 0.7, 60_000)
    correct = rng.binomial(1000, rng.uniform(0, 1, 60_000))
    start = time.perf_counter()
    assert expected_by_chance(n_in, 1000 - n_in, correct, dp_bound(2.0, 1e-5)) >= 0
    assert time.perf_counter() - start < 20
