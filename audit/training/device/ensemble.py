"""A cohort of MLPs on an accelerator: every product is one batched call for all models.

The arithmetic is that of :mod:`audit.training.ensemble`. What counts here is different: memory is
read and written as rarely as plain PyTorch allows, and nothing waits for the host.

- Gradients have no memory of their own: ``baddbmm`` multiplies the velocity by the momentum and
  adds the product and the normaliser in one call.
- Biases are kept out of the products (a column of ones would leave operands where matrix units
  cannot load them at full width), and inputs are gathered without theirs.
- A step is a fixed list of kernels for a width, so that it can be captured as a CUDA graph where
  launching them takes longer than they do (:mod:`audit.training.device.graphs`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.device.graphs import Capture, StepGraphs
from audit.training.device.padded import CohortState, PaddedData
from audit.training.device.precision import products
from audit.training.ensemble import CLIP_EPS
from audit.training.models import Mlp

aten = torch.ops.aten


class DeviceEnsemble(CohortState):
    """A cohort of MLPs with their optimiser state; a
    :class:`~audit.training.device.padded.PaddedProgram`.

    Args:
        model: the architecture, shared by all models.
        theta: initial parameters [models, parameters] on the device; copied.
        arm: constants of the training.
        capture: makes a function that repeats a step (a CUDA graph); None to launch every kernel.
    """

    def __init__(
        self, model: Mlp, theta: Tensor, arm: Arm, *, capture: Capture | None = None
    ) -> None:
        super().__init__(model, theta, arm)
        self.model = model
        self._weights, self._biases = _split(model, self.theta)
        self._weight_sums, self._bias_sums = _split(model, self.velocity)
        self._minus_one = theta.new_full((1, 1, 1), -1.0)
        state = (self._all_theta, self._all_velocity)
        self._graphs = None if capture is None else StepGraphs(self._step, state, capture)

    @torch.no_grad()
    def step_padded(self, data: PaddedData, index: Tensor, views: Tensor | None = None) -> None:
        """One step on the minibatches of all models; see ``CohortState.step_padded``."""
        assert views is None, "augmentation needs images"
        if self._graphs is None:
            self._step(data, index)
        else:
            self._graphs.run(data, index, self.precision)

    def _step(self, data: PaddedData, index: Tensor) -> None:
        private = self.arm.clip_norm is not None
        with products(self.precision):
            inputs, logits = self._forward(data, index)
            deltas = self._backward(inputs, logits, data, index)
        if private:
            self._clip(inputs, deltas, data, index)
            self._carry()
        with products("float32" if private else self.precision):
            self._add_gradients(inputs, deltas, 1.0 if private else self.arm.momentum)
        self._descend()

    def _forward(self, data: PaddedData, index: Tensor) -> tuple[list[Tensor], Tensor]:
        """Inputs of each layer [models, width, fan_in], and the logits."""
        x = data.x.index_select(0, index.view(-1)).view(*index.shape, -1)
        inputs = [x]
        for weight, bias in zip(self._weights[:-1], self._biases[:-1], strict=True):
            values = torch.baddbmm(bias, inputs[-1], weight)
            values = values.relu_() if self.model.activation == "relu" else values.tanh_()
            if self.arm.clip_norm is not None:
                # A row that overflows is given no weight, and 0 · ∞ would not be 0.
                values.nan_to_num_(nan=0.0)
            inputs.append(values)
        return inputs, torch.baddbmm(self._biases[-1], inputs[-1], self._weights[-1])

    def _backward(
        self, inputs: list[Tensor], logits: Tensor, data: PaddedData, index: Tensor
    ) -> list[Tensor]:
        """∂loss/∂(output before activation) of each layer [models, width, fan_out]."""
        labels = data.y.index_select(0, index.view(-1)).view(*index.shape, 1)
        delta = torch.softmax(logits, dim=2)
        delta.scatter_add_(2, labels, self._minus_one.expand(*index.shape, 1))
        delta.masked_fill_((index == data.padding)[..., None], 0.0)
        deltas = [delta]
        for weight, values in zip(self._weights[:0:-1], inputs[:0:-1], strict=True):
            below = torch.bmm(deltas[0], weight.transpose(1, 2))
            if self.model.activation == "relu":
                aten.threshold_backward.grad_input(below, values, 0.0, grad_input=below)
            else:
                aten.tanh_backward.grad_input(below, values, grad_input=below)
            deltas.insert(0, below)
        return deltas

    def _clip(
        self, inputs: list[Tensor], deltas: list[Tensor], data: PaddedData, index: Tensor
    ) -> None:
        """Scale δ of every layer by each row's min(1, C / (‖g‖ + 1e-6)); 0 where ‖g‖ is not
        finite: a gradient that is not finite is left out."""
        assert self.arm.clip_norm is not None
        squared = data.squared_norms.index_select(0, index.view(-1)).view(index.shape)
        total = squared.mul_(_squared_norms(deltas[0]))
        for values, delta in zip(inputs[1:], deltas[1:], strict=True):
            total.addcmul_(_squared_norms(values).add_(1.0), _squared_norms(delta))
        factors = (self.arm.clip_norm / total.sqrt_().add_(CLIP_EPS)).clamp_(max=1.0)
        factors.nan_to_num_(nan=0.0)
        for delta in deltas:
            delta.mul_(factors[..., None]).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)

    def _add_gradients(self, inputs: list[Tensor], deltas: list[Tensor], keep: float) -> None:
        """velocity ← keep · velocity + sum of the rows' gradients / expected batch size."""
        scale = 1 / self.arm.expected_batch_size
        layers = zip(inputs, deltas, self._weight_sums, self._bias_sums, strict=True)
        for values, delta, weight_sum, bias_sum in layers:
            weight_sum.baddbmm_(values.transpose(1, 2), delta, beta=keep, alpha=scale)
            sums = delta.sum(dim=1, keepdim=True)
            if keep == 0.0:
                torch.mul(sums, scale, out=bias_sum)
            else:
                torch.add(sums.mul_(scale), bias_sum, alpha=keep, out=bias_sum)


def _split(model: Mlp, theta: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Views of weights [models, fan_in, fan_out] and biases [models, 1, fan_out] of each layer."""
    layers = model.layers(theta)
    return [layer[:, :-1] for layer in layers], [layer[:, -1:] for layer in layers]


def _squared_norms(rows: Tensor) -> Tensor:
    """‖row‖² [models, width] of ``rows`` [models, width, units], in one pass over them."""
    return torch.linalg.vector_norm(rows, dim=2).square_()
