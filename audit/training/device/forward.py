"""Logits of a block of models on the same examples, as one program."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from audit.training.models import Mlp, Model
from audit.training.network import Network
from audit.training.stacked import TracedCohort
from audit.training.stacked_layers import Rows


@dataclass(frozen=True)
class Forward:
    """How a cohort answers.

    Attributes:
        logits: of consecutive models on rows [rows, …] that all of them see: [models, rows,
            classes].
        bytes_per_row: what one row of one model takes meanwhile, about.
    """

    logits: Callable[[range, Tensor], Tensor]
    bytes_per_row: int


def cohort_forward(model: Model, engine: str, theta: Tensor) -> Forward:
    """How the models ``theta`` [models, parameters], trained by ``engine``, answer together."""
    if isinstance(model, Mlp):
        return _mlps(model, theta)
    return _stacked(model, theta) if engine == "ensemble" else _functional(model, theta)


def _mlps(model: Mlp, theta: Tensor) -> Forward:
    layers = model.layers(theta)

    def logits(models: range, x: Tensor) -> Tensor:
        here = slice(models.start, models.stop)
        values = x.expand(len(models), -1, -1)
        for i, layer in enumerate(layers):
            if i > 0:
                values = values.relu_() if model.activation == "relu" else values.tanh_()
            values = torch.baddbmm(layer[here, -1:], values, layer[here, :-1])
        return values

    return Forward(logits, 4 * 3 * sum(model.widths[1:]))


def _stacked(model: Network, theta: Tensor) -> Forward:
    # Gradients are not asked for: anything of their shape will do.
    cohort = TracedCohort(model, theta, theta)
    cohort.begin()

    def logits(models: range, x: Tensor) -> Tensor:
        rows = Rows(models, [len(x)] * len(models), even=True)
        return cohort.infer(x.repeat(len(models), *[1] * (x.dim() - 1)), rows).view(
            len(models), len(x), -1
        )

    return Forward(logits, 3 * cohort.bytes_per_row(even=True))


def _functional(model: Network, theta: Tensor) -> Forward:
    template = model.initial_module(0, 0).to(theta.device).eval().requires_grad_(False)
    names, buffers = list(model.shapes), dict(template.named_buffers())

    def one(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(template, (parameters, buffers), (x,))

    def logits(models: range, x: Tensor) -> Tensor:
        own = model.tensors(theta[models.start : models.stop])
        return vmap(one, in_dims=(0, None))(dict(zip(names, own, strict=True)), x)

    return Forward(logits, 4 * _bytes_of_outputs(template, model.input_shape, theta.device))


def _bytes_of_outputs(module: nn.Module, shape: tuple[int, ...], device: torch.device) -> int:
    """What the layers of a module give out for one row."""
    seen = [4 * math.prod(shape)]

    def see(layer: nn.Module, inputs: object, output: object) -> None:
        del layer, inputs
        if isinstance(output, Tensor):
            seen.append(output.numel() * output.element_size())

    hooks = [layer.register_forward_hook(see) for layer in module.modules()]
    try:
        with torch.no_grad():
            module(torch.zeros(1, *shape, device=device))
    finally:
        for hook in hooks:
            hook.remove()
    return sum(seen)
