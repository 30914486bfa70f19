"""The engines that train a cohort as one program, and which of them a model can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from audit.training.arms import Arm
from audit.training.augmentation import Views
from audit.training.device_ensemble import DeviceEnsemble
from audit.training.ensemble import CLIP_EPS, Data, Ensemble
from audit.training.functional import FunctionalNetwork
from audit.training.minibatches import poisson_minibatches
from audit.training.models import Mlp, Model
from audit.training.network import Network
from audit.training.noise import Noise
from audit.training.stacked import NoStackedForm, StackedNetwork

Engine = Literal["ensemble", "functional", "opacus", "estimator"]
"""``ensemble``: stacked layers; ``functional``: torch.func; ``opacus``: one model at a time;
``estimator``: not trained by this tool, but by a learner itself (:mod:`audit.training.learners`).
"""

# A step of the probe may differ from autograd's by rounding; a wrong form differs by far more.
_PROBE_TOLERANCE = 1e-3


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


def program(model: Model, engine: Engine, theta: Tensor, arm: Arm) -> Program:
    """A cohort of ``model`` with the parameters ``theta``, trained by ``engine``.

    Raises:
        NoStackedForm: ``ensemble`` has no form of the model.
    """
    if isinstance(model, Mlp):
        return (Ensemble if theta.device.type == "cpu" else DeviceEnsemble)(model, theta, arm)
    return (StackedNetwork if engine == "ensemble" else FunctionalNetwork)(model, theta, arm)


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
    on_step: Callable[[int, Tensor], None] = lambda done, theta: None,
) -> Tensor:
    """Train ``models`` of ``arm`` together; returns their parameters [models, parameters].

    Args:
        x: inputs as ``model.prepare`` returns them, on the device to train on.
        y: labels [n], same device.
        membership: who is in each model's training set.
        on_step: called with the number of finished steps and the current parameters.
    """
    device = x.device
    theta = torch.from_numpy(np.stack([model.initial(seed, k) for k in models])).to(device)
    cohort = program(model, engine, theta, arm)
    noise = None
    if arm.kind == "dp":
        noise = Noise(models, model.parameters, std=arm.noise_std, arm=arm.name, seed=seed)
    views = None
    if arm.augmentation:
        views = Views(models, arm.augmentation, tuple(x.shape[1:]), arm=arm.name, seed=seed)
    data = Data.of(x, y)
    done = 0
    blocks = poisson_minibatches(
        membership, models, arm=arm.name, sample_rate=arm.sample_rate, steps=arm.steps, seed=seed
    )
    for block in blocks:
        for examples, sizes in block.steps():
            selected = torch.from_numpy(examples).to(device)
            drawn = None if noise is None else noise.draw().to(device)
            if views is None:
                cohort.step(data, selected, sizes, drawn)
            else:
                cohort.step(data, selected, sizes, drawn, views.draw(sizes))
            done += 1
            on_step(done, cohort.theta)
    return cohort.theta


@dataclass(frozen=True)
class Choice:
    """An engine, and why it was chosen, in words for the plan and the report."""

    engine: Engine
    why: str


def choose_engine(model: Network) -> Choice:
    """The fastest engine that can train ``model``, found by trying a step of each.

    Layers are matched by kind, so a form could still be wrong for what the module's ``forward``
    does between them: a step of two models, standard and clipped, must equal autograd's, one
    example at a time.
    """
    reasons = []
    engines: tuple[Engine, ...] = ("ensemble", "functional")
    for engine in engines:
        why_not = _why_not(model, engine)
        if why_not is None:
            if engine == "ensemble":
                return Choice(engine, "each of its layers has a stacked form")
            return Choice(engine, f"torch.func transforms it; {reasons[0]}")
        reasons.append(f"no {_NAMES[engine]}: {why_not}")
    return Choice("opacus", f"one model at a time, since there is {'; '.join(reasons)}")


_NAMES = {"ensemble": "stacked form", "functional": "torch.func form"}


def _why_not(model: Network, engine: Engine) -> str | None:
    """Half a sentence on why ``engine`` cannot train ``model``; None if it can."""
    if _buffers_differ(model):
        return "its buffers differ between models"
    torch_state = torch.random.get_rng_state()
    try:
        if all(_step_is_right(model, engine, clip) for clip in (None, 0.5)):
            return None
        return "a step of it differs from autograd's"
    except NoStackedForm as error:
        return str(error)
    except Exception as error:  # torch.func meets arbitrary code, and fails in as many ways
        text = " ".join(str(error).split())
        return f"{type(error).__name__} ({text[:140]})"
    finally:
        torch.random.set_rng_state(torch_state)


def _step_is_right(model: Network, engine: Engine, clip: float | None) -> bool:
    sizes = [3, 0, 2]
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(sum(sizes), *model.input_shape, generator=draw)
    y = torch.randint(model.n_classes, (sum(sizes),), generator=draw)
    noise_multiplier = None if clip is None else 0.0
    arm = Arm("probe", 0.5, 1, 2.0, 1.0, 0.0, 0.0, clip, noise_multiplier)
    before = torch.from_numpy(np.stack([model.initial(0, k) for k in range(len(sizes))]))
    # Away from where a layer may start at zero, and its gradients say nothing.
    before += 0.05 * torch.randn(before.shape, generator=draw)
    cohort = program(model, engine, before.clone(), arm)
    noise = None if clip is None else torch.zeros_like(before)
    cohort.step(Data.of(x, y), torch.arange(len(x)), sizes, noise)
    start = 0
    for k, size in enumerate(sizes):
        here = slice(start, start + size)
        module = model.module(before[k]).train()
        expected = _gradient_sum(model, module, x[here], y[here], clip) / arm.expected_batch_size
        found = before[k] - cohort.theta[k]
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
