"""What only a GPU can show; run with ``pytest -m cuda``. Last run: docs/gpu.md."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.device.draws import DeviceMinibatches, DeviceNoise
from audit.training.device.ensemble import DeviceEnsemble
from audit.training.device.graphs import cuda_capture
from audit.training.device.memory import cohort_on_device, free_bytes
from audit.training.device.networks import PaddedFunctional, PaddedNetwork
from audit.training.device.padded import PaddedData
from audit.training.device.precision import Precision
from audit.training.draws import device_minibatches, device_noise, form_for, replay
from audit.training.engines import choose_engine
from audit.training.evaluation import evaluate_cohort
from audit.training.gradient_canaries import PlantedCanaries
from audit.training.models import Mlp, Model
from audit.training.network import Network

pytestmark = pytest.mark.cuda
STANDARD = Arm("standard", 0.2, 40, 20.0, 0.1, 0.9, 1e-3)
DP = Arm("dp-2", 0.2, 40, 20.0, 0.5, 0.5, 0.0, clip_norm=1.0, noise_multiplier=1.1)
ARMS = [STANDARD, DP, replace(DP, momentum=0.0)]
NAMES = ["standard", "dp", "dp without momentum"]
WITH_CANARIES = [*ARMS, replace(DP, canaries=30)]
WITH_NAMES = [*NAMES, "dp with canaries"]
MLP = Mlp((12, 40, 24, 4), "relu")
WIDE = Mlp((12, 256, 128, 4), "tanh")
NETWORKS = [Network("cnn", (1, 16, 16), 4), Network("resnet", (3, 8, 8), 4)]
PROGRAMS: list[tuple[Any, Model]] = [
    (DeviceEnsemble, MLP),
    *((kind, net) for kind in (PaddedNetwork, PaddedFunctional) for net in NETWORKS),
]


def gpu() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


def problem(model: Model, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    shape = (12,) if isinstance(model, Mlp) else model.input_shape
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, n)
    x = rng.normal(size=(n, *shape)) + y.reshape(-1, *[1] * len(shape)) / 2
    return x.astype(np.float32), y


def trained(
    kind: Any,
    model: Model,
    arm: Arm,
    device: torch.device,
    steps: int = 5,
    precision: Precision = "float32",
    **options: Any,
) -> torch.Tensor:
    """Parameters after steps on tables and noise that are the same on any device."""
    x, y = problem(model)
    data = PaddedData.of(model, model.prepare(x, device), torch.from_numpy(y).to(device))
    theta = torch.from_numpy(np.stack([model.initial(0, k) for k in range(3)]))
    made = kind(model, theta.to(device), arm, **options)
    made.precision = precision
    draw = torch.Generator().manual_seed(1)
    for step in range(steps):
        index = torch.randint(0, 201, (3, 32 if step % 2 else 16), generator=draw)
        if made.noise is not None:
            made.noise.copy_(torch.randn(made.noise.shape, generator=draw) * 0.05)
        made.step_padded(data, index.to(device))
    return made.theta.cpu()


def differences(model: Model, one: torch.Tensor, other: torch.Tensor) -> list[float]:
    """Of each model, relative to how far training moved it; in order."""
    start = torch.from_numpy(np.stack([model.initial(0, k) for k in range(3)]))
    moved = (other - start).double().norm(dim=1)
    return sorted(((one - other).double().norm(dim=1) / moved).tolist())


@pytest.mark.parametrize("arm", ARMS, ids=NAMES)
@pytest.mark.parametrize(("kind", "model"), PROGRAMS)
def test_steps_on_a_gpu_are_those_of_the_same_program_on_a_cpu(kind: Any, model: Model, arm: Arm):
    here, there = (trained(kind, model, arm, device) for device in (torch.device("cpu"), gpu()))
    _, middle, largest = differences(model, there, here)
    assert middle < 1e-5
    # A unit near 0 may change sides: so far a CPU's float32 is from its float64, now and then.
    assert largest < 1e-2


@pytest.mark.parametrize(("kind", "model"), [(DeviceEnsemble, WIDE), *PROGRAMS[1:]])
def test_products_are_rounded_where_that_is_asked_for(kind: Any, model: Model):
    """What the bound on exact products above would catch. A ResNet of five steps amplifies it."""
    exact = trained(kind, model, STANDARD, gpu())
    rounded = trained(kind, model, STANDARD, gpu(), precision="tf32")
    _, middle, largest = differences(model, rounded, exact)
    assert middle > 5e-5
    assert largest < 0.5


@pytest.mark.parametrize("arm", ARMS, ids=NAMES)
def test_cuda_graphs_repeat_the_steps(arm: Arm):
    plain = trained(DeviceEnsemble, MLP, arm, gpu(), 12)
    captured = trained(DeviceEnsemble, MLP, arm, gpu(), 12, capture=cuda_capture)
    torch.testing.assert_close(plain, captured, rtol=1e-5, atol=1e-6)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever waits for the device raises."""
    with warnings.catch_warnings():
        # Said by PyTorch whenever this mode is set: it does not see every wait.
        warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_waiting_is_noticed():
    values = torch.ones(3, device=gpu())
    with pytest.raises(RuntimeError, match="synchronizing"), no_waiting():
        float(values.sum())


