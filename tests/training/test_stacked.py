"""Cohorts of networks against PyTorch, Opacus and a per-example oracle, parameter by parameter."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from audit.inclusion import membership
from audit.training import stacked, stacked_conv
from audit.training.arms import Arm
from audit.training.device.networks import PaddedFunctional, PaddedNetwork
from audit.training.device.padded import PaddedData, pad
from audit.training.engines import program, train_ensemble
from audit.training.ensemble import Data
from audit.training.functional import FunctionalNetwork
from audit.training.network import Network
from audit.training.opacus_loop import train_private, train_standard
from audit.training.stacked import StackedNetwork
from audit.training.stacked_layers import Rows

N, CLASSES = 60, 3
STANDARD = Arm("standard", 0.2, 20, 12.0, 0.1, 0.9, 1e-3)
DP = Arm("dp-2", 0.2, 20, 12.0, 0.5, 0.5, 1e-3, clip_norm=0.8, noise_multiplier=1.1)
HERE = "tests.training.networks"
NETWORKS = [
    Network("cnn", (1, 18, 18), CLASSES),
    Network("cnn", (2, 8, 8), CLASSES),
    Network("resnet", (3, 8, 8), CLASSES),
    Network(f"{HERE}:plain_conv", (2, 9, 8), CLASSES),
    Network(f"{HERE}:everything", (2, 7, 6), CLASSES),
    Network(f"{HERE}:large_images", (1, 24, 20), CLASSES),
]
SIZES = [11, 3, 0, 17]
KINDS = [StackedNetwork, FunctionalNetwork, PaddedNetwork, PaddedFunctional]


def name(network: Network) -> str:
    return f"{network.factory.rpartition(':')[2]}-{network.input_shape[1]}"


def images(network: Network) -> Data:
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, N)
    x = rng.normal(size=(N, *network.input_shape)) + y[:, None, None, None]
    return Data.of(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y))


def one_step(network: Network, arm: Arm, noise: torch.Tensor | None, kind: Any = StackedNetwork):
    """Parameters of a cohort before and after one step on random minibatches, and those."""
    data = images(network)
    rng = np.random.default_rng(5)
    chosen = [rng.choice(N, size, replace=False) for size in SIZES]
    selected = torch.from_numpy(np.concatenate(chosen))
    before = torch.from_numpy(np.stack([network.initial(0, k) for k in range(len(SIZES))]))
    cohort = kind(network, before.clone(), arm)
    cohort.step(data, selected, SIZES, noise)
    return data, before, cohort.theta, selected.split(SIZES)


def assert_parts_close(network: Network, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    pairs = zip(network.tensors(ours[None]), network.tensors(theirs[None]), strict=True)
    for (a, b), parameter in zip(pairs, network.shapes, strict=True):
        torch.testing.assert_close(
            a, b, rtol=1e-4, atol=2e-6, msg=lambda m, p=parameter: f"{p}: {m}"
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_standard_step_equals_pytorch_in_each_parameter(network: Network, kind):
    data, before, after, batches = one_step(network, STANDARD, None, kind)
    for k, batch in enumerate(batches):
        module = train_standard(network.module(before[k]), STANDARD, data.x, data.y, [batch])
        theirs = network.flatten(dict(module.named_parameters()))
        assert_parts_close(network, after[k], theirs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_private_step_equals_opacus_in_each_parameter(network: Network, kind):
    noise = torch.randn(len(SIZES), network.parameters) * DP.noise_std
    data, before, after, batches = one_step(network, DP, noise.clone(), kind)
    for k, batch in enumerate(batches):
        parts = [part[0] for part in network.tensors(noise[k : k + 1])]
        module = train_private(
            network.module(before[k]), DP, data.x, data.y, [batch], replay=iter([parts])
        )
        theirs = network.flatten(dict(module.named_parameters()))
        assert_parts_close(network, after[k], theirs)


@pytest.mark.parametrize("kind", [StackedNetwork, PaddedNetwork])
@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_clipped_gradients_equal_a_per_example_oracle(network: Network, kind):
    """Autograd one example at a time, clipped and summed: what DP-SGD is by definition."""
    arm = replace(DP, momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    arm = replace(arm, clip_norm=_middle_norm(network), noise_multiplier=0.0)
    zero = torch.zeros(len(SIZES), network.parameters)
    data, before, after, batches = one_step(network, arm, zero, kind)
    clipped = 0
    assert arm.clip_norm is not None
    for k, batch in enumerate(batches):
        total = torch.zeros(network.parameters)
        for gradient in _gradients(network, before[k], data, batch):
            norm = gradient.norm().item()
            clipped += norm > arm.clip_norm
            total += gradient * min(1.0, arm.clip_norm / (norm + 1e-6))
        ours = (before[k] - after[k]) * arm.expected_batch_size
        torch.testing.assert_close(ours, total, rtol=1e-3, atol=2e-5)
    assert 0 < clipped < sum(SIZES), "both sides of the clip norm must be exercised"


def _gradients(network: Network, theta: torch.Tensor, data: Data, batch: torch.Tensor):
    for i in batch.tolist():
        module = network.module(theta)
        cross_entropy(module(data.x[i : i + 1]), data.y[i : i + 1]).backward()
        yield network.flatten(
            {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
        )


def _middle_norm(network: Network) -> float:
    data, theta = images(network), torch.from_numpy(network.initial(0, 0))
    norms = [g.norm().item() for g in _gradients(network, theta, data, torch.arange(15))]
    return float(np.median(norms))


@pytest.mark.parametrize("network", NETWORKS, ids=name)
@pytest.mark.parametrize("way", ["ghost", "direct", "recomputed", "patches", "own convolution"])
def test_every_way_to_the_norms_gives_the_same_step(
    network: Network, way: str, monkeypatch: pytest.MonkeyPatch
):
    noise = torch.zeros(len(SIZES), network.parameters)
    usual = one_step(network, DP, noise.clone())[2]
    if way in ("ghost", "direct"):
        cheaper = way == "ghost"
        monkeypatch.setattr(stacked_conv, "_ghost_is_cheaper", lambda *sizes: cheaper)
    elif way == "recomputed":
        monkeypatch.setattr(stacked_conv, "_KEPT_BYTES", 0)
    else:
        monkeypatch.setattr(stacked_conv, "_PATCHES_BYTES", 2**40 if way == "patches" else 0)
        monkeypatch.setattr(stacked_conv, "_CHUNK_BYTES", 20_000)
    torch.testing.assert_close(one_step(network, DP, noise)[2], usual, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("network", NETWORKS, ids=name)
@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_blocks_of_rows_do_not_change_a_step(
    network: Network, arm: Arm, monkeypatch: pytest.MonkeyPatch
):
    noise = None if arm is STANDARD else torch.zeros(len(SIZES), network.parameters)
    whole = one_step(network, arm, noise)[2]
    monkeypatch.setattr(stacked, "_FEWEST_ROWS", 5)
    monkeypatch.setattr(stacked, "_MOST_ROWS", 5)
    torch.testing.assert_close(one_step(network, arm, noise)[2], whole, rtol=1e-4, atol=2e-6)


def test_blocks_cover_every_row_once_in_order():
    blocks = list(stacked._blocks([4, 0, 7, 1], 5))
    assert [(list(b.models), list(b.sizes)) for b in blocks] == [
        ([0, 2], [4, 1]),
        ([2], [5]),
        ([2, 3], [1, 1]),
    ]


@pytest.mark.parametrize("network", NETWORKS, ids=name)
def test_batched_products_of_even_rows_equal_products_model_by_model(network: Network):
    """The form for a GPU: minibatches of one size, one product for all models."""
    data, models, size = images(network), 3, 4
    theta = torch.from_numpy(np.stack([network.initial(0, k) for k in range(models)]))
    x, y = data.x[: models * size], data.y[: models * size]
    steps = []
    for even in (False, True):
        for arm in (STANDARD, DP):
            cohort = StackedNetwork(network, theta.clone(), arm)
            with torch.no_grad():
                cohort._program.begin()
                cohort._block(x, y, Rows(range(models), [size] * models, even))
                cohort._program.end()
            steps.append(cohort.velocity)
    torch.testing.assert_close(steps[0], steps[2], rtol=1e-4, atol=2e-6)
    torch.testing.assert_close(steps[1], steps[3], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("form", ["host", "device"])
@pytest.mark.parametrize("engine", ["ensemble", "functional"])
@pytest.mark.parametrize("arm", [STANDARD, DP], ids=["standard", "dp"])
def test_a_model_does_not_depend_on_its_cohort(arm: Arm, engine, form):
    network = NETWORKS[1]
    arm = replace(arm, augmentation=("crop", "flip"), steps=6)
    data = images(network)
    member = membership(N, range(4), p=0.7, design="poisson", seed=0)
    together, alone = (
        train_ensemble(network, arm, data.x, data.y, rows, models, seed=0, engine=engine, form=form)
        for rows, models in ((member, range(4)), (member[2:3], range(2, 3)))
    )
    torch.testing.assert_close(together[2], alone[0], rtol=1e-4, atol=1e-5)


def test_an_example_with_a_huge_gradient_moves_the_sum_by_at_most_the_clip_norm():
    network = NETWORKS[4]
    arm = replace(DP, momentum=0.0, weight_decay=0.0, learning_rate=1.0)
    data = images(network)
    data.x[10] *= 1e4
    theta = torch.from_numpy(network.initial(0, 0))[None]
    moved = []
    for rows in (10, 11):
        cohort = program(network, "ensemble", theta.clone(), arm)
        cohort.step(data, torch.arange(rows), [rows], torch.zeros(1, network.parameters))
        moved.append((theta - cohort.theta) * arm.expected_batch_size)
    assert 0.7 < (moved[1] - moved[0]).norm().item() <= 0.8 * (1 + 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [NETWORKS[1], NETWORKS[4]], ids=name)
def test_an_example_whose_gradient_is_not_finite_is_left_out(network: Network, kind):
    """0 · ∞ is not 0: such a row must leave the sums, not be multiplied by a factor of 0."""
    arm = replace(DP, momentum=0.0, weight_decay=0.0)
    data = images(network)
    data.x[3] = 1e30
    theta = torch.from_numpy(network.initial(0, 0))[None]
    moved = []
    for batch in (torch.tensor([0, 1, 3, 5]), torch.tensor([0, 1, 5])):
        cohort = kind(network, theta.clone(), arm)
        cohort.step(data, batch, [len(batch)], torch.zeros(1, network.parameters))
        moved.append(cohort.theta - theta)
    assert torch.isfinite(moved[0]).all()
    # Learning rate .5: one clipped example moves the parameters by at most half the clip norm.
    apart = (moved[0] - moved[1]).norm() * arm.expected_batch_size / arm.learning_rate
    assert apart <= 0.8 * (1 + 1e-4)


def test_blocks_of_models_do_not_change_a_step():
    network = NETWORKS[4]
    for arm in (STANDARD, DP):
        noise = None if arm is STANDARD else torch.ones(len(SIZES), network.parameters)
        whole, alone = (
            one_step(network, arm, noise, partial(PaddedNetwork, block_bytes=room))[2]
            for room in (2**40, 1)
        )
        torch.testing.assert_close(whole, alone, rtol=1e-4, atol=2e-6)


def test_padding_counts_nothing_even_where_the_padded_example_would_overflow():
    """A wider table gives the same step, for a model whose outputs on padding are huge."""
    network = NETWORKS[1]
    data = PaddedData.of(network, images(network).x, images(network).y)
    theta = torch.from_numpy(network.initial(0, 0))[None] * 1e3
    for arm in (STANDARD, replace(DP, noise_multiplier=0.0)):
        steps = []
        for width in (16, 48):
            cohort = PaddedNetwork(network, theta, arm)
            if cohort.noise is not None:
                cohort.noise.zero_()
            cohort.step_padded(data, pad(torch.arange(11), [11], data.padding, width))
            steps.append(cohort.theta.clone())
        assert torch.isfinite(steps[0]).all()
        torch.testing.assert_close(steps[0], steps[1], rtol=1e-4, atol=1e-4)
