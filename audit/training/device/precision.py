"""How exactly float32 products are computed: in full, or with the operands rounded to TF32.

A TF32 product rounds its operands to 10 bits of mantissa (a relative error of up to 2⁻¹¹ each) and
sums in float32; matrix units compute it several times as fast. What an example's gradient is made
of may be rounded so: each row of a minibatch is still a function of that example and the parameters
alone. What bounds it may not: a weighted sum with rounded operands could exceed the clip norm, so
norms, clip factors and clipped sums are always computed in full.

PyTorch 2.9 and later has one setting per operation for this; reading the older ones after writing
these raises, so they are not touched, and what stood before is put back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from audit.training.arms import Arm

Precision = Literal["float32", "tf32"]

TF32_ROUNDING = 2.0**-11
"""Largest relative error of an operand."""
# From this many multiplications and additions per model and step a product takes longer than its
# launch, and a faster one is worth its rounding.
_WORTH_ROUNDING = 2**24


def training_precision(arm: Arm, parameters: int) -> Precision:
    """The precision in which an arm's forward and backward products are worth computing.

    A constant of arm and model: it must not depend on who is trained beside whom.
    """
    work = 6.0 * arm.expected_batch_size * parameters
    return "tf32" if work >= _WORTH_ROUNDING else "float32"


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Compute float32 products and convolutions on CUDA in ``precision``; no effect on a CPU.

    cuDNN's convolutions take TF32 where nothing is said, so ``float32`` is said too.
    """
    wanted = "ieee" if precision == "float32" else "tf32"
    settings = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # pyright: ignore
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = wanted
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
