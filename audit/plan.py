"""The plan of a run: arms, model, noise and cohorts, fixed before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from audit.accounting import check_delta, default_delta
from audit.claims import ALPHA, Claim, make_claim, strictest
from audit.config import RunConfig
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.estimates.dp_test import power_to_refute
from audit.plan_canaries import PlannedCanaries, plan_canaries
from audit.plan_learners import learner_arms, why_no_private_arm
from audit.plan_networks import network_arms
from audit.planned_arm import PlannedArm
from audit.seeds import Purpose, generator
from audit.training.arms import Arm
from audit.training.cohort_task import CohortTask
from audit.training.device.memory import cohort_on_device
from audit.training.learners import Estimator, is_learner
from audit.training.models import Mlp, Model

# `--models auto`: from the least that gives stable estimates to what two cores train in minutes.
_FEWEST_MODELS, _MOST_MODELS = 200, 400
# Parameters, momenta and gradients of a cohort should stay near a core; beyond 50 small models the
# calls saved are few.
_COHORT_BYTES = 2**21
_SMALLEST_COHORT, _LARGEST_COHORT = 5, 50


@dataclass(frozen=True)
class Plan:
    """All constants of a run.

    ``judged_by``: the claim that the standard arm is held against: the strictest of the run's arms,
    or, where no arm claims anything, the smallest ε that was asked about. ``no_private_arm``: why
    there is no arm that claims it, and what to do; None where there is one.
    """

    config: RunConfig
    model: Model | Estimator
    arms: tuple[PlannedArm, ...]
    judged_by: Claim
    models: int
    models_reason: str
    cohort_size: int
    tasks: tuple[CohortTask, ...]
    canaries: PlannedCanaries
    no_private_arm: str | None = None


def make_plan(
    config: RunConfig, data: Dataset, *, device: str, cohort_size: int | None = None
) -> Plan:
    """Fix every constant of the run.

    Args:
        device: what trains.
        cohort_size: of a run that is continued, perhaps on another device: its cohorts stay.

    Raises:
        BadInput: an option that cannot work with this data (δ ≥ 1/n, batch larger than T, …).
    """
    n = len(data.x_train)
    delta = default_delta(n) if config.delta is None else config.delta
    check_delta(delta, n)
    _refuse_huge_values(data)
    if is_learner(config.model):
        arms = learner_arms(config, len(data.class_names), delta)
    else:
        arms = network_arms(config, data, delta, device)
    asked = make_claim(
        min(config.epsilon), delta, design=config.design, source="asked about; no arm claims it"
    )
    judged_by = strictest([arm.claim for arm in arms], asked=asked)
    models, models_reason = _models(config, judged_by, n)
    model = arms[0].model
    at_once = _cohort_size(config, arms, models, n, device)
    size = at_once if cohort_size is None else min(max(1, cohort_size), models)
    return Plan(
        config,
        model,
        tuple(arms),
        judged_by,
        models,
        models_reason,
        size,
        _tasks(config, arms, models, size, min(size, at_once), device),
        plan_canaries(config, data, arms),
        None if any(arm.claim for arm in arms) else why_no_private_arm(config),
    )


# Squared norms of inputs enter per-example gradient norms in float32, whose range ends at 3e38; an
# overflow there would let one example escape its clip norm.
_LARGEST_INPUT = 1e12


def _refuse_huge_values(data: Dataset) -> None:
    for part, x in (("training", data.x_train), ("test", data.x_test)):
        largest = max(float(x.max(initial=0.0)), -float(x.min(initial=0.0)))
        if not largest <= _LARGEST_INPUT:
            raise BadInput(
                f"largest value in the {part} rows",
                largest,
                f"must be at most {_LARGEST_INPUT:g} in size, or gradients overflow",
                "Scale the features, or mend the row",
            )


def _models(config: RunConfig, judged_by: Claim, n: int) -> tuple[int, str]:
    """Number of models per arm; ``auto`` asks how many the test of the strictest claim needs."""
    if config.models != "auto":
        return config.models, "asked for"
    for models in range(_FEWEST_MODELS, _MOST_MODELS + 1, 20):
        power = power_to_refute(
            models,
            n,
            config.inclusion_probability,
            judged_by.in_out_epsilon,
            judged_by.in_out_delta,
            ALPHA,
        )
        if power >= 0.8:
            return (
                models,
                f"the fewest (from {_FEWEST_MODELS}) with {power:.0%} power to refute "
                f"ε = {judged_by.epsilon:g} on an example memorized as a standard model memorizes",
            )
    return _FEWEST_MODELS, (
        f"the default; refuting ε = {judged_by.epsilon:g} with 80 % power would take more than "
        f"{_MOST_MODELS} models"
    )


def _cohort_size(
    config: RunConfig, arms: list[PlannedArm], models: int, n: int, device: str
) -> int:
    """Models trained together: on a CPU from the size of its cache, on a GPU from its memory."""
    if config.cohort_size != "auto":
        return min(config.cohort_size, models)
    model, largest = arms[0].model, _SMALLEST_COHORT
    together = arms[0].engine in ("ensemble", "functional")
    if device != "cpu" and together and not isinstance(model, Estimator):
        trained = [arm.arm for arm in arms if isinstance(arm.arm, Arm)]
        return cohort_on_device(model, trained, n, models, device)
    if isinstance(model, Mlp):
        per_model = 3 * 4 * model.parameters
        largest = min(_LARGEST_COHORT, max(_SMALLEST_COHORT, _COHORT_BYTES // per_model))
    cohorts = math.ceil(models / largest)
    return math.ceil(models / cohorts)


def _tasks(
    config: RunConfig,
    arms: list[PlannedArm],
    models: int,
    size: int,
    at_once: int,
    device: str,
) -> tuple[CohortTask, ...]:
    """All cohorts; those that hold a cross-checked model first, so that a mismatch shows early."""
    tasks = []
    for planned in arms:
        rng = generator(config.seed, Purpose.CROSS_CHECK, planned.name)
        reference = planned.engine in ("opacus", "estimator")
        checked = None if reference else int(rng.integers(models))
        for first in range(0, models, size):
            last = min(first + size, models) - 1
            tasks.append(
                CohortTask(
                    arm=planned.arm,
                    model=planned.model,
                    first=first,
                    last=last,
                    engine=planned.engine,
                    design=config.design,
                    p=config.inclusion_probability,
                    seed=config.seed,
                    device=device,
                    at_once=at_once if at_once < size else None,
                    checked_model=checked
                    if checked is not None and first <= checked <= last
                    else None,
                )
            )
    return tuple(sorted(tasks, key=lambda task: task.checked_model is None))
