"""The ensemble engine against PyTorch and Opacus, step by step in each layer and in law."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import cross_entropy

from audit.inclusion import membership
from audit.training import engines, ensemble
from audit.training.arms import Arm
from audit.training.device.ensemble import DeviceEnsemble
from audit.training.engines import train_ensemble
from audit.training.ensemble import Data, Ensemble
from audit.training.evaluation import evaluate_ensemble, evaluate_module
from audit.training.models import Mlp
from audit.training.opacus_loop import model_minibatches, train_private, train_standard

N, FEATURES, CLASSES = 120, 12, 4
STANDARD = Arm("standard", 0.2, 40, 20.0, 0.1, 0.9, 1e-3)
DP = Arm("dp-2", 0.2, 40, 20.0, 0.5, 0.5, 1e-3, clip_norm=2.4, noise_multiplier=1.1)
ARCHITECTURES = [
    Mlp((FEATURES, CLASSES)),
    Mlp((FEATURES, 9, CLASSES), "relu"),
    Mlp((FEATURES, 9, CLASSES), "tanh"),
    Mlp((FEATURES, 11, 7, CLASSES), "tanh"),
]


@pytest.fixture(autouse=True, params=["padded", "exact", "device"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test in all forms: minibatches padded for one product, a product per model, and the
    program and the draws of a GPU (here on the CPU)."""
    if request.param == "device":
        monkeypatch.setattr(engines, "form_for", lambda device: "device")
        monkeypatch.setitem(globals(), "Ensemble", DeviceEnsemble)
    else:
        work = float("inf") if request.param == "padded" else 0.0
        monkeypatch.setattr(ensemble, "_PADDED_WORK", work)


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """A learnable problem; x has its column of ones."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, FEATURES)).astype(np.float32)
    y = (x @ rng.normal(size=(FEATURES, CLASSES))).argmax(axis=1)
    return torch.from_numpy(np.hstack([x, np.ones((N, 1), np.float32)])), torch.from_numpy(y)


def one_step(model: Mlp, arm: Arm, data, sizes: list[int], noise: torch.Tensor | None):
    """Parameters of a cohort before and after one ensemble step on random minibatches."""
    x, y = data
    rng = np.random.default_rng(5)
    selected = torch.from_numpy(
        np.concatenate([rng.choice(N, size, replace=False) for size in sizes])
    )
    before = torch.from_numpy(np.stack([model.initial(0, k) for k in range(len(sizes))])) * 2
    cohort = Ensemble(model, before.clone(), arm)
    cohort.step(Data.of(x, y), selected, sizes, noise)
    return before, cohort.theta, selected.split(sizes)


@pytest.mark.parametrize("model", ARCHITECTURES, ids=Mlp.describe)
def test_standard_step_equals_pytorch_in_each_layer(model: Mlp, data):
    before, after, batches = one_step(model, STANDARD, data, [20, 3, 0, 33], None)
    x, y = data[0][:, :-1], data[1]
    for k, batch in enumerate(batches):
        module = train_standard(model.module(before[k]), STANDARD, x, y, [batch])
        for ours, theirs in zip(
            model.module(after[k]).parameters(), module.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ARCHITECTURES, ids=Mlp.describe)
def test_private_step_equals_opacus_in_each_layer(model: Mlp, data):
    sizes = [20, 3, 0, 33]
    noise = torch.randn(len(sizes), model.parameters) * DP.noise_std
    before, after, batches = one_step(model, DP, data, sizes, noise.clone())
    x, y = data[0][:, :-1], data[1]
    for k, batch in enumerate(batches):
        parts = [part[0] for part in model.tensors(noise[k : k + 1])]
        module = train_private(model.module(before[k]), DP, x, y, [batch], replay=iter([parts]))
        for ours, theirs in zip(
            model.module(after[k]).parameters(), module.parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ARCHITECTURES, ids=Mlp.describe)
def test_clipped_gradients_equal_a_per_example_oracle(model: Mlp, data):
    """Autograd one example at a time, clipped and summed: what DP-SGD is by definition."""
    arm = replace(DP, momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    zero = torch.zeros(2, model.parameters)
    before, after, batches = one_step(model, arm, data, [15, 8], zero)
    x, y = data[0][:, :-1], data[1]
    clipped = 0
    for k, batch in enumerate(batches):
        total = torch.zeros(model.parameters)
        for i in batch.tolist():
            module = model.module(before[k])
            cross_entropy(module(x[i : i + 1]), y[i : i + 1]).backward()
            gradient = model.flatten(
                {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
            )
            norm = gradient.norm().item()
            clipped += norm > 2.4
            total += gradient * min(1.0, 2.4 / (norm + 1e-6))
        torch.testing.assert_close(
            (before[k] - after[k]) * arm.expected_batch_size, total, rtol=1e-4, atol=1e-5
        )
    assert 0 < clipped < 23, "both sides of the clip norm must be exercised"


def test_one_example_moves_the_clipped_sum_by_at_most_the_clip_norm(data):
    model = ARCHITECTURES[2]
    arm = replace(DP, momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    x, y = data[0].clone(), data[1]
    x[:, :-1] *= 1000  # huge gradients
    theta = torch.from_numpy(model.initial(0, 0))[None]
    noise = torch.zeros(1, model.parameters)
    moved = []
    for batch in (torch.arange(10), torch.arange(11)):
        cohort = Ensemble(model, theta.clone(), arm)
        cohort.step(Data.of(x, y), batch, [len(batch)], noise.clone())
        moved.append((theta - cohort.theta) * arm.expected_batch_size)
    assert (moved[1] - moved[0]).norm().item() <= 2.4 * (1 + 1e-5)


def test_an_example_whose_gradient_is_not_finite_is_left_out(data):
    """0 · ∞ is not 0: the row must leave the products, not be multiplied by a factor of 0."""
    model = ARCHITECTURES[1]
    arm = replace(DP, momentum=0.0, weight_decay=0.0)
    x, y = data[0].clone(), data[1]
    x[3, :-1] = 1e30
    theta = torch.from_numpy(model.initial(0, 0))[None]
    moved = []
    for batch in (torch.tensor([0, 1, 3, 5]), torch.tensor([0, 1, 5])):
        cohort = Ensemble(model, theta.clone(), arm)
        cohort.step(Data.of(x, y), batch, [len(batch)], torch.zeros(1, model.parameters))
        moved.append(cohort.theta - theta)
    assert torch.isfinite(moved[0]).all()
    torch.testing.assert_close(moved[0], moved[1], rtol=1e-5, atol=1e-7)


def test_the_normaliser_is_a_constant_of_the_plan(data):
    """Without noise, doubling every example of the minibatch doubles the step."""
    model, x, y = ARCHITECTURES[1], *data
    theta = torch.from_numpy(model.initial(0, 0))[None]
    arm = replace(DP, momentum=0.0, weight_decay=0.0)
    steps = []
    for batch in (torch.arange(10), torch.arange(10).repeat(2)):
        cohort = Ensemble(model, theta.clone(), arm)
        cohort.step(Data.of(x, y), batch, [len(batch)], torch.zeros(1, model.parameters))
        steps.append(cohort.theta - theta)
    torch.testing.assert_close(2 * steps[0], steps[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_a_model_does_not_depend_on_its_cohort(arm: Arm, data):
    model, x, y = ARCHITECTURES[3], *data
    member = membership(N, range(4), p=0.7, design="poisson", seed=0)
    together = train_ensemble(model, arm, x, y, member, range(4), seed=0)
    alone = train_ensemble(model, arm, x, y, member[2:3], range(2, 3), seed=0)
    torch.testing.assert_close(together[2], alone[0], rtol=1e-5, atol=1e-6)


def test_training_is_reproducible_and_depends_on_the_seed(data):
    model, x, y = ARCHITECTURES[1], *data
    member = membership(N, range(2), p=0.7, design="poisson", seed=0)
    runs = [train_ensemble(model, DP, x, y, member, range(2), seed=s) for s in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2])


@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_accuracies_are_distributed_as_in_the_reference_loop(arm: Arm, data):
    """100 models a side from different seeds: two-sample Kolmogorov-Smirnov and Welch tests."""
    model, (x, y), k = ARCHITECTURES[2], data, 100
    arm = replace(arm, steps=25)
    member = membership(N, range(k), p=0.7, design="poisson", seed=1)
    theta = train_ensemble(model, arm, x, y, member, range(k), seed=1)
    ours = evaluate_ensemble(model, theta, x, y).correct.mean(axis=1)
    member = membership(N, range(k), p=0.7, design="poisson", seed=2)
    theirs = np.empty(k)
    for i in range(k):
        module = model.module(torch.from_numpy(model.initial(2, i)))
        batches = model_minibatches(member[i], i, arm, seed=2)
        if arm.kind == "standard":
            train_standard(module, arm, x[:, :-1], y, batches)
        else:
            generator = torch.Generator().manual_seed(1000 + i)
            train_private(module, arm, x[:, :-1], y, batches, generator=generator)
        theirs[i] = evaluate_module(module, x[:, :-1], y).correct.mean()
    law: Any = stats.ks_2samp(ours, theirs)
    mean: Any = stats.ttest_ind(ours, theirs, equal_var=False)
    assert law.pvalue > 1e-3
    assert mean.pvalue > 1e-3
    # The comparison is sharp: a shift of the mean accuracy by 4 points would be seen.
    assert 4 * np.hypot(ours.std(), theirs.std()) / np.sqrt(k) < 0.04
