"""The live cross-check passes an honest engine and catches small lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.inclusion import membership
from audit.training import noise, recipe
from audit.training.arms import Arm
from audit.training.crosscheck import EARLY_STEPS, TOLERANCE, cross_check
from audit.training.engines import train_ensemble
from audit.training.ensemble import Ensemble
from audit.training.models import Mlp

N = 300
STANDARD = Arm("standard", 0.15, 200, 31.5, 0.1, 0.9, 0.0)
DP = Arm("dp-2", 0.15, 200, 31.5, 0.3, 0.0, 0.0, clip_norm=1.0, noise_multiplier=1.5)
MODEL = Mlp((20, 16, 5), "tanh")


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + 50, 20)).astype(np.float32)
    y = torch.from_numpy((x @ rng.normal(size=(20, 5))).argmax(axis=1))
    x = torch.from_numpy(np.hstack([x, np.ones((N + 50, 1), np.float32)]))
    return (x[:N], y[:N]), (x[N:], y[N:]), membership(N, range(3), p=0.7, design="poisson", seed=4)


def check(claimed: Arm, trained: Arm, problem):
    train, test, member = problem
    x, y = train
    early: list[torch.Tensor] = []

    def keep(done: int, theta: torch.Tensor) -> None:
        if done == EARLY_STEPS:
            early.append(theta[1].clone())

    theta = train_ensemble(MODEL, trained, x, y, member, range(3), seed=4, on_step=keep)
    return cross_check(MODEL, claimed, theta[1], early[0], 1, member[1], train, test, seed=4)


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_an_honest_engine_passes_with_two_orders_to_spare(arm: Arm, problem):
    result = check(arm, arm, problem)
    assert result.verdict == "holds"
    assert result.self_relative_difference is None
    assert result.early_relative_difference < TOLERANCE / 20
    assert result.single_step_relative_difference < TOLERANCE / 20
    assert result.parameters_relative_difference < TOLERANCE / 20
    assert result.predictions == N + 50
    assert result.predictions_differing == 0
    assert result.steps == 200


def test_clipping_off_by_one_percent_is_caught(problem):
    # Same noise on the sum, so only the clip norm differs.
    lying = replace(DP, clip_norm=1.01, noise_multiplier=1.5 / 1.01)
    result = check(DP, lying, problem)
    assert result.verdict == "fails"
    assert result.early_relative_difference > 5 * TOLERANCE


@pytest.mark.parametrize(
    "change",
    [
        {"noise_multiplier": 1.5 * 0.99},
        {"learning_rate": 0.3 * 1.01},
        {"expected_batch_size": 31.5 * 0.99},
        {"weight_decay": 1e-3},
        {"momentum": 0.01},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_one_percent_lies_are_caught(change: dict[str, float], problem):
    assert check(DP, replace(DP, **change), problem).verdict == "fails"


def test_an_engine_that_skips_clipping_on_one_layer_is_caught(
    problem, monkeypatch: pytest.MonkeyPatch
):
    honest = Ensemble._clip_factors

    def without_last_layer(self, rows, squared_norms):
        return honest(self, replace(rows, hidden=[], deltas=rows.deltas[:1]), squared_norms)

    monkeypatch.setattr(Ensemble, "_clip_factors", without_last_layer)
    result = check(DP, DP, problem)
    assert result.verdict == "fails"
    assert result.single_step_relative_difference > TOLERANCE


def test_a_diverged_model_does_not_pass(problem):
    train, test, member = problem
    theta = torch.full((MODEL.parameters,), torch.nan)
    result = cross_check(MODEL, STANDARD, theta, theta, 0, member[0], train, test, seed=4)
    assert result.verdict == "fails"
    assert result.to_json()["parameters_relative_difference"] is None


def test_two_sides_that_diverge_alike_are_compared_until_they_do(problem):
    wild = replace(STANDARD, learning_rate=1000.0, weight_decay=1.0)
    result = check(wild, wild, problem)
    # Nothing is left to compare at the end, and the steps until then agree.
    assert result.verdict == "inconclusive"
    assert result.single_step_relative_difference <= TOLERANCE
    assert result.to_json()["parameters_relative_difference"] is None
    assert check(replace(wild, weight_decay=0.0), wild, problem).verdict == "fails"
    # The reference does not diverge: an ensemble that does is wrong.
    assert check(wild, STANDARD, problem).verdict == "fails"


def test_an_engine_without_clipping_is_caught_though_both_sides_diverge(
    problem, monkeypatch: pytest.MonkeyPatch
):
    wild = replace(DP, learning_rate=1000.0, weight_decay=1.0)
    assert check(wild, wild, problem).verdict == "inconclusive"
    honest = Ensemble._clip_factors
    monkeypatch.setattr(Ensemble, "_clip_factors", lambda *given: np.ones_like(honest(*given)))
    result = check(wild, wild, problem)
    assert result.verdict == "fails"
    assert result.single_step_relative_difference > TOLERANCE


def scaled_noise(factor: float):
    honest = noise.Noise.draw
    return lambda self: factor * honest(self)


def same_noise_every_step():
    honest, kept = noise.Noise.draw, {}

    def draw(self) -> torch.Tensor:
        if self not in kept:
            kept[self] = honest(self).clone()
        return kept[self]

    return draw


def no_noise_on_the_first_layer():
    honest = noise.Noise.draw

    def draw(self) -> torch.Tensor:
        drawn = honest(self)
        drawn[:, : 16 * 21] = 0.0
        return drawn

    return draw


@pytest.mark.parametrize(
    "make",
    [
        lambda: scaled_noise(0.0),
        lambda: scaled_noise(1 / 31.5),
        lambda: scaled_noise(0.97),
        same_noise_every_step,
        no_noise_on_the_first_layer,
    ],
    ids=["none", "for the mean", "3 % short", "same every step", "missing on a layer"],
)
def test_wrong_noise_that_both_sides_share_is_caught(
    make, problem, monkeypatch: pytest.MonkeyPatch
):
    """Replaying the engine's noise makes both sides agree; the stream tests do not replay."""
    monkeypatch.setattr(noise.Noise, "draw", make())
    result = check(DP, DP, problem)
    assert not result.stream.passed
    assert result.verdict == "fails"


