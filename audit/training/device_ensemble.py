"""The ensemble of MLPs in PyTorch alone, for a GPU: every product is one batched call.

Minibatches are padded to the longest of the step. The arithmetic is that of
:mod:`audit.training.ensemble`, which is several times as fast on a CPU; the tests of both are the
same. Minibatches and noise are drawn on the host, so that a model has them on either device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.ensemble import CLIP_EPS, Data, descend
from audit.training.models import Mlp


class DeviceEnsemble:
    """A cohort of MLPs with their optimiser state; the same interface as ``Ensemble``.

    Args:
        model: the architecture, shared by all models.
        theta: initial parameters [models, parameters] on any device; owned, updated in place.
        arm: constants of the training.
    """

    def __init__(self, model: Mlp, theta: Tensor, arm: Arm) -> None:
        self.model, self.arm, self.theta = model, arm, theta
        self.velocity = torch.zeros_like(theta)
        self._gradient = torch.empty_like(theta)
        self._weights = model.layers(theta)
        self._sums = model.layers(self._gradient)

    @torch.no_grad()
    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        """One step on the minibatches of all models; arguments as in ``Ensemble.step``."""
        assert views is None, "augmentation needs images"
        assert (noise is None) == (self.arm.clip_norm is None), "a DP step needs noise, only it"
        index, inside = self._padded(selected, sizes)
        inputs, logits = self._forward(data.x[index])
        deltas = self._backward(inputs, logits, data.y[index])
        scale = inside / self.arm.expected_batch_size
        if self.arm.clip_norm is not None:
            factors = self._clip_factors(inputs, deltas, data.squared_norms[index])
            # A gradient that is not finite is left out: 0 · NaN would not leave it out.
            fine = torch.isfinite(factors)
            inputs = [torch.where(fine[..., None], a, 0.0) for a in inputs]
            deltas = [torch.where(fine[..., None], delta, 0.0) for delta in deltas]
            scale = scale * torch.where(fine, factors, 0.0)
        for a, delta, gradient in zip(inputs, deltas, self._sums, strict=True):
            gradient.copy_(torch.bmm(a.transpose(1, 2), delta * scale[..., None]))
        descend(self.arm, self.theta, self.velocity, self._gradient, noise)

    def _padded(self, selected: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
        """Index of the example in each row [models, rows], and 1 or 0 for padding."""
        device = selected.device
        rows = torch.arange(max(1, *sizes), device=device)
        inside = rows < torch.tensor(sizes, device=device)[:, None]
        index = torch.zeros(inside.shape, dtype=selected.dtype, device=device)
        index[inside] = selected
        return index, inside.to(self.theta.dtype)

    def _forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Inputs of each layer [models, rows, fan_in + 1], and the logits."""
        inputs = [x]
        for weights in self._weights[:-1]:
            values = torch.bmm(inputs[-1], weights)
            values = values.relu_() if self.model.activation == "relu" else values.tanh_()
            inputs.append(torch.nn.functional.pad(values, (0, 1), value=1.0))
        return inputs, torch.bmm(inputs[-1], self._weights[-1])

    def _backward(self, inputs: list[Tensor], logits: Tensor, labels: Tensor) -> list[Tensor]:
        """∂loss/∂(output before activation) of each layer [models, rows, fan_out]."""
        delta = torch.softmax(logits, dim=2)
        delta.scatter_add_(2, labels[..., None], delta.new_full((*labels.shape, 1), -1.0))
        deltas = [delta]
        for weights, a in zip(self._weights[:0:-1], inputs[:0:-1], strict=True):
            below = torch.bmm(deltas[0], weights[:, :-1].transpose(1, 2))
            values = a[..., :-1]
            slope = (values > 0) if self.model.activation == "relu" else 1 - values.square()
            deltas.insert(0, below * slope)
        return deltas

    def _clip_factors(
        self, inputs: list[Tensor], deltas: list[Tensor], squared_norms: Tensor
    ) -> Tensor:
        """min(1, C / (‖g‖ + 1e-6)) of each row [models, rows]; NaN where ‖g‖ is not finite."""
        assert self.arm.clip_norm is not None
        total = squared_norms * deltas[0].square().sum(dim=2)
        for a, delta in zip(inputs[1:], deltas[1:], strict=True):
            total += a.square().sum(dim=2) * delta.square().sum(dim=2)
        factors = (self.arm.clip_norm / (total.sqrt() + CLIP_EPS)).clamp(max=1.0)
        return torch.where(torch.isfinite(total), factors, torch.nan)
