"""One step of DP-SGD with each planted bug, one example at a time, as a student would write it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from audit.training.arms import Arm
from audit.training.models import Mlp


def gradients(model: Mlp, theta: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    """The gradient of each example's loss; ``x`` without the constant 1."""
    found = []
    for i in range(len(x)):
        module = model.module(theta)
        cross_entropy(module(x[i : i + 1]), y[i : i + 1]).backward()
        found.append(model.flatten({n: _grad(p) for n, p in module.named_parameters()}))
    return found


def _grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def clip(gradient: Tensor, norm: float) -> Tensor:
    return gradient * min(1.0, norm / (gradient.norm().item() + 1e-6))


def gradient_sum(name: str | None, arm: Arm, each: list[Tensor]) -> Tensor:
    """What a step adds up before noise, from the examples' gradients."""
    assert arm.clip_norm is not None
    total, c = torch.zeros_like(each[0]), arm.clip_norm
    if name == "microbatch_clipping":
        for first in range(0, len(each), 16):
            part = torch.stack(each[first : first + 16])
            total += len(part) * clip(part.mean(dim=0), c)
        return total
    ways: dict[str | None, Callable[[Tensor], Tensor]] = {
        "no_clipping": lambda g: g,
        "clip_norm_ignored": lambda g: clip(g, 4 * c),
        "plain_gradient_added": lambda g: clip(g, c) + g,
    }
    for gradient in each:
        total += ways.get(name, lambda g: clip(g, c))(gradient)
    return total


def batch_normalised_sum(model: Mlp, theta: Tensor, x: Tensor, y: Tensor, c: float) -> Tensor:
    """The first step with one hidden layer normalised over the minibatch (its own statistics are
    then the running ones): autograd through the layer, clipped per row of what arrives."""
    (w1,), (w2,) = (layer for layer in model.layers(theta[None].double()))
    inputs = torch.cat([x.double(), torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    first = (inputs @ w1).requires_grad_()
    mean, deviation = first.mean(dim=0), (first.var(dim=0, unbiased=False) + 1e-5).sqrt()
    unit = (first - mean) / deviation
    hidden = torch.tanh(unit * deviation.detach() + mean.detach())
    above = torch.cat([hidden, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    logits = above @ w2
    logits.retain_grad()
    cross_entropy(logits, y, reduction="sum").backward()
    total = torch.zeros(model.parameters, dtype=torch.float64)
    for i in range(len(x)):
        low = torch.outer(inputs[i], _grad(first)[i])
        high = torch.outer(above[i].detach(), _grad(logits)[i])
        total += clip(torch.cat([low.reshape(-1), high.reshape(-1)]), c)
    return total.float()
