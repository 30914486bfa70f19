"""The sections of ``run.json`` that a run writes of itself: data, arms, claims, plan."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from audit import provenance
from audit.claims import Claim
from audit.config import RunConfig, config_digest, identity
from audit.data.dataset import Dataset
from audit.inclusion import ADJACENCY
from audit.plan import Plan
from audit.plan_canaries import PlannedCanaries
from audit.planned_arm import PlannedArm
from audit.shards import SCHEMA_VERSION
from audit.training.arms import Arm, LearnerArm
from audit.training.executors import cores
from audit.training.imported import source_digest
from audit.training.learners import Estimator
from audit.training.plants import PLANTS


def new_manifest(
    config: RunConfig, data: Dataset, plan: Plan, device: str, command_line: str
) -> dict[str, Any]:
    """``run.json`` of a run that is about to train."""
    n = len(data.x_train)
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "training",
        "created": provenance.now(),
        "finished": None,
        "command_line": command_line,
        "tool": provenance.tool(),
        "config": identity(config),
        "config_sha256": config_digest(config),
        "seed": config.seed,
        "data": describe_data(data),
        "versions": provenance.versions(),
        "code": describe_code(config),
        "hardware": provenance.hardware(device, cores() if device == "cpu" else 1),
        "inclusion": {
            "design": config.design,
            "p": config.inclusion_probability,
            "adjacency": ADJACENCY[config.design],
        },
        "model": {
            "name": config.model,
            "description": plan.model.describe(),
            "parameters": getattr(plan.model, "parameters", None),
        },
        "engine": {arm.name: describe_engine(arm) for arm in plan.arms},
        "arms": {arm.name: describe_arm(arm, n) for arm in plan.arms},
        "canaries": describe_canaries(plan.canaries),
        "no_private_arm": plan.no_private_arm,
        "judged_by": describe_claim(replace(plan.judged_by, curve=None)),
        "plan": {
            "models": plan.models,
            "models_reason": plan.models_reason,
            "cohort_size": plan.cohort_size,
            "cohorts": [{"arm": t.arm.name, "first": t.first, "last": t.last} for t in plan.tasks],
        },
        "shards": {},
        "cross_check": {},
        **describe_plant(config),
    }


def describe_data(data: Dataset) -> dict[str, Any]:
    """The data section of ``run.json``."""
    return {
        "name": data.name,
        "source": data.source,
        "licence": data.licence,
        "fingerprint": data.fingerprint(),
        "n": len(data.x_train),
        "n_test": len(data.x_test),
        "features": data.x_train.shape[1],
        "input_shape": list(data.input_shape),
        "classes": list(data.class_names),
        "fitted_on_train": list(data.fitted_on_train),
        "warnings": list(data.warnings),
        "notes": data.notes,
        "groupings": [
            {
                "name": g.name,
                "kind": g.kind,
                "subgroups": len(g.subgroups),
                "uses_training_data": g.uses_training_data,
            }
            for g in data.groupings
        ],
    }


def describe_plant(config: RunConfig) -> dict[str, Any]:
    """The bug that is planted in a run's private arms; nothing where training is right."""
    if config.plant is None:
        return {}
    found = PLANTS[config.plant]
    words = {"name": found.name, "what": found.what, "where": found.where, "breaks": found.breaks}
    return {"plant": words}


def describe_canaries(planned: PlannedCanaries) -> dict[str, Any]:
    """What is planted beside the data set's own examples, and in which arms."""
    described: dict[str, Any] = {
        "kind": planned.kind,
        "count": planned.count,
        "copies": planned.copies,
        "arms": list(planned.arms),
        "coin": 0.5,
        "why_none": planned.why_none,
    }
    if planned.examples is not None:
        described["source"] = planned.examples.source.tolist()
        described["label"] = planned.examples.y.tolist()
    return described


def describe_code(config: RunConfig) -> dict[str, str]:
    """SHA-256 of the file behind each ``package.module:name`` that the run trains."""
    named = {"model": config.model, "dp_model": config.dp_model}
    digests = {
        path: source_digest(path, field=field)
        for field, path in named.items()
        if path is not None and ":" in path
    }
    return {path: digest for path, digest in digests.items() if digest is not None}


def describe_engine(planned: PlannedArm) -> dict[str, Any]:
    """What trains an arm, and why; of a learner that trains itself its name and program too."""
    described = {"name": planned.engine, "why": planned.engine_reason}
    if not isinstance(planned.model, Estimator):
        return described
    return {**described, "learner": planned.model.path, "trained_by": planned.trained_by}


def describe_arm(planned: PlannedArm, n: int) -> dict[str, Any]:
    """One arm's section of ``run.json``: all that a third party needs to reconvert its ε.

    ``kind`` is ``dp`` for an arm that claims (ε, δ), however it is trained, ``control`` for one
    that stands beside the audit's own, else ``standard``.
    """
    arm, claim = planned.arm, planned.claim
    described: dict[str, Any] = {"kind": "standard" if claim is None else "dp"}
    if planned.control is not None and isinstance(arm, Arm):
        described["kind"] = "control"
        described["control"] = {
            "name": planned.control.kind,
            "share": planned.control.share,
            "of": planned.control.of,
            "clips": planned.control.kind == "clip-only",
            "noise_std": arm.noise_std,
        }
    if isinstance(arm, LearnerArm):
        described["hyperparameters"] = arm.arguments
    else:
        described |= {
            "hyperparameters": planned.hyperparameters.model_dump(exclude={"tuning"}),
            "sample_rate": arm.sample_rate,
            "steps": arm.steps,
            "expected_batch_size": arm.expected_batch_size,
        }
        if planned.control is not None and planned.control.kind != "clip-only":
            # Of the private arm whose settings these are; this one clips nothing.
            described["hyperparameters"]["clip_norm"] = None
    described["tuning"] = planned.hyperparameters.tuning
    if planned.mechanism is not None and isinstance(arm, Arm):
        mechanism = asdict(planned.mechanism)
        del mechanism["target_epsilon"]
        described |= {"epsilon_achieved": mechanism.pop("epsilon"), **mechanism}
        described["clip_norm"] = arm.clip_norm
    if claim is not None:
        described |= {**describe_claim(claim), "delta_times_n": claim.delta * n}
    return described


def describe_claim(claim: Claim) -> dict[str, Any]:
    """A claim in ``run.json``; ``privacy_curve`` is there where more than (ε, δ) is known."""
    described: dict[str, Any] = {
        "epsilon": claim.epsilon,
        "delta": claim.delta,
        "claimed_by": claim.source,
        "adjacency": claim.adjacency,
        "in_out_epsilon": claim.in_out_epsilon,
        "in_out_delta": claim.in_out_delta,
    }
    if claim.curve is not None:
        described["privacy_curve"] = {
            "epsilon": claim.curve.epsilon.tolist(),
            "delta": claim.curve.delta.tolist(),
        }
    return described
