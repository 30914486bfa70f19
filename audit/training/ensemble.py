"""The ensemble engine on a CPU: a cohort of MLPs trained as stacked matrices, with SGD or DP-SGD.

All parameters of a cohort are one tensor [models, parameters]; NumPy and PyTorch work on the same
memory. Activations are stored unit by unit, [units, rows], with the rows of all models side by
side: every element-wise pass and every sum over units then runs along a long contiguous axis, which
is what vector instructions want. Products take one of two forms:

- small networks: minibatches are padded to the longest of the step, and one ``np.matmul`` over
  [models, rows, units] multiplies for the whole cohort without returning to Python (padding costs
  less than calls do);
- large networks: one product per model on exactly its rows; a model's update follows its gradient
  while both are in the cache.

DP-SGD needs only the *norm* of each per-example gradient, not the gradient. For an affine layer
with input a (constant 1 included) and output gradient δ the per-example gradient is the outer
product a δᵀ, with norm ‖a‖·‖δ‖ (Goodfellow 2015; "ghost clipping", Li et al. 2022, §4). Scaling δ
by the clip factor before the one product aᵀδ then yields the clipped sum.

NumPy's products and functions are used, not PyTorch's: for these shapes its products take less than
half of the time with OpenBLAS's AVX-512 kernels, and its tanh, exp and log are 13, 2 and 3 times as
fast on the CPU measured (benchmarks/kernels.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.models import Mlp
from audit.training.workspace import Rows, Workspace

# Opacus divides by (norm + 1e-6); the same constant here keeps the two steps equal.
CLIP_EPS = 1e-6
# From this many multiplications per model and step the calls saved by padding cost less than the
# padding does.
_PADDED_WORK = 4e6


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

    @cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same memory as NumPy arrays."""
        return self.x.numpy(), self.y.numpy(), self.squared_norms.numpy()


