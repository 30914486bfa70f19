"""The live cross-check passes an honest engine and catches small lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.inclusion import membership
from audit.training.arms import Arm
from audit.training.crosscheck import TOLERANCE, cross_check
from audit.training.ensemble import Ensemble, train_ensemble
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
    theta = train_ensemble(MODEL, trained, x, y, member, range(3), seed=4)
    return cross_check(MODEL, claimed, theta[1], 1, member[1], train, test, seed=4)


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_an_honest_engine_passes_with_two_orders_to_spare(arm: Arm, problem):
    result = check(arm, arm, problem)
    assert result.passed
    assert result.parameters_relative_difference < TOLERANCE / 20
    assert result.predictions == N + 50
    assert result.predictions_differing == 0
    assert result.steps == 200


def test_clipping_off_by_one_percent_is_caught(problem):
    # Same noise on the sum, so only the clip norm differs.
    lying = replace(DP, clip_norm=1.01, noise_multiplier=1.5 / 1.01)
    result = check(DP, lying, problem)
    assert not result.passed
    assert result.parameters_relative_difference > 5 * TOLERANCE


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
    assert not check(DP, replace(DP, **change), problem).passed


def test_an_engine_that_skips_clipping_on_one_layer_is_caught(
    problem, monkeypatch: pytest.MonkeyPatch
):
    honest = Ensemble._clip_factors

    def without_last_layer(self, inputs, deltas, squared_norms):
        return honest(self, inputs[:1], deltas[:1], squared_norms)

    monkeypatch.setattr(Ensemble, "_clip_factors", without_last_layer)
    assert not check(DP, DP, problem).passed


def test_a_diverged_model_does_not_pass(problem):
    train, test, member = problem
    theta = torch.full((MODEL.parameters,), torch.nan)
    result = cross_check(MODEL, STANDARD, theta, 0, member[0], train, test, seed=4)
    assert not result.passed
