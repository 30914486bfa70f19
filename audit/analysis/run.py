"""The whole analysis of a run, from outputs to results."""

from __future__ import annotations

from typing import Any

import pandas as pd

from audit.analysis.arms import (
    ArmEstimates,
    ArmOutputs,
    arm_summary,
    estimate_arm,
    example_rows,
    influence_rows,
    loss_summary,
)
from audit.analysis.groups import analyse_groups
from audit.data.dataset import Dataset
from audit.plan import STANDARD, Plan
from audit.results import Results


def analyse(plan: Plan, data: Dataset, outputs: dict[str, ArmOutputs]) -> Results:
    """Every estimate of the run; the summary still lacks ``findings``.

    The standard arm is compared with the smallest ε of the run: what DP would have forbidden.
    """
    strictest = min(plan.dp_arms, key=lambda arm: arm.in_out_epsilon or 0.0)
    found: dict[str, ArmEstimates] = {}
    arms: dict[str, Any] = {}
    for planned in plan.arms:
        judged_by = planned if planned.mechanism is not None else strictest
        found[planned.name] = estimate_arm(outputs[planned.name], judged_by)
        arms[planned.name] = arm_summary(planned, outputs[planned.name], found[planned.name])
        if planned.mechanism is not None:
            arms[planned.name]["loss"] = loss_summary(outputs[STANDARD], outputs[planned.name])
    groups = analyse_groups(data, outputs, seed=plan.config.seed)
    summary = {
        "models": plan.models,
        "arms": arms,
        "trends": groups.trends,
        "disparity": groups.disparity,
        "fairlearn": groups.rates,
    }
    return Results(
        examples=pd.concat(
            [example_rows(name, estimates, data) for name, estimates in found.items()],
            ignore_index=True,
        ),
        influence=pd.concat(
            [influence_rows(name, estimates.influence) for name, estimates in found.items()],
            ignore_index=True,
        ),
        subgroups=groups.table,
        summary=summary,
    )
