"""The whole analysis of a run, from outputs to results."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from audit.analysis.arms import (
    AnalysedArm,
    ArmEstimates,
    ArmOutputs,
    arm_summary,
    estimate_arm,
    example_rows,
    influence_rows,
    loss_summary,
)
from audit.analysis.calibrated import run_calibration
from audit.analysis.empirical import Coins
from audit.analysis.groups import analyse_groups
from audit.analysis.longtail import predict
from audit.analysis.power import run_power
from audit.claims import STANDARD, Claim
from audit.data.dataset import Dataset
from audit.results import Results


def analyse(
    arms: Sequence[AnalysedArm],
    judged_by: Claim,
    data: Dataset,
    outputs: dict[str, ArmOutputs],
    *,
    coins: Coins,
    seed: int,
) -> Results:
    """Every estimate of a run; the summary still lacks ``findings``.

    An arm that claims nothing is held against ``judged_by``: what that claim would have forbidden.
    Accuracy losses need the standard arm; without one there are none. ``coins``: how membership was
    drawn. Controls get the same estimates, apart (``controls``): nothing of the audit is judged by
    them. ``seed``: the run's, for the random relabellings of the test of equal losses, and for the
    calibration.
    """
    found: dict[str, ArmEstimates] = {}
    summaries: dict[str, Any] = {}
    for arm in arms:
        found[arm.name] = estimate_arm(outputs[arm.name], arm.claim or judged_by)
        summaries[arm.name] = arm_summary(arm, outputs[arm.name], found[arm.name], coins)
        if (arm.claim is not None or arm.control) and STANDARD in outputs:
            summaries[arm.name]["loss"] = loss_summary(outputs[STANDARD], outputs[arm.name])
    groups = analyse_groups(
        data, outputs, {name: estimates.exposure for name, estimates in found.items()}, seed=seed
    )
    controls = {arm.name for arm in arms if arm.control}
    own = [arm for arm in arms if not arm.control]
    audited = {arm.name: summaries[arm.name] for arm in own}
    summary = {
        "models": len(outputs[arms[0].name].membership),
        "arms": audited,
        "trends": _of(groups.trends, controls, inside=False),
        "disparity": _of(groups.disparity, controls, inside=False),
        "fairlearn": _of(groups.rates, controls, inside=False),
        "longtail": predict(data, own),
        "power": run_power(own, judged_by, data, outputs, coins),
        "calibration": run_calibration(
            audited,
            coins,
            judged_by,
            models=len(outputs[arms[0].name].membership),
            n=len(data.x_train),
            seed=seed,
        ),
    }
    if controls:
        summary["controls"] = {
            arm: {
                **summaries[arm],
                "trends": _of(groups.trends, {arm}),
                "disparity": _of(groups.disparity, {arm}),
                "fairlearn": _of(groups.rates, {arm}),
            }
            for arm in summaries
            if arm in controls
        }
    return Results(
        examples=pd.concat(
            [example_rows(arm, found[arm.name], data) for arm in arms],
            ignore_index=True,
        ),
        influence=pd.concat(
            [influence_rows(name, estimates.influence) for name, estimates in found.items()],
            ignore_index=True,
        ),
        subgroups=groups.table,
        summary=summary,
    )


def _of(
    records: list[dict[str, Any]], arms: Collection[str], *, inside: bool = True
) -> list[dict[str, Any]]:
    """The records of ``arms``, or of all others."""
    return [record for record in records if (record["arm"] in arms) == inside]
