"""The whole order of a run: plan → train the missing cohorts → estimate → save → report."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from audit import provenance
from audit.analysis import AnalysedArm, ArmOutputs, CanaryOutputs, Coins, analyse
from audit.claims import Claim
from audit.config import RunConfig, config_digest, make_config, read_config
from audit.data.dataset import Dataset
from audit.data.registry import load
from audit.errors import AuditError, BadInput, CheckFailed
from audit.manifest import (
    learner_notes,
    note_changes,
    read_manifest,
    refuse_changed_config,
    refuse_changed_data,
)
from audit.manifest_entries import describe_code, new_manifest
from audit.plan import Plan, make_plan, preset
from audit.plan_canaries import PlannedCanaries
from audit.planned_arm import PlannedArm
from audit.report.document import document
from audit.report.findings import exit_code, findings
from audit.report.render import render_html
from audit.resources import resource_dir
from audit.results import read_results, write_results
from audit.store import RunDirectory, Shard, check_out, read_json, read_shards, write_bytes
from audit.training import draws
from audit.training.arms import Arm
from audit.training.cohort_task import CanaryOutput, CohortOutput, CohortTask
from audit.training.executors import DataFiles, cores, run_local
from audit.training.learners import is_learner


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

    Args:
        file: a TOML file, or the name of a shipped configuration (``mnist-cnn``).

    Raises:
        BadInput: the file cannot be read, or a field is unknown or out of range.
    """
    from_file = read_config(_config_file(file)) if file is not None else {}
    data = options.get("data", from_file.get("data", "digits"))
    shipped = preset(data) if isinstance(data, str) else {}
    model = options.get("model", from_file.get("model"))
    if isinstance(model, str) and is_learner(model):
        # Shipped settings are those of a network; a learner would have to refuse them.
        of_network = ("model", "hidden", "activation", "standard", "dp")
        shipped = {field: value for field, value in shipped.items() if field not in of_network}
    return make_config([shipped, from_file, options])


def _config_file(file: Path) -> Path:
    """``file``, or the shipped configuration of that name where there is no such file."""
    shipped = {path.stem: path for path in resource_dir("configs").glob("*.toml")}
    if file.exists() or file.name != str(file) or file.suffix:
        return file
    if file.name not in shipped:
        raise BadInput(
            "config",
            str(file),
            f"is neither a file nor one of {', '.join(sorted(shipped))}",
            "Check the path",
        )
    return shipped[file.name]


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
        if torch.device(name).type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda can train")
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(
            "device", name, f"cannot be used ({str(error).splitlines()[0]})", "Use --device auto"
        ) from error
    return name


def _hardware(device: str) -> dict[str, object]:
    """This machine, and the model of the GPU that trains; None on a CPU."""
    import torch

    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {**provenance.hardware(device, cores() if device == "cpu" else 1), "gpu": gpu}


def training_device(config: RunConfig) -> str:
    if not is_learner(config.model):
        return resolve_device(config.device)
    if config.device not in ("auto", "cpu"):
        raise BadInput(
            "device",
            config.device,
            f"is for networks; {config.model} trains itself where it chooses to",
            "Leave it out",
        )
    return "cpu"


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
            hardware = _hardware(device)
            for path in note_changes(store.manifest, describe_code(config), hardware):
                listener.stage(f"the code of {path} has changed; finished cohorts are kept")
            size = store.manifest["plan"]["cohort_size"]
            if size != plan.cohort_size:
                # Planned from another device's memory: finished cohorts must be found again.
                plan = make_plan(config, data, device=device, cohort_size=size)
        else:
            store.manifest = new_manifest(config, data, plan, device, command_line)
            store.manifest["hardware"] = _hardware(device)
        store.write_manifest()
        train(store, plan, data, device, listener)
        if config.plant is None:
            _refuse_failed_checks(store.manifest)
        arms = [analysed(arm) for arm in plan.arms]
        return finish(store, arms, plan.judged_by, data, listener)


def train(store: RunDirectory, plan: Plan, data: Dataset, device: str, listener: Listener) -> None:
    """Train every cohort that the manifest does not list yet, and list it."""
    damaged = store.drop_damaged_shards()
    if damaged:
        listener.stage(f"damaged and trained again: {', '.join(damaged)}")
    _drop_unchecked(store, plan, device)
    finished = store.manifest["shards"]
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
        **_canary_files(store, plan.canaries),
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


def _canary_files(store: RunDirectory, planned: PlannedCanaries) -> dict[str, Any]:
    if planned.examples is None:
        return {}
    return {
        "x_canary": store.scratch_array("x_canary", planned.examples.x),
        "y_canary": store.scratch_array("y_canary", planned.examples.y),
        "copies": planned.examples.copies,
    }