@pytest.mark.parametrize("arm", WITH_CANARIES, ids=WITH_NAMES)
def test_a_step_never_waits_for_the_gpu(arm: Arm):
    x, y = problem(MLP)
    data = PaddedData.of(MLP, MLP.prepare(x, gpu()), torch.from_numpy(y).to(gpu()))
    theta = torch.from_numpy(MLP.initial(0, 0))[None].to(gpu())
    index = torch.randint(0, 201, (1, 16)).to(gpu())
    made = DeviceEnsemble(MLP, theta, arm)
    noise = device_noise(MLP, arm, range(1), 0, gpu()) if made.noise is not None else None
    canaries = None
    if arm.canaries:
        canaries = PlantedCanaries(MLP, arm, range(1), seed=0, device=gpu())
        canaries.start(made.theta)

    def step() -> None:
        if noise is not None and made.noise is not None:
            noise.fill(made.noise)
            if canaries is not None:
                canaries.add(made.noise)
        made.step_padded(data, index)
        if canaries is not None:
            canaries.observe(made.theta)

    step()  # the first of a block fetches what the block draws
    with no_waiting():
        step()


def test_minibatches_are_binomial_and_inside_their_subset():
    n, q, steps, models = 400, 0.1, 100, 70
    member = torch.from_numpy(np.random.default_rng(0).random((models, n)) < 0.7).to(gpu())
    drawn = DeviceMinibatches(member, range(models), arm="a", sample_rate=q, steps=steps, seed=0)
    sizes = []
    for block in drawn.blocks():
        rows = torch.arange(models, device=gpu())[None, :, None].expand_as(block.index)
        inside = block.index < n
        assert bool(member[rows[inside], block.index[inside]].all())
        sizes.append(block.sizes.cpu().numpy())
    sizes = np.concatenate(sizes)
    expected = q * member.sum(dim=1).cpu().numpy()
    spread = np.sqrt(expected * (1 - q) / steps)
    assert (np.abs(sizes.mean(axis=0) - expected) < 5 * spread).all()
    ratio = sizes.var(axis=0).mean() / (expected * (1 - q)).mean()
    assert abs(ratio - 1) < 5 * np.sqrt(2 / (steps * models))


def test_noise_is_normal_and_independent():
    source = DeviceNoise(range(9), 4096, std=2.5, arm="a", seed=0, device=gpu())
    drawn = torch.empty(20, 9, 4096, device=gpu())
    for step in drawn:
        source.fill(step)
    values = drawn.double().cpu()
    assert abs(float(values.std()) / 2.5 - 1) < 5 / np.sqrt(2 * values.numel())
    assert stats.kstest(values.ravel().numpy()[::7] / 2.5, "norm").pvalue > 1e-3  # pyright: ignore
    for one, other in ((values[1:], values[:-1]), (values[:, 1:], values[:, :-1])):
        assert abs(float((one * other).mean()) / 2.5**2) < 5 / np.sqrt(one.numel())


def test_a_replay_gives_what_the_cohort_was_given():
    member = np.random.default_rng(2).random((7, 90)) < 0.7
    once = replay("device", MLP, DP, 5, member[5], seed=9, device=gpu())
    batches, noise = once.minibatches(), once.noise()
    source = device_noise(MLP, DP, range(7), 9, gpu())
    table = torch.from_numpy(member).to(gpu())
    out = DeviceEnsemble(MLP, torch.zeros(7, MLP.parameters, device=gpu()), DP).noise
    assert out is not None
    for block in device_minibatches(MLP, DP, table, range(7), 9).blocks():
        for step in range(len(block.index)):
            own = block.index[step, 5]
            assert torch.equal(own[own < 90], next(batches))
            source.fill(out)
            expected = out[5, : MLP.parameters] * DP.expected_batch_size
            torch.testing.assert_close(next(noise), expected, rtol=1e-6, atol=0)


