"""Are the random streams of a model what the accountant assumes? Tested on the draws themselves.

The cross-check repeats a model with the same minibatches and noise, so it cannot see that both are
wrong. These tests can: they compare the draws with the plan's constants (q, z, C and the subset),
and use none of the code that made them. Bounds are five standard errors: a correct run fails one
of them in about 5 of a million.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from audit.training.arms import Arm
from audit.training.draws import Form, replay
from audit.training.models import Model

_STANDARD_ERRORS = 5.0


@dataclass(frozen=True)
class StreamCheck:
    """Draws of one model against the plan.

    ``minibatch_z``: standard score of the number of selections against Binomial(steps·|T|, q);
    ``outside_subset``: selections outside T. Noise (None in arms without):
    ``noise_rms_relative_error`` is the largest |RMS / (z·C) − 1| over the layers,
    ``noise_step_correlation`` that of successive steps, ``noise_model_correlation`` that with
    another model's noise; each has its bound.
    """

    minibatch_z: float
    outside_subset: int
    noise_rms_relative_error: float | None
    noise_rms_bound: float | None
    noise_step_correlation: float | None
    noise_model_correlation: float | None
    noise_correlation_bound: float | None
    passed: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def check_streams(
    model: Model,
    arm: Arm,
    k: int,
    member: Bool[np.ndarray, " n"],
    *,
    seed: int,
    form: Form = "host",
    device: torch.device | None = None,
) -> StreamCheck:
    """Test the minibatches and, in DP arms, the noise of model ``k``, as drawn in ``form``."""
    device = torch.device("cpu") if device is None else device
    own, other = (replay(form, model, arm, i, member, seed=seed, device=device) for i in (k, k + 1))
    z, outside = _minibatches(arm, member, own.minibatches())
    passed = abs(z) <= _STANDARD_ERRORS and outside == 0
    if arm.noise_multiplier is None or arm.clip_norm is None:
        return StreamCheck(z, outside, None, None, None, None, None, passed)
    # Straight from the calibrated mechanism, not from the property that scales the draws.
    expected = arm.noise_multiplier * arm.clip_norm
    squares, last = torch.zeros(2, model.parameters, dtype=torch.float64, device=device)
    # Sums stay where the draws are: reading one waits for the device.
    with_last, with_other = torch.zeros(2, dtype=torch.float64, device=device)
    for mine, theirs in islice(zip(own.noise(), other.noise(), strict=True), arm.steps):
        draw = mine.double()
        squares += draw.square()
        with_last += draw @ last
        with_other += draw @ theirs.double()
        last = draw
    error, bound = _worst_layer(model, arm, squares.cpu(), expected)
    draws = arm.steps * model.parameters
    scale = draws * expected**2
    correlation_bound = _STANDARD_ERRORS / np.sqrt(draws)
    step, across = abs(float(with_last)) / scale, abs(float(with_other)) / scale
    passed = passed and error <= bound and max(step, across) <= correlation_bound
    return StreamCheck(
        z, outside, error, bound, step, across, float(correlation_bound), bool(passed)
    )


def _minibatches(arm: Arm, member: np.ndarray, minibatches: Iterator[Tensor]) -> tuple[float, int]:
    selected = outside = 0
    for batch in minibatches:
        indices = batch.cpu().numpy()
        selected += len(np.unique(indices))
        outside += int((~member[indices]).sum())
    trials = arm.steps * int(member.sum())
    spread = np.sqrt(trials * arm.sample_rate * (1 - arm.sample_rate))
    excess = selected - trials * arm.sample_rate
    return float(excess / spread) if spread > 0 else float(excess), outside


def _worst_layer(
    model: Model, arm: Arm, squares: torch.Tensor, expected: float
) -> tuple[float, float]:
    """|RMS / expected − 1| of the layer furthest beyond its own bound, and that bound."""
    layers = [block.reshape(-1) for block in model.layers(squares[None])]
    errors = [abs(float((s.mean() / arm.steps).sqrt()) / expected - 1) for s in layers]
    bounds = [_STANDARD_ERRORS / np.sqrt(2 * arm.steps * len(s)) for s in layers]
    worst = int(np.argmax([e / b for e, b in zip(errors, bounds, strict=True)]))
    return errors[worst], float(bounds[worst])