class Ensemble:
    """A cohort of MLPs with their optimiser state; :meth:`step` is one (DP-)SGD step for all.

    Args:
        model: the architecture, shared by all models.
        theta: initial parameters [models, parameters] on the CPU; owned and updated in place.
        arm: constants of the training.
    """

    def __init__(self, model: Mlp, theta: Tensor, arm: Arm) -> None:
        self.model, self.arm, self.theta = model, arm, theta
        self.velocity = torch.zeros_like(theta)
        work = 3.0 * arm.expected_batch_size * model.parameters
        self._padded = work < _PADDED_WORK
        # Gradients of all models at once, or of one after the other.
        self._gradient = torch.empty_like(theta if self._padded else theta[:1])
        layers = [layer.numpy() for layer in model.layers(theta)]
        self._weights = [[w] if self._padded else list(w) for w in layers]
        self._sums = [
            g.numpy() if self._padded else g[0].numpy() for g in model.layers(self._gradient)
        ]
        self._classes = np.arange(model.widths[-1])[:, None]
        self._workspace = Workspace(model.widths, layers[0].dtype)

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
        assert (noise is None) == (self.arm.clip_norm is None), "a DP step needs noise, only it"
        place = self._workspace.padded if self._padded else self._workspace.exact
        rows = place(selected.numpy(), sizes)
        x, y, squared_norms = data.arrays
        # A diverged model overflows; it is counted at the end, and no warning would help.
        with np.errstate(all="ignore"):
            np.take(x, rows.index, axis=0, out=rows.x, mode="clip")
            self._forward(rows)
            self._backward(rows, y)
            if self.arm.clip_norm is not None:
                self._clip(rows, squared_norms)
            self._update(rows, noise)

    def _forward(self, rows: Rows) -> None:
        last = len(self._weights) - 1
        for layer, weights in enumerate(self._weights):
            for a, w, out in zip(rows.inputs[layer], weights, rows.outputs[layer], strict=True):
                np.matmul(a, w, out=out)
            if layer < last:
                self._activate(rows, layer)

    def _activate(self, rows: Rows, layer: int) -> None:
        values = rows.hidden[layer][:-1]
        if self.model.activation == "relu":
            np.maximum(values, 0.0, out=values)
        else:
            np.tanh(values, out=values)

    def _backward(self, rows: Rows, y: np.ndarray) -> None:
        """δ = ∂loss/∂(output before activation) of each layer into its place in the workspace.

        In standard arms the loss is divided by the normaliser, in DP arms the clip factors will be.
        Rows of padding get δ = 0.
        """
        scale = 1.0 if self.arm.clip_norm is not None else 1 / self.arm.expected_batch_size
        delta, row = rows.deltas[-1], rows.row
        np.max(delta, axis=0, out=row)
        np.subtract(delta, row, out=delta)
        np.exp(delta, out=delta)
        np.sum(delta, axis=0, out=row)
        np.divide(1.0, row, out=row)
        np.multiply(delta, row, out=delta)
        np.equal(np.take(y, rows.index), self._classes, out=rows.onehot)
        np.subtract(delta, rows.onehot, out=delta)
        if rows.inside is not None:
            np.multiply(rows.inside, delta.dtype.type(scale), out=row)
            np.multiply(delta, row, out=delta)
        elif scale != 1.0:
            np.multiply(delta, delta.dtype.type(scale), out=delta)
        for layer in range(len(self._weights) - 1, 0, -1):
            above, below = rows.delta_parts[layer], rows.delta_parts[layer - 1]
            for d, w, out in zip(above, self._weights[layer], below, strict=True):
                np.matmul(d, np.swapaxes(w[..., :-1, :], -1, -2), out=out)
            self._through_activation(rows, layer - 1)

    def _through_activation(self, rows: Rows, layer: int) -> None:
        """Multiply δ of a hidden layer by the activation's derivative, in terms of its output.

        PyTorch has each as one pass over memory; NumPy would take three.
        """
        delta, values = rows.torch_deltas[layer], rows.torch_hidden[layer][:-1]
        if self.model.activation == "relu":
            torch.ops.aten.threshold_backward.grad_input(delta, values, 0.0, grad_input=delta)
        else:
            torch.ops.aten.tanh_backward.grad_input(delta, values, grad_input=delta)

    def _clip(self, rows: Rows, squared_norms: np.ndarray) -> None:
        """Scale δ of every layer by each row's clip factor."""
        factors = self._clip_factors(rows, squared_norms)
        for delta in rows.deltas:
            np.multiply(delta, factors, out=delta)
        if not np.isfinite(factors).all():
            # A gradient that is not finite is left out: clipping must hold for every example.
            out = ~np.isfinite(factors)
            for values in (*rows.deltas, *(hidden[:-1] for hidden in rows.hidden)):
                values[:, out] = 0.0
            rows.x[out, :-1] = 0.0

    def _clip_factors(self, rows: Rows, squared_norms: np.ndarray) -> np.ndarray:
        """min(1, C / (‖g‖ + 1e-6)) / normaliser of each row [rows]; NaN where ‖g‖ is not finite."""
        total = np.take(squared_norms, rows.index)
        total *= _squared_norms(rows.deltas[0])
        for hidden, delta in zip(rows.hidden, rows.deltas[1:], strict=True):
            inputs = _squared_norms(hidden)
            inputs *= _squared_norms(delta)
            total += inputs
        np.sqrt(total, out=total)
        finite = np.isfinite(total)
        factors = self._clipping(total, rows)
        factors *= 1 / self.arm.expected_batch_size
        if not finite.all():
            factors[~finite] = np.nan
        return factors

    def _clipping(self, norms: np.ndarray, rows: Rows) -> np.ndarray:
        """min(1, C / (‖g‖ + 1e-6)) of each row, in the place of ``norms`` [rows]."""
        del rows
        assert self.arm.clip_norm is not None
        norms += CLIP_EPS
        np.divide(self.arm.clip_norm, norms, out=norms)
        return np.minimum(norms, 1.0, out=norms)

    def _update(self, rows: Rows, noise: Tensor | None) -> None:
        """Gradient sums and the optimiser's step: for all models at once, or model by model."""
        models = (
            [slice(None)] if self._padded else [slice(k, k + 1) for k in range(len(self.theta))]
        )
        for part, here in enumerate(models):
            for layer, gradient in enumerate(self._sums):
                inputs, delta = rows.inputs[layer][part], rows.delta_parts[layer][part]
                np.matmul(np.swapaxes(inputs, -1, -2), delta, out=gradient)
            own = None if noise is None else noise[here]
            descend(self.arm, self.theta[here], self.velocity[here], self._gradient, own)


def descend(
    arm: Arm, theta: Tensor, velocity: Tensor, change: Tensor, noise: Tensor | None
) -> None:
    """One step of SGD in PyTorch's convention, in place; ``change`` is the gradient, and used up.

    Without momentum the velocity is not kept.
    """
    if noise is not None:
        change.add_(noise, alpha=1 / arm.expected_batch_size)
    if arm.weight_decay:
        change.add_(theta, alpha=arm.weight_decay)
    if arm.momentum:
        change = torch.add(change, velocity, alpha=arm.momentum, out=velocity)
    theta.add_(change, alpha=-arm.learning_rate)


def _squared_norms(matrix: np.ndarray) -> np.ndarray:
    """‖column‖² of each column of ``matrix`` [units, rows]; nothing of its size is written."""
    return np.einsum("ur,ur->r", matrix, matrix)