def test_no_example_exceeds_the_clip_norm_though_products_are_rounded():
    arm = replace(DP, momentum=0.0, learning_rate=1.0, expected_batch_size=1.0, clip_norm=0.01)
    x, y = problem(WIDE)
    data = PaddedData.of(WIDE, WIDE.prepare(3 * x, gpu()), torch.from_numpy(y).to(gpu()))
    theta = torch.from_numpy(WIDE.initial(0, 0))[None].repeat(200, 1).to(gpu())
    made = DeviceEnsemble(WIDE, theta, arm)
    assert made.noise is not None
    made.noise.zero_()
    made.precision = "tf32"
    index = torch.full((200, 16), 200, device=gpu())
    index[:, 0] = torch.arange(200, device=gpu())
    made.step_padded(data, index)
    moved = (made.theta - theta).double().norm(dim=1)
    # Parameters are rounded when the step is added to them: some 1e-8 each, 37,000 of them.
    assert float(moved.max()) <= 0.01 * (1 + 1e-3)
    assert float(moved.min()) > 0.0098


def task(model: Model, arm: Arm, models: int, device: str) -> CohortTask:
    return CohortTask(arm, model, 0, models - 1, "ensemble", "poisson", 0.7, 3, device, 1)


def training_data(model: Model) -> TrainingData:
    x, y = problem(model, 300)
    shape = (12,) if isinstance(model, Mlp) else model.input_shape
    return TrainingData(x[:200], y[:200], x[200:], y[200:], shape)


@pytest.mark.parametrize("arm", WITH_CANARIES, ids=WITH_NAMES)
@pytest.mark.parametrize("model", [MLP, NETWORKS[0]], ids=["mlp", "cnn"])
def test_the_cross_check_of_a_cohort_holds(model: Model, arm: Arm):
    found = train_cohort(task(model, arm, 4, "cuda"), training_data(model)).cross_check
    assert found is not None
    assert found.verdict == "holds", found.to_json()


@pytest.mark.parametrize("arm", ARMS[:2], ids=NAMES[:2])
def test_both_devices_train_models_of_one_distribution(arm: Arm):
    """Membership to the bit; accuracies by two-sample tests, 150 models a side."""
    data = training_data(MLP)
    here, there = (train_cohort(task(MLP, arm, 150, device), data) for device in ("cpu", "cuda"))
    np.testing.assert_array_equal(here.membership, there.membership)
    ours, theirs = (run.test_correct.mean(axis=1) for run in (here, there))
    law: Any = stats.ks_2samp(ours, theirs)
    mean: Any = stats.ttest_rel(ours, theirs)  # the same subsets and the same start
    assert law.pvalue > 1e-3
    assert mean.pvalue > 1e-3


def test_evaluation_on_a_gpu_is_that_of_a_cpu():
    for model in (MLP, *NETWORKS):
        x, y = problem(model)
        theta = torch.from_numpy(np.stack([model.initial(0, k) for k in range(3)]))
        outputs = [
            evaluate_cohort(
                model,
                theta.to(device),
                model.prepare(x, device),
                torch.from_numpy(y).to(device),
            )
            for device in (torch.device("cpu"), gpu())
        ]
        assert (outputs[0].correct != outputs[1].correct).mean() < 0.01
        np.testing.assert_allclose(outputs[0].margin, outputs[1].margin, rtol=1e-2, atol=1e-2)


def test_a_real_want_of_memory_halves_the_cohort():
    """Room for about half of the models: PyTorch itself says that there is none."""
    model, models = Mlp((12, 4000, 1000, 4)), 40
    arm = replace(STANDARD, steps=2)
    each = 4 * 2 * model.parameters
    total = torch.cuda.get_device_properties(gpu()).total_memory
    torch.cuda.empty_cache()
    taken = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((taken + 1.2 * models * each) / total)
    try:
        checked = replace(task(model, arm, models, "cuda"), checked_model=None)
        found = train_cohort(checked, training_data(model))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(found.notes["out_of_memory"]) > 1
    assert len(found.train_correct) == models


def test_engines_are_tried_on_the_gpu():
    for network in NETWORKS:
        assert choose_engine(network, "cuda").engine == "ensemble"


def test_a_gpu_says_what_is_free():
    assert free_bytes(gpu()) > 2**28
    assert cohort_on_device(MLP, [STANDARD, DP], 200, 1000, "cuda") == 500
    assert form_for(gpu()) == "device"
