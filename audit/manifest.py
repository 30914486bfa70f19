"""``run.json``: read and checked, and what a resumed run must find again in it.

Reading one needs no torch: ``audit.load`` opens a finished run in a notebook. What a run writes of
itself is in ``manifest_entries``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from audit import provenance
from audit.config import RemovalConfig, RunConfig, identity
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.shards import SCHEMA_VERSION, shard_path
from audit.store import check_plain, read_json

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
    "code?": {"*": str},
    "resumed?": list,
    "hardware": dict,
    "inclusion": {"design": str, "p": float, "adjacency": str},
    "model": {"name": str, "description": str},
    "engine": {"*": {"name": str, "why": str}},
    "arms": {
        "*": {
            "kind": str,
            "hyperparameters": dict,
            "sample_rate?": float,
            "steps?": int,
            "control?": {
                "name": str,
                "share": float,
                "of": str,
                "clips": bool,
                "noise_std": float,
            },
            **_CLAIM,
        }
    },
    "judged_by?": _CLAIM,
    "plant?": {"name": str, "what": str, "where": str, "breaks": str},
    "removal?": {
        "thresholds": list,
        "models": int,
        "first": int,
        "removed": {"*": int},
        "removed_sha256": {"*": str},
        "settings": dict,
        "left_out": list,
    },
    "canaries?": {"kind": str, "count": int, "copies": int, "arms": list},
    "plan": {"models": int, "cohort_size": int, "cohorts": list},
    "shards": {
        "*": {"sha256": str, "seconds?": float, "out_of_memory?": list, "trained_on?": dict}
    },
    "origin?": {"arrays": {"*": _FILE}, "tables": {"*": _FILE}},
    "cross_check": {"*": {"passed": bool, "model": int, "against": str, "tolerance": float}},
}


def read_manifest(run: Path) -> dict[str, Any]:
    """``run.json`` of a run directory, checked.

    Raises:
        BadInput: missing, unreadable, of another schema version, or not what this program writes.
    """
    check_plain(run)
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
    for key in manifest["shards"]:
        shard_path(run, key)
    if "removal" in manifest:
        _check_removal(manifest["removal"], manifest["data"])
    return manifest


def _check_removal(found: dict[str, Any], data: dict[str, Any]) -> None:
    """Refuse an experiment that no run could have written."""
    try:
        settings = RemovalConfig.model_validate(found["settings"])
    except ValidationError as error:
        raise _damaged_removal("settings", found["settings"]) from error
    left_out = found["left_out"]
    names = [f"{t:g}" for t in settings.thresholds]
    whole = {
        "thresholds": found["thresholds"] == list(settings.thresholds),
        "models": found["models"] == settings.models,
        "first": 0 <= found["first"] <= 10_000_000,
        "removed": sorted(found["removed"]) == sorted(names)
        and all(0 <= count <= data["n"] for count in found["removed"].values()),
        "removed_sha256": sorted(found["removed_sha256"]) == sorted(names),
        "left_out": all(type(i) is int and 0 <= i < data["n_test"] for i in left_out)
        and len({*left_out}) == len(left_out),
    }
    for field, holds in whole.items():
        if not holds:
            raise _damaged_removal(field, found[field])


def _damaged_removal(field: str, value: Any) -> BadInput:
    return BadInput(
        f"removal.{field}",
        str(value)[:100],
        "in run.json is not what this program writes there",
        "Restore the file, or start again with another --out",
    )


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


# On other hardware a model's last bits, and on a GPU its draws, are others.
_SHAPES_RESULTS = ("device", "gpu", "blas_kernels")


def note_changes(
    manifest: dict[str, Any],
    code: dict[str, str] | None = None,
    hardware: dict[str, object] | None = None,
) -> list[str]:
    """Record when a run goes on under other versions, with other ``code`` of its models, or on
    another device or with other BLAS kernels (``hardware``, as in the manifest; None if nothing
    trains).

    Finished cohorts stay as they are: a learner that fails is mended, and the same command given
    again. The report says that there was a change.

    Returns:
        the models (``package.module:name``) whose code differs from what it was last.
    """
    now: dict[str, Any] = {
        "tool": provenance.tool(),
        "versions": provenance.versions(),
        "code": code or {},
    }
    before = manifest.get("resumed", [manifest])[-1]
    # A run begun by an earlier version of this program knows nothing of code and kernels.
    earlier = {**before, "code": before.get("code", now["code"])}
    if hardware is not None:
        now["hardware"] = {name: hardware.get(name) for name in _SHAPES_RESULTS}
        was = {**now["hardware"], **(before.get("hardware") or {})}
        earlier["hardware"] = {name: was[name] for name in _SHAPES_RESULTS}
    if any(earlier.get(key) != value for key, value in now.items()):
        manifest.setdefault("resumed", []).append({"time": provenance.now(), **now})
    return [path for path, digest in now["code"].items() if earlier["code"].get(path) != digest]


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
