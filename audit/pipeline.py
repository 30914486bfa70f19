"""The whole order of a run: plan → train the missing cohorts → estimate → save → report."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from audit import provenance
from audit.analysis import ArmOutputs, analyse
from audit.config import RunConfig, config_digest, identity, make_config, read_config
from audit.data.dataset import Dataset
from audit.data.registry import load
from audit.errors import AuditError, BadInput, CheckFailed
from audit.inclusion import ADJACENCY
from audit.plan import Plan, PlannedArm, make_plan, preset
from audit.report.document import document
from audit.report.findings import exit_code, findings
from audit.report.render import render_html
from audit.results import read_results, write_results
from audit.store import SCHEMA_VERSION, RunDirectory, Shard, read_json, read_shards, write_bytes
from audit.training.cohort import CohortOutput, CohortTask
from audit.training.executors import DataFiles, cores, run_local


@runtime_checkable
class Listener(Protocol):
    """Who is told how a run gets on; the command line draws bars, tests count."""

    def stage(self, text: str) -> None: ...

    def plan(self, plan: Plan, done: dict[str, int]) -> None: ...

    def progress(self, models_done: dict[str, float]) -> None: ...


@dataclass(frozen=True)
class RunOutcome:
    """What a finished run leaves: its directory, report, summary and exit code."""

    path: Path
    report: Path
    manifest: dict[str, Any]
    summary: dict[str, Any]
    exit_code: int


def configure(file: Path | None, options: dict[str, Any]) -> RunConfig:
    """The configuration from, in rising priority: shipped preset of the data set, file, options.

    Raises:
        BadInput: the file cannot be read, or a field is unknown or out of range.
    """
    from_file = read_config(file) if file is not None else {}
    data = options.get("data", from_file.get("data", "digits"))
    return make_config([preset(data) if isinstance(data, str) else {}, from_file, options])


def default_out(config: RunConfig) -> Path:
    """``runs/<data>-<digest>``: the same command finds its own run again and continues it."""
    stem = Path(config.data.partition(":")[2] or config.data).stem
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in stem)[:40]
    return Path("runs") / f"{safe or 'data'}-{config_digest(config)[:8]}"


def load_data(config: RunConfig) -> Dataset:
    """The data set that ``config`` names."""
    return load(
        config.data,
        label=config.label,
        subgroups=config.subgroups,
        seed=config.seed,
        clusters_per_class=config.clusters_per_class,
        test_fraction=config.test_fraction,
        data_root=Path(config.data_root) if config.data_root else None,
    )


def resolve_device(name: str) -> str:
    """``auto`` is the GPU if there is one.

    Raises:
        BadInput: a device that this machine or this torch does not have.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(
            "device", name, f"cannot be used ({str(error).splitlines()[0]})", "Use --device auto"
        ) from error
    return name


def run(config: RunConfig, out: Path, *, command_line: str, listener: Listener) -> RunOutcome:
    """Carry out an audit in ``out``, or continue it there.

    Raises:
        BadInput: configuration or data cannot be used, or differ from those of ``out``.
        CheckFailed: the ensemble disagrees with the reference (everything trained is kept).
        AuditError: a training process died (finished cohorts are kept).
    """
    with RunDirectory(out) as store:
        # Refuse a changed configuration before spending time on data and noise.
        _refuse_changed_config(store.manifest, config)
        listener.stage("loading data")
        data = load_data(config)
        device = resolve_device(config.device)
        listener.stage("planning: noise for each epsilon")
        plan = make_plan(config, data, device=device)
        _refuse_changed_data(store.manifest, data)
        if not store.manifest:
            store.manifest.update(_new_manifest(config, data, plan, device, command_line))
        else:
            _note_other_versions(store.manifest)
        store.write_manifest()
        train(store, plan, data, device, listener)
        _refuse_failed_checks(store.manifest)
        return finish(store, plan, data, listener)


