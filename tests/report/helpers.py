"""What the tests of the findings share."""

from __future__ import annotations

import copy
import math
from typing import Any

from audit.report.findings import findings
from audit.report.frames import rows_of
from tests.report.synthetic import Run


def found(run: Run) -> dict[str, dict[str, Any]]:
    return {f["id"]: f for f in findings(run.summary, run.run)}


def changed(run: Run) -> Run:
    return copy.deepcopy(run)


STREAMED: dict[str, Any] = {
    "single_step_relative_difference": 2.5e-7,
    "shared": ["membership", "initial parameters"],
    "stream": {
        "minibatch_z": -0.71, "outside_subset": 0, "noise_rms_relative_error": 0.0012,
        "noise_step_correlation": 2.1e-4, "noise_model_correlation": 3.4e-4,
    },
}  # fmt: skip


def as_fixed(run: Run) -> Run:
    """The same run as if made with subsets of fixed size: everything is held against a swap."""
    run.run["inclusion"] |= {"design": "fixed", "adjacency": "swap of two examples"}
    private = [f for f in run.run["arms"].values() if f["kind"] == "dp"]
    for facts in private:
        grown = (1 + math.exp(facts["epsilon"])) * facts["delta"]
        facts |= {"in_out_epsilon": 2 * facts["epsilon"], "in_out_delta": grown}
    strictest = min(private, key=lambda f: f["epsilon"])
    for arm, result in run.summary["arms"].items():
        facts = run.run["arms"][arm] if arm != "standard" else strictest
        pair = {"epsilon": facts["in_out_epsilon"], "delta": facts["in_out_delta"]}
        result["test"] |= pair
    return run


def standard_only(run: Run) -> Run:
    """The same run with its standard arm alone: nothing is claimed, ε = 2 was asked about."""
    del run.run["arms"]["dp-2"], run.summary["arms"]["dp-2"], run.run["cross_check"]["dp-2"]
    run.run["judged_by"] = {"epsilon": 2.0, "delta": run.run["data"]["n"] ** -1.1}
    run.summary |= {
        "trends": [t for t in run.summary["trends"] if t["arm"] == "standard"],
        "disparity": [],
        "fairlearn": [r for r in run.summary["fairlearn"] if r["arm"] == "standard"],
    }
    run.examples = rows_of(run.examples, "arm", "standard")
    gone = [c for c in run.subgroups if "dp-2" in c]
    run.subgroups = run.subgroups.drop(columns=gone)
    return without_curve(run)


def bare_claim(run: Run, source: str) -> Run:
    """The same run as if its private arm came with (ε, δ) alone, stated by ``source``."""
    facts = run.run["arms"]["dp-2"]
    for key in ("noise_multiplier", "clip_norm", "accountant", "epsilon_achieved", "privacy_curve"):
        del facts[key]
    for key in ("noise_multiplier", "sample_rate", "steps", "clip_norm"):
        del run.summary["arms"]["dp-2"][key]
    facts["claimed_by"] = source
    return without_curve(run)


def without_curve(run: Run) -> Run:
    """What the analysis leaves where no privacy curve is known."""
    run.examples["tradeoff_bound"] = math.nan
    for result in run.summary["arms"].values():
        keys = ("above_tradeoff", "above_tradeoff_significant", "tradeoff_cap")
        result["above_bound"] |= dict.fromkeys(keys)
    return run
