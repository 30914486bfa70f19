"""Captured steps, with a capture that replays Python on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from audit.training.arms import Arm
from audit.training.device.ensemble import DeviceEnsemble
from audit.training.device.padded import PaddedData
from audit.training.models import Mlp

MODEL = Mlp((6, 8, 3), "relu")
STANDARD = Arm("standard", 0.2, 40, 10.0, 0.1, 0.9, 1e-3)
DP = Arm("dp-2", 0.2, 40, 10.0, 0.5, 0.0, 0.0, clip_norm=0.5, noise_multiplier=1.1)
ARMS = [STANDARD, DP, replace(DP, momentum=0.5)]


class Recorder:
    """What a CUDA capture does, as far as a CPU can: warm-up steps, then the same step again on the
    same memory. Counts the captures."""

    def __init__(self, warm_up: int = 3) -> None:
        self.captures, self._warm_up = 0, warm_up

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1
        for _ in range(self._warm_up):
            step()
        return step


@pytest.fixture
def data() -> PaddedData:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.hstack([rng.normal(size=(40, 6)), np.ones((40, 1))]).astype("float32"))
    return PaddedData.of(MODEL, x, torch.from_numpy(rng.integers(0, 3, 40)))


def tables(widths: list[int]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(0, 41, (2, width), generator=draw) for width in widths]


def train(arm: Arm, data: PaddedData, capture, widths: list[int]) -> torch.Tensor:
    theta = torch.from_numpy(np.stack([MODEL.initial(0, k) for k in range(2)]))
    cohort = DeviceEnsemble(MODEL, theta, arm, capture=capture)
    draw = torch.Generator().manual_seed(2)
    for step, index in enumerate(tables(widths)):
        if cohort.noise is not None:
            cohort.noise.normal_(generator=draw)
        cohort.precision = "float32" if step < 2 else "tf32"
        cohort.step_padded(data, index)
        index.fill_(0)  # the graph must have copied it
    return cohort.theta.clone()


WIDTHS = [16, 32, 16, 16, 32, 48]


@pytest.mark.parametrize("arm", ARMS, ids=["standard", "dp", "dp with momentum"])
def test_captured_steps_are_the_steps(arm: Arm, data: PaddedData):
    recorder = Recorder()
    plain, captured = (train(arm, data, capture, WIDTHS) for capture in (None, recorder))
    assert torch.equal(plain, captured)
    assert recorder.captures == 5, "one for each width and precision"


@pytest.mark.parametrize("arm", ARMS, ids=["standard", "dp", "dp with momentum"])
def test_a_warm_up_that_is_not_undone_would_be_seen(
    arm: Arm, data: PaddedData, monkeypatch: pytest.MonkeyPatch
):
    honest = train(arm, data, Recorder(), WIDTHS)
    monkeypatch.setattr(torch.Tensor, "copy_", lambda self, other, *args: self)
    assert not torch.equal(honest, train(arm, data, Recorder(), WIDTHS))


def test_other_data_is_captured_anew(data: PaddedData):
    theta = torch.from_numpy(MODEL.initial(0, 0))[None]
    other = replace(data, x=data.x * 2)
    recorder = Recorder()
    one = DeviceEnsemble(MODEL, theta, STANDARD, capture=recorder)
    two = DeviceEnsemble(MODEL, theta, STANDARD)
    for given in (data, other, other):
        for cohort in (one, two):
            cohort.step_padded(given, tables([16])[0][:1])
    assert torch.equal(one.theta, two.theta)
    assert recorder.captures == 2
