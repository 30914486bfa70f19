"""The power of a run's tests: what its number of models, and more, would have found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from audit.analysis.arms import AnalysedArm, ArmOutputs
from audit.analysis.empirical import Coins
from audit.claims import STANDARD, Claim
from audit.data.dataset import Dataset
from audit.detectable import Design, Groups, power_tables
from audit.estimates.subgroup_power import LossVariance, loss_variance


def run_power(
    arms: Sequence[AnalysedArm],
    judged_by: Claim,
    data: Dataset,
    outputs: dict[str, ArmOutputs],
    coins: Coins,
) -> dict[str, Any]:
    """``power`` of results/summary.json: for this number of models, and half, twice, … of it."""
    models, n = outputs[arms[0].name].membership.shape
    p = coins.p
    if p is None:
        # Not stated by whoever brought the outputs: power is then told for the share seen.
        p = float(np.clip(outputs[arms[0].name].membership.mean(), 1 / n, 1 - 1 / n))
    variance, source = _variance(arms, data, outputs)
    canaries = {
        name: out.canaries.coins.shape[1]
        for name, out in outputs.items()
        if out.canaries is not None and out.canaries.kind == "gradient"
    }
    design = Design(
        n=n,
        n_test=len(data.y_test),
        p=p,
        poisson=coins.design == "poisson" and coins.p is not None,
        canaries=canaries,
        claims={arm.name: arm.claim for arm in arms if arm.claim is not None},
        judged_by=judged_by,
        groups=[Groups(g.name, g.test_counts()) for g in data.groupings]
        if len(data.y_test) and variance is not None
        else [],
        variance=variance or LossVariance(np.nan, np.nan, np.nan),
        variance_from=source,
    )
    return power_tables(design, sorted({max(1, models // 2), *(models * k for k in (1, 2, 4, 8))}))


def _variance(
    arms: Sequence[AnalysedArm], data: Dataset, outputs: dict[str, ArmOutputs]
) -> tuple[LossVariance | None, str]:
    """Variance of the paired losses of the first private arm; None where there are no losses."""
    private = next((arm.name for arm in arms if arm.claim is not None), None)
    if private is None or STANDARD not in outputs or not data.groupings or not len(data.y_test):
        return None, "not measured: there are no losses by subgroup"
    cells = outputs[STANDARD].test_correct.astype(np.int8)
    cells = cells - outputs[private].test_correct.astype(np.int8)
    grouping = data.groupings[0]
    found = loss_variance(cells, grouping.test, len(grouping.subgroups))
    if not np.isfinite([found.examples, found.cells, found.models]).all():
        return None, "not measured: too few models"
    return found, f"measured in this run: {len(cells)} models of {STANDARD} and {private}"
