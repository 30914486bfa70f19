"""Tables of minibatches, and where models start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit.training import engines
from audit.training.arms import Arm
from audit.training.device.padded import PaddedData, aligned, noise_columns, pad, padded_width
from audit.training.engines import initial_parameters, train_ensemble
from audit.training.models import Mlp
from audit.training.network import Network


def test_widths_are_whole_multiples_and_never_too_small():
    assert [padded_width(rows) for rows in (0, 1, 16, 17, 176)] == [16, 16, 16, 32, 176]


@pytest.mark.parametrize("sizes", [[3, 0, 2], [0, 0], [16, 17, 1]])
def test_a_table_holds_every_row_in_its_place(sizes: list[int]):
    selected = torch.arange(100, 100 + sum(sizes))
    table, start = pad(selected, sizes, -1), 0
    assert table.shape == (len(sizes), padded_width(max(sizes)))
    for row, size in zip(table, sizes, strict=True):
        assert torch.equal(row[:size], selected[start : start + size])
        assert (row[size:] == -1).all()
        start += size


def test_the_padding_is_an_example_of_zeros_behind_the_others():
    x = torch.rand(4, 6)
    x[:, -1] = 1.0
    data = PaddedData.of(Mlp((5, 3)), x, torch.tensor([2, 1, 0, 2]))
    assert data.padding == 4
    assert data.x.shape == (5, 5)
    assert torch.equal(data.x[:4], x[:, :5])
    assert not data.x[4].any()
    torch.testing.assert_close(data.squared_norms[:4], x.square().sum(dim=1))
    assert data.squared_norms[4] == 0


def test_parameters_of_every_model_begin_at_an_aligned_address():
    theta = torch.rand(3, 41)
    storage = aligned(theta)
    assert storage.shape == (3, noise_columns(41))
    assert storage.stride(0) % 32 == 0
    assert torch.equal(storage[:, :41], theta)
    assert not storage[:, 41:].any()


def test_models_start_where_they_start_on_a_cpu_whatever_makes_them(
    monkeypatch: pytest.MonkeyPatch,
):
    for model in (Mlp((6, 5, 3)), Network("cnn", (1, 8, 8), 3)):
        expected = torch.from_numpy(np.stack([model.initial(7, k) for k in range(4, 9)]))
        for many in (0, 2**40):
            monkeypatch.setattr(engines, "_MANY_NUMBERS", many)
            assert torch.equal(initial_parameters(model, 7, range(4, 9)), expected)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_one_example_or_none_can_be_trained_on(clip: float | None):
    """Subsets of a single example, of none, and q = 1."""
    noise = None if clip is None else 0.1
    arm = Arm("a", 1.0, 3, 1.0, 0.1, 0.0, 0.0, clip_norm=clip, noise_multiplier=noise)
    model, member = Mlp((2, 3)), np.array([[True, False], [False, False]])
    x, y = torch.tensor([[0.5, 1.0, 1.0], [1.0, 0.0, 1.0]]), torch.tensor([1, 2])
    theta = train_ensemble(model, arm, x, y, member, range(2), seed=0, form="device")
    start = initial_parameters(model, 0, range(2))
    assert torch.isfinite(theta).all()
    assert not torch.equal(theta[0], start[0])
    assert torch.equal(theta[1], start[1]) == (clip is None), "noise alone moves an empty subset"
