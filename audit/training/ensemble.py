"""The ensemble engine: a cohort of MLPs trained as stacked matrices, with SGD or DP-SGD.

All parameters of a cohort are one tensor [models, parameters]. A step works on one flat matrix
holding the minibatches of all models one after the other (``rows`` below): element-wise work is one
call for the whole cohort, and each product is one GEMM per model on exactly its rows. Poisson
minibatches differ in size; nothing is padded, so no arithmetic is wasted and no mask is needed.

DP-SGD needs only the *norm* of each per-example gradient, not the gradient. For an affine layer
with input a (constant 1 included) and output gradient δ the per-example gradient is the outer
product a δᵀ, with norm ‖a‖·‖δ‖ (Goodfellow 2015; "ghost clipping", Li et al. 2022, §4). Scaling δ
by the clip factor before the one product Aᵀδ then yields the clipped sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.models import Mlp

# Opacus divides by (norm + 1e-6); the same constant here keeps the two steps equal.
CLIP_EPS = 1e-6


@dataclass(frozen=True)
class Data:
    """A training set on the training device.

    Attributes:
        x: inputs with a last column of ones [n, features + 1].
        y: labels [n].
        squared_norms: ‖x‖² of each row, the one included [n].
    """

    x: Tensor
    y: Tensor
    squared_norms: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Data:
        """From ``x``, for an MLP with its column of ones, and ``y``."""
        return cls(x, y, x.square().flatten(1).sum(dim=1))


class Ensemble:
    """A cohort of MLPs with their optimiser state; :meth:`step` is one (DP-)SGD step for all.

    Args:
        model: the architecture, shared by all models.
        theta: initial parameters [models, parameters]; owned and updated in place.
        arm: constants of the training.
    """

    def __init__(self, model: Mlp, theta: Tensor, arm: Arm) -> None:
        self.model, self.arm, self.theta = model, arm, theta
        self.velocity = torch.zeros_like(theta)
        # Views made once: at some 5 µs a product, making them in each step would be felt.
        self._weights = [list(layer.unbind()) for layer in model.layers(theta)]
        self._transposed = [[w.t() for w in weights] for weights in self._weights]
        self._momenta = [[m.t() for m in layer.unbind()] for layer in model.layers(self.velocity)]
        self._buffers = _Buffers(model.widths, theta)

    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        """One step on the minibatches of all models.

        Args:
            data: the training set.
            selected: indices of the minibatches' examples, model by model [rows].
            sizes: rows of each model (sum = rows); a model may have none.
            noise: N(0, (zC)²) [models, parameters] in DP arms, None otherwise.
            views: None; what has been flattened cannot be cropped.
        """
        assert views is None, "augmentation needs images"
        arm = self.arm
        x = self._buffers.gather(data.x, selected)
        labels, squared_norms = data.y[selected], data.squared_norms[selected]
        inputs = self._forward(x, sizes)
        deltas, split_deltas = self._backward(inputs, labels, sizes)
        self.velocity.mul_(arm.momentum)
        if arm.clip_norm is None:
            scale: Tensor | float = 1 / arm.expected_batch_size
        else:
            assert noise is not None, "a DP step needs noise"
            self.velocity.add_(noise, alpha=1 / arm.expected_batch_size)
            scale = self._clip_factors(inputs, deltas, squared_norms)
        if arm.weight_decay:
            self.velocity.add_(self.theta, alpha=arm.weight_decay)
        for momenta, a, delta, parts in zip(
            self._momenta, inputs, deltas, split_deltas, strict=True
        ):
            delta.mul_(scale)
            for momentum, a_k, d_k in zip(momenta, _split(a.t(), sizes, 1), parts, strict=True):
                momentum.addmm_(a_k, d_k)
        self.theta.add_(self.velocity, alpha=-arm.learning_rate)

    def _forward(self, x: Tensor, sizes: list[int]) -> list[Tensor]:
        """Inputs of each layer [rows, fan_in + 1]; the logits are left in the output buffer."""
        self._buffers.reserve(len(x))
        inputs = [x]
        last = len(self._transposed) - 1
        for layer, weights in enumerate(self._transposed):
            values = self._buffers.values(layer, len(x))
            parts = zip(
                _split(inputs[-1], sizes, 0), weights, _split(values, sizes, 0), strict=True
            )
            for a, weight, value in parts:
                torch.mm(a, weight, out=value)
            if layer < last:
                _activate_(values, self.model.activation)
                inputs.append(self._buffers.hidden[layer][: len(x)])
        return inputs

    def _backward(
        self, inputs: list[Tensor], labels: Tensor, sizes: list[int]
    ) -> tuple[list[Tensor], list[Sequence[Tensor]]]:
        """∂(summed loss)/∂(output before activation) per layer [rows, fan_out], whole and split."""
        rows = len(labels)
        logits = self._buffers.values(len(inputs) - 1, rows)
        delta = torch.softmax(logits.t(), dim=0).t()
        delta.scatter_add_(1, labels[:, None], self._buffers.minus_one[:rows])
        deltas, parts = [delta], [_split(delta, sizes, 0)]
        for layer in range(len(inputs) - 1, 0, -1):
            below = self._buffers.deltas[layer - 1][:rows]
            width = below.shape[1]
            parts.insert(0, _split(below, sizes, 0))
            for d, weight, target in zip(parts[1], self._weights[layer], parts[0], strict=True):
                torch.mm(d, weight[:, :width], out=target)
            _activation_gradient_(below, inputs[layer][:, :width], self.model.activation)
            deltas.insert(0, below)
        return deltas, parts

    def _clip_factors(
        self, inputs: list[Tensor], deltas: list[Tensor], squared_norms: Tensor
    ) -> Tensor:
        """min(1, C / (‖g‖ + 1e-6)) / normaliser for each row [rows, 1]."""
        assert self.arm.clip_norm is not None
        total = squared_norms * deltas[0].square().sum(dim=1)
        for a, delta in zip(inputs[1:], deltas[1:], strict=True):
            total.addcmul_(a.square().sum(dim=1), delta.square().sum(dim=1))
        factors = (self.arm.clip_norm / total.sqrt_().add_(CLIP_EPS)).clamp_(max=1.0)
        # A gradient that is not finite is left out: clipping must hold for every example.
        factors.nan_to_num_(nan=0.0)
        return factors.mul_(1 / self.arm.expected_batch_size)[:, None]


class _Buffers:
    """Workspace reused by every step; grows when a minibatch is larger than any before."""

    def __init__(self, widths: tuple[int, ...], like: Tensor) -> None:
        self._widths, self._like, self._rows = widths, like, 0
        self.hidden: list[Tensor] = []
        self.deltas: list[Tensor] = []
        self.minus_one = self._logits = self._x = like.new_empty(0, 1)

    def reserve(self, rows: int) -> None:
        """Room for ``rows``.

        Hidden outputs [rows, width + 1] carry a last column of ones, the bias's input.
        """
        if rows <= self._rows:
            return
        self._rows = rows + rows // 8
        new = self._like.new_empty
        *hidden, classes = self._widths[1:]
        self.hidden = [new(self._rows, width + 1) for width in hidden]
        for output in self.hidden:
            output[:, -1] = 1.0
        self._logits = new(classes * self._rows)
        self._x = new(self._rows, self._widths[0] + 1)
        self.deltas = [new(self._rows, width) for width in hidden]
        self.minus_one = new(self._rows, 1).fill_(-1.0)

    def values(self, layer: int, rows: int) -> Tensor:
        """The part of a layer's output that the layer computes [rows, fan_out].

        The logits are stored class by class: softmax over a short last axis is not vectorised in
        PyTorch, and products with a narrow row-major result run at half speed (both measured).
        """
        width = self._widths[layer + 1]
        if layer < len(self.hidden):
            return self.hidden[layer][:rows, :width]
        return self._logits[: width * rows].view(width, rows).t()

    def gather(self, x: Tensor, indices: Tensor) -> Tensor:
        """``x[indices]`` into the workspace."""
        self.reserve(len(indices))
        return torch.index_select(x, 0, indices, out=self._x[: len(indices)])


def _split(matrix: Tensor, sizes: list[int], dim: int) -> Sequence[Tensor]:
    """Views of each model's rows (or columns); Tensor.split without its Python layers."""
    return torch.split_with_sizes(matrix, sizes, dim)  # pyright: ignore[reportReturnType]


def _activate_(values: Tensor, activation: str) -> None:
    if activation == "relu":
        values.relu_()
    else:
        # tanh(x) = 2σ(2x) − 1: PyTorch's CPU sigmoid runs five times faster than its tanh.
        values.mul_(2.0).sigmoid_().mul_(2.0).sub_(1.0)


def _activation_gradient_(delta: Tensor, output: Tensor, activation: str) -> None:
    """Multiply ``delta`` by the activation's derivative, written in terms of its output."""
    if activation == "relu":
        torch.ops.aten.threshold_backward.grad_input(delta, output, 0.0, grad_input=delta)
    else:
        torch.ops.aten.tanh_backward.grad_input(delta, output, grad_input=delta)