def train(store: RunDirectory, plan: Plan, data: Dataset, device: str, listener: Listener) -> None:
    """Train every cohort that the manifest does not list yet, and list it."""
    damaged = store.drop_damaged_shards()
    if damaged:
        listener.stage(f"damaged and trained again: {', '.join(damaged)}")
    finished = store.manifest.get("shards", {})
    missing = [task for task in plan.tasks if task.key not in finished]
    done: Counter[str] = Counter()
    for task in plan.tasks:
        done[task.arm.name] += len(task.models) if task.key in finished else 0
    listener.plan(plan, dict(done))
    if not missing:
        return
    files = DataFiles(
        store.scratch_array("x_train", data.x_train),
        store.scratch_array("y_train", data.y_train),
        store.scratch_array("x_test", data.x_test),
        store.scratch_array("y_test", data.y_test),
        data.input_shape,
    )
    by_key = {task.key: task for task in missing}

    def on_progress(fractions: dict[str, float]) -> None:
        counts = {name: float(count) for name, count in done.items()}
        for key, fraction in fractions.items():
            task = by_key[key]
            counts[task.arm.name] += fraction * len(task.models)
        listener.progress(counts)

    workers = cores() if device == "cpu" else 1
    for task, output in run_local(missing, files, workers=workers, on_progress=on_progress):
        _save(store, task, output)
        done[task.arm.name] += len(task.models)
    on_progress({})


def _save(store: RunDirectory, task: CohortTask, output: CohortOutput) -> None:
    """Store a cohort; its cross-check enters the manifest in the same atomic write."""
    if output.cross_check is not None:
        checks = store.manifest.setdefault("cross_check", {})
        checks[task.arm.name] = output.cross_check.to_json()
    shard = Shard(
        output.membership,
        output.train_correct,
        output.test_correct,
        output.train_margin,
        output.test_margin,
    )
    entry = {"seconds": round(output.seconds, 3), "diverged": output.diverged}
    store.save_shard(task.key, shard, entry)


def finish(store: RunDirectory, plan: Plan, data: Dataset, listener: Listener) -> RunOutcome:
    """Estimate from the shards, save results, render the report."""
    listener.stage("estimating")
    start = time.perf_counter()
    outputs = {arm.name: read_outputs(store.path, store.manifest, arm.name) for arm in plan.arms}
    results = analyse(plan, data, outputs)
    manifest = store.manifest
    summary = {**results.summary, "findings": findings(results.summary, manifest)}
    results = replace(results, summary=summary)
    write_results(store.path, results)
    seconds: Counter[str] = Counter()
    for key, entry in manifest["shards"].items():
        seconds[key.partition("/")[0]] += entry["seconds"]
    manifest["timings"] = {
        "training_seconds": {arm: round(total, 2) for arm, total in seconds.items()},
        "estimates_seconds": round(time.perf_counter() - start, 2),
    }
    manifest["status"] = "complete"
    manifest["finished"] = provenance.now()
    store.write_manifest()
    listener.stage("drawing the report")
    report = write_report(store.path)
    return RunOutcome(store.path, report, manifest, summary, exit_code(summary["findings"]))


def write_report(path: Path, *, full_subgroups: bool = False) -> Path:
    """Render ``report.html`` of the finished run in ``path`` from what is stored there.

    Raises:
        BadInput: ``path`` is no finished run.
    """
    manifest = read_json(path / "run.json")
    results = read_results(path)
    page = document(
        manifest,
        results.summary,
        results.examples,
        results.influence,
        results.subgroups,
        full_subgroups=full_subgroups,
    )
    target = path / "report.html"
    write_bytes(target, render_html(page).encode())
    return target


def read_outputs(path: Path, manifest: dict[str, Any], arm: str) -> ArmOutputs:
    """All models of ``arm`` from the shards, in order."""
    shards = list(read_shards(path, manifest, arm))
    if not shards:
        raise AuditError(f"no shards of arm {arm} in {path}: run `audit run` again")
    return ArmOutputs(
        membership=np.concatenate([s.membership for s in shards]),
        train_correct=np.concatenate([s.train_correct for s in shards]),
        test_correct=np.concatenate([s.test_correct for s in shards]),
        diverged=sum(
            entry.get("diverged", 0)
            for key, entry in manifest["shards"].items()
            if key.partition("/")[0] == arm
        ),
    )


