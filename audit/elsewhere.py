"""Outputs of models trained elsewhere → the same shards, estimates and report as of a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from audit import provenance
from audit.brought import (
    Brought,
    Request,
    bring,
    check_numbers,
    claim_source,
    stated_delta,
)
from audit.claims import STANDARD, Claim, make_claim
from audit.data.dataset import Dataset
from audit.data.group_tables import without_features
from audit.data.outputs import ArmArrays
from audit.inclusion import ADJACENCY
from audit.manifest import (
    note_changes,
    read_manifest,
    refuse_changed_settings,
)
from audit.manifest_entries import describe_claim, describe_data
from audit.missing_cohorts import Listener
from audit.pipeline import RunOutcome, finish
from audit.shards import SCHEMA_VERSION, Shard
from audit.store import RESTORED, RunDirectory, check_out, restore_manifest

_UNSEEN = "trained elsewhere; not seen by this tool"
_SHARD_CELLS = 2**24


def estimate(
    request: Request, out: Path | None, *, command_line: str, listener: Listener
) -> RunOutcome:
    """Carry out ``audit estimate`` in ``out`` (default: ``runs/estimate-<digest>``).

    Raises:
        BadInput: arrays or tables that cannot be used or do not fit each other, subsets that were
            not drawn as stated, or an ``out`` that was made from other inputs.
    """
    # Everything that can be refused is refused before the first file is written.
    check_numbers(request)
    listener.stage("reading the arrays")
    brought = bring(request)
    data = _dataset(request, brought)
    delta = stated_delta(request, brought.n)
    settings = _settings(request, brought, delta)
    out = out or Path("runs") / f"estimate-{_digest(settings)[:8]}"
    check_out(out)
    if restore_manifest(out):
        listener.stage(RESTORED)
    claim = make_claim(request.epsilon, delta, design=request.design, source=claim_source(request))
    with RunDirectory(out) as store:
        if (out / "run.json").exists():
            store.manifest = read_manifest(out)
            refuse_changed_settings(store.manifest, settings)
            note_changes(store.manifest)
        else:
            store.manifest = _manifest(request, brought, data, settings, claim, command_line)
        store.write_manifest()
        _save_shards(store, brought, listener)
        return finish(store, data, listener)


def _dataset(request: Request, brought: Brought) -> Dataset:
    warnings = []
    if brought.memberships.same is not None:
        one, other = brought.memberships.same
        warnings.append(
            f"models {one} and {other} have the same training set: the tests take subsets and "
            "models for independent draws"
        )
    warnings += [
        f"{name} equals membership in every cell: either each model was right on just what it was "
        "trained on, or the array was saved twice"
        for name in brought.memberships.copies
    ]
    if brought.models > brought.n:
        warnings.append(
            f"there are more models ({brought.models:,}) than training examples "
            f"({brought.n:,}): if a row is an example, the arrays are turned over"
        )
    undefined = int(((brought.memberships.share == 0) | (brought.memberships.share == 1)).sum())
    if undefined:
        warnings.append(
            f"{undefined:,} of {brought.n:,} training examples are in every model or in none: "
            "nothing can be estimated for them"
        )
    return without_features(
        brought.n,
        brought.n_test,
        name=request.name,
        source="arrays of outputs, brought by the user",
        train_table=request.train_table,
        test_table=request.test_table,
        label=request.label,
        subgroups=request.subgroups,
        warnings=tuple(warnings),
    )


def _settings(request: Request, brought: Brought, delta: float) -> dict[str, Any]:
    """What a second command must share to go on in the same directory: also each file's content."""
    return {
        "command": "estimate",
        "epsilon": request.epsilon,
        "delta": delta,
        "claims": request.claims,
        "claimed_by": request.claimed_by,
        "design": request.design,
        "inclusion_probability": request.p,
        "label": request.label,
        "subgroups": list(request.subgroups),
        "name": request.name,
        "seed": request.seed,
        **{stored.name.replace("-", "_"): stored.sha256 for stored in brought.files},
        **{option.replace("-", "_"): facts["sha256"] for option, facts in _tables(request).items()},
    }


