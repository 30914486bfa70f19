"""Minibatches of one width for all models: the form in which an accelerator trains a cohort.

A step's minibatches are a table ``index`` [models, width] of examples. Rows that no example fills
hold the index of the *padding*, an example of zeros that stands behind the training set: its
outputs are finite wherever a model's parameters are, and its gradient is set to zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.device.precision import Precision, training_precision
from audit.training.ensemble import Data
from audit.training.models import Mlp, Model

# Widths are rounded up to a multiple: fewer shapes, and operands where matrix units like them.
_WIDTH_STEP = 16
# A model's parameters take a multiple of this many numbers, so that those of every model begin at
# an address that wide loads can use.
_ALIGNED = 32


@dataclass(frozen=True)
class PaddedData:
    """A training set on the device, its last row the padding.

    Attributes:
        x: inputs as the model's module takes them [n + 1, …]; the padding is 0.
        y: labels [n + 1].
        squared_norms: ‖x‖² + 1 of each row [n + 1] for an MLP; 0 for the padding.
    """

    x: Tensor
    y: Tensor
    squared_norms: Tensor

    @classmethod
    def of(cls, model: Model, x: Tensor, y: Tensor) -> PaddedData:
        """From inputs as ``model.prepare`` returns them, and labels."""
        plain = model.plain(x)
        shape = (len(plain) + 1, *plain.shape[1:])
        padded = plain.new_zeros(shape)
        padded[:-1] = plain
        labels = torch.cat([y, y.new_zeros(1)])
        norms = padded.new_zeros(len(padded))
        if isinstance(model, Mlp):
            norms[:-1] = plain.square().sum(dim=1) + 1.0
        return cls(padded, labels, norms)

    @property
    def padding(self) -> int:
        """Index of the padding."""
        return len(self.y) - 1


def padded_width(rows: int) -> int:
    """The width of a table whose largest minibatch has ``rows``."""
    return max(1, -(-rows // _WIDTH_STEP)) * _WIDTH_STEP


def pad(selected: Tensor, sizes: list[int], padding: int, width: int | None = None) -> Tensor:
    """The table [models, width] of minibatches given one after the other.

    Args:
        selected: values of the minibatches' rows, model by model [rows, …].
        sizes: rows of each model.
        padding: what fills the other rows.
    """
    width = padded_width(max(sizes)) if width is None else width
    lengths = torch.tensor(sizes, device=selected.device)
    inside = torch.arange(width, device=selected.device) < lengths[:, None]
    table = selected.new_full((len(sizes), width, *selected.shape[1:]), padding)
    table[inside] = selected
    return table


def noise_columns(parameters: int) -> int:
    """Numbers that the parameters of one model take on the device, and so its noise."""
    return -(-parameters // _ALIGNED) * _ALIGNED


def aligned(theta: Tensor) -> Tensor:
    """A copy of ``theta`` [models, parameters] as [models, noise_columns]; the rest is 0."""
    storage = theta.new_zeros(len(theta), noise_columns(theta.shape[1]))
    storage[:, : theta.shape[1]] = theta
    return storage


@runtime_checkable
class PaddedProgram(Protocol):
    """A cohort in training on a device.

    Attributes:
        theta, velocity: parameters and momenta [models, parameters], changed in place.
        noise: where a DP step's noise has to be before it, in units of the mean gradient: N(0,
            (zC / expected batch)²) [models, noise_columns]; used up by the step. None in other
            arms.
        precision: of the products that may be rounded; may change between steps.
    """

    theta: Tensor
    velocity: Tensor
    noise: Tensor | None
    precision: Precision

    def step_padded(self, data: PaddedData, index: Tensor, views: Tensor | None = None) -> None: ...


class CohortState(ABC):
    """What the programs of a device share: parameters, momenta, noise and the optimiser.

    Args:
        model: the architecture.
        theta: initial parameters [models, parameters]; copied.
        arm: constants of the training.
    """

    def __init__(self, model: Model, theta: Tensor, arm: Arm) -> None:
        self._model, self.arm = model, arm
        self._all_theta = aligned(theta)
        self._all_velocity = torch.zeros_like(self._all_theta)
        self.theta = self._all_theta[:, : theta.shape[1]]
        self.velocity = self._all_velocity[:, : theta.shape[1]]
        self.noise: Tensor | None = None
        if arm.clip_norm is not None:
            # Without momentum a step's velocity is made anew, and may begin as the noise.
            start = self._all_velocity
            self.noise = torch.zeros_like(start) if arm.momentum else start
        self.precision: Precision = training_precision(arm, model.parameters)

    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        """A step on the host's form of minibatches (arguments as in ``Ensemble.step``), for a
        single step; a training pads its data once."""
        assert (noise is None) == (self.noise is None), "a DP step needs noise, only it"
        padded = PaddedData.of(self._model, data.x, data.y)
        if noise is not None:
            self.set_noise(noise)
        index = pad(selected, sizes, padded.padding)
        self.step_padded(padded, index, None if views is None else pad(views, sizes, 0))

    def set_noise(self, noise: Tensor) -> None:
        """Put noise N(0, (zC)²) on the *sum* of gradients [models, parameters] into its place."""
        assert self.noise is not None
        scale = 1 / self.arm.expected_batch_size
        torch.mul(noise, scale, out=self.noise[:, : noise.shape[1]])

    @abstractmethod
    def step_padded(self, data: PaddedData, index: Tensor, views: Tensor | None = None) -> None:
        """One step on the minibatches of all models.

        Args:
            data: the training set.
            index: the example in each row [models, width]; ``data.padding`` in rows without one.
            views: augmentations of the rows [models, width, 3], or None.
        """

    def _carry(self) -> None:
        """velocity ← momentum · velocity + noise; gradients are added to it."""
        momentum, velocity = self.arm.momentum, self._all_velocity
        if self.noise is None:
            # Not times 0: that would keep a NaN.
            velocity.mul_(momentum) if momentum else velocity.zero_()
        elif momentum:
            torch.add(self.noise, velocity, alpha=momentum, out=velocity)

    def _descend(self) -> None:
        """The optimiser's step in PyTorch's convention, once the gradient is in the velocity."""
        if self.arm.weight_decay:
            self._all_velocity.add_(self._all_theta, alpha=self.arm.weight_decay)
        self._all_theta.add_(self._all_velocity, alpha=-self.arm.learning_rate)
