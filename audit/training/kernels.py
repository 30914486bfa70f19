"""The faster of two libraries for what takes the time on a CPU; on a GPU always PyTorch.

PyTorch's CPU build (MKL) and NumPy (OpenBLAS) come with different BLAS and vector libraries.
Measured on an AMD processor (benchmarks/kernels.py): NumPy's products are 2 to 3 times as fast with
OpenBLAS's AVX-512 kernels, 1 to 1.5 times with those for AVX2; its tanh is 13 times as fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def multiply(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``out[...] = a @ b`` for matrices or stacks of them, of one type, without gradients."""
    if out.device.type == "cpu":
        np.matmul(a.detach().numpy(), b.detach().numpy(), out=out.numpy())
    else:
        torch.matmul(a, b, out=out)


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` for matrices or stacks of them, without gradients."""
    if a.device.type == "cpu":
        return torch.from_numpy(np.matmul(a.detach().numpy(), b.detach().numpy()))
    return torch.matmul(a, b)


def squared_norms(rows: Tensor) -> Tensor:
    """‖row‖² [rows] of ``rows`` [rows, size]; nothing of their size is written on a CPU."""
    if rows.device.type == "cpu":
        values = rows.detach().numpy()
        return torch.from_numpy(np.asarray(np.vecdot(values, values)))
    return rows.square().sum(dim=1)


def tanh(x: Tensor) -> Tensor:
    """tanh without gradients."""
    if x.device.type != "cpu":
        return torch.tanh(x)
    out = torch.empty_like(x)
    np.tanh(x.detach().numpy(), out=out.numpy())
    return out


def differentiable_tanh(x: Tensor) -> Tensor:
    """:func:`tanh` in autograd's graph."""
    return _Tanh.apply(x)  # pyright: ignore[reportReturnType]


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        out = tanh(x)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (out,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(delta, out)