def _new_manifest(
    config: RunConfig, data: Dataset, plan: Plan, device: str, command_line: str
) -> dict[str, Any]:
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
        "engine": {a.name: {"name": a.engine, "why": a.engine_reason} for a in plan.arms},
        "arms": {arm.name: describe_arm(arm, n) for arm in plan.arms},
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


def describe_arm(planned: PlannedArm, n: int) -> dict[str, Any]:
    """One arm's section of ``run.json``: all that a third party needs to reconvert its ε."""
    arm = planned.arm
    described: dict[str, Any] = {
        "kind": arm.kind,
        "hyperparameters": planned.hyperparameters.model_dump(exclude={"tuning"}),
        "tuning": planned.hyperparameters.tuning,
        "sample_rate": arm.sample_rate,
        "steps": arm.steps,
        "expected_batch_size": arm.expected_batch_size,
    }
    if planned.mechanism is None or planned.curve is None:
        return described
    mechanism = asdict(planned.mechanism)
    return {
        **described,
        "epsilon": mechanism.pop("target_epsilon"),
        "epsilon_achieved": mechanism.pop("epsilon"),
        **mechanism,
        "clip_norm": arm.clip_norm,
        "delta_times_n": planned.mechanism.delta * n,
        "in_out_epsilon": planned.in_out_epsilon,
        "in_out_delta": planned.in_out_delta,
        "privacy_curve": {
            "epsilon": planned.curve.epsilon.tolist(),
            "delta": planned.curve.delta.tolist(),
        },
    }


def _note_other_versions(manifest: dict[str, Any]) -> None:
    """Record when a run goes on under other versions than it was started with."""
    now = {"tool": provenance.tool(), "versions": provenance.versions()}
    before = manifest.get("resumed", [manifest])[-1]
    if any(before.get(key) != value for key, value in now.items()):
        manifest.setdefault("resumed", []).append({"time": provenance.now(), **now})


def _refuse_changed_config(manifest: dict[str, Any], config: RunConfig) -> None:
    if not manifest:
        return
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise BadInput(
            "schema_version",
            manifest.get("schema_version"),
            f"of this run directory differs from this program's {SCHEMA_VERSION}",
            "Continue with the version that started it, or choose another --out",
        )
    stored, current = manifest.get("config", {}), identity(config)
    for field in sorted(stored.keys() | current.keys()):
        if stored.get(field) != current.get(field):
            raise BadInput(
                field,
                current.get(field),
                f"differs from {stored.get(field)!r}, with which this run directory was started",
                "Use the same value to continue, or another --out to start afresh",
            )


def _refuse_changed_data(manifest: dict[str, Any], data: Dataset) -> None:
    if not manifest:
        return
    stored, current = manifest["data"]["fingerprint"], data.fingerprint()
    if stored != current:
        raise BadInput(
            "data fingerprint",
            current[:16],
            f"differs from {stored[:16]!r}, with which this run directory was started",
            "Restore the data to continue, or choose another --out to start afresh",
        )


def _refuse_failed_checks(manifest: dict[str, Any]) -> None:
    """Fail the run, before any estimate, if the engine disagreed with the reference."""
    for arm, check in manifest.get("cross_check", {}).items():
        if not check["passed"]:
            raise CheckFailed(
                f"cross-check of {arm}: model {check['model']} is not what {check['against']} "
                "makes of it, or its random streams are not what the accountant assumes (single "
                f"steps differ by {check['single_step_relative_difference']}, the first "
                f"{check['early_steps']} by {check['early_relative_difference']}, tolerance "
                f"{check['tolerance']:g}; streams passed: {check['stream']['passed']}). The engine "
                "does not compute what it claims here: use --engine opacus, and report this."
            )
