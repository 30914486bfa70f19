"""One-run audits: golden numbers, a naive oracle, false alarms and known mechanisms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from audit.errors import BadInput
from audit.estimates.bounds import dp_bound
from audit.estimates.clopper_pearson import clopper_pearson_epsilon
from audit.estimates.coin_audit import audit_coins, guess_numbers
from audit.estimates.combining import average_e_value, twice_the_mean
from audit.estimates.guessing import correct_guesses, fitted_log_odds, most_confident
from audit.estimates.one_run import one_run_epsilon, one_run_p_value
from audit.estimates.one_run_fdp import certified_epsilon_any, fdp_epsilon, refuted
from audit.estimates.tradeoff import (
    CoinGame,
    curve_profile,
    dp_profile,
    gaussian_epsilon,
    gaussian_mu,
    gaussian_profile,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "audit_statistics.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["clopper_pearson_epsilon"]["cases"])
def test_clopper_pearson_is_that_of_the_peers(case):
    found = clopper_pearson_epsilon(
        tp=case["tp"], n_in=case["n"], fp=case["fp"], n_out=case["n"], delta=float(case["delta"])
    )
    assert found == pytest.approx(case["epsilon"], abs=1e-3)


@pytest.mark.parametrize("case", GOLDEN["one_run_epsilon"]["cases"])
def test_one_run_is_that_of_the_peers(case):
    found = one_run_epsilon(
        coins=case["m"], guesses=case["r"], correct=case["v"], delta=float(case["delta"])
    )
    assert found == pytest.approx(case["epsilon"], abs=1e-3)


@pytest.mark.parametrize("case", GOLDEN["fdp_one_run_epsilon"]["cases"])
def test_f_dp_one_run_is_that_of_the_peers(case):
    found = fdp_epsilon(
        coins=case["m"],
        guesses=case["c_guesses"],
        correct=case["c"],
        delta=float(case["delta"]),
        level=0.05,
    )
    assert found == pytest.approx(case["epsilon"], abs=1e-3)


def test_gaussian_profile_and_its_inverse():
    # Dong, Roth & Su (2022), Corollary 2.13, evaluated with another library's normal distribution.
    for mu, epsilon in ((1.0, 2.0), (0.3, 0.5), (2.5, 6.0)):
        normal = stats.norm
        expected = normal.cdf(mu / 2 - epsilon / mu) - np.exp(epsilon) * normal.cdf(
            -mu / 2 - epsilon / mu
        )
        found = gaussian_profile(mu)(np.exp(np.array([epsilon])))[0]
        assert found == pytest.approx(expected, rel=1e-9)
        assert gaussian_epsilon(mu, expected) == pytest.approx(epsilon, abs=1e-6)
        assert gaussian_mu(epsilon, expected) == pytest.approx(mu, abs=1e-6)


@pytest.mark.parametrize(
    ("epsilon", "delta", "name"),
    [(1.0, 0.0, "delta"), (1.0, 1.0, "delta"), (-0.1, 0.1, "epsilon"), (701.0, 0.1, "epsilon"),
     (float("nan"), 0.1, "epsilon"), (1.0, float("nan"), "delta")],
)  # fmt: skip
def test_no_gaussian_mechanism_has_such_a_guarantee(epsilon, delta, name):
    with pytest.raises(BadInput) as refused:
        gaussian_mu(epsilon, delta)
    assert refused.value.name == name


@pytest.mark.parametrize("p", [0.5, 0.7, 0.05])
@pytest.mark.parametrize(
    ("profile", "allowed"),
    [
        (dp_profile(1.5, 1e-3), dp_bound(1.5, 1e-3)),
        (gaussian_profile(1.0), lambda x: stats.norm.cdf(stats.norm.ppf(x) + 1.0)),
    ],
)
def test_the_coin_game_against_a_search_over_strategies(p, profile, allowed):
    """Whatever share of the guesses says "in", being right cannot outweigh what is allowed; and the
    best strategy on a grid comes close: the bound is not slack."""
    game = CoinGame(profile, p)
    for wrong in (1e-4, 1e-2, 0.1, 0.3):
        part = np.linspace(0, min(wrong, 1 - p), 20_001)
        other = np.clip((wrong - part) / p, 0, None)
        fits = other <= 1
        best = (p * allowed(part / (1 - p)) + (1 - p) * allowed(np.minimum(other, 1)))[fits].max()
        least = game.least_wrong(float(best))
        assert least <= wrong * (1 + 1e-9)
        assert least == pytest.approx(wrong, rel=0.02)


def test_a_curve_gives_no_more_than_its_mechanism():
    grid = np.linspace(0, 8, 401)
    curve = curve_profile(grid, gaussian_profile(1.0)(np.exp(grid)))
    slopes = np.exp(np.linspace(-10, 10, 333))
    exact = gaussian_profile(1.0)(slopes)
    assert (curve(slopes) >= exact - 1e-12).all()
    inside = np.abs(np.log(slopes)) < 7.5
    assert curve(slopes)[inside] == pytest.approx(exact[inside], abs=1e-4)


def _randomized_response(rng, coins, epsilon):
    honest = rng.random(coins.shape) < 1 / (1 + np.exp(-epsilon))
    return np.where(coins == honest, 1.0, -1.0)


def test_randomized_response_at_its_own_epsilon_is_not_refuted_and_nearly_certified():
    rng = np.random.default_rng(1)
    epsilon, above = 1.0, 0
    certified = []
    for _ in range(200):
        coins = rng.random((1, 2000)) < 0.5
        said = _randomized_response(rng, coins, epsilon)
        right = int(((said > 0) == coins).sum())
        bound = certified_epsilon_any(
            coins=2000, guesses=2000, correct=right, delta=0.0, level=0.05
        )
        certified.append(bound)
        above += bound > epsilon
    assert above <= 18  # 5 % of 200 and 2.6 standard errors
    assert np.mean(certified) > 0.75


def test_leaks_that_come_together_do_not_fool_the_bound():
    """With probability δ everything is revealed at once: the worst dependence there is."""
    rng = np.random.default_rng(2)
    delta, alarms = 0.02, 0
    for _ in range(1000):
        coins = rng.random(100) < 0.5
        said = coins if rng.random() < delta else rng.random(100) < 0.5
        right = int((said == coins).sum())
        alarms += refuted(dp_profile(0.0, delta), coins=100, guesses=100, correct=right, level=0.05)
    assert alarms <= 71


@pytest.mark.parametrize("p", [0.5, 0.7])
def test_pure_noise_is_seldom_called_a_leak(p):
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(150):
        coins = rng.random((20, 50)) < p
        noise, other = rng.standard_normal((2, 20, 50))
        found = audit_coins(coins, p=p, delta=1e-3, statistic=noise, llr=other)
        alarms += bool(found.epsilon.value > 0)
    assert alarms <= 15


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_a_gaussian_mechanism_is_never_certified_above_its_epsilon(epsilon):
    rng = np.random.default_rng(4)
    delta = 1e-3
    mu = gaussian_mu(epsilon, delta)
    certified = []
    for _ in range(40):
        coins = rng.random((20, 500)) < 0.5
        x = rng.standard_normal(coins.shape) + mu * coins
        found = audit_coins(
            coins, p=0.5, delta=delta, llr=mu * x - mu**2 / 2, claim=(epsilon, delta)
        )
        assert not found.refutes_epsilon_delta
        certified.append(found.epsilon.value)
    assert max(certified) <= epsilon
    if epsilon >= 2:
        assert np.mean(certified) > 0.4 * epsilon


def test_a_leak_is_refuted_by_the_claimed_curve():
    rng = np.random.default_rng(5)
    grid = np.linspace(0, 12, 401)
    claimed = gaussian_profile(gaussian_mu(1.0, 1e-3))(np.exp(grid))
    coins = rng.random((20, 500)) < 0.5
    x = rng.standard_normal(coins.shape) + 2.0 * coins
    found = audit_coins(
        coins, p=0.5, delta=1e-3, statistic=x, claim=(1.0, 1e-3), claim_curve=(grid, claimed)
    )
    assert found.refutes_claim
    assert found.refutes_epsilon_delta
    assert found.epsilon.value > 1.0


def test_fitting_on_the_guessed_models_would_be_caught():
    """The planted error: scores fitted on the coins they are used on certify noise."""
    rng = np.random.default_rng(6)
    coins = rng.random((20, 2000)) < 0.5
    noise = rng.standard_normal(coins.shape)
    own = fitted_log_odds(noise, coins, noise, p=0.5)
    cheating = audit_coins(coins, p=0.5, delta=1e-3, llr=own)
    honest = audit_coins(coins, p=0.5, delta=1e-3, statistic=noise)
    assert cheating.epsilon.value > 0.1
    assert honest.epsilon.value == 0


def test_scores_that_say_nothing():
    coins = np.random.default_rng(7).random((20, 30)) < 0.5
    equal = audit_coins(coins, p=0.5, delta=1e-3, statistic=np.zeros(coins.shape))
    assert np.isnan(equal.epsilon.value)
    assert (equal.undefined, bool(equal.why_not)) == (coins.size, True)
    unknown = audit_coins(coins, p=0.5, delta=1e-3, llr=np.full(coins.shape, np.nan))
    assert np.isnan(unknown.epsilon.value)
    assert unknown.undefined == coins.size
    few = audit_coins(coins[:1], p=0.5, delta=1e-3, statistic=np.ones((1, 30)))
    assert np.isnan(few.epsilon.value)
    assert "too few" in (few.why_not or "")
    always = np.ones((20, 30), dtype=bool)
    noise = np.random.default_rng(8).normal(size=(20, 30))
    assert np.isnan(audit_coins(always, p=0.7, delta=0.0, statistic=noise).epsilon.value)
    with pytest.raises(BadInput, match="llr"):
        audit_coins(coins, p=0.5, delta=1e-3)


def test_the_most_confident_coins_with_ties_and_unknowns():
    log_odds = np.array([[0.5, -3.0, np.nan], [3.0, 0.5, -0.5]])
    assert most_confident(log_odds, 2).tolist() == [1, 3]
    assert most_confident(log_odds, 3).tolist() == [1, 3, 0]
    assert most_confident(log_odds, 9).size == 5
    coins = np.array([[True, False, True], [False, True, True]])
    assert correct_guesses(log_odds, coins, np.array([0, 1, 3])) == 2
    assert guess_numbers(10) == [2, 1]


def test_general_p_against_simulated_best_guesses():
    """ε-DP with P[in] = p: guessing "in" whenever randomized response says so is never refuted."""
    rng = np.random.default_rng(9)
    p, epsilon, alarms = 0.7, 1.0, 0
    for _ in range(300):
        coins = rng.random((1, 400)) < p
        said = _randomized_response(rng, coins, epsilon) > 0
        chosen = np.flatnonzero(said.ravel())[:200]
        right = int(coins.ravel()[chosen].sum())
        value = one_run_p_value(
            coins=400, guesses=len(chosen), correct=right, epsilon=epsilon, delta=0.0, p=p,
            guesses_in=len(chosen),
        )  # fmt: skip
        alarms += value < 0.05
    assert 2 <= alarms <= 27  # about α: the bound is attained by this mechanism


def test_combining_dependent_p_values():
    assert twice_the_mean(np.array([0.01, 0.03])) == pytest.approx(0.04)
    assert twice_the_mean(np.array([0.9, 0.8])) == 1.0
    assert twice_the_mean(np.array([0.0, np.nan])) == 1.0
    assert np.isnan(twice_the_mean(np.empty(0)))
    rng = np.random.default_rng(10)
    for rule in (twice_the_mean, average_e_value):
        same = rng.random(4000)
        alarms = np.mean([rule(np.full(5, p)) <= 0.05 for p in same])
        assert alarms <= 0.06


def test_impossible_counts_are_refused():
    with pytest.raises(BadInput, match="correct"):
        refuted(dp_profile(1.0, 0.0), coins=10, guesses=5, correct=6, level=0.05)
    with pytest.raises(BadInput, match="guesses_in"):
        one_run_p_value(coins=10, guesses=5, correct=5, epsilon=1.0, delta=0.0, p=0.7)
    with pytest.raises(BadInput, match="tp"):
        clopper_pearson_epsilon(tp=3, n_in=2, fp=0, n_out=2, delta=0.0)


def test_at_delta_zero_the_bound_needs_no_gaussian():
    rng = np.random.default_rng(11)
    coins = rng.random((4, 500)) < 0.5
    revealed = np.where(coins, 1.0, -1.0)
    found = audit_coins(coins, p=0.5, delta=0.0, llr=revealed, claim=(1.0, 0.0))
    assert found.refutes_epsilon_delta
    assert found.epsilon.value == found.epsilon_any.value > 3
