"""Attack exposure of one arm and its subgroups, as stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Float16

from audit.estimates.exposure import DEFAULT, Exposure, SubgroupExposure, exposure
from audit.estimates.result import Estimate
from audit.estimates.roc import LOW_FPR, Roc


def estimate_exposure(
    membership: Bool[np.ndarray, "models n"],
    train_margin: Float16[np.ndarray, "models n"] | None,
    test_margin: Float16[np.ndarray, "models n_test"] | None,
) -> Exposure | None:
    """Every attack on the arm; None where :func:`why_not` says why none can be run."""
    if train_margin is None or why_not(train_margin):
        return None
    population = test_margin if test_margin is not None and test_margin.size else None
    return exposure(train_margin, membership, population)


def why_not(train_margin: Float16[np.ndarray, "models n"] | None) -> str | None:
    """Why no attack can be run; None where it can."""
    if train_margin is None:
        return "there are no margins: only who was right is known"
    if np.isnan(train_margin).all():
        return "no margin is defined: the models give labels only"
    return None


def attack_summary(
    found: Exposure | None, train_margin: Float16[np.ndarray, "models n"] | None
) -> dict[str, Any]:
    """``exposure`` of one arm in results/summary.json: the default attack, and all of them."""
    if found is None:
        return {"attack": None, "why_not": why_not(train_margin)}
    default = found.attacks[DEFAULT]
    return {
        "attack": DEFAULT,
        "variant": f"{found.variance} variance",
        "why_not": None,
        **_of(default),
        "attacks": {name: _of(roc) for name, roc in found.attacks.items()},
        "not_run": found.not_run,
        "roc": {"fpr": default.curve_fpr.tolist(), "tpr": default.curve_tpr.tolist()},
    }


def exposure_columns(
    arm: str, found: SubgroupExposure | None, size: int
) -> dict[str, np.ndarray | list[float]]:
    """Columns of results/subgroups.parquet: mean exposure and the pooled ROC, with limits."""
    if found is None:
        return {f"exposure_{arm}": np.full(size, np.nan)}
    columns: dict[str, np.ndarray | list[float]] = {
        f"exposure_{arm}": found.mean,
        f"exposure_{arm}_low": found.low,
        f"exposure_{arm}_high": found.high,
    }
    for name in ("auc", *(_tpr_name(x) for x in LOW_FPR)):
        estimates = [_estimates(roc)[name] for roc in found.rocs]
        columns[f"{name}_{arm}"] = [e.value for e in estimates]
        columns[f"{name}_{arm}_low"] = [e.low for e in estimates]
        columns[f"{name}_{arm}_high"] = [e.high for e in estimates]
    return columns


def _estimates(roc: Roc) -> dict[str, Estimate]:
    rates = {_tpr_name(x): estimate for x, estimate in roc.tpr.items()}
    return {"auc": roc.auc, "balanced_accuracy": roc.balanced_accuracy, **rates}


def _tpr_name(fpr: float) -> str:
    return f"tpr_at_{fpr:g}"


def _of(roc: Roc) -> dict[str, Any]:
    """Estimates, and the cells (model, example) behind them."""
    found: dict[str, Any] = {name: e.to_json() for name, e in _estimates(roc).items()}
    return {**found, "n_in": roc.n_in, "n_out": roc.n_out, "n_undefined": roc.n_undefined}
