"""Magnitude pruning: how much, when, which weights; the same in every engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.engines import initial_parameters, train_ensemble
from audit.training.models import Mlp
from audit.training.network import Network
from audit.training.opacus_loop import model_minibatches, pruned, train_standard
from audit.training.pruning import BEGIN, END, Pruner, removed_share

ARM = Arm("pruned-80", 0.3, 60, 20.0, 0.2, 0.5, 1e-3, pruned=0.8)
MODEL = Mlp((12, 9, 4))


def test_the_share_rises_from_nothing_to_all_of_it_in_the_middle_half():
    shares = [removed_share(done, 400, 0.9) for done in range(401)]
    assert shares == sorted(shares)
    assert shares[int(BEGIN * 400) - 1] == 0
    assert shares[int(END * 400)] == shares[-1] == pytest.approx(0.9)
    # Cubic: most of it goes early.
    assert shares[200] > 0.75 * 0.9
    assert len(set(shares)) == 21


@settings(max_examples=60, deadline=None)
@given(steps=st.integers(1, 300), share=st.floats(0.01, 0.999), seed=st.integers(0, 99))
def test_every_matrix_of_every_model_loses_its_share_and_vectors_lose_nothing(
    steps: int, share: float, seed: int
):
    draw = torch.Generator().manual_seed(seed)
    theta = 1 + torch.rand(3, MODEL.parameters, generator=draw)
    pruner = Pruner(MODEL.tensors(theta), share, steps)
    for done in range(1, steps + 1):
        # A step moves everything, also what was taken away.
        theta += 0.1 * torch.rand(theta.shape, generator=draw)
        pruner.after(done)
    for part in MODEL.tensors(theta):
        gone = (part == 0).reshape(3, -1).sum(dim=1)
        wanted = round(share * part[0].numel()) if part.dim() > 2 else 0
        assert gone.tolist() == [wanted] * 3


def test_the_smallest_go_and_stay_away():
    weights = torch.tensor([[[1.0, -0.1], [0.3, -2.0]]])
    pruner = Pruner([weights], 0.5, 4)
    for done in range(1, 5):
        pruner.after(done)
    assert weights.tolist() == [[[1.0, 0.0], [0.0, -2.0]]]
    weights += 5
    pruner.after(5)
    assert (weights == 0).sum() == 2


def test_of_equal_weights_no_more_go_than_should():
    weights = torch.ones(2, 5, 4)
    pruner = Pruner([weights], 0.5, 2)
    for done in (1, 2):
        pruner.after(done)
    assert (weights == 0).sum(dim=(1, 2)).tolist() == [10, 10]


def problem(features: int) -> tuple[Tensor, Tensor, np.ndarray]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(80, features)).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, 4, size=80))
    return x, y, rng.random((2, 80)) < 0.7


def test_a_cohort_is_pruned_as_the_plain_loop_prunes_one_model():
    x, y, member = problem(12)
    prepared = MODEL.prepare(x.numpy(), torch.device("cpu"))
    theta = train_ensemble(MODEL, ARM, prepared, y, member, range(2), seed=3)
    for k in range(2):
        module = MODEL.module(initial_parameters(MODEL, 3, range(2))[k])
        batches = pruned(model_minibatches(member[k], k, ARM, seed=3), module, ARM)
        train_standard(module, ARM, x, y, batches)
        found = MODEL.flatten(dict(module.named_parameters()))
        torch.testing.assert_close(theta[k], found, rtol=1e-4, atol=1e-5)
        assert torch.equal(theta[k] == 0, found == 0)
    not_pruned = train_ensemble(
        MODEL, replace(ARM, pruned=0.0), prepared, y, member, range(2), seed=3
    )
    assert not (not_pruned == 0).any()


def small_network(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(input_shape[0], 7), nn.Tanh(), nn.Linear(7, n_classes))


@pytest.mark.parametrize("engine", ["ensemble", "functional"])
def test_networks_and_devices_are_pruned_too(engine: str):
    x, y, member = problem(12)
    model = Network(f"{__name__}:small_network", (12,), 4, private=False)
    for form in ("host", "device"):
        theta = train_ensemble(
            model, ARM, x, y, member, range(2), seed=3, engine=engine, form=form  # pyright: ignore
        )  # fmt: skip
        shares = [(p == 0).float().mean().item() for p in model.tensors(theta)]
        assert shares == [pytest.approx(0.8, abs=0.02), 0, pytest.approx(0.8, abs=0.02), 0]


@pytest.mark.parametrize("steps", [8, 40, 60, 120])
def test_short_trainings_are_checked_step_for_step_too(steps: int):
    """Pruning may begin before the first steps that are compared have ended."""
    x, y, _ = problem(12)
    data = TrainingData(x.numpy(), y.numpy(), x.numpy(), y.numpy(), (12,))
    arm = replace(ARM, steps=steps)
    task = CohortTask(arm, MODEL, 0, 1, "ensemble", "poisson", 0.7, 0, "cpu", checked_model=1)
    check = train_cohort(task, data).cross_check
    assert check is not None
    assert check.verdict == "holds"
    assert check.early_relative_difference < 1e-5
    assert check.parameters_relative_difference < 1e-5
