"""Models too large for Opacus to keep their per-example gradients are checked by ghost clipping.

The same lies as in ``test_crosscheck.py``, with the threshold lowered so that a small model counts
as a large one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.inclusion import membership
from audit.training import noise, opacus_loop
from audit.training.arms import Arm
from audit.training.crosscheck import TOLERANCE, cross_check
from audit.training.draws import Form
from audit.training.engines import EARLY_STEPS, train_ensemble
from audit.training.ensemble import Ensemble
from audit.training.models import Model
from audit.training.network import Network
from tests.training.test_crosscheck import DP, MODEL
from tests.training.test_crosscheck import problem as problem  # the fixture, by its name here

MOMENTUM = replace(DP, momentum=0.5, weight_decay=1e-3, steps=60)


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opacus_loop, "_KEPT_GRADIENTS", 0)


def check(claimed: Arm, trained: Arm, problem, form: Form = "host", model: Model = MODEL):
    train, test, member = problem
    early: list[torch.Tensor] = []

    def keep(done: int, theta: torch.Tensor) -> None:
        if done == min(EARLY_STEPS, trained.steps):
            early.append(theta[1].clone())

    theta = train_ensemble(
        model, trained, train[0], train[1], member, range(3), seed=4, form=form, on_step=keep
    )
    return cross_check(
        model, claimed, theta[1], early[0], 1, member[1], train, test, seed=4, form=form
    )


@pytest.mark.parametrize("form", ["host", "device"])
@pytest.mark.parametrize("arm", [DP, MOMENTUM], ids=["plain", "momentum and decay"])
def test_an_honest_engine_passes(arm: Arm, form: Form, problem):
    result = check(arm, arm, problem, form)
    assert "ghost clipping" in result.against
    assert result.verdict == "holds"
    for difference in (
        result.early_relative_difference,
        result.single_step_relative_difference,
        result.parameters_relative_difference,
    ):
        assert difference < TOLERANCE / 10
    assert result.predictions_differing == 0


@pytest.mark.parametrize("form", ["host", "device"])
@pytest.mark.parametrize(
    "change",
    [
        {"clip_norm": 1.01, "noise_multiplier": 1.5 / 1.01},
        {"clip_norm": 0.99, "noise_multiplier": 1.5 / 0.99},
        {"noise_multiplier": 1.5 * 0.99},
        {"expected_batch_size": 31.5 * 0.99},
        {"expected_batch_size": 31.5 * 0.7},
        {"learning_rate": 0.3 * 1.01},
    ],
    ids=lambda change: ", ".join(change),
)
def test_one_percent_lies_are_caught(change: dict[str, float], form: Form, problem):
    result = check(DP, replace(DP, **change), problem, form)
    assert result.verdict == "fails"
    assert result.early_relative_difference > 5 * TOLERANCE


def test_a_norm_that_forgets_a_layer_is_caught(problem, monkeypatch: pytest.MonkeyPatch):
    honest = Ensemble._clip_factors

    def without_last_layer(self, rows, squared_norms):
        return honest(self, replace(rows, hidden=[], deltas=rows.deltas[:1]), squared_norms)

    monkeypatch.setattr(Ensemble, "_clip_factors", without_last_layer)
    result = check(DP, DP, problem)
    assert result.verdict == "fails"
    assert result.single_step_relative_difference > TOLERANCE


def test_no_noise_on_a_layer_is_caught(problem, monkeypatch: pytest.MonkeyPatch):
    """Where both sides share it only the stream tests can see it; where one does, the steps."""
    honest = noise.Noise.draw

    def draw(self) -> torch.Tensor:
        drawn = honest(self)
        drawn[:, : 16 * 21] = 0.0
        return drawn

    monkeypatch.setattr(noise.Noise, "draw", draw)
    result = check(DP, DP, problem)
    assert not result.stream.passed
    assert result.verdict == "fails"


def test_a_step_that_leaves_noise_out_of_a_layer_is_caught(
    problem, monkeypatch: pytest.MonkeyPatch
):
    honest = Ensemble._update

    def update(self, rows, noise):
        noise = noise.clone()
        noise[:, -17 * 5 :] = 0.0
        honest(self, rows, noise)

    monkeypatch.setattr(Ensemble, "_update", update)
    result = check(DP, DP, problem)
    assert result.stream.passed
    assert result.verdict == "fails"
    assert result.single_step_relative_difference > TOLERANCE


@pytest.mark.parametrize("form", ["host", "device"])
@pytest.mark.parametrize("name", ["cnn", "resnet"])
def test_networks_are_held_against_ghost_clipping_too(name: str, form: Form):
    """Convolutions and normalisation: Opacus's norms of these against ours, and one per cent."""
    model = Network(name, (3, 16, 16), 4)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 100)
    x = (rng.normal(size=(100, 3, 16, 16)) + y[:, None, None, None] / 2).astype(np.float32)
    train = torch.from_numpy(x[:80]), torch.from_numpy(y[:80])
    test = torch.from_numpy(x[80:]), torch.from_numpy(y[80:])
    member = membership(80, range(3), p=0.7, design="poisson", seed=4)
    arm = replace(DP, steps=6, sample_rate=0.3, expected_batch_size=16.8, clip_norm=0.5)
    honest = check(arm, arm, (train, test, member), form, model)
    assert "ghost clipping" in honest.against
    assert honest.verdict == "holds", honest.to_json()
    lying = replace(arm, clip_norm=0.505, noise_multiplier=1.5 / 1.01)
    found = check(arm, lying, (train, test, member), form, model)
    assert found.verdict == "fails"
    assert found.early_relative_difference > 2 * TOLERANCE
