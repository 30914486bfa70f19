"""Layers of a cohort: one set of weights per model, per-example gradient norms without gradients.

Rows are the examples of all models' minibatches, one after the other. A layer with parameters does
four things: its output, the gradient of its input, the squared norm of each row's parameter
gradient, and the sum of the rows' gradients under given weights (clip factors). For an affine layer
all four are products of a matrix of rows with a model's weights, so they are written in terms of
:class:`Rows`, which knows which rows are whose.

Per-example norms (squared; a: inputs, δ: output gradients of one example):

- Linear: ‖δ‖²(‖a‖² + 1) (Goodfellow 2015).
- Conv2d: see :mod:`audit.training.stacked_conv`.
- normalisation layers: their per-example gradients are as small as a row, so they are computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audit.training import kernels


@dataclass(frozen=True)
class Rows:
    """Which rows belong to which model.

    ``sizes[i]`` rows, in order, belong to ``models[i]``. If ``even``, all sizes are equal and
    ``models`` are consecutive: products are then single batched ones, the form for a GPU, where the
    minibatches are padded. Otherwise they are one exact product per model, the form for a CPU.
    """

    models: Sequence[int]
    sizes: Sequence[int]
    even: bool = False

    @property
    def span(self) -> slice:
        """The models, as a slice of the cohort (``even`` only)."""
        return slice(self.models[0], self.models[-1] + 1)

    def parts(self, matrix: Tensor, per_row: int = 1) -> Sequence[Tensor]:
        """Views of each model's rows; ``per_row`` rows of ``matrix`` make one of these."""
        sizes = [size * per_row for size in self.sizes]
        return torch.split_with_sizes(matrix, sizes)  # pyright: ignore[reportReturnType]

    def times(
        self, matrix: Tensor, weights: Tensor, bias: Tensor | None, per_row: int = 1
    ) -> Tensor:
        """matrix [rows·per_row, a] × weights [cohort, a, b] (+ bias [cohort, b])."""
        if self.even:
            stacked = matrix.view(len(self.sizes), -1, matrix.shape[1])
            own = weights[self.span]
            if bias is None:
                return torch.bmm(stacked, own).flatten(0, 1)
            return torch.baddbmm(bias[self.span, None], stacked, own).flatten(0, 1)
        out = matrix.new_empty(len(matrix), weights.shape[2])
        for k, a, b in zip(
            self.models, self.parts(matrix, per_row), self.parts(out, per_row), strict=True
        ):
            kernels.multiply(a, weights[k], b)
            if bias is not None:
                b.add_(bias[k])
        return out

    def add_products(self, left: Tensor, right: Tensor, target: Tensor, per_row: int = 1) -> None:
        """target [cohort, a, b] += leftᵀ right over each model's rows."""
        if self.even:
            one, two = (m.view(len(self.sizes), -1, m.shape[1]) for m in (left, right))
            target[self.span].baddbmm_(one.transpose(1, 2), two)
            return
        for k, a, b in zip(
            self.models, self.parts(left, per_row), self.parts(right, per_row), strict=True
        ):
            target[k].add_(kernels.product(a.t(), b))

    def add_sums(self, matrix: Tensor, target: Tensor, per_row: int = 1) -> None:
        """target [cohort, a] += the sum over each model's rows of matrix [rows·per_row, a]."""
        if self.even:
            target[self.span].add_(matrix.view(len(self.sizes), -1, matrix.shape[1]).sum(dim=1))
            return
        for k, part in zip(self.models, self.parts(matrix, per_row), strict=True):
            target[k].add_(part.sum(dim=0))

    def of_models(self, values: Tensor) -> Tensor:
        """values [cohort, …] of the model of each row [rows, …]."""
        if self.even:
            return values[self.span].repeat_interleave(self.sizes[0], dim=0)
        return values[self._model_of_row.to(values.device)]

    def only(self, kept: Tensor) -> Rows:
        """Those of the rows for which ``kept`` [rows] is true."""
        left = [(k, int(part.sum())) for k, part in zip(self.models, self.parts(kept), strict=True)]
        return Rows([k for k, size in left if size], [size for _, size in left if size])

    @cached_property
    def _model_of_row(self) -> Tensor:
        return torch.repeat_interleave(torch.tensor(self.models), torch.tensor(self.sizes))


@dataclass
class Trace:
    """What a layer keeps between its forward pass and the sum of its gradients.

    ``keeps_gradients``: whether gradients of single rows may be kept for the weighted sum.
    """

    saved: Any
    output_gradient: Tensor | None = None
    gradients: Tensor | None = None
    keeps_gradients: bool = True


