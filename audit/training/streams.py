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
    ``minibatch_spread_z``: the same of their spread, over examples or over steps, whichever is
    further off: examples that take turns are selected too evenly. ``outside_subset``: selections
    outside T. Noise (None in arms without):
    ``noise_rms_relative_error`` is the largest |RMS / (z·C) − 1| over the layers,
    ``noise_step_correlation`` that of successive steps, ``noise_model_correlation`` that with
    another model's noise; each has its bound.
    """

    minibatch_z: float
    minibatch_spread_z: float
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
    z, spread, outside = _minibatches(arm, member, own.minibatches())
    passed = max(abs(z), abs(spread)) <= _STANDARD_ERRORS and outside == 0
    if not arm.noise_multiplier or arm.clip_norm is None:
        return StreamCheck(z, spread, outside, None, None, None, None, None, passed)
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
        z, spread, outside, error, bound, step, across, float(correlation_bound), bool(passed)
    )


def _minibatches(
    arm: Arm, member: np.ndarray, minibatches: Iterator[Tensor]
) -> tuple[float, float, int]:
    """Scores of number and spread of the selections, and how many were outside."""
    sizes, outside = [], 0
    times = np.zeros(len(member))
    for batch in minibatches:
        indices = np.unique(batch.cpu().numpy())
        sizes.append(len(indices))
        times[indices] += 1
        outside += int((~member[indices]).sum())
    q, selected = arm.sample_rate, sum(sizes)
    trials = arm.steps * int(member.sum())
    deviation = np.sqrt(trials * q * (1 - q))
    excess = selected - trials * q
    if deviation == 0:
        return float(excess), 0.0, outside
    over_examples = _spread_z(times[member], arm.steps, q)
    over_steps = _spread_z(np.array(sizes, dtype=float), int(member.sum()), q)
    return float(excess / deviation), max(over_examples, over_steps, key=abs), outside


def _spread_z(counts: np.ndarray, trials: int, q: float) -> float:
    """Standard score of the spread of independent ``counts`` ~ Binomial(trials, q).

    Σ (c − trials·q)² / variance has mean n and variance n (2 + excess kurtosis): as a χ² of
    that many degrees of freedom, made normal by its cube root (Wilson & Hilferty 1931).
    """
    variance = trials * q * (1 - q)
    ratio = float(np.square(counts - trials * q).mean() / variance)
    kurtosis = (1 - 6 * q * (1 - q)) / variance
    degrees = 2 * len(counts) / (2 + kurtosis)
    error = 2 / (9 * degrees)
    return (ratio ** (1 / 3) - (1 - error)) / float(np.sqrt(error))


def _worst_layer(
    model: Model, arm: Arm, squares: torch.Tensor, expected: float
) -> tuple[float, float]:
    """|RMS / expected − 1| of the layer furthest beyond its own bound, and that bound."""
    layers = [block.reshape(-1) for block in model.layers(squares[None])]
    errors = [abs(float((s.mean() / arm.steps).sqrt()) / expected - 1) for s in layers]
    bounds = [_STANDARD_ERRORS / np.sqrt(2 * arm.steps * len(s)) for s in layers]
    worst = int(np.argmax([e / b for e, b in zip(errors, bounds, strict=True)]))
    return errors[worst], float(bounds[worst])
