"""From a run directory's shards to its results: the same for a run that ends and one that is
verified, and from nothing but what the directory holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audit.accounting import PrivacyCurve
from audit.analysis import AnalysedArm, ArmOutputs, Coins, analyse, removal_summary
from audit.claims import Claim, strictest
from audit.conditions import condition_names
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.report.findings import findings
from audit.results import Results
from audit.shards import models_listed
from audit.stored_outputs import read_outputs

_NATIVE = ("noise_multiplier", "sample_rate", "steps", "clip_norm")


def estimate_run(
    path: Path,
    manifest: dict[str, Any],
    data: Dataset,
    *,
    outputs_of: Callable[[str], ArmOutputs] | None = None,
) -> Results:
    """Every result of the run in ``path``, findings included; nothing is written.

    ``outputs_of``: reads an arm's outputs in another way than from whole shards.

    Raises:
        AuditError: a shard is missing or damaged.
    """
    arms = analysed_arms(manifest)
    read = outputs_of or (lambda arm: read_outputs(path, manifest, arm))
    inclusion = manifest["inclusion"]
    # A share that was only measured is not the probability that a theorem asks for.
    coins = Coins(inclusion["design"], manifest["config"].get("inclusion_probability"))
    results = analyse(
        arms,
        judged_by(manifest, arms),
        data,
        {arm.name: read(arm.name) for arm in arms},
        coins=coins,
        seed=manifest["seed"],
    )
    if "removal" in manifest and removal_is_complete(manifest):
        experiment = removal_summary(manifest["removal"], read, len(data.x_train))
        results = replace(results, summary={**results.summary, "removal": experiment})
    summary = {**results.summary, "findings": findings(results.summary, manifest)}
    if "plant" in manifest:
        summary["plant"] = manifest["plant"]["name"]
    return replace(results, summary=summary)


def removal_is_complete(manifest: dict[str, Any]) -> bool:
    """Whether every condition of the removal experiment has all its models; one that was begun and
    not finished says nothing yet, and takes nothing from the audit that it was added to."""
    facts = manifest["removal"]
    names = condition_names(facts["removed"])
    return all(models_listed(manifest, name) == facts["models"] for name in names)


def analysed_arms(manifest: dict[str, Any]) -> list[AnalysedArm]:
    """What the analysis needs to know of each arm, from ``run.json``.

    Raises:
        BadInput: a claim there is not what a run writes.
    """
    try:
        return [_analysed(name, facts) for name, facts in manifest["arms"].items()]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged("arms", error) from error


def _analysed(name: str, facts: dict[str, Any]) -> AnalysedArm:
    if facts["kind"] != "dp":
        control = facts.get("control") or {}
        return AnalysedArm(
            name,
            None,
            control=facts["kind"] == "control",
            random_labels=control.get("name") == "random-labels",
        )
    native = {key: facts[key] for key in _NATIVE if facts.get("noise_multiplier") is not None}
    return AnalysedArm(name, _claim(facts), native)


def judged_by(manifest: dict[str, Any], arms: list[AnalysedArm]) -> Claim:
    """The claim that an arm without one is held against: the strictest, or the one asked about."""
    try:
        asked = _claim(manifest["judged_by"])
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged("judged_by", error) from error
    return strictest([arm.claim for arm in arms], asked=asked)


def _damaged(field: str, error: Exception) -> BadInput:
    return BadInput(
        field,
        str(error),
        f"in run.json cannot be read ({type(error).__name__})",
        "Restore the file, or start again with another --out",
    )


def _claim(facts: dict[str, Any]) -> Claim:
    curve = facts.get("privacy_curve")
    return Claim(
        epsilon=facts["epsilon"],
        delta=facts["delta"],
        in_out_epsilon=facts["in_out_epsilon"],
        in_out_delta=facts["in_out_delta"],
        source=facts["claimed_by"],
        curve=None
        if curve is None
        else PrivacyCurve(
            np.asarray(curve["epsilon"], dtype=np.float64),
            np.asarray(curve["delta"], dtype=np.float64),
        ),
        adjacency=facts["adjacency"],
    )
