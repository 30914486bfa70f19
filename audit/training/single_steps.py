"""Single steps of an engine against a reference training, each from the reference's own state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from audit.training.arms import Arm
from audit.training.device.padded import PaddedData, pad
from audit.training.device.precision import Precision
from audit.training.engines import EARLY_STEPS, Engine, device_program, program
from audit.training.ensemble import Data
from audit.training.models import Model

# A step may differ by the rounding of the parameters themselves: a few units in the last place.
_ROUNDING = 4 * torch.finfo(torch.float32).eps
# A training whose parameters are this many times longer than at its start diverges.
_DIVERGING = 1e3


@runtime_checkable
class OneModel(Protocol):
    """The program of a cohort with a single model."""

    def step(
        self,
        theta: Tensor,
        velocity: Tensor,
        batch: Tensor,
        noise: Tensor | None,
        views: Tensor | None,
        precision: Precision,
    ) -> Tensor:
        """Parameters after a step from this state; vectors [parameters]."""
        ...


class OnHost:
    """The program of a CPU."""

    def __init__(
        self, model: Model, arm: Arm, engine: Engine, data: Data, member: Bool[np.ndarray, " n"]
    ) -> None:
        subsets = member.sum(keepdims=True)
        self._cohort = program(model, engine, torch.zeros(1, model.parameters), arm, subsets)
        self._data = data

    def step(
        self,
        theta: Tensor,
        velocity: Tensor,
        batch: Tensor,
        noise: Tensor | None,
        views: Tensor | None,
        precision: Precision,
    ) -> Tensor:
        assert precision == "float32", "a CPU rounds no operands"
        self._cohort.theta.copy_(theta)
        self._cohort.velocity.copy_(velocity)
        drawn = None if noise is None else noise[None]
        self._cohort.step(self._data, batch, [len(batch)], drawn, views)
        return self._cohort.theta[0]


class OnDevice:
    """The program of a device, where ``data`` lies."""

    def __init__(self, model: Model, arm: Arm, engine: Engine, data: Data) -> None:
        theta = torch.zeros(1, model.parameters, device=data.x.device)
        self._cohort = device_program(model, engine, theta, arm)
        self._data = PaddedData.of(model, data.x, data.y)

    def step(
        self,
        theta: Tensor,
        velocity: Tensor,
        batch: Tensor,
        noise: Tensor | None,
        views: Tensor | None,
        precision: Precision,
    ) -> Tensor:
        cohort, sizes = self._cohort, [len(batch)]
        cohort.precision = precision
        cohort.theta.copy_(theta)
        cohort.velocity.copy_(velocity)
        if noise is not None:
            cohort.set_noise(noise[None])
        index = pad(batch, sizes, self._data.padding)
        cohort.step_padded(self._data, index, None if views is None else pad(views, sizes, 0))
        return cohort.theta[0]


class SingleSteps:
    """Repeats every step of a reference training in the ensemble, from the reference's own state.

    Wraps the iterators that the training consumes: when the next minibatch is asked for, the step
    on the last one is done and can be compared. Sums stay on the device: reading one would wait.
    """

    def __init__(
        self, model: Model, arm: Arm, module: nn.Module, one: OneModel, precision: Precision
    ) -> None:
        self._model, self._arm, self._module, self._one = model, arm, module, one
        self._precision: Precision = precision
        self._noise: Tensor | None = None
        self._views: Tensor | None = None
        self.early = self._parameters()
        """Parameters after min(EARLY_STEPS, steps) steps."""
        self._tame = _DIVERGING * _norm(self.early).clamp(min=1.0)
        self._velocity = torch.zeros_like(self.early)
        sums = torch.zeros(4, dtype=torch.float64, device=self.early.device)
        self._differences, self._moves, self._rounded, self._gradients = sums
        self._done = 0

    def watch(self, minibatches: Iterator[Tensor]) -> Iterator[Tensor]:
        for batch in minibatches:
            before = self._parameters()
            yield batch
            self._compare(batch, before, self._parameters())

    def listen(self, noise: Iterator[Tensor]) -> Iterator[Tensor]:
        for self._noise in noise:
            yield self._noise

    def look(self, views: Iterator[Tensor]) -> Iterator[Tensor]:
        for self._views in views:
            yield self._views

    def relative_difference(self) -> float:
        """Root of (sum of squared differences / of squared steps), until the training diverges."""
        return _root_ratio(self._differences, self._moves)

    def precision_difference(self) -> float | None:
        """The same between rounded and exact steps of the ensemble, relative to what the gradients
        contribute to them; None where nothing is rounded."""
        if self._precision == "float32":
            return None
        return _root_ratio(self._rounded, self._gradients)

    def _parameters(self) -> Tensor:
        return self._model.flatten(dict(self._module.named_parameters())).clone()

    def _compare(self, batch: Tensor, before: Tensor, after: Tensor) -> None:
        state = (before, self._velocity, batch, self._noise, self._views)
        ours = self._one.step(*state, "float32").clone()
        difference = _norm(ours - after)
        rounding = _ROUNDING * _norm(after)
        # `max` would drop a NaN; this keeps it, and a NaN is never within the tolerance.
        excess = (difference - rounding).square()
        # Where both diverge nothing is left to compare; where one of them does, NaN stays. On the
        # way there the last steps would outweigh all others in the sums, whatever is wrong.
        ended = ~(torch.isfinite(ours).all() | torch.isfinite(after).all())
        ended = ended | (_norm(before) > self._tame)
        self._differences += torch.where(ended | (difference <= rounding), 0.0, excess)
        self._moves += torch.where(ended, 0.0, _norm(after - before).square())
        if self._precision != "float32":
            off = _norm(self._one.step(*state, self._precision) - ours).square()
            gradient = _norm(before - ours - self._carried(before)).square()
            self._rounded += torch.where(ended, 0.0, off)
            self._gradients += torch.where(ended, 0.0, gradient)
        # The optimiser's momentum, from what it did to the parameters.
        velocity = (before.double() - after.double()) / self._arm.learning_rate
        self._velocity = velocity.float()
        self._done += 1
        if self._done <= EARLY_STEPS:
            self.early = after

    def _carried(self, before: Tensor) -> Tensor:
        """What a step subtracts from the parameters beside this minibatch's gradient."""
        arm = self._arm
        carried = arm.momentum * self._velocity + arm.weight_decay * before
        if self._noise is not None:
            carried = carried + self._noise / arm.expected_batch_size
        return arm.learning_rate * carried


def _norm(vector: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vector.double())


def _root_ratio(squares: Tensor, scale: Tensor) -> float:
    # 0 is not above 0, and neither is NaN: that has to stay.
    return 0.0 if float(scale) == 0 and float(squares) == 0 else float(torch.sqrt(squares / scale))