def test_one_noise_for_all_models_is_caught(problem, monkeypatch: pytest.MonkeyPatch):
    honest = noise.seed_sequence
    monkeypatch.setattr(
        noise, "seed_sequence", lambda seed, purpose, arm, model: honest(seed, purpose, arm, 0)
    )
    result = check(DP, DP, problem)
    assert result.stream.noise_model_correlation == pytest.approx(1, abs=0.1)
    assert result.verdict == "fails"


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
@pytest.mark.parametrize("lie", ["ignores the subset", "three times the rate"])
def test_wrong_minibatches_that_both_sides_share_are_caught(
    arm: Arm, lie: str, problem, monkeypatch: pytest.MonkeyPatch
):
    honest = recipe.poisson_minibatches

    def lying(member, models, *, sample_rate, **others):
        if lie == "ignores the subset":
            member = np.ones_like(member)
        else:
            sample_rate = 3 * sample_rate
        return honest(member, models, sample_rate=sample_rate, **others)

    monkeypatch.setattr(recipe, "poisson_minibatches", lying)
    result = check(arm, arm, problem)
    assert result.verdict == "fails"
    assert result.stream.outside_subset > 0 or abs(result.stream.minibatch_z) > 5


def test_training_that_amplifies_rounding_is_not_called_a_lie(problem):
    """Long, hot ReLU training: the two ends differ, as the reference differs from itself."""
    train, test, member = problem
    model = Mlp((20, 64, 64, 5), "relu")
    arm = replace(STANDARD, steps=800, learning_rate=0.4)
    early: list[torch.Tensor] = []

    def keep(done: int, now: torch.Tensor) -> None:
        if done == EARLY_STEPS:
            early.append(now[1].clone())

    x, y = train
    theta = train_ensemble(model, arm, x, y, member, range(3), seed=4, on_step=keep)
    result = cross_check(model, arm, theta[1], early[0], 1, member[1], train, test, seed=4)
    assert result.verdict in ("holds", "inconclusive")
    assert result.single_step_relative_difference < TOLERANCE
    assert result.early_relative_difference < TOLERANCE


def test_unscaled_inputs_amplify_rounding_within_a_few_steps_and_are_no_lie(problem):
    (x, y), (x_test, y_test), member = problem
    large = torch.cat([100 * x[:, :-1], x[:, -1:]], dim=1)
    labels = y[torch.randperm(N, generator=torch.Generator().manual_seed(0))]
    model, early = Mlp((20, 64, 5), "tanh"), []

    def keep(done: int, now: torch.Tensor) -> None:
        if done == EARLY_STEPS:
            early.append(now[1].clone())

    theta = train_ensemble(model, STANDARD, large, labels, member, range(3), seed=4, on_step=keep)
    data, test = (large, labels), (x_test, y_test)
    result = cross_check(model, STANDARD, theta[1], early[0], 1, member[1], data, test, seed=4)
    assert result.early_relative_difference > TOLERANCE, "the case must be one that amplifies"
    assert result.verdict in ("holds", "inconclusive")