def _drop_unchecked(store: RunDirectory, plan: Plan, device: str) -> None:
    """An ensemble arm without its cross-check is not believed: train the checked cohort again.

    So it is where a run goes on between a CPU and a GPU: the cohorts to come are trained by another
    program than the one that was checked. A check that failed stays, as do the cohorts it is about.
    """
    import torch

    form = draws.form_for(torch.device(device))
    checks, shards = store.manifest["cross_check"], store.manifest["shards"]
    unfinished = {task.arm.name for task in plan.tasks if task.key not in shards}
    for task in plan.tasks:
        if task.checked_model is None:
            continue
        check = checks.get(task.arm.name)
        other = check is not None and check["passed"] and check.get("form", "host") != form
        if check is None or (other and task.arm.name in unfinished):
            shards.pop(task.key, None)


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
        **_canary_arrays(output.canaries),
    )
    entry = {"seconds": round(output.seconds, 3), "diverged": output.diverged, **output.notes}
    store.save_shard(task.key, shard, entry)


def _canary_arrays(canaries: CanaryOutput | None) -> dict[str, Any]:
    if canaries is None:
        return {}
    return {
        "canary_coins": canaries.coins,
        "canary_correct": canaries.correct,
        "canary_margin": canaries.margin,
        "canary_total": canaries.total,
        "canary_llr": canaries.llr,
    }


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
    manifest = read_manifest(path)
    results = read_results(path)
    try:
        page = document(
            manifest,
            _with_calibration(results.summary, path),
            results.examples,
            results.influence,
            results.subgroups,
            full_subgroups=full_subgroups,
        )
        html = render_html(page)
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


def _with_calibration(summary: dict[str, Any], path: Path) -> dict[str, Any]:
    """The figures of ``audit calibrate`` in place of the run's own, where it was given: it makes
    more trials."""
    file = path / "results" / "calibration.json"
    if not file.exists():
        return summary
    found = read_json(file)
    return {**summary, "calibration": {"examples_of_run": found["setting"]["examples"], **found}}


def read_outputs(path: Path, manifest: dict[str, Any], arm: str) -> ArmOutputs:
    """All models of ``arm`` from the shards, in order."""
    sizes = {"membership": "n", "train_correct": "n", "test_correct": "n_test"}
    # Filled shard by shard: many models must not lie in memory twice.
    every = {
        name: np.empty((manifest["plan"]["models"], manifest["data"][size]), dtype=bool)
        for name, size in sizes.items()
    }
    margins: dict[str, np.ndarray] = {}
    canaries: list[Shard] = []
    done = 0
    for shard in read_shards(path, manifest, arm):
        rows = slice(done, done + len(shard.membership))
        for name, whole in every.items():
            _fill(whole, rows, getattr(shard, name), name, arm)
        _add_margins(margins, shard, rows, every)
        if shard.canary_coins is not None:
            canaries.append(replace(shard, train_margin=None, test_margin=None))
        done = rows.stop
    if not done:
        raise AuditError(f"no shards of arm {arm} in {path}: give the command of the run again")
    return ArmOutputs(
        **{name: whole[:done] for name, whole in (every | margins).items()},
        diverged=sum(
            entry.get("diverged", 0)
            for key, entry in manifest["shards"].items()
            if key.partition("/")[0] == arm
        ),
        canaries=_canary_outputs(canaries, manifest, arm) if canaries else None,
    )


def _fill(whole: np.ndarray, rows: slice, part: np.ndarray, name: str, arm: str) -> None:
    if part.shape != whole[rows].shape:
        raise AuditError(
            f"a shard of arm {arm} has {name} of shape {part.shape}, not what run.json "
            "says: give the command of the run again, or start with another --out"
        )
    whole[rows] = part


def _canary_outputs(shards: list[Shard], manifest: dict[str, Any], arm: str) -> CanaryOutputs:
    planted = manifest.get("canaries") or {}
    kind = planted.get("kind", "gradient")
    names = ("canary_coins", "canary_total", "canary_llr", "canary_margin")
    wanted = names[:3] if kind == "gradient" else (names[0], names[3])
    shape = (manifest["plan"]["models"], planted.get("count", 0))
    found = {}
    for name in wanted:
        parts = [getattr(shard, name) for shard in shards]
        if any(part is None for part in parts):
            raise AuditError(
                f"a shard of arm {arm} lacks {name}: give the command of the run again"
            )
        found[name] = np.concatenate(parts)
        if found[name].shape != shape:
            raise AuditError(
                f"arm {arm} has {name} of shape {found[name].shape}, not {shape} as run.json says: "
                "give the command of the run again, or start with another --out"
            )
    statistic = found["canary_total" if kind == "gradient" else "canary_margin"]
    return CanaryOutputs(
        kind, found["canary_coins"], statistic, found.get("canary_llr"), planted.get("copies", 1)
    )


def _add_margins(
    margins: dict[str, np.ndarray], shard: Shard, rows: slice, like: dict[str, np.ndarray]
) -> None:
    """Put the margins of one shard, where it has any, into the arm's; others stay NaN."""
    for name, bits in (("train_margin", "train_correct"), ("test_margin", "test_correct")):
        part = getattr(shard, name)
        if part is None:
            continue
        if part.shape != getattr(shard, bits).shape:
            raise AuditError(
                f"a shard has {name} of shape {part.shape}, not what run.json says: give the "
                "command of the run again, or start with another --out"
            )
        if name not in margins:
            margins[name] = np.full(like[bits].shape, np.nan, dtype=np.float16)
        margins[name][rows] = part


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
