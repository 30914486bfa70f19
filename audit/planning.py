"""``audit plan``: what a run would find and what it would cost, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from audit.claims import STANDARD
from audit.config import RunConfig
from audit.data.dataset import Dataset
from audit.detectable import (
    Design,
    Groups,
    ladder,
    power_tables,
)
from audit.errors import BadInput
from audit.estimates.subgroup_power import LossVariance, loss_variance
from audit.missing_cohorts import Listener
from audit.plan import Plan, make_plan
from audit.plan_removal import refuse_removal
from audit.planned_arm import PlannedArm
from audit.resolve import load_data, training_device
from audit.training.arms import Arm
from audit.training.trial import ArmTrial
from audit.trial_cost import disk_bytes, held_bytes, measure
from audit.wanted import wanted_difference, wanted_epsilon, wanted_excess, wanted_influence

SCHEMA_VERSION = 1
ASSUMED_VARIANCE = LossVariance(examples=0.04, cells=0.05, models=0.0004)
"""Variances of the paired loss where no trial has measured them (docs/commands/plan.md)."""
_FEWEST_MODELS = 8
"""Models of each arm from which a trial's variances are taken."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What a user wants to be able to find, each with 80 % power; None where not asked.

    ``excess`` of p_in over what a claim allows, ``influence`` of a pair, ``difference`` of a
    subgroup's accuracy loss from the rest's, ``epsilon`` to be certified.
    """

    excess: float | None = None
    influence: float | None = None
    difference: float | None = None
    epsilon: float | None = None

    def check(self) -> None:
        """Refuse what is no effect.

        Raises:
            BadInput: a share outside (0, 1], or an ε that is not positive and finite.
        """
        for name in ("excess", "influence", "difference"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise BadInput(
                    f"want-{name}", value, "must be above 0 and at most 1", "Use e.g. 0.1"
                )
        if self.epsilon is not None and not (0 < self.epsilon <= 100):
            raise BadInput(
                "want-epsilon", self.epsilon, "must be above 0 and at most 100", "Use e.g. 1"
            )


def plan_audit(
    config: RunConfig, wanted: Wanted, *, trial_seconds: float | None, listener: Listener
) -> Record:
    """The plan of a run as plain JSON data (docs/commands/plan.md); no run directory is written.

    Args:
        trial_seconds: about how long the trial of each arm may take; None for no trial: the cost is
            then None, and the variance of losses is assumed.

    Raises:
        BadInput: configuration, data or what is wanted cannot be used.
        AuditError: the trial ran out of memory.
    """
    wanted.check()
    listener.stage("loading data")
    data = load_data(config)
    device = training_device(config)
    listener.stage("planning")
    plan = make_plan(config, data, device=device)
    if config.removal is not None:
        refuse_removal(plan, config.removal, len(data.x_test))
    cost, tried = None, []
    if trial_seconds is not None:
        cost, tried = measure(
            plan, data, device=device, seconds=trial_seconds, listen=listener.stage
        )
    listener.stage("computing power")
    design = _design(plan, data, tried)
    return {
        "schema_version": SCHEMA_VERSION,
        "data": {
            "name": data.name,
            "n": len(data.y_train),
            "n_test": len(data.y_test),
            "classes": len(data.class_names),
        },
        "inclusion": {"design": config.design, "p": config.inclusion_probability},
        "models": plan.models,
        "models_reason": plan.models_reason,
        "cohort_size": plan.cohort_size,
        "device": device,
        "no_private_arm": plan.no_private_arm,
        "canaries": {
            "kind": plan.canaries.kind,
            "count": plan.canaries.count,
            "arms": list(plan.canaries.arms),
            "why_none": plan.canaries.why_none,
        },
        "arms": {arm.name: _arm_record(arm) for arm in plan.arms},
        "power": power_tables(design, ladder(plan.models)),
        "wanted": _answers(design, wanted, plan.models),
        "cost": cost,
        "disk_bytes": disk_bytes(plan, data),
        "held_bytes": held_bytes(plan, data),
    }


def _design(plan: Plan, data: Dataset, tried: list[ArmTrial]) -> Design:
    variance, source = _variance(
        data, tried, [arm.name for arm in plan.arms if arm.claim is not None]
    )
    return Design(
        n=len(data.y_train),
        n_test=len(data.y_test),
        p=plan.config.inclusion_probability,
        poisson=plan.config.design == "poisson",
        canaries={arm.name: arm.arm.canaries for arm in plan.arms if isinstance(arm.arm, Arm)},
        claims={arm.name: arm.claim for arm in plan.arms if arm.claim is not None},
        judged_by=plan.judged_by,
        groups=[Groups(g.name, g.test_counts()) for g in data.groupings]
        if len(data.y_test)
        else [],
        variance=variance,
        variance_from=source,
    )


def _variance(
    data: Dataset, tried: list[ArmTrial], claimed: Collection[str]
) -> tuple[LossVariance, str]:
    """Variance of the losses of the first private arm that the trial trained to the end."""
    correct = {
        each.arm: np.concatenate([output.test_correct for output in each.outputs])
        for each in tried
        if each.outputs and (each.arm == STANDARD or each.arm in claimed)
    }
    standard = correct.pop(STANDARD, None)
    if standard is None or not correct or not data.groupings:
        return ASSUMED_VARIANCE, "assumed: the trial trained no models to the end"
    name, private = next(iter(correct.items()))
    models = min(len(standard), len(private))
    cells = standard[:models].astype(np.int8) - private[:models].astype(np.int8)
    grouping = data.groupings[0]
    found = loss_variance(cells, grouping.test, len(grouping.subgroups))
    if models < _FEWEST_MODELS or not math.isfinite(found.examples + found.cells + found.models):
        return ASSUMED_VARIANCE, f"assumed: the trial has only {models} models of each arm"
    return found, f"measured in the trial: {models} models of {STANDARD} and {name}"


def _arm_record(planned: PlannedArm) -> Record:
    claim, arm = planned.claim, planned.arm
    record: Record = {
        "kind": arm.kind,
        "engine": planned.engine,
        "model": planned.model.describe(),
        "steps": arm.steps if isinstance(arm, Arm) else None,
        "sample_rate": arm.sample_rate if isinstance(arm, Arm) else None,
        "noise_multiplier": arm.noise_multiplier if isinstance(arm, Arm) else None,
        "clip_norm": arm.clip_norm if isinstance(arm, Arm) else None,
    }
    if planned.control is not None:
        record["kind"] = "control"
        if planned.control.kind == "noise-only":
            # How it is trained, a norm that nothing reaches, is not what it is.
            record |= {"noise_multiplier": None, "clip_norm": None}
    if claim is not None:
        record |= {
            "epsilon": claim.epsilon,
            "delta": claim.delta,
            "in_out_epsilon": claim.in_out_epsilon,
            "in_out_delta": claim.in_out_delta,
            "claimed_by": claim.source,
        }
    return record


def _answers(design: Design, wanted: Wanted, models: int) -> Record:
    answers: Record = {}
    if wanted.excess is not None:
        found = wanted_excess(design, wanted.excess)
        answers["excess"] = {"size": wanted.excess, "answers": found}
    if wanted.influence is not None:
        found = wanted_influence(design, wanted.influence) if design.n_test else []
        answers["influence"] = {"size": wanted.influence, "answers": found}
    if wanted.difference is not None:
        found = wanted_difference(design, wanted.difference, models)
        answers["difference"] = {"size": wanted.difference, "answers": found}
    if wanted.epsilon is not None:
        found = wanted_epsilon(design, wanted.epsilon)
        answers["epsilon"] = {"size": wanted.epsilon, "answers": found}
    return answers
