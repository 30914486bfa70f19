"""Convolutions of a cohort, as products of image patches with each model's kernel.

Per-example norms, with patches A [positions, patch] and δ [positions, channels] of one example:
‖δᵀA‖², or ⟨AAᵀ, δδᵀ⟩ where that is cheaper (Rochette et al. 2019; Bu et al. 2022, §3, "mixed ghost
clipping").
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from audit.training import kernels
from audit.training.stacked_layers import Rows, StackedLayer, Trace

# Per-example gradients of a block are kept for the weighted sum up to this size; beyond it reading
# them back costs more than a second product.
_KEPT_BYTES = 2**22
# Patches of one image up to this size are copied out, used for the output and again for the
# gradients; larger ones are left to PyTorch's convolution, and made in chunks for the norms alone
# (a call per model: where rows are even, a GPU makes one product of all patches).
_PATCHES_BYTES = 2**17
_CHUNK_BYTES = 2**21


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


def _ghost_is_cheaper(positions: int, patch: int, channels: int) -> bool:
    """Whether the two Gram matrices take fewer products than the gradient itself."""
    return positions * (patch + channels) < patch * channels


def _flat(image: Tensor) -> Tensor:
    """[rows, channels, height, width] as [rows · positions, channels]."""
    return image.permute(0, 2, 3, 1).reshape(-1, image.shape[1])
