"""``run.json``: what a run writes of itself, and what a resumed run must find again."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from audit import provenance
from audit.claims import Claim
from audit.config import RunConfig, config_digest, identity
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.inclusion import ADJACENCY
from audit.plan import Plan
from audit.planned_arm import PlannedArm
from audit.store import SCHEMA_VERSION, read_json
from audit.training.arms import Arm, LearnerArm
from audit.training.executors import cores
from audit.training.learners import Estimator

# What this program reads, and of which type; "*" stands for any key, "?" ends one that may be
# absent. Run directories travel between people: nothing in them is believed before it is looked at.
_CLAIM: dict[str, Any] = {"epsilon?": float, "delta?": float, "claimed_by?": str}
_FILE: dict[str, Any] = {"file": str, "sha256": str}
_SHAPE: dict[str, Any] = {
    "schema_version": int,
    "status": str,
    "config": dict,
    "config_sha256": str,
    "seed": int,
    "command_line": str,
    "tool": {"version": str},
    "data": {
        "name": str,
        "source": str,
        "fingerprint": str,
        "n": int,
        "n_test": int,
        "features": int,
        "classes": list,
        "groupings": list,
        "fitted_on_train": list,
        "warnings": list,
        "notes": dict,
    },
    "versions": {"*": str},
    "hardware": dict,
    "inclusion": {"design": str, "p": float, "adjacency": str},
    "model": {"name": str, "description": str},
    "engine": {"*": {"name": str, "why": str}},
    "arms": {
        "*": {"kind": str, "hyperparameters": dict, "sample_rate?": float, "steps?": int, **_CLAIM}
    },
    "judged_by?": _CLAIM,
    "plan": {"models": int, "cohort_size": int, "cohorts": list},
    "shards": {"*": {"sha256": str, "seconds?": float, "out_of_memory?": list}},
    "origin?": {"arrays": {"*": _FILE}, "tables": {"*": _FILE}},
    "cross_check": {"*": {"passed": bool, "model": int, "against": str, "tolerance": float}},
}


def read_manifest(run: Path) -> dict[str, Any]:
    """``run.json`` of a run directory, checked.

    Raises:
        BadInput: missing, unreadable, of another schema version, or not what this program writes.
    """
    manifest = read_json(run / "run.json")
    version = manifest.get("schema_version")
    if version != SCHEMA_VERSION:
        raise BadInput(
            "schema_version",
            version,
            f"in {run / 'run.json'} is not this program's {SCHEMA_VERSION}",
            "Use the version that wrote it, or another --out",
        )
    _check(manifest, _SHAPE, "run.json", run)
    return manifest


def _check(value: Any, shape: Any, name: str, run: Path) -> None:
    if isinstance(shape, dict):
        _check(value, dict, name, run)
        for key, inner in shape.items():
            if key == "*":
                for each, found in value.items():
                    _check(found, inner, f"{name}.{each}", run)
            elif not key.endswith("?") or key[:-1] in value:
                field = key.removesuffix("?")
                _check(value.get(field), inner, f"{name}.{field}", run)
        return
    # JSON writes 1.0 and 1 alike; a bool is an int to Python, but not to a reader.
    allowed = (int, float) if shape is float else (shape,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and shape is not bool):
        raise BadInput(
            name,
            value,
            f"is missing or not what this program writes there ({run})",
            "Restore the file, or start again with another --out",
        )


def new_manifest(
    config: RunConfig, data: Dataset, plan: Plan, device: str, command_line: str
) -> dict[str, Any]:
    n = len(data.x_train)
    """``run.json`` of a run that is about to train."""
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


def describe_engine(planned: PlannedArm) -> dict[str, Any]:
    """What trains an arm, and why; of a learner that trains itself its name and program too."""
    described = {"name": planned.engine, "why": planned.engine_reason}
    if not isinstance(planned.model, Estimator):
        return described
    return {**described, "learner": planned.model.path, "trained_by": planned.trained_by}


def describe_arm(planned: PlannedArm, n: int) -> dict[str, Any]:
    """One arm's section of ``run.json``: all that a third party needs to reconvert its ε.

    ``kind`` is ``dp`` for an arm that claims (ε, δ), however it is trained, else ``standard``.
    """
    arm, claim = planned.arm, planned.claim
    described: dict[str, Any] = {"kind": "standard" if claim is None else "dp"}
    if isinstance(arm, LearnerArm):
        described["hyperparameters"] = arm.arguments
    else:
        described |= {
            "hyperparameters": planned.hyperparameters.model_dump(exclude={"tuning"}),
            "sample_rate": arm.sample_rate,
            "steps": arm.steps,
            "expected_batch_size": arm.expected_batch_size,
        }
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


def learner_notes(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the learners of each arm left to say, over all its cohorts; {} for networks.

    By arm: ``margins`` (what they were computed from), ``warnings`` (by category the number of
    models, and the first message) and ``constant`` (models that always say one class).
    """
    found: dict[str, Any] = {}
    for key, entry in manifest["shards"].items():
        if "margins" not in entry:
            continue
        arm = found.setdefault(
            key.partition("/")[0], {"margins": [], "warnings": {}, "constant": 0}
        )
        arm["margins"] = sorted({*arm["margins"], *entry["margins"]})
        arm["constant"] += entry.get("constant", 0)
        for category, raised in entry.get("warnings", {}).items():
            total = arm["warnings"].setdefault(category, {"models": 0, "first": raised["first"]})
            total["models"] += raised["models"]
    return found


def note_other_versions(manifest: dict[str, Any]) -> None:
    """Record when a run goes on under other versions than it was started with."""
    now = {"tool": provenance.tool(), "versions": provenance.versions()}
    before = manifest.get("resumed", [manifest])[-1]
    if any(before.get(key) != value for key, value in now.items()):
        manifest.setdefault("resumed", []).append({"time": provenance.now(), **now})


def refuse_changed_config(manifest: dict[str, Any], config: RunConfig) -> None:
    """Refuse to go on with other settings, naming the field and both values.

    Raises:
        BadInput: a field of the configuration differs.
    """
    refuse_changed_settings(manifest, identity(config))


def refuse_changed_settings(manifest: dict[str, Any], current: dict[str, Any]) -> None:
    """The same for settings as plain JSON.

    Raises:
        BadInput: a setting differs from that in ``manifest["config"]``.
    """
    stored = manifest["config"]
    made_by, command = (settings.get("command", "run") for settings in (stored, current))
    if made_by != command:
        raise BadInput(
            "out",
            f"audit {command}",
            f"cannot go on in a run directory that audit {made_by} has made",
            "Choose another --out",
        )
    # Other data changes its shipped settings too: name the cause, not a consequence.
    for field in sorted(stored.keys() | current.keys(), key=lambda name: (name != "data", name)):
        if stored.get(field) != current.get(field):
            raise BadInput(
                field,
                current.get(field),
                f"differs from {stored.get(field)!r}, with which this run directory was started",
                "Use the same value to continue, or another --out to start afresh",
            )


def refuse_changed_data(manifest: dict[str, Any], data: Dataset) -> None:
    """Refuse to go on with other data.

    Raises:
        BadInput: the fingerprint differs.
    """
    stored, current = manifest["data"]["fingerprint"], data.fingerprint()
    if stored != current:
        raise BadInput(
            "data fingerprint",
            current[:16],
            f"differs from {stored[:16]!r}, with which this run directory was started",
            "Restore the data to continue, or choose another --out to start afresh",
        )
