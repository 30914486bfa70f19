"""Layers of a cohort: one set of weights per model, per-example gradient norms without gradients.

Rows are the examples of all models' minibatches, one after the other. A layer with parameters does
four things: its output, the gradient of its input, the squared norm of each row's parameter
gradient, and the sum of the rows' gradients under given weights (clip factors). For an affine layer
all four are products of a matrix of rows with a model's weights, so they are written in terms of
:class:`Rows`, which knows which rows are whose.

Per-example norms (squared; a: inputs, δ: output gradients of one example):

- Linear: ‖δ‖²(‖a‖² + 1) (Goodfellow 2015).
- Conv2d, with patches A [positions, patch] and δ [positions, channels]: ‖δᵀA‖², or ⟨AAᵀ, δδᵀ⟩ where
  that is cheaper (Rochette et al. 2019; Bu et al. 2022, §3, "mixed ghost clipping").
- normalisation layers: their per-example gradients are as small as a row, so they are computed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audit.training import kernels

# Per-example gradients of a block are kept for the weighted sum up to this size; beyond it reading
# them back costs more than a second product.
_KEPT_BYTES = 2**22
# Patches of one image up to this size are copied out, used for the output and again for the
# gradients; larger ones are left to PyTorch's convolution, and made in chunks for the norms alone
# (a call per model: where rows are even, a GPU makes one product of all patches).
_PATCHES_BYTES = 2**17
_CHUNK_BYTES = 2**21


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


class StackedConv2d(StackedLayer):
    """nn.Conv2d as a product of image patches with each model's kernel.

    Images are [rows, channels, height, width] in memory order height, width, channels: a patch is
    then few long runs, which makes copying it out cheap, and the product's result is again an image
    in that order.
    """

    kinds = (nn.Conv2d,)

    @classmethod
    def refusal(cls, module: nn.Conv2d) -> str | None:
        if module.groups != 1:
            return "a grouped convolution"
        if module.padding_mode != "zeros":
            return f"a convolution with {module.padding_mode} padding"
        if isinstance(module.padding, str):
            return f"a convolution with padding={module.padding!r}"
        return None

    def bind(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        super().bind(parameters, gradients)
        self._bias = parameters[1] if len(parameters) > 1 else None
        cohort, channels, *patch = parameters[0].shape
        self._patch = math.prod(patch)
        self._kernel_sums = parameters[0].new_empty(cohort, channels, self._patch)

    def refresh(self) -> None:
        """Kernels as [cohort, patch, channels_out], in the patches' order; once per step."""
        weight = self.parameters[0]
        cohort, channels = weight.shape[:2]
        self._kernels = weight.permute(0, 3, 4, 2, 1).reshape(cohort, self._patch, channels)
        self._kernel_sums.zero_()

    def collect(self) -> None:
        """Bring the summed kernel gradients into the parameters' order; once per step."""
        weight = self.parameters[0]
        cohort, out, channels, height, width = weight.shape
        sums = self._kernel_sums.view(cohort, out, height, width, channels)
        self.gradients[0].add_(sums.permute(0, 1, 4, 2, 3))

    def forward(self, x: Tensor, rows: Rows) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        height, width = self._output_size(x)
        large = height * width * self._patch * x.element_size() > _PATCHES_BYTES
        if large and not rows.even:
            return self._convolve(x, rows), (x, None)
        patches = self._patches(x)
        out = rows.times(patches, self._kernels, self._bias, height * width)
        return out.view(len(x), height, width, -1).permute(0, 3, 1, 2), (x, patches)

    def input_gradient(self, saved: Any, delta: Tensor, rows: Rows) -> Tensor:
        x, patches = saved
        if patches is None:
            return self._backward(x, delta, rows, (True, False, False))
        positions = delta.shape[2] * delta.shape[3]
        back = rows.times(_flat(delta), self._kernels.transpose(1, 2), None, positions)
        return self._fold(back, x.shape, delta.shape[2], delta.shape[3])

    def squared_norms(self, trace: Trace) -> Tensor:
        delta, (x, patches) = trace.output_gradient, trace.saved
        assert delta is not None
        positions = delta.shape[2] * delta.shape[3]
        chunk = len(x)
        if patches is None:
            chunk = max(1, _CHUNK_BYTES // (positions * self._patch * x.element_size()))
        totals, kept = [], []
        for start in range(0, len(x), chunk):
            here = slice(start, start + chunk)
            a = self._patches(x[here]) if patches is None else patches
            a = a.view(-1, positions, self._patch)
            d = _flat(delta[here]).view(len(a), positions, -1)
            if _ghost_is_cheaper(positions, self._patch, d.shape[2]):
                gram = kernels.product(a, a.transpose(1, 2))
                total = gram.mul_(kernels.product(d, d.transpose(1, 2))).sum(dim=(1, 2))
            else:
                gradients = kernels.product(d.transpose(1, 2), a).flatten(1)
                total = kernels.squared_norms(gradients)
                kept.append(gradients)
            if self._bias is not None:
                total.add_(d.sum(dim=1).square_().sum(dim=1))
            totals.append(total)
        small = bool(kept) and len(x) * kept[0].shape[1] * x.element_size() <= _KEPT_BYTES
        if small and trace.keeps_gradients:
            trace.gradients = torch.cat(kept) if len(kept) > 1 else kept[0]
        return torch.cat(totals)

    def add_gradients(self, trace: Trace, factors: Tensor | None, rows: Rows) -> None:
        delta, (x, patches) = trace.output_gradient, trace.saved
        assert delta is not None
        positions = delta.shape[2] * delta.shape[3]
        weighted = delta if factors is None else delta * factors[:, None, None, None]
        if trace.gradients is not None and factors is not None:
            self._add_kept(trace.gradients, factors, rows)
        elif patches is None:
            self._backward(x, weighted, rows, (False, True, False))
        else:
            rows.add_products(_flat(weighted), patches, self._kernel_sums, positions)
        if self._bias is not None:
            rows.add_sums(_flat(weighted), self.gradients[1], positions)

    def _convolve(self, x: Tensor, rows: Rows) -> Tensor:
        """PyTorch's own convolution, where patches would not stay in the cache."""
        conv, weight = self.module, self.parameters[0]
        parts = []
        for k, own in zip(rows.models, rows.parts(x), strict=True):
            bias = None if self._bias is None else self._bias[k]
            parts.append(F.conv2d(own, weight[k], bias, conv.stride, conv.padding, conv.dilation))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _backward(
        self, x: Tensor, delta: Tensor, rows: Rows, wanted: tuple[bool, bool, bool]
    ) -> Tensor:
        """Gradient of the input, or that of the kernels added to the sums, by PyTorch."""
        conv, parts = self.module, []
        for k, own, d in zip(rows.models, rows.parts(x), rows.parts(delta), strict=True):
            by_input, by_weight, _ = torch.ops.aten.convolution_backward(
                d,
                own,
                self.parameters[0][k],
                None,
                conv.stride,
                conv.padding,
                conv.dilation,
                False,
                (0, 0),
                1,
                wanted,
            )
            if wanted[1]:
                self.gradients[0][k].add_(by_weight)
            parts.append(by_input)
        return x if wanted[1] else torch.cat(parts) if len(parts) > 1 else parts[0]

    def _add_kept(self, gradients: Tensor, factors: Tensor, rows: Rows) -> None:
        flat = self._kernel_sums.flatten(1)
        if rows.even:
            weights = factors.view(len(rows.sizes), 1, -1)
            stacked = gradients.view(len(rows.sizes), -1, gradients.shape[1])
            flat[rows.span].add_(torch.bmm(weights, stacked)[:, 0])
            return
        for k, f, g in zip(rows.models, rows.parts(factors), rows.parts(gradients), strict=True):
            flat[k].addmv_(g.t(), f)

    def _output_size(self, x: Tensor) -> tuple[int, int]:
        conv = self.module
        return tuple(  # pyright: ignore[reportReturnType]
            (side + 2 * pad - gap * (size - 1) - 1) // step + 1
            for side, pad, gap, size, step in zip(
                x.shape[2:], conv.padding, conv.dilation, conv.kernel_size, conv.stride, strict=True
            )
        )

    def _patches(self, x: Tensor) -> Tensor:
        """[rows · positions, height · width · channels of the kernel]."""
        conv = self.module
        (pad_y, pad_x), (step_y, step_x) = conv.padding, conv.stride
        (size_y, size_x), (gap_y, gap_x) = conv.kernel_size, conv.dilation
        out_y, out_x = self._output_size(x)
        image = x.permute(0, 2, 3, 1)
        if pad_y or pad_x:
            image = F.pad(image, (0, 0, pad_x, pad_x, pad_y, pad_y))
        image = image.contiguous()
        by_row, by_y, by_x, _ = image.stride()
        windows = image.as_strided(
            (len(x), out_y, out_x, size_y, size_x, x.shape[1]),
            (by_row, step_y * by_y, step_x * by_x, gap_y * by_y, gap_x * by_x, 1),
        )
        return windows.reshape(len(x) * out_y * out_x, -1)

    def _fold(self, patches: Tensor, shape: torch.Size, out_y: int, out_x: int) -> Tensor:
        """The sum of all patches at their places: the transpose of :meth:`_patches`."""
        conv = self.module
        rows, channels, height, width = shape
        (pad_y, pad_x), (step_y, step_x) = conv.padding, conv.stride
        (size_y, size_x), (gap_y, gap_x) = conv.kernel_size, conv.dilation
        image = patches.new_zeros(rows, height + 2 * pad_y, width + 2 * pad_x, channels)
        parts = patches.view(rows, out_y, out_x, size_y, size_x, channels)
        for y in range(size_y):
            for x in range(size_x):
                top, left = y * gap_y, x * gap_x
                image[
                    :,
                    top : top + step_y * (out_y - 1) + 1 : step_y,
                    left : left + step_x * (out_x - 1) + 1 : step_x,
                ].add_(parts[:, :, :, y, x])
        image = image[:, pad_y : pad_y + height, pad_x : pad_x + width]
        return image.permute(0, 3, 1, 2)


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


def _ghost_is_cheaper(positions: int, patch: int, channels: int) -> bool:
    """Whether the two Gram matrices take fewer products than the gradient itself."""
    return positions * (patch + channels) < patch * channels


def _flat(image: Tensor) -> Tensor:
    """[rows, channels, height, width] as [rows · positions, channels]."""
    return image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])


LAYERS: tuple[type[StackedLayer], ...] = (StackedLinear, StackedConv2d, StackedScale)
"""Every kind of layer with parameters that a cohort can hold."""
