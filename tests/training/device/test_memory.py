"""Cohorts as large as memory allows, and halved where it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from audit.errors import BadInput
from audit.training import engines, sgd_cohort
from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.device.memory import bytes_per_model, cohort_on_device, is_launch_bound
from audit.training.models import Mlp

STANDARD = Arm("standard", 0.1, 25, 8.4, 0.1, 0.9, 0.0)
DP = replace(STANDARD, name="dp-2", clip_norm=1.0, noise_multiplier=1.2)
MODEL = Mlp((6, 5, 3), "tanh")
LARGE = Mlp((784, 512, 256, 10))
STUDY = Arm("standard", 128 / 42_000, 4690, 128.0, 0.1, 0.9, 0.0)


def test_a_cohort_takes_what_is_free():
    each = bytes_per_model(LARGE, STUDY, 60_000)
    assert each > 2 * 4 * LARGE.parameters
    sizes = [
        cohort_on_device(LARGE, [STUDY], 60_000, 2000, "cpu", free=int(models * each / 0.7) + 1)
        for models in (1, 10, 100, 10_000)
    ]
    # 20 cohorts of 100, not 100 … 100 and a remainder; at most 500 whatever is free.
    assert sizes == [1, 10, 100, 500]
    assert cohort_on_device(LARGE, [STUDY], 60_000, 2000, "cpu", free=0) == 1
    assert cohort_on_device(LARGE, [STUDY], 60_000, 7, "cpu", free=2**40) == 7


def test_the_hungriest_arm_decides():
    private = replace(STUDY, clip_norm=1.0, noise_multiplier=1.0)
    assert bytes_per_model(LARGE, private, 60_000) > bytes_per_model(LARGE, STUDY, 60_000)
    free = 40 * bytes_per_model(LARGE, STUDY, 60_000)
    both, one = (
        cohort_on_device(LARGE, arms, 60_000, 400, "cpu", free=free)
        for arms in ([STUDY, private], [STUDY])
    )
    assert both < one


def test_small_cohorts_are_bound_by_launches_and_large_ones_by_memory():
    assert is_launch_bound(MODEL, STANDARD, 200)
    assert is_launch_bound(Mlp((64, 32, 10)), replace(STANDARD, expected_batch_size=96.0), 200)
    assert is_launch_bound(LARGE, STUDY, 20)
    assert not is_launch_bound(LARGE, STUDY, 40)


N = 120


@pytest.fixture
def data() -> TrainingData:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N + 40, 6)).astype(np.float32)
    y = (x @ rng.normal(size=(6, 3))).argmax(axis=1)
    return TrainingData(x[:N], y[:N], x[N:], y[N:], (6,))


def task(arm: Arm, models: int, **changes: Any) -> CohortTask:
    made = CohortTask(arm, MODEL, 10, 9 + models, "ensemble", "poisson", 0.7, 3, "cpu", 12)
    return replace(made, **changes)


@pytest.fixture(autouse=True)
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train as on a device; the tensors are on the CPU."""
    for module in (engines, sgd_cohort):
        monkeypatch.setattr(module, "form_for", lambda device: "device")


def runs_out_above(most: int, monkeypatch: pytest.MonkeyPatch, error: Exception) -> list[int]:
    """A device with room for ``most`` models; returns the sizes that were tried."""
    honest, tried = sgd_cohort.train_ensemble, []

    def train(model, arm, x, y, membership, models, **options):
        tried.append(len(models))
        if len(models) > most:
            raise error
        return honest(model, arm, x, y, membership, models, **options)

    monkeypatch.setattr(sgd_cohort, "train_ensemble", train)
    return tried


def while_capturing(first: Exception) -> Exception:
    """What ``torch.cuda.graph`` lets out when ``first`` ends a capture."""
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    error.__context__ = first
    return error


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        while_capturing(torch.OutOfMemoryError("CUDA out of memory")),
    ],
    ids=["allocator", "cublas", "while capturing"],
)
def test_halves_train_the_models_of_the_whole(
    arm: Arm, error: Exception, data: TrainingData, monkeypatch: pytest.MonkeyPatch
):
    whole = train_cohort(task(arm, 7), data)
    assert "out_of_memory" not in whole.notes
    seen: list[int] = []
    tried = runs_out_above(2, monkeypatch, error)
    halved = train_cohort(task(arm, 7), data, seen.append)
    assert tried == [7, 3, 1, 2, 4, 2, 2]
    assert halved.notes["out_of_memory"] == ["10-10", "11-12", "13-14", "15-16"]
    np.testing.assert_array_equal(whole.membership, halved.membership)
    np.testing.assert_array_equal(whole.train_correct, halved.train_correct)
    np.testing.assert_allclose(whole.test_margin, halved.test_margin, rtol=2e-3, atol=2e-3)
    assert halved.cross_check is not None
    assert halved.cross_check.model == 12
    assert halved.cross_check.verdict == "holds"
    assert seen == sorted(seen)
    assert seen[-1] == 7 * arm.steps


def test_one_model_that_does_not_fit_is_one_line(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
):
    tried = runs_out_above(0, monkeypatch, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(BadInput, match="too little memory for a single model of dp-2"):
        train_cohort(task(DP, 2), data)
    assert tried == [2, 1]


def test_other_errors_are_not_taken_for_want_of_memory(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
):
    tried = runs_out_above(0, monkeypatch, RuntimeError("mat1 and mat2 shapes"))
    with pytest.raises(RuntimeError, match="mat1"):
        train_cohort(task(DP, 4), data)
    assert tried == [4]


def test_a_cohort_planned_on_another_device_is_trained_a_few_at_a_time(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
):
    whole = train_cohort(task(STANDARD, 5), data)
    tried = runs_out_above(5, monkeypatch, RuntimeError("unused"))
    pieces = train_cohort(task(STANDARD, 5, at_once=2), data)
    assert tried == [2, 2, 1]
    assert "out_of_memory" not in pieces.notes
    np.testing.assert_array_equal(whole.train_correct, pieces.train_correct)
    assert pieces.cross_check is not None
