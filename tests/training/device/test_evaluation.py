"""Answers of a cohort as one program, against those of its models one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit.training.evaluation import evaluate_cohort, evaluate_on_device
from audit.training.models import Mlp, Model
from audit.training.network import Network

HERE = "tests.training.networks"
MODELS: list[tuple[Model, str]] = [
    (Mlp((12, 9, 4), "tanh"), "ensemble"),
    (Mlp((12, 9, 7, 4), "relu"), "ensemble"),
    (Mlp((12, 4)), "ensemble"),
    (Network(f"{HERE}:everything", (2, 7, 6), 4), "ensemble"),
    (Network(f"{HERE}:large_images", (1, 12, 10), 4), "ensemble"),
    (Network(f"{HERE}:everything", (2, 7, 6), 4), "functional"),
]


@pytest.mark.parametrize("room", [1, 40_000, 2**30])
@pytest.mark.parametrize(("model", "engine"), MODELS)
def test_a_block_answers_as_its_models_do(model: Model, engine, room: int):
    shape = (12,) if isinstance(model, Mlp) else model.input_shape
    rng = np.random.default_rng(0)
    x = model.prepare(rng.normal(size=(23, *shape)).astype(np.float32), torch.device("cpu"))
    y = torch.from_numpy(rng.integers(0, 4, 23))
    theta = torch.from_numpy(np.stack([model.initial(0, k) for k in range(5)])) * 2
    theta[3] = torch.nan  # a diverged model
    ours = evaluate_on_device(model, theta, x, y, engine=engine, block_bytes=room)
    theirs = evaluate_cohort(model, theta, x, y)
    np.testing.assert_array_equal(ours.correct, theirs.correct)
    np.testing.assert_allclose(ours.margin, theirs.margin, rtol=2e-3, atol=2e-3)
    assert not ours.correct[3].any()
    assert np.isnan(ours.margin[3]).all()
    assert 0 < ours.correct.mean() < 1
