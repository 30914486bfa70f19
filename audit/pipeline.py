"""The whole order of a run: plan → train the missing cohorts → estimate → save → report."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audit import provenance
from audit.analysis import AnalysedArm, Coins, analyse
from audit.attesting import read_attestation
from audit.claims import Claim
from audit.config import RunConfig
from audit.data.dataset import Dataset
from audit.errors import BadInput, CheckFailed
from audit.manifest import (
    learner_notes,
    note_changes,
    read_manifest,
    refuse_changed_config,
    refuse_changed_data,
)
from audit.manifest_entries import describe_code, new_manifest
from audit.missing_cohorts import Listener, train
from audit.plan import make_plan
from audit.planned_arm import PlannedArm
from audit.report.document import document
from audit.report.findings import exit_code, findings
from audit.report.inputs import ReportInputs, ReportOptions
from audit.report.render import render_html
from audit.resolve import hardware_of, load_data, training_device
from audit.results import read_results, write_results
from audit.store import RunDirectory, check_out, read_json, write_bytes
from audit.stored_outputs import read_outputs
from audit.training.arms import Arm


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
) -> RunOutcome:
    """Carry out an audit in ``out``, or continue it there.

    Args:
        data: the data set, where it is already in memory; otherwise ``config`` names it.

    Raises:
        BadInput: configuration or data cannot be used, or differ from those of ``out``.
        CheckFailed: the ensemble disagrees with the reference (everything trained is kept). With a
            planted bug that is a finding, and the run goes on.
        AuditError: a training process died (finished cohorts are kept).
    """
    # Everything that can be refused is refused before the first file is written.
    check_out(out)
    if (out / "run.json").exists():
        refuse_changed_config(read_manifest(out), config)
    if data is None:
        listener.stage("loading data")
        data = load_data(config)
    device = training_device(config)
    listener.stage("planning")
    plan = make_plan(config, data, device=device)
    with RunDirectory(out) as store:
        if (out / "run.json").exists():
            # Again, and under the lock: another run may have begun here meanwhile.
            store.manifest = read_manifest(out)
            refuse_changed_config(store.manifest, config)
            refuse_changed_data(store.manifest, data)
            hardware = hardware_of(device)
            for path in note_changes(store.manifest, describe_code(config), hardware):
                listener.stage(f"the code of {path} has changed; finished cohorts are kept")
            size = store.manifest["plan"]["cohort_size"]
            if size != plan.cohort_size:
                # Planned from another device's memory: finished cohorts must be found again.
                plan = make_plan(config, data, device=device, cohort_size=size)
        else:
            store.manifest = new_manifest(config, data, plan, device, command_line)
            store.manifest["hardware"] = hardware_of(device)
        store.write_manifest()
        train(store, plan, data, device, listener)
        if config.plant is None:
            _refuse_failed_checks(store.manifest)
        arms = [analysed(arm) for arm in plan.arms]
        return finish(store, arms, plan.judged_by, data, listener)


def finish(
    store: RunDirectory,
    arms: list[AnalysedArm],
    judged_by: Claim,
    data: Dataset,
    listener: Listener,
) -> RunOutcome:
    """Estimate from the shards, save results, render the report.

    An arm that claims nothing is held against ``judged_by``.
    """
    listener.stage("estimating")
    start = time.perf_counter()
    manifest = store.manifest
    outputs = {arm.name: read_outputs(store.path, manifest, arm.name) for arm in arms}
    inclusion = manifest["inclusion"]
    # A share that was only measured is not the probability that a theorem asks for.
    coins = Coins(inclusion["design"], manifest["config"].get("inclusion_probability"))
    results = analyse(arms, judged_by, data, outputs, coins=coins, seed=manifest["seed"])
    if notes := learner_notes(manifest):
        manifest["learners"] = notes
        for line in _warning_lines(notes, manifest["plan"]["models"]):
            listener.stage(line)
    summary = {**results.summary, "findings": findings(results.summary, manifest)}
    if "plant" in manifest:
        summary["plant"] = manifest["plant"]["name"]
    results = replace(results, summary=summary)
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
    return RunOutcome(store.path, report, manifest, summary, exit_code(summary["findings"]))


def _warning_lines(notes: dict[str, Any], models: int) -> list[str]:
    return [
        f"{arm}: {category} in {raised['models']} of {models} models, the first: {raised['first']}"
        for arm, said in notes.items()
        for category, raised in said["warnings"].items()
    ]


def analysed(planned: PlannedArm) -> AnalysedArm:
    """What the analysis needs to know of a planned arm."""
    if planned.mechanism is None:
        return AnalysedArm(planned.name, planned.claim)
    assert isinstance(planned.arm, Arm)
    native = {
        "noise_multiplier": planned.mechanism.noise_multiplier,
        "sample_rate": planned.arm.sample_rate,
        "steps": planned.arm.steps,
        "clip_norm": planned.arm.clip_norm,
    }
    return AnalysedArm(planned.name, planned.claim, native)


def write_report(path: Path, *, full_subgroups: bool = False) -> Path:
    """Render ``report.html`` of the finished run in ``path`` from what is stored there.

    Raises:
        BadInput: ``path`` is no finished run.
    """
    inputs = report_inputs(path)
    try:
        html = render_html(document(inputs, ReportOptions(full_subgroups=full_subgroups)))
    except Exception as error:
        # Results are files that anyone may have edited, and drawing them is all that was done here:
        # whatever a chart or a template misses is named, not traced (AUDIT_DEBUG=1 traces it).
        raise BadInput(
            "run",
            str(path),
            f"holds results that no report can be drawn from ({type(error).__name__}: {error})",
            "Give the command of the run again: it makes them anew from the shards",
        ) from error
    target = path / "report.html"
    write_bytes(target, html.encode())
    return target


def report_inputs(path: Path, attestation: Path | None = None) -> ReportInputs:
    """What the report of the finished run in ``path`` is made of.

    Args:
        attestation: what people state of it; by default the run's own file, if there is one.

    Raises:
        BadInput: ``path`` is no finished run, or the attestation cannot be used for it.
    """
    manifest, results = read_manifest(path), read_results(path)
    stated = read_attestation(path, attestation)
    return ReportInputs(
        manifest,
        _with_calibration(results.summary, path),
        results.examples,
        results.influence,
        results.subgroups,
        statements={} if stated is None else stated.statements,
        attestation_sha256=None if stated is None else stated.sha256,
    )


def _with_calibration(summary: dict[str, Any], path: Path) -> dict[str, Any]:
    """The figures of ``audit calibrate`` in place of the run's own, where it was given: it makes
    more trials."""
    file = path / "results" / "calibration.json"
    if not file.exists():
        return summary
    found = read_json(file)
    return {**summary, "calibration": {"examples_of_run": found["setting"]["examples"], **found}}


def _refuse_failed_checks(manifest: dict[str, Any]) -> None:
    """Fail the run, before any estimate, if the engine disagreed with the reference."""
    for arm, check in manifest["cross_check"].items():
        if not check["passed"]:
            raise CheckFailed(
                f"cross-check of {arm}: model {check['model']} is not what {check['against']} "
                "makes of it, or its random streams are not what the accountant assumes (single "
                f"steps differ by {check['single_step_relative_difference']}, the first "
                f"{check['early_steps']} by {check['early_relative_difference']}, tolerance "
                f"{check['tolerance']:g}; streams passed: {check['stream']['passed']}). The engine "
                "does not compute what it claims here: use --engine opacus, and report this."
            )
