"""The engines that train a cohort as one program, and which of them a model can have."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from audit.training.arms import Arm
from audit.training.augmentation import Views
from audit.training.device.ensemble import DeviceEnsemble
from audit.training.device.graphs import cuda_capture
from audit.training.device.memory import is_launch_bound
from audit.training.device.networks import PaddedFunctional, PaddedNetwork
from audit.training.device.padded import CohortState, PaddedData
from audit.training.device.precision import training_precision
from audit.training.draws import Form, device_minibatches, device_noise, form_for
from audit.training.ensemble import CLIP_EPS, Data
from audit.training.functional import FunctionalNetwork
from audit.training.gradient_canaries import CanaryScores, PlantedCanaries
from audit.training.models import Mlp, Model
from audit.training.network import Network
from audit.training.out_of_memory import ran_out_of_memory
from audit.training.plants import recipe
from audit.training.pruning import Pruner
from audit.training.stacked import NoStackedForm, StackedNetwork

Engine = Literal["ensemble", "functional", "opacus", "estimator"]
"""``ensemble``: stacked layers; ``functional``: torch.func; ``opacus``: one model at a time;
``estimator``: not trained by this tool, but by a learner itself (:mod:`audit.training.learners`).
"""

# A step of the probe may differ from autograd's by rounding; a wrong form differs by far more.
_PROBE_TOLERANCE = 1e-3
EARLY_STEPS = 20
"""Steps after which the cross-check first compares a model, before training can amplify rounding
much; on a device they are computed in full float32, whatever the others are."""
_MANY_NUMBERS = 2**22


@runtime_checkable
class Program(Protocol):
    """A cohort in training: parameters and momenta [models, parameters], and its step."""

    theta: Tensor
    velocity: Tensor

    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None: ...


def program(
    model: Model,
    engine: Engine,
    theta: Tensor,
    arm: Arm,
    subsets: Int64[np.ndarray, " models"] | None = None,
) -> Program:
    """A cohort of ``model`` on a CPU with the parameters ``theta``, trained by ``engine``.

    Args:
        subsets: sizes of the models' training sets, for an arm with a planted bug that uses them.

    Raises:
        NoStackedForm: ``ensemble`` has no form of the model.
    """
    if isinstance(model, Mlp):
        return recipe(arm).program(model, theta, arm, subsets)
    return (StackedNetwork if engine == "ensemble" else FunctionalNetwork)(model, theta, arm)


def device_program(model: Model, engine: Engine, theta: Tensor, arm: Arm) -> CohortState:
    """The same for any device, with minibatches of one width; ``theta`` is copied.

    Raises:
        NoStackedForm: ``ensemble`` has no form of the model.
    """
    if isinstance(model, Mlp):
        graphs = theta.device.type == "cuda" and is_launch_bound(model, arm, len(theta))
        return DeviceEnsemble(model, theta, arm, capture=cuda_capture if graphs else None)
    return (PaddedNetwork if engine == "ensemble" else PaddedFunctional)(model, theta, arm)


def train_ensemble(
    model: Model,
    arm: Arm,
    x: Tensor,
    y: Tensor,
    membership: Bool[np.ndarray, "models n"],
    models: range,
    *,
    seed: int,
    engine: Engine = "ensemble",
    form: Form | None = None,
    on_step: Callable[[int, Tensor], None] = lambda done, theta: None,
    on_canaries: Callable[[CanaryScores], None] = lambda scores: None,
) -> Tensor:
    """Train ``models`` of ``arm`` together; returns their parameters [models, parameters].

    Args:
        x: inputs as ``model.prepare`` returns them, on the device to train on.
        y: labels [n], same device.
        membership: who is in each model's training set.
        form: where minibatches and noise are drawn; None for where the data lies.
        on_step: called with the number of finished steps and the current parameters, before
            anything is pruned. On a GPU steps finish later than they are counted.
        on_canaries: called at the end, where the arm has gradient canaries.
    """
    theta = initial_parameters(model, seed, models)
    work = _Work(model, arm, x, y, membership, models, theta, seed, engine, on_step, on_canaries)
    return _train_host(work) if (form or form_for(x.device)) == "host" else _train_device(work)


@dataclass(frozen=True)
class _Work:
    """What :func:`train_ensemble` was asked for, and where its models start."""

    model: Model
    arm: Arm
    x: Tensor
    y: Tensor
    membership: np.ndarray
    models: range
    theta: Tensor
    seed: int
    engine: Engine
    on_step: Callable[[int, Tensor], None]
    on_canaries: Callable[[CanaryScores], None]

    def canaries(self, *, scale: float) -> PlantedCanaries | None:
        """The gradient canaries of an arm that has some."""
        if not self.arm.canaries:
            return None
        device = self.x.device
        return PlantedCanaries(
            self.model, self.arm, self.models, seed=self.seed, device=device, scale=scale
        )

    def pruner(self, theta: Tensor) -> Pruner | None:
        """What prunes the cohort with these parameters, in an arm that is pruned."""
        if not self.arm.pruned:
            return None
        return Pruner(self.model.tensors(theta), self.arm.pruned, self.arm.steps)


def initial_parameters(model: Model, seed: int, models: range) -> Tensor:
    """Where ``models`` start [models, parameters], on the host.

    Large MLPs are made by several threads (NumPy's generators let them run at once): on one, 2,000
    of half a million parameters would take as long as a GPU takes to train them.
    """
    theta = np.empty((len(models), model.parameters), dtype=np.float32)

    def fill(row: int) -> None:
        theta[row] = model.initial(seed, models[row])

    if isinstance(model, Mlp) and theta.size > _MANY_NUMBERS:
        with ThreadPoolExecutor(_usable_cores()) as pool:
            list(pool.map(fill, range(len(models))))
    else:
        for row in range(len(models)):
            fill(row)
    return torch.from_numpy(theta)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _train_host(work: _Work) -> Tensor:
    arm, models, seed = work.arm, work.models, work.seed
    subsets = work.membership.sum(axis=1)
    cohort = program(work.model, work.engine, work.theta, arm, subsets)
    made_of, noise = recipe(arm), None
    if arm.kind == "dp":
        noise = made_of.noise(work.model, arm, models, seed=seed)
    views = None
    if arm.augmentation:
        views = Views(models, arm.augmentation, tuple(work.x.shape[1:]), arm=arm.name, seed=seed)
    data = Data.of(work.x, work.y)
    canaries = work.canaries(scale=1.0)
    if canaries is not None:
        canaries.start(cohort.theta)
    pruner = work.pruner(cohort.theta)
    done = 0
    for block in made_of.minibatches(work.membership, models, arm, seed=seed):
        for examples, sizes in block.steps():
            selected = torch.from_numpy(examples)
            drawn = None if noise is None else noise.draw()
            if canaries is not None and drawn is not None:
                canaries.add(drawn)
            if views is None:
                cohort.step(data, selected, sizes, drawn)
            else:
                cohort.step(data, selected, sizes, drawn, views.draw(sizes))
            if canaries is not None:
                canaries.observe(cohort.theta)
            done += 1
            work.on_step(done, cohort.theta)
            if pruner is not None:
                pruner.after(done)
    if canaries is not None:
        work.on_canaries(canaries.scores())
    return cohort.theta


def _train_device(work: _Work) -> Tensor:
    model, arm, models, seed = work.model, work.arm, work.models, work.seed
    device = work.x.device
    cohort = device_program(model, work.engine, work.theta.to(device), arm)
    noise = device_noise(model, arm, models, seed, device) if cohort.noise is not None else None
    data = PaddedData.of(model, work.x, work.y)
    member = torch.from_numpy(work.membership).to(device)
    precision = training_precision(arm, model.parameters)
    canaries = work.canaries(scale=1 / arm.expected_batch_size)
    if canaries is not None:
        canaries.start(cohort.theta)
    pruner = work.pruner(cohort.theta)
    done = 0
    for block in device_minibatches(model, arm, member, models, seed).blocks():
        for step in range(len(block.index)):
            if noise is not None and cohort.noise is not None:
                noise.fill(cohort.noise)
                if canaries is not None:
                    canaries.add(cohort.noise)
            # What the cross-check follows exactly is trained exactly.
            cohort.precision = "float32" if done < EARLY_STEPS else precision
            views = None if block.views is None else block.views[step]
            cohort.step_padded(data, block.index[step], views)
            if canaries is not None:
                canaries.observe(cohort.theta)
            done += 1
            work.on_step(done, cohort.theta)
            if pruner is not None:
                pruner.after(done)
    if canaries is not None:
        work.on_canaries(canaries.scores())
    return cohort.theta


@dataclass(frozen=True)
class Choice:
    """An engine, and why it was chosen, in words for the plan and the report."""

    engine: Engine
    why: str


def choose_engine(model: Network, device: str = "cpu") -> Choice:
    """The fastest engine that can train ``model`` on ``device``, found by trying a step of each.

    Layers are matched by kind, so a form could still be wrong for what the module's ``forward``
    does between them: a step of two models, standard and clipped, must equal autograd's, one
    example at a time.
    """
    reasons = []
    engines: tuple[Engine, ...] = ("ensemble", "functional")
    for engine in engines:
        why_not = _why_not(model, engine, torch.device(device))
        if why_not is None:
            if engine == "ensemble":
                return Choice(engine, "each of its layers has a stacked form")
            return Choice(engine, f"torch.func transforms it; {reasons[0]}")
        reasons.append(f"no {_NAMES[engine]}: {why_not}")
    return Choice("opacus", f"one model at a time, since there is {'; '.join(reasons)}")


_NAMES = {"ensemble": "stacked form", "functional": "torch.func form"}


def _why_not(model: Network, engine: Engine, device: torch.device) -> str | None:
    """Half a sentence on why ``engine`` cannot train ``model``; None if it can."""
    if _buffers_differ(model):
        return "its buffers differ between models"
    torch_state = torch.random.get_rng_state()
    try:
        if all(_step_is_right(model, engine, clip, device) for clip in (None, 0.5)):
            return None
        return "a step of it differs from autograd's"
    except NoStackedForm as error:
        return str(error)
    except Exception as error:  # torch.func meets arbitrary code, and fails in as many ways
        if ran_out_of_memory(error):
            raise  # says nothing of the model
        text = " ".join(str(error).split())
        return f"{type(error).__name__} ({text[:140]})"
    finally:
        torch.random.set_rng_state(torch_state)


def _step_is_right(
    model: Network, engine: Engine, clip: float | None, device: torch.device
) -> bool:
    sizes = [3, 0, 2]
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(sum(sizes), *model.input_shape, generator=draw)
    y = torch.randint(model.n_classes, (sum(sizes),), generator=draw)
    noise_multiplier = None if clip is None else 0.0
    arm = Arm("probe", 0.5, 1, 2.0, 1.0, 0.0, 0.0, clip, noise_multiplier)
    before = torch.from_numpy(np.stack([model.initial(0, k) for k in range(len(sizes))]))
    # Away from where a layer may start at zero, and its gradients say nothing.
    before += 0.05 * torch.randn(before.shape, generator=draw)
    if device.type == "cpu":
        cohort: Program = program(model, engine, before.clone(), arm)
    else:
        cohort = device_program(model, engine, before.to(device), arm)
        cohort.precision = "float32"
    noise = None if clip is None else torch.zeros_like(before).to(device)
    data = Data.of(x.to(device), y.to(device))
    cohort.step(data, torch.arange(len(x), device=device), sizes, noise)
    after = cohort.theta.cpu()
    start = 0
    for k, size in enumerate(sizes):
        here = slice(start, start + size)
        module = model.module(before[k]).train()
        expected = _gradient_sum(model, module, x[here], y[here], clip) / arm.expected_batch_size
        found = before[k] - after[k]
        if not (found - expected).norm() <= _PROBE_TOLERANCE * expected.norm() + 1e-6:
            return False
        start += size
    return True


def _gradient_sum(
    model: Network, module: nn.Module, x: Tensor, y: Tensor, clip: float | None
) -> Tensor:
    """Sum of the examples' gradients, each clipped to ``clip``: autograd, one at a time."""
    total = torch.zeros(model.parameters)
    for i in range(len(x)):
        module.zero_grad()
        cross_entropy(module(x[i : i + 1]), y[i : i + 1]).backward()
        gradient = model.flatten({n: _gradient(p) for n, p in module.named_parameters()})
        factor = 1.0 if clip is None else min(1.0, clip / (gradient.norm().item() + CLIP_EPS))
        total += factor * gradient
    return total


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buffers_differ(model: Network) -> bool:
    """Whether the factory fills buffers at random: a cohort shares one set of them."""
    one, two = (dict(model.initial_module(0, k).named_buffers()) for k in (0, 1))
    return any(not torch.equal(value, two[name]) for name, value in one.items())
