"""What a cohort draws while it trains, in two forms, and the draws of one model once more.

``host``: each model has streams of its own, drawn by NumPy; minibatches lie one after the other.
``device``: models share streams in groups, drawn where the training is; minibatches are a table
(:mod:`audit.training.device.draws`). Membership and initial parameters are the same in both, bit
for bit; minibatches, augmentations and noise are other draws from the same distribution.

A replay draws what model k of a cohort was given, from (seed, arm, k) alone: that is how the
cross-check repeats a training, and how the streams are tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.augmentation import model_views
from audit.training.device.draws import DeviceMinibatches, DeviceNoise
from audit.training.device.padded import noise_columns
from audit.training.gradient_canaries import PlantedCanaries
from audit.training.models import Mlp, Model
from audit.training.opacus_loop import model_minibatches, tee_sizes
from audit.training.plants import recipe

Form = Literal["host", "device"]


def form_for(device: torch.device) -> Form:
    """Where a training on ``device`` draws."""
    return "host" if device.type == "cpu" else "device"


def image_shape(model: Model) -> tuple[int, ...]:
    """The shape of an example to be augmented; () for an MLP, whose examples are flat."""
    return () if isinstance(model, Mlp) else model.input_shape


@runtime_checkable
class Replay(Protocol):
    """The draws of one model, step by step; each call begins anew."""

    def minibatches(self) -> Iterator[Tensor]:
        """Indices of the examples of each step's minibatch [rows]."""
        ...

    def views(self) -> Iterator[Tensor] | None:
        """Augmentations of each minibatch [rows, 3]; None without any."""
        ...

    def noise(self) -> Iterator[Tensor]:
        """Noise N(0, (zC)²) on the sum of each step's gradients [parameters], without end."""
        ...

    def added(self) -> Iterator[Tensor]:
        """The same with the gradient canaries of the step, where the arm has some: all that is
        added to the sum of the examples' gradients."""
        ...


def replay(
    form: Form,
    model: Model,
    arm: Arm,
    k: int,
    member: np.ndarray,
    *,
    seed: int,
    device: torch.device,
) -> Replay:
    """What model ``k`` of ``arm`` is given when it trains in ``form``.

    Args:
        member: its membership [n].
        device: where the training is.
    """
    if form == "host":
        return HostReplay(model, arm, k, member, seed)
    return DeviceReplay(model, arm, k, member, seed, device)


class HostReplay:
    """Streams of the model's own."""

    def __init__(self, model: Model, arm: Arm, k: int, member: np.ndarray, seed: int) -> None:
        self._model, self._arm, self._k, self._member, self._seed = model, arm, k, member, seed

    def minibatches(self) -> Iterator[Tensor]:
        return model_minibatches(self._member, self._k, self._arm, seed=self._seed)

    def views(self) -> Iterator[Tensor] | None:
        if not self._arm.augmentation:
            return None
        _, sizes = tee_sizes(self.minibatches())
        shape = image_shape(self._model)
        arm, kinds = self._arm.name, self._arm.augmentation
        return model_views(self._k, kinds, shape, sizes, arm=arm, seed=self._seed)

    def noise(self) -> Iterator[Tensor]:
        models = range(self._k, self._k + 1)
        noise = recipe(self._arm).noise(self._model, self._arm, models, seed=self._seed)
        while True:
            yield noise.draw()[0]

    def added(self) -> Iterator[Tensor]:
        host = torch.device("cpu")
        return _with_canaries(self.noise(), self._model, self._arm, self._k, self._seed, host)


def _with_canaries(
    noise: Iterator[Tensor], model: Model, arm: Arm, k: int, seed: int, device: torch.device
) -> Iterator[Tensor]:
    if not arm.canaries:
        yield from noise
        return
    canaries = PlantedCanaries(model, arm, range(k, k + 1), seed=seed, device=device)
    for _, drawn in zip(range(arm.steps), noise, strict=False):
        canaries.add(drawn[None])
        canaries.skip()
        yield drawn


class DeviceReplay:
    """The streams of the model's groups, of which only its row is used."""

    def __init__(
        self,
        model: Model,
        arm: Arm,
        k: int,
        member: np.ndarray,
        seed: int,
        device: torch.device,
    ) -> None:
        self._model, self._arm, self._models, self._seed = model, arm, range(k, k + 1), seed
        self._member = torch.from_numpy(member[None]).to(device)

    def minibatches(self) -> Iterator[Tensor]:
        return (batch for batch, _ in self._steps())

    def views(self) -> Iterator[Tensor] | None:
        if not self._arm.augmentation:
            return None
        return (views for _, views in self._steps() if views is not None)

    def noise(self) -> Iterator[Tensor]:
        noise = device_noise(self._model, self._arm, self._models, self._seed, self._member.device)
        columns = noise_columns(self._model.parameters)
        while True:
            drawn = torch.empty(1, columns, device=self._member.device)
            noise.fill(drawn)
            yield drawn[0, : self._model.parameters] * self._arm.expected_batch_size

    def added(self) -> Iterator[Tensor]:
        device, (k,) = self._member.device, self._models
        return _with_canaries(self.noise(), self._model, self._arm, k, self._seed, device)

    def _steps(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        blocks = device_minibatches(
            self._model, self._arm, self._member, self._models, self._seed
        ).blocks()
        for block in blocks:
            for step, (size,) in enumerate(block.sizes.tolist()):
                views = None if block.views is None else block.views[step, 0, :size]
                yield block.index[step, 0, :size], views


def device_minibatches(
    model: Model, arm: Arm, member: Tensor, models: range, seed: int
) -> DeviceMinibatches:
    """The minibatches of a cohort, drawn on the device of ``member`` [models, n]."""
    return DeviceMinibatches(
        member,
        models,
        arm=arm.name,
        sample_rate=arm.sample_rate,
        steps=arm.steps,
        seed=seed,
        augmentation=arm.augmentation,
        input_shape=image_shape(model),
    )


def device_noise(
    model: Model, arm: Arm, models: range, seed: int, device: torch.device
) -> DeviceNoise:
    """The noise of a cohort in units of the mean gradient, as the programs of a device take it."""
    return DeviceNoise(
        models,
        noise_columns(model.parameters),
        std=arm.noise_std / arm.expected_batch_size,
        arm=arm.name,
        seed=seed,
        device=device,
    )