class StackedLayer(ABC):
    """A layer of every model of a cohort.

    ``parameters`` and ``gradients`` are views into the cohort's [models, parameters] tensors, one
    for each parameter of the module in its order, bound by :meth:`bind`.
    """

    kinds: ClassVar[tuple[type[nn.Module], ...]]
    parameters: list[Tensor]
    gradients: list[Tensor]

    def __init__(self, module: Any) -> None:
        self.module = module

    @classmethod
    def refusal(cls, module: Any) -> str | None:
        """Why this very module has no stacked form; None if it has."""
        del module
        return None

    def bind(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Work on these views from now on."""
        self.parameters, self.gradients = parameters, gradients

    def refresh(self) -> None:
        """Called before a step's first block: the parameters have changed."""
        return

    def collect(self) -> None:
        """Called after a step's last block: :attr:`gradients` must be complete."""
        return

    @abstractmethod
    def forward(self, x: Tensor, rows: Rows) -> tuple[Tensor, Any]:
        """The output, and what the other methods need of the input."""

    @abstractmethod
    def input_gradient(self, saved: Any, delta: Tensor, rows: Rows) -> Tensor:
        """∂loss/∂x from δ = ∂loss/∂output."""

    @abstractmethod
    def squared_norms(self, trace: Trace) -> Tensor:
        """‖parameter gradient‖² of each row [rows]."""

    @abstractmethod
    def add_gradients(self, trace: Trace, factors: Tensor | None, rows: Rows) -> None:
        """Add Σ_r factor_r g_r to :attr:`gradients`; factors [rows], None for all 1."""


class StackedLinear(StackedLayer):
    """nn.Linear on rows [rows, features]."""

    kinds = (nn.Linear,)

    def bind(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        super().bind(parameters, gradients)
        self._transposed = parameters[0].transpose(1, 2)
        self._bias = parameters[1] if len(parameters) > 1 else None

    def forward(self, x: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        if x.dim() != 2:
            raise NotImplementedError(f"nn.Linear on inputs of {x.dim() - 1} dimensions")
        return rows.times(x, self._transposed, self._bias), x

    def input_gradient(self, saved: Tensor, delta: Tensor, rows: Rows) -> Tensor:
        del saved
        return rows.times(delta, self.parameters[0], None)

    def squared_norms(self, trace: Trace) -> Tensor:
        assert trace.output_gradient is not None
        inputs = kernels.squared_norms(trace.saved)
        if self._bias is not None:
            inputs.add_(1.0)
        return inputs.mul_(kernels.squared_norms(trace.output_gradient))

    def add_gradients(self, trace: Trace, factors: Tensor | None, rows: Rows) -> None:
        assert trace.output_gradient is not None
        delta = (
            trace.output_gradient if factors is None else trace.output_gradient * factors[:, None]
        )
        rows.add_products(delta, trace.saved, self.gradients[0])
        if self._bias is not None:
            rows.add_sums(delta, self.gradients[1])


class StackedScale(StackedLayer):
    """The weight and bias of a normalisation layer; the normalising itself has no parameters."""

    kinds = (nn.GroupNorm, nn.LayerNorm)

    @classmethod
    def refusal(cls, module: nn.GroupNorm | nn.LayerNorm) -> str | None:
        if isinstance(module, nn.LayerNorm) and module.bias is None:
            return "a LayerNorm without bias"
        return None

    def normalise(self, x: Tensor) -> Tensor:
        """What the layer does before scaling."""
        if isinstance(self.module, nn.GroupNorm):
            return F.group_norm(x, self.module.num_groups, eps=self.module.eps)
        return F.layer_norm(x, self.module.normalized_shape, eps=self.module.eps)

    def forward(self, x: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        weight, bias = (self._spread(p, x, rows) for p in self.parameters)
        return torch.addcmul(bias, x, weight), x

    def input_gradient(self, saved: Tensor, delta: Tensor, rows: Rows) -> Tensor:
        return delta * self._spread(self.parameters[0], saved, rows)

    def squared_norms(self, trace: Trace) -> Tensor:
        both = self._per_example(trace)
        return kernels.squared_norms(both)

    def add_gradients(self, trace: Trace, factors: Tensor | None, rows: Rows) -> None:
        both = self._per_example(trace)
        if factors is not None:
            # A gradient that overflowed has factor 0, and 0 · ∞ would not be 0.
            both = (both * factors[:, None]).nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        weight, bias = both.chunk(2, dim=1)
        rows.add_sums(weight, self.gradients[0].flatten(1))
        rows.add_sums(bias, self.gradients[1].flatten(1))

    def _per_example(self, trace: Trace) -> Tensor:
        """Gradients of weight and bias of each row, side by side [rows, 2 · size]."""
        delta = trace.output_gradient
        assert delta is not None
        if trace.gradients is None:
            parts = []
            for product in (delta * trace.saved, delta):
                if isinstance(self.module, nn.GroupNorm):
                    parts.append(product.flatten(2).sum(dim=2) if delta.dim() > 2 else product)
                else:
                    shape = self.module.normalized_shape
                    parts.append(product.reshape(len(delta), -1, *shape).sum(dim=1).flatten(1))
            trace.gradients = torch.cat(parts, dim=1)
        return trace.gradients

    def _spread(self, parameter: Tensor, x: Tensor, rows: Rows) -> Tensor:
        """A parameter of each row's model, in a shape that spreads over ``x``."""
        own = rows.of_models(parameter)
        if isinstance(self.module, nn.GroupNorm):
            return own.view(*own.shape, *[1] * (x.dim() - 2))
        return own.view(len(own), *[1] * (x.dim() - own.dim()), *own.shape[1:])