def _tables(request: Request) -> dict[str, dict[str, str]]:
    """The tables of groups, by option, with the SHA-256 of each."""
    paths = {"train-table": request.train_table, "test-table": request.test_table}
    return {
        option: {
            "file": str(path),
            "sha256": hashlib.sha256(path.expanduser().read_bytes()).hexdigest(),
        }
        for option, path in paths.items()
        if path is not None
    }


def _digest(settings: dict[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _manifest(
    request: Request,
    brought: Brought,
    data: Dataset,
    settings: dict[str, Any],
    claim: Claim,
    command_line: str,
) -> dict[str, Any]:
    """``run.json`` of outputs that were brought: nothing is said of a training nobody here saw."""
    share = float(brought.memberships.sizes.sum()) / (brought.models * brought.n)
    cohorts = [
        {"arm": arm, "first": rows.start, "last": rows.stop - 1}
        for arm in brought.arms
        for rows in _cohorts(brought)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "status": "estimating",
        "created": provenance.now(),
        "finished": None,
        "command_line": command_line,
        "tool": provenance.tool(),
        "config": settings,
        "config_sha256": _digest(settings),
        "seed": request.seed,
        "origin": {
            "arrays": {stored.name: stored.facts() for stored in brought.files},
            "tables": _tables(request),
        },
        "data": describe_data(data),
        "versions": provenance.versions(),
        "hardware": provenance.hardware("cpu", 1),
        "inclusion": {
            "design": request.design,
            "p": share if request.p is None else request.p,
            "adjacency": ADJACENCY[request.design],
        },
        "model": {"name": "not known here", "description": _UNSEEN},
        "engine": {arm: {"name": "elsewhere", "why": _UNSEEN} for arm in brought.arms},
        "arms": {arm: _describe_arm(arm, claim, brought.n) for arm in brought.arms},
        "judged_by": describe_claim(claim),
        "plan": {
            "models": brought.models,
            "models_reason": "as many as were brought",
            "cohort_size": _cohorts(brought)[0].stop,
            "cohorts": cohorts,
        },
        "shards": {},
        "cross_check": {},
    }


def _describe_arm(arm: str, claim: Claim, n: int) -> dict[str, Any]:
    described: dict[str, Any] = {"hyperparameters": {}, "tuning": "not known to this tool"}
    if arm == STANDARD:
        return {"kind": "standard", **described}
    return {"kind": "dp", **described, **describe_claim(claim), "delta_times_n": claim.delta * n}


def _cohorts(brought: Brought) -> list[slice]:
    """Rows that go into one shard: about as many cells as fit in 32 MB of margins."""
    size = max(1, _SHARD_CELLS // max(brought.n, brought.n_test))
    return [slice(a, min(a + size, brought.models)) for a in range(0, brought.models, size)]


def _save_shards(store: RunDirectory, brought: Brought, listener: Listener) -> None:
    """Write every shard that the manifest does not list yet, in the format of a trained cohort."""
    damaged = store.drop_damaged_shards()
    if damaged:
        listener.stage(f"damaged and written again: {', '.join(damaged)}")
    for name, arm in brought.arms.items():
        for rows in _cohorts(brought):
            key = f"{name}/{rows.start}-{rows.stop - 1}"
            if key not in store.manifest["shards"]:
                store.save_shard(key, _shard(brought, arm, rows), {})


def _shard(brought: Brought, arm: ArmArrays, rows: slice) -> Shard:
    nothing = np.zeros((rows.stop - rows.start, 0), dtype=bool)
    return Shard(
        membership=brought.membership.bits(rows),
        train_correct=arm.train_correct.bits(rows),
        test_correct=nothing if arm.test_correct is None else arm.test_correct.bits(rows),
        train_margin=None if arm.train_margin is None else arm.train_margin.margins(rows),
        test_margin=None if arm.test_margin is None else arm.test_margin.margins(rows),
    )
