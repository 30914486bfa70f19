"""How many models a device has room for, and how much is free."""

from __future__ import annotations

import math

import torch

from audit.training.arms import Arm
from audit.training.device.padded import noise_columns, padded_width
from audit.training.models import Mlp, Model

# A cohort is lost if the run is interrupted, and more models than this do not train faster.
_MOST_MODELS = 500
# Left for what cannot be foreseen: libraries' workspaces, fragments, evaluation.
_USABLE = 0.7
# Where nothing can be asked for (tests on a CPU).
_ASSUMED_FREE = 2**30


def free_bytes(device: torch.device) -> int:
    """Memory that tensors can still take on ``device``; a constant on a CPU."""
    if device.type != "cuda":
        return _ASSUMED_FREE
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + cached


def bytes_per_model(model: Model, arm: Arm, n: int) -> int:
    """What a model of a cohort takes on a device while ``arm`` is trained on ``n`` examples.

    Parameters, velocity, noise, its share of the minibatch tables and of their draws, and, for an
    MLP, its activations; networks work through a cohort in blocks of models that fit.
    """
    copies = 3 if arm.clip_norm is not None and arm.momentum else 2
    # A largest minibatch among many: five standard deviations above the mean.
    batch = arm.expected_batch_size
    width = padded_width(math.ceil(batch + 5 * math.sqrt(batch)))
    drawn = max(16_384, math.ceil(arm.sample_rate * n))
    tables = n + 60 * drawn + 8 * width * math.ceil(drawn / max(1.0, arm.sample_rate * n))
    activations = 0
    if isinstance(model, Mlp):
        # Inputs, outputs, their gradients, and a product's copy of each.
        activations = 4 * width * (2 * model.widths[0] + 4 * sum(model.widths[1:]))
    # Sizes, ranks (eight bytes each) and masks of all weights at once, when some are taken away.
    pruning = (6 + 12 * arm.pruned) * model.parameters if arm.pruned else 0
    return 4 * copies * noise_columns(model.parameters) + tables + activations + math.ceil(pruning)


def cohort_on_device(
    model: Model, arms: list[Arm], n: int, models: int, device: str, *, free: int | None = None
) -> int:
    """Models trained together: as many as fit into what is ``free``, all cohorts about equal.

    Should they not fit after all, training halves them (:mod:`audit.training.cohort`).

    Args:
        n: training examples.
        models: of the run, per arm.
        free: bytes; None to ask the device.
    """
    free = free_bytes(torch.device(device)) if free is None else free
    per_model = max(bytes_per_model(model, arm, n) for arm in arms)
    most = max(1, min(_MOST_MODELS, int(_USABLE * free / per_model)))
    return math.ceil(models / math.ceil(models / most))


def is_launch_bound(model: Model, arm: Arm, models: int) -> bool:
    """Whether launching a step's kernels takes longer than the kernels do. On an H100 launching
    takes 0.3 to 0.5 ms; steps that move more memory than this gain little (benchmarks/RESULTS.md).
    """
    width = arm.expected_batch_size
    units = sum(model.widths) if isinstance(model, Mlp) else 0
    return models * 4 * (7 * model.parameters + 8 * width * units) < 2**29
