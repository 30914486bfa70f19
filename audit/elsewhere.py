"""Outputs of models trained elsewhere → the same shards, estimates and report as of a run."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit import provenance
from audit.accounting import default_delta
from audit.analysis import AnalysedArm
from audit.claims import STANDARD, Claim, make_claim
from audit.config import Design
from audit.data.dataset import Dataset
from audit.data.group_tables import without_features
from audit.data.names import printable
from audit.data.outputs import (
    ArmArrays,
    Memberships,
    StoredArray,
    check_outputs,
    open_array,
)
from audit.errors import BadInput
from audit.inclusion import ADJACENCY, check_design
from audit.manifest import (
    describe_claim,
    describe_data,
    note_other_versions,
    read_manifest,
    refuse_changed_settings,
)
from audit.pipeline import Listener, RunOutcome, finish
from audit.store import SCHEMA_VERSION, RunDirectory, Shard, check_out
from audit.training.arms import dp_arm_name

_UNSEEN = "trained elsewhere; not seen by this tool"
_SHARD_CELLS = 2**24


@dataclass(frozen=True)
class ArmFiles:
    """The ``.npy`` files of one arm: a row per model, a column per example."""

    train_correct: Path | None = None
    test_correct: Path | None = None
    margins: Path | None = None
    test_margins: Path | None = None


@dataclass(frozen=True)
class Request:
    """What ``audit estimate`` is asked: files, the claim, and how the subsets were drawn.

    ``claims``: whether the arrays are those of an arm that claims (ε, δ); if not, ε is only what
    they are held against. ``baseline``: standard models trained on the same memberships.
    """

    membership: Path
    arm: ArmFiles
    epsilon: float
    delta: float | None = None
    claims: bool = True
    claimed_by: str | None = None
    baseline: ArmFiles = ArmFiles()
    design: Design = "poisson"
    p: float | None = None
    train_table: Path | None = None
    test_table: Path | None = None
    label: str | None = None
    subgroups: tuple[str, ...] = ()
    name: str = "outputs of models trained elsewhere"
    seed: int = 0


@dataclass(frozen=True)
class Brought:
    """The arrays of a request, opened and checked, by arm."""

    membership: StoredArray
    arms: dict[str, ArmArrays]
    memberships: Memberships

    @property
    def models(self) -> int:
        return len(self.memberships.sizes)

    @property
    def n(self) -> int:
        return len(self.memberships.share)

    @property
    def n_test(self) -> int:
        test = next(iter(self.arms.values())).test_correct
        return 0 if test is None else test.array.shape[1]

    @property
    def files(self) -> list[StoredArray]:
        return [self.membership, *(a for arm in self.arms.values() for a in arm.present())]


def estimate(
    request: Request, out: Path | None, *, command_line: str, listener: Listener
) -> RunOutcome:
    """Carry out ``audit estimate`` in ``out`` (default: ``runs/estimate-<digest>``).

    Raises:
        BadInput: arrays or tables that cannot be used or do not fit each other, subsets that were
            not drawn as stated, or an ``out`` that was made from other inputs.
    """
    # Everything that can be refused is refused before the first file is written.
    _check_numbers(request)
    listener.stage("reading the arrays")
    brought = bring(request)
    data = _dataset(request, brought)
    delta = default_delta(brought.n) if request.delta is None else request.delta
    settings = _settings(request, brought, delta)
    out = out or Path("runs") / f"estimate-{_digest(settings)[:8]}"
    check_out(out)
    claim = make_claim(request.epsilon, delta, design=request.design, source=_source(request))
    arms = [AnalysedArm(n, None if n == STANDARD else claim) for n in brought.arms]
    with RunDirectory(out) as store:
        if (out / "run.json").exists():
            store.manifest = read_manifest(out)
            refuse_changed_settings(store.manifest, settings)
            note_other_versions(store.manifest)
        else:
            store.manifest = _manifest(request, brought, data, settings, claim, command_line)
        store.write_manifest()
        _save_shards(store, brought, listener)
        return finish(store, arms, claim, data, listener)


def bring(request: Request) -> Brought:
    """Open and check every array of ``request``.

    Raises:
        BadInput: as :func:`audit.data.outputs.check_outputs` and
            :func:`audit.inclusion.check_design`.
    """
    own = _open(request.arm, "")
    if own is None:
        raise BadInput("train-correct", None, "is missing", "Give --train-correct FILE.npy")
    baseline = _open(request.baseline, "baseline-")
    arms = {dp_arm_name(request.epsilon) if request.claims else STANDARD: own}
    if baseline is not None:
        _refuse_odd_baseline(request, own, baseline)
        arms = {STANDARD: baseline, **arms}
    membership = open_array("membership", request.membership)
    memberships = check_outputs(membership, arms)
    check_design(memberships.sizes, memberships.share, design=request.design, p=request.p)
    return Brought(membership, arms, memberships)


def _open(files: ArmFiles, prefix: str) -> ArmArrays | None:
    paths = vars(files)
    needs = {"test_correct": "train_correct", "margins": "train_correct",
             "test_margins": "test_correct"}  # fmt: skip
    for key, needed in needs.items():
        if paths[key] is not None and paths[needed] is None:
            raise BadInput(
                f"{prefix}{_option(key)}",
                str(paths[key]),
                f"is given without --{prefix}{_option(needed)}",
                "Bring both",
            )
    train, *others = (
        None if path is None else open_array(f"{prefix}{_option(key)}", path)
        for key, path in paths.items()
    )
    return None if train is None else ArmArrays(train, *others)


def _option(key: str) -> str:
    return key.replace("_", "-")


def _refuse_odd_baseline(request: Request, own: ArmArrays, baseline: ArmArrays) -> None:
    if not request.claims:
        raise BadInput(
            "baseline-train-correct",
            str(baseline.train_correct.path),
            "is a second standard arm: with --no-claim the arrays are those of standard training",
            "Leave one of the two out",
        )
    sides = (own.test_correct, baseline.test_correct)
    if (sides[0] is None) != (sides[1] is None):
        missing = "test-correct" if sides[0] is None else "baseline-test-correct"
        raise BadInput(
            missing, None, "is missing: the other arm has test outputs", "Bring both or neither"
        )
    shapes = [side.array.shape for side in sides if side is not None]
    if len(set(shapes)) > 1:
        raise BadInput(
            "baseline-test-correct",
            shapes[1],
            f"is not of the shape of test-correct, {shapes[0]}",
            "Bring outputs of both arms on the same test examples",
        )
    if baseline.train_correct.sha256 == own.train_correct.sha256:
        raise BadInput(
            "baseline-train-correct",
            str(baseline.train_correct.path),
            "has the same content as train-correct",
            "Check the two paths",
        )


def _check_numbers(request: Request) -> None:
    if not (math.isfinite(request.epsilon) and 0.01 <= request.epsilon <= 100):
        raise BadInput(
            "epsilon", request.epsilon, "must be between 0.01 and 100", "Use e.g. --epsilon 2"
        )
    if request.delta is not None and not 0 <= request.delta < 1:
        raise BadInput(
            "delta", request.delta, "must be at least 0 and below 1", "Give the δ that is claimed"
        )
    if request.p is not None and not 0 < request.p < 1:
        raise BadInput("p", request.p, "must be between 0 and 1", "Leave it out")
    if not request.claims and request.claimed_by is not None:
        raise BadInput(
            "claimed-by", request.claimed_by, "goes with a claim", "Leave --no-claim out"
        )


def _dataset(request: Request, brought: Brought) -> Dataset:
    warnings = []
    if brought.memberships.same is not None:
        one, other = brought.memberships.same
        warnings.append(
            f"models {one} and {other} have the same training set: the tests take subsets and "
            "models for independent draws"
        )
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


def _source(request: Request) -> str:
    if not request.claims:
        return "asked about; no arm claims it"
    delta = "; δ was not stated, n^-1.1 is assumed" if request.delta is None else ""
    if request.claimed_by is None:
        return f"stated by the user, not verified by this tool{delta}"
    by = printable(request.claimed_by)
    return f"{by} (so stated by the user, not verified by this tool{delta})"


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
