"""Train every cohort that the manifest does not list yet, and list it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from audit.data.dataset import Dataset
from audit.plan import Plan
from audit.plan_canaries import PlannedCanaries
from audit.shards import Shard
from audit.store import RunDirectory
from audit.training import draws
from audit.training.cohort_task import CanaryOutput, CohortOutput, CohortTask, TrainingData
from audit.training.executors import DataFiles, cores, run_local
from audit.training.ray_executor import RayCluster, run_ray
from audit.training.ray_worker import program


@runtime_checkable
class Listener(Protocol):
    """Who is told how a run gets on; the command line draws bars, tests count."""

    def stage(self, text: str) -> None: ...

    def plan(self, plan: Plan, done: dict[str, int]) -> None: ...

    def progress(self, models_done: dict[str, float]) -> None: ...


def train(
    store: RunDirectory,
    plan: Plan,
    data: Dataset,
    device: str,
    listener: Listener,
    cluster: RayCluster | None = None,
) -> None:
    """Train every cohort that the manifest does not list yet, and list it.

    Args:
        cluster: whose nodes train; None where this machine does.
    """
    damaged = store.drop_damaged_shards()
    if damaged:
        listener.stage(f"damaged and trained again: {', '.join(damaged)}")
    _drop_unchecked(store, plan, device)
    finished = store.manifest["shards"]
    missing = [task for task in plan.tasks if task.key not in finished]
    done: Counter[str] = Counter()
    for task in plan.tasks:
        done[task.name] += len(task.models) if task.key in finished else 0
    listener.plan(plan, dict(done))
    if not missing:
        return
    by_key = {task.key: task for task in missing}

    def on_progress(fractions: dict[str, float]) -> None:
        counts = {name: float(count) for name, count in done.items()}
        for key, fraction in fractions.items():
            task = by_key[key]
            counts[task.name] += fraction * len(task.models)
        listener.progress(counts)

    if cluster is None:
        outputs = _here(store, plan, data, missing, device, on_progress)
    else:
        outputs = run_ray(
            cluster,
            missing,
            _arrays(data, plan.canaries),
            digest=data.fingerprint(),
            # A run begun by an earlier version has none.
            expected=program(tuple(store.manifest.get("code", {}))),
            on_progress=on_progress,
            say=listener.stage,
        )
    # Closed here, also where a cohort cannot be saved: an executor tidies up while its cluster is
    # still there.
    with closing(outputs):
        for task, output in outputs:
            _save(store, task, output)
            done[task.name] += len(task.models)
    on_progress({})


def _here(
    store: RunDirectory,
    plan: Plan,
    data: Dataset,
    missing: list[CohortTask],
    device: str,
    on_progress: Callable[[dict[str, float]], None],
) -> Generator[tuple[CohortTask, CohortOutput], None, None]:
    files = DataFiles(
        store.scratch_array("x_train", data.x_train),
        store.scratch_array("y_train", data.y_train),
        store.scratch_array("x_test", data.x_test),
        store.scratch_array("y_test", data.y_test),
        data.input_shape,
        **_canary_files(store, plan.canaries),
    )
    workers = cores() if device == "cpu" else 1
    return run_local(missing, files, workers=workers, on_progress=on_progress)


def _arrays(data: Dataset, planned: PlannedCanaries) -> TrainingData:
    arrays = TrainingData(data.x_train, data.y_train, data.x_test, data.y_test, data.input_shape)
    if planned.examples is None:
        return arrays
    examples = planned.examples
    return replace(arrays, x_canary=examples.x, y_canary=examples.y, copies=examples.copies)


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
