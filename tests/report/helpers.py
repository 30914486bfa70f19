"""What the tests of the findings share."""

from __future__ import annotations

import copy
import math
from typing import Any

from audit.report.findings import findings
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
