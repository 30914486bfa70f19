"""The whole order of a run: plan → train the missing cohorts → estimate → save → report."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit import provenance
from audit.config import RunConfig
from audit.data.dataset import Dataset
from audit.errors import CheckFailed
from audit.estimating import estimate_run
from audit.manifest import (
    learner_notes,
    note_changes,
    read_manifest,
    refuse_changed_config,
    refuse_changed_data,
)
from audit.manifest_entries import describe_code, new_manifest
from audit.missing_cohorts import Listener, train
from audit.plan import Plan, make_plan
from audit.plan_removal import refuse_removal
from audit.removing import refuse_other_removal, remove
from audit.report.address_space import missing_addresses
from audit.report.findings import exit_code
from audit.reporting import write_report
from audit.resolve import hardware_of, load_data, resolve_device, training_device
from audit.results import write_results
from audit.store import RESTORED, RunDirectory, check_out, restore_manifest
from audit.stored_labels import save_labels
from audit.training.execution import Execution
from audit.training.ray_executor import RayCluster, connected
from audit.training.ray_worker import Program, program, refuse_other_program


@dataclass(frozen=True)
class RunOutcome:
    """What a finished run leaves: its directory, report, summary and exit code."""

    path: Path
    report: Path
    manifest: dict[str, Any]
    summary: dict[str, Any]
    exit_code: int


def run(
    config: RunConfig,
    out: Path,
    *,
    command_line: str,
    listener: Listener,
    data: Dataset | None = None,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
) -> RunOutcome:
    """Carry out an audit in ``out``, or continue it there.

    Args:
        data: the data set, where it is already in memory; otherwise ``config`` names it.
        execution: who trains; the results are the same.

    Raises:
        BadInput: configuration or data cannot be used, or differ from those of ``out``; no cluster
            answers.
        CheckFailed: the ensemble disagrees with the reference (everything trained is kept). With a
            planted bug that is a finding, and the run goes on.
        AuditError: a training process died (finished cohorts are kept).
    """
    # Everything that can be refused is refused before the first file is written.
    check_out(out)
    if restore_manifest(out):
        listener.stage(RESTORED)
    if (out / "run.json").exists():
        refuse_changed_config(read_manifest(out), config)
    if data is None:
        listener.stage("loading data")
        data = load_data(config)
    with connected(execution) as cluster:
        if cluster is not None and cluster.dashboard:
            listener.stage(f"dashboard: http://{cluster.dashboard}")
        return _run(config, out, command_line, listener, data, cluster)


def _run(
    config: RunConfig,
    out: Path,
    command_line: str,
    listener: Listener,
    data: Dataset,
    cluster: RayCluster | None,
) -> RunOutcome:
    device = training_device(config, cluster)
    if (missing := missing_addresses()) is not None:
        listener.stage(f"no report will be drawn: {missing}")
    listener.stage("planning")
    plan = _plan(config, data, device, cluster)
    if config.removal is not None:
        refuse_removal(plan, config.removal, len(data.x_test))
    with RunDirectory(out) as store:
        if (out / "run.json").exists():
            # Again, and under the lock: another run may have begun here meanwhile.
            store.manifest = read_manifest(out)
            refuse_changed_config(store.manifest, config)
            refuse_changed_data(store.manifest, data)
            hardware = _hardware(device, cluster)
            for path in note_changes(store.manifest, describe_code(config), hardware):
                listener.stage(f"the code of {path} has changed; finished cohorts are kept")
            size = store.manifest["plan"]["cohort_size"]
            if size != plan.cohort_size:
                # Planned from another device's memory: finished cohorts must be found again.
                plan = _plan(config, data, device, cluster, size)
        else:
            store.manifest = new_manifest(config, data, plan, device, command_line)
            store.manifest["hardware"] = _hardware(device, cluster)
        refuse_other_removal(store.manifest, config)
        store.write_manifest()
        train(store, plan, data, device, listener, cluster)
        _refuse_failed_checks(store.manifest, planted=config.plant is not None)
        if "removal" in store.manifest or config.removal is not None:
            remove(store, plan, config, data, device, listener, cluster)
        return finish(store, data, listener)


def _plan(
    config: RunConfig,
    data: Dataset,
    device: str,
    cluster: RayCluster | None,
    cohort_size: int | None = None,
) -> Plan:
    """The plan, made where the GPU is: its memory says how large a cohort is."""
    if cluster is None or device == "cpu":
        return make_plan(config, data, device=device, cohort_size=cohort_size)
    expected = program(tuple(describe_code(config)))
    return cluster.call(_plan_on_gpu, config, data, device, cohort_size, expected, device=device)


def _plan_on_gpu(
    config: RunConfig, data: Dataset, device: str, cohort_size: int | None, expected: Program
) -> Plan:
    # Noise and steps come from this node's accountant.
    refuse_other_program(expected)
    resolve_device(device)  # a node may say it has a GPU, and its PyTorch none
    return make_plan(config, data, device=device, cohort_size=cohort_size)


def _hardware(device: str, cluster: RayCluster | None) -> dict[str, object]:
    """What trains; on a cluster this machine, or a worker that has a GPU, stands for all (each
    shard's ``trained_on`` says its own)."""
    if cluster is None:
        return hardware_of(device)
    found = (
        hardware_of(device) if device == "cpu" else cluster.call(hardware_of, device, device=device)
    )
    return {**found, "executor": "ray", "workers": cluster.workers(device)}


def finish(store: RunDirectory, data: Dataset, listener: Listener) -> RunOutcome:
    """Estimate from the shards, save results, render the report."""
    listener.stage("estimating")
    start = time.perf_counter()
    manifest = store.manifest
    save_labels(store, data)
    if notes := learner_notes(manifest):
        manifest["learners"] = notes
        for line in _warning_lines(notes, manifest["plan"]["models"]):
            listener.stage(line)
    results = estimate_run(store.path, manifest, data)
    write_results(store.path, results)
    seconds: Counter[str] = Counter()
    for key, entry in manifest["shards"].items():
        if "seconds" in entry:
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
    found = results.summary["findings"]
    return RunOutcome(store.path, report, manifest, results.summary, exit_code(found))


def _warning_lines(notes: dict[str, Any], models: int) -> list[str]:
    return [
        f"{arm}: {category} in {raised['models']} of {models} models, the first: {raised['first']}"
        for arm, said in notes.items()
        for category, raised in said["warnings"].items()
    ]


def _refuse_failed_checks(manifest: dict[str, Any], *, planted: bool) -> None:
    """Fail the run, before any estimate, if the engine disagreed with the reference.

    ``planted``: in the audit's own arms that is a finding then; a control has no bug.
    """
    for arm, check in manifest["cross_check"].items():
        if planted and manifest["arms"][arm]["kind"] != "control":
            continue
        if not check["passed"]:
            raise CheckFailed(
                f"cross-check of {arm}: model {check['model']} is not what {check['against']} "
                "makes of it, or its random streams are not what the accountant assumes (single "
                f"steps differ by {check['single_step_relative_difference']}, the first "
                f"{check['early_steps']} by {check['early_relative_difference']}, tolerance "
                f"{check['tolerance']:g}; streams passed: {check['stream']['passed']}). The engine "
                "does not compute what it claims here: use --engine opacus, and report this."
            )
