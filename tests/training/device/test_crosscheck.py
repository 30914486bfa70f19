"""The cross-check of a cohort that trained on a device: its program, its draws, its precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.inclusion import membership
from audit.training import crosscheck, engines, single_steps
from audit.training.arms import Arm
from audit.training.crosscheck import TF32_TOLERANCE, TOLERANCE, cross_check
from audit.training.device import draws, ensemble
from audit.training.device.ensemble import DeviceEnsemble
from audit.training.engines import EARLY_STEPS, train_ensemble
from audit.training.models import Mlp, Model
from audit.training.network import Network
from tests.training.device.test_precision import Tf32, emulated

N = 300
STANDARD = Arm("standard", 0.15, 60, 31.5, 0.1, 0.9, 1e-4)
DP = Arm("dp-2", 0.15, 60, 31.5, 0.3, 0.5, 0.0, clip_norm=1.0, noise_multiplier=1.5)
MODEL = Mlp((20, 16, 5), "tanh")


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + 50, 20)).astype(np.float32)
    y = torch.from_numpy((x @ rng.normal(size=(20, 5))).argmax(axis=1))
    x = torch.from_numpy(np.hstack([x, np.ones((N + 50, 1), np.float32)]))
    return (x[:N], y[:N]), (x[N:], y[N:]), membership(N, range(3), p=0.7, design="poisson", seed=4)


def check(claimed: Arm, trained: Arm, problem, model: Model = MODEL):
    train, test, member = problem
    early: list[torch.Tensor] = []

    def keep(done: int, theta: torch.Tensor) -> None:
        if done == EARLY_STEPS:
            early.append(theta[1].clone())

    theta = train_ensemble(
        model, trained, train[0], train[1], member, range(3), seed=4, form="device", on_step=keep
    )
    return cross_check(
        model, claimed, theta[1], early[0], 1, member[1], train, test, seed=4, form="device"
    )


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_an_honest_device_passes_with_an_order_to_spare(arm: Arm, problem):
    result = check(arm, arm, problem)
    assert result.verdict == "holds"
    assert result.stream.passed
    assert (result.precision, result.precision_difference) == ("float32", None)
    for difference in (
        result.early_relative_difference,
        result.single_step_relative_difference,
        result.parameters_relative_difference,
    ):
        assert difference < TOLERANCE / 10
    assert result.to_json()["precision_tolerance"] is None


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_a_network_with_augmentation_passes(arm: Arm):
    network = Network("cnn", (1, 8, 8), 3)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    x = (rng.normal(size=(90, 1, 8, 8)) + y[:, None, None, None]).astype(np.float32)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    member = membership(70, range(3), p=0.7, design="poisson", seed=4)
    arm = replace(arm, steps=25, expected_batch_size=7.35, augmentation=("crop", "flip"))
    result = check(arm, arm, ((x[:70], y[:70]), (x[70:], y[70:]), member), network)
    assert result.verdict == "holds"
    assert result.single_step_relative_difference < TOLERANCE / 5


@pytest.mark.parametrize(
    "change",
    [
        {"clip_norm": 1.01, "noise_multiplier": 1.5 / 1.01},
        {"noise_multiplier": 1.5 * 0.99},
        {"learning_rate": 0.3 * 1.01},
        {"expected_batch_size": 31.5 * 0.99},
        {"weight_decay": 1e-3},
        {"momentum": 0.51},
    ],
    ids=lambda change: next(iter(change)),
)
def test_one_percent_lies_are_caught(change: dict[str, float], problem):
    result = check(DP, replace(DP, **change), problem)
    assert result.verdict == "fails"
    assert result.early_relative_difference > TOLERANCE


def test_a_device_program_that_forgets_a_layer_in_the_norm_is_caught(
    problem, monkeypatch: pytest.MonkeyPatch
):
    honest = DeviceEnsemble._clip

    def without_last_layer(self, inputs, deltas, data, index):
        last = deltas[-1].clone()
        deltas[-1].zero_()
        honest(self, inputs, deltas, data, index)
        deltas[-1].copy_(last)

    monkeypatch.setattr(DeviceEnsemble, "_clip", without_last_layer)
    result = check(DP, DP, problem)
    assert result.verdict == "fails"
    assert result.single_step_relative_difference > TOLERANCE


@pytest.mark.parametrize("factor", [0.0, 1 / 31.5, 0.97])
def test_wrong_noise_that_both_sides_share_is_caught(
    factor: float, problem, monkeypatch: pytest.MonkeyPatch
):
    honest = draws.DeviceNoise.fill

    def wrong(self, out: torch.Tensor) -> None:
        honest(self, out)
        out.mul_(factor)

    monkeypatch.setattr(draws.DeviceNoise, "fill", wrong)
    result = check(DP, DP, problem)
    assert not result.stream.passed
    assert result.verdict == "fails"


def test_one_stream_for_all_models_is_caught(problem, monkeypatch: pytest.MonkeyPatch):
    honest = draws.DeviceNoise.fill

    def same(self, out: torch.Tensor) -> None:
        honest(self, out)
        whole = torch.empty(64, out.shape[1])
        honest(draws_of_first(self), whole)
        out.copy_(whole[:1].expand_as(out))

    first: dict[int, draws.DeviceNoise] = {}

    def draws_of_first(noise: draws.DeviceNoise) -> draws.DeviceNoise:
        if id(noise) not in first:
            columns = noise._columns
            first[id(noise)] = draws.DeviceNoise(
                range(64), columns, std=noise._std, arm="dp-2", seed=4, device=torch.device("cpu")
            )
        return first[id(noise)]

    monkeypatch.setattr(draws.DeviceNoise, "fill", same)
    result = check(DP, DP, problem)
    assert result.stream.noise_model_correlation == pytest.approx(1, abs=0.1)
    assert result.verdict == "fails"


@pytest.mark.parametrize("lie", ["ignores the subset", "three times the rate"])
def test_wrong_minibatches_that_both_sides_share_are_caught(
    lie: str, problem, monkeypatch: pytest.MonkeyPatch
):
    honest = draws.DeviceMinibatches.__init__

    def lying(self, member, models, **settings):
        if lie == "ignores the subset":
            member = torch.ones_like(member)
        else:
            settings["sample_rate"] = 3 * settings["sample_rate"]
        honest(self, member, models, **settings)

    monkeypatch.setattr(draws.DeviceMinibatches, "__init__", lying)
    result = check(STANDARD, STANDARD, problem)
    assert result.verdict == "fails"
    assert result.stream.outside_subset > 0 or abs(result.stream.minibatch_z) > 5


@pytest.fixture
def in_tf32(monkeypatch: pytest.MonkeyPatch):
    """A device whose products are rounded as TF32 units round them, in every arm."""
    for module in (ensemble, crosscheck):
        monkeypatch.setattr(module, "products", emulated)
    for module in (engines, crosscheck):
        monkeypatch.setattr(module, "training_precision", lambda arm, parameters: "tf32")
    mode = Tf32()
    mode.exact = []
    with mode:
        yield mode


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_rounded_products_are_told_from_exact_ones_and_pass(arm: Arm, problem, in_tf32):
    del in_tf32
    result = check(arm, arm, problem)
    assert result.verdict == "holds"
    assert result.precision == "tf32"
    assert result.early_relative_difference < TOLERANCE / 10, "the first steps are exact"
    assert result.single_step_relative_difference < TOLERANCE / 10
    assert result.precision_difference is not None
    assert 1e-5 < result.precision_difference < TF32_TOLERANCE / 10


def test_one_percent_lies_are_caught_where_products_are_rounded(problem, in_tf32):
    del in_tf32
    lying = replace(DP, clip_norm=1.01, noise_multiplier=1.5 / 1.01)
    assert check(DP, lying, problem).verdict == "fails"


def test_a_program_that_is_wrong_only_when_it_rounds_is_caught(
    problem, in_tf32, monkeypatch: pytest.MonkeyPatch
):
    del in_tf32
    honest = DeviceEnsemble._backward

    def wrong(self, inputs, logits, data, index):
        deltas = honest(self, inputs, logits, data, index)
        if self.precision == "tf32":
            deltas[0].mul_(1.1)
        return deltas

    monkeypatch.setattr(DeviceEnsemble, "_backward", wrong)
    result = check(STANDARD, STANDARD, problem)
    assert result.verdict == "fails"
    assert result.single_step_relative_difference < TOLERANCE
    assert result.precision_difference is not None
    assert result.precision_difference > TF32_TOLERANCE


def test_the_program_that_is_checked_is_the_one_that_trains():
    assert single_steps.device_program is engines.device_program
