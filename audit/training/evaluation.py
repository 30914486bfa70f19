"""Who was right, and by how much: correctness and LiRA margins of trained models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float16
from torch import Tensor, nn

from audit.training import kernels
from audit.training.device.forward import cohort_forward
from audit.training.device.memory import free_bytes
from audit.training.device.precision import products
from audit.training.engines import Engine
from audit.training.models import Mlp, Model

# Examples evaluated at once: bounds the workspace at a few MiB for any data set.
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Outputs:
    """What models say of a set of examples.

    ``correct`` [models, examples]: the top class is the label (the first of tied classes counts; a
    model with a NaN logit is wrong). ``margin``: LiRA's logit log(p_y / (1 − p_y)) (Carlini et al.
    2022, §IV), computed as z_y − logsumexp over the other classes, which does not cancel.
    """

    correct: Bool[np.ndarray, "models examples"]
    margin: Float16[np.ndarray, "models examples"]


def evaluate_cohort(
    model: Model, theta: Tensor, x: Tensor, y: Tensor, *, engine: Engine = "ensemble"
) -> Outputs:
    """Outputs of the models ``theta`` [models, parameters] on ``x`` from ``model.prepare``.

    Args:
        engine: what trained them; on a GPU it also evaluates them.
    """
    if theta.device.type != "cpu":
        return evaluate_on_device(model, theta, x, y, engine=engine)
    if isinstance(model, Mlp):
        return evaluate_ensemble(model, theta, x, y)
    return stack_outputs([evaluate_module(model.module(row), x, y) for row in theta])


@torch.no_grad()
def evaluate_on_device(
    model: Model,
    theta: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    engine: Engine,
    block_bytes: int | None = None,
) -> Outputs:
    """The same in blocks of models and examples, each one program and one transfer.

    Args:
        block_bytes: memory that a block may take; None for a part of what is free.
    """
    forward = cohort_forward(model, engine, theta)
    room = free_bytes(theta.device) // 4 if block_bytes is None else block_bytes
    count = max(1, min(len(x), _BLOCK_ROWS, room // forward.bytes_per_row))
    most = max(1, room // (forward.bytes_per_row * count))
    plain = model.plain(x)
    correct = np.empty((len(theta), len(x)), dtype=bool)
    margin = np.empty((len(theta), len(x)), dtype=np.float16)
    for start in range(0, len(x), count):
        rows, labels = plain[start : start + count].contiguous(), y[start : start + count]
        for first in range(0, len(theta), most):
            models = range(first, min(first + most, len(theta)))
            with products("float32"):
                logits = forward.logits(models, rows)
            found = judge(logits.flatten(0, 1), labels.repeat(len(models)))
            here = slice(first, models.stop), slice(start, start + len(rows))
            correct[here], margin[here] = (
                values.view(len(models), len(rows)).cpu().numpy() for values in found
            )
    return Outputs(correct, margin)


def stack_outputs(outputs: list[Outputs]) -> Outputs:
    """The outputs of several models, one below the other."""
    return Outputs(
        np.concatenate([o.correct for o in outputs]), np.concatenate([o.margin for o in outputs])
    )


def evaluate_ensemble(model: Mlp, theta: Tensor, x: Tensor, y: Tensor) -> Outputs:
    """Outputs of the models ``theta`` [models, parameters] on ``x`` [examples, features + 1]."""
    activate = torch.relu if model.activation == "relu" else kernels.tanh
    weights = model.layers(theta)
    correct = np.empty((len(theta), len(x)), dtype=bool)
    margin = np.empty((len(theta), len(x)), dtype=np.float16)
    for start in range(0, len(x), _BLOCK_ROWS):
        rows, labels = x[start : start + _BLOCK_ROWS], y[start : start + _BLOCK_ROWS]
        here = slice(start, start + len(rows))
        for k in range(len(theta)):
            h = rows @ weights[0][k]
            for layer in weights[1:]:
                h = torch.addmm(layer[k, -1], activate(h), layer[k, :-1])
            correct[k, here], margin[k, here] = (v.numpy() for v in judge(h, labels))
    return Outputs(correct, margin)


@torch.no_grad()
def evaluate_module(module: nn.Module, x: Tensor, y: Tensor) -> Outputs:
    """Outputs of one ``nn.Module`` on ``x`` [examples, *input_shape]; one row."""
    module.eval()
    parts = [
        judge(module(x[start : start + _BLOCK_ROWS]), y[start : start + _BLOCK_ROWS])
        for start in range(0, len(x), _BLOCK_ROWS)
    ]
    correct, margin = (torch.cat(values).cpu().numpy() for values in zip(*parts, strict=True))
    return Outputs(correct[None], margin[None])


def judge(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Correctness and float16 margins [rows] from ``logits`` [rows, classes]; see ``Outputs``."""
    finite = torch.isfinite(logits).all(dim=1)
    correct = (logits.argmax(dim=1) == labels) & finite
    own = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -torch.inf)
    margin = own[:, 0] - torch.logsumexp(others, dim=1)
    margin = torch.where(finite, margin, torch.nan).clamp(-65504.0, 65504.0)
    return correct, margin.to(torch.float16)
