"""Correctness and margins against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit.training.evaluation import evaluate_ensemble, evaluate_module
from audit.training.models import Mlp


def test_margin_is_the_logit_of_the_true_class_probability():
    model = Mlp((5, 7, 3), "tanh")
    theta = torch.from_numpy(np.stack([model.initial(0, k) for k in range(2)])) * 3
    rng = np.random.default_rng(0)
    x = torch.from_numpy(np.hstack([rng.normal(size=(9, 5)), np.ones((9, 1))]).astype(np.float32))
    y = torch.from_numpy(rng.integers(0, 3, 9))
    outputs = evaluate_ensemble(model, theta, x, y)
    for k in range(2):
        p = model.module(theta[k])(x[:, :-1]).softmax(dim=1).double().detach().numpy()
        own = p[np.arange(9), y]
        np.testing.assert_allclose(outputs.margin[k], np.log(own / (1 - own)), rtol=2e-3, atol=1e-3)
        np.testing.assert_array_equal(outputs.correct[k], p.argmax(axis=1) == y.numpy())


def test_margins_do_not_cancel_when_the_model_is_certain():
    linear = torch.nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[40.0], [-40.0]]))
    outputs = evaluate_module(linear, torch.ones(1, 1), torch.zeros(1, dtype=torch.int64))
    assert float(outputs.margin[0, 0]) == pytest.approx(80.0)


def test_ties_count_for_the_first_class_and_nan_for_none():
    linear = torch.nn.Linear(1, 3, bias=False)
    with torch.no_grad():
        linear.weight.zero_()
    y = torch.tensor([0, 1])
    assert evaluate_module(linear, torch.ones(2, 1), y).correct.tolist() == [[True, False]]
    with torch.no_grad():
        linear.weight.fill_(torch.nan)
    outputs = evaluate_module(linear, torch.ones(2, 1), y)
    assert not outputs.correct.any()
    assert np.isnan(outputs.margin).all()
