"""Rounded products: the setting is scoped, and what bounds an example is never rounded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from audit.training.arms import Arm
from audit.training.device import ensemble, networks, precision
from audit.training.device.padded import PaddedData
from audit.training.device.precision import TF32_ROUNDING, products, training_precision
from audit.training.models import Mlp

MATMUL: Any = torch.backends.cuda.matmul
CONV: Any = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]


def settings() -> tuple[str, str]:
    return MATMUL.fp32_precision, CONV.fp32_precision


def test_the_setting_is_scoped_and_nests():
    before = settings()
    with products("tf32"):
        assert settings() == ("tf32", "tf32")
        with products("float32"):
            assert settings() == ("ieee", "ieee")
        assert settings() == ("tf32", "tf32")
    assert settings() == before


def test_the_setting_is_put_back_after_an_error():
    before = settings()
    with pytest.raises(ZeroDivisionError), products("tf32"):
        raise ZeroDivisionError
    assert settings() == before


def test_the_older_setting_of_a_caller_stays_readable():
    """Mixing the two raises: what stood before must be put back so that the old one still reads."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    with products("tf32"):
        pass
    assert torch.backends.cuda.matmul.allow_tf32 == allowed
    assert isinstance(torch.get_float32_matmul_precision(), str)


def test_only_products_worth_it_are_rounded():
    arm = Arm("standard", 0.1, 1, 128.0, 0.1, 0.9, 0.0)
    assert training_precision(arm, 535_818) == "tf32"
    assert training_precision(arm, 2_410) == "float32"


class Tf32(TorchDispatchMode):
    """Products as TF32 units make them, wherever ``products("tf32")`` is in force."""

    active = False
    rounded = 0
    exact: list[str]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ("bmm", "mm", "baddbmm", "baddbmm_", "addmm"):
            if Tf32.active:
                Tf32.rounded += 1
                args = (*args[:-2], round_tf32(args[-2]), round_tf32(args[-1]))
            else:
                self.exact.append(name)
        return func(*args, **(kwargs or {}))


def round_tf32(values: torch.Tensor) -> torch.Tensor:
    """To 10 bits of mantissa, to nearest."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


@contextmanager
def emulated(wanted: str) -> Iterator[None]:
    before, Tf32.active = Tf32.active, wanted == "tf32"
    try:
        yield
    finally:
        Tf32.active = before


@pytest.fixture
def tf32(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tf32]:
    for module in (ensemble, networks):
        monkeypatch.setattr(module, "products", emulated)
    mode = Tf32()
    mode.exact, Tf32.rounded = [], 0
    with mode:
        yield mode


def test_the_emulation_rounds_as_documented():
    values = torch.randn(1000)
    error = ((round_tf32(values) - values) / values).abs()
    assert 0.9 * TF32_ROUNDING < error.max() <= TF32_ROUNDING
    assert torch.equal(round_tf32(torch.tensor([1.0, -2.0, 0.0])), torch.tensor([1.0, -2.0, 0.0]))


def clipped_sums(rows: list[int], tf32: Tf32, clip: float) -> torch.Tensor:
    """The private sum of these examples' gradients by a program that trains in TF32."""
    del tf32
    model = Mlp((30, 40, 20, 5), "tanh")
    arm = Arm("dp-2", 0.2, 1, 1.0, 1.0, 0.0, 0.0, clip_norm=clip, noise_multiplier=1.0)
    rng = np.random.default_rng(0)
    x = np.hstack([3 * rng.normal(size=(50, 30)), np.ones((50, 1))]).astype(np.float32)
    data = PaddedData.of(model, torch.from_numpy(x), torch.from_numpy(rng.integers(0, 5, 50)))
    theta = torch.from_numpy(model.initial(0, 0))[None]
    cohort = ensemble.DeviceEnsemble(model, theta, arm)
    assert cohort.noise is not None
    cohort.noise.zero_()
    cohort.precision = "tf32"
    index = torch.full((1, 64), data.padding)
    index[0, : len(rows)] = torch.tensor(rows)
    cohort.step_padded(data, index)
    return (theta - cohort.theta)[0].double()


def test_no_example_exceeds_the_clip_norm_though_products_are_rounded(tf32: Tf32):
    moved = [float(clipped_sums([i], tf32, 0.01).norm()) for i in range(50)]
    assert max(moved) <= 0.01 * (1 + 1e-5)
    assert min(moved) > 0.0099
    assert Tf32.rounded > 0, "forward and backward products were to be rounded"
    assert tf32.exact.count("baddbmm_") == 3 * 50, "clipped sums were to be exact"


def test_rounding_the_clipped_sum_would_exceed_the_clip_norm(
    tf32: Tf32, monkeypatch: pytest.MonkeyPatch
):
    """Why the clipped sum is exact: the planted fault is seen by the test above."""
    monkeypatch.setattr(ensemble, "products", lambda wanted: emulated("tf32"))
    moved = [float(clipped_sums([i], tf32, 0.01).norm()) for i in range(50)]
    assert max(moved) > 0.01 * (1 + 1e-5)


def test_torch_has_the_settings_that_are_used():
    assert hasattr(precision.torch.backends.cuda.matmul, "fp32_precision")
