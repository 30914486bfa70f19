"""What a run would cost, from a short trial on this machine: time, memory, disk."""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audit.claims import STANDARD
from audit.data.dataset import Dataset
from audit.plan import Plan
from audit.training.executors import DataFiles, cores
from audit.training.trial import ArmTrial, trial

# Cohorts of one arm differ little from each other; what a machine does beside them differs more.
# Measured on digits: docs/commands/plan.md.
_SPREAD = 0.25

Record = dict[str, Any]


def measure(
    plan: Plan, data: Dataset, *, device: str, seconds: float, listen: Callable[[str], None]
) -> tuple[Record, list[ArmTrial]]:
    """Try each arm for about ``seconds``; the cost of the run, and what was trained to the end.

    Nothing is left on disk. Raises what :func:`audit.training.trial.trial` raises.
    """
    workers = min(cores(), len(plan.tasks)) if device == "cpu" else 1
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="audit-plan-") as folder:
        files = _files(Path(folder), data, plan)
        tried = trial(list(plan.tasks), files, workers=workers, seconds=seconds, listen=listen)
    return cost(plan, data, tried, workers, time.perf_counter() - start), tried


def cost(plan: Plan, data: Dataset, tried: list[ArmTrial], workers: int, spent: float) -> Record:
    """The cost of the run from the trial of its arms by ``workers`` processes."""
    arms = {each.arm: _arm(plan, each) for each in tried}
    if plan.config.removal is not None:
        # Trained as the standard arm is; fewer where no example reaches a threshold.
        like = next(each for each in tried if each.arm == STANDARD)
        whole = replace(plan, models=plan.config.removal.most_models)
        arms["removal, at most"] = _arm(whole, replace(like, check=0.0))
    longest = max(arm["seconds_per_cohort"]["high"] for arm in arms.values())

    def total(end: str) -> float:
        work = sum(arm["process_seconds"][end] for arm in arms.values())
        # Cohorts are not divided: the run is never shorter than its longest one.
        return max(work / workers, longest if end != "low" else 0.0)

    value = total("value")
    peak = max(each.peak_bytes for arm in tried for each in arm.times)
    return {
        "processes": workers,
        "arms": arms,
        "training_seconds": {
            "value": value,
            "low": min(total("low"), value * (1 - _SPREAD)),
            "high": max(total("high"), value * (1 + _SPREAD)),
        },
        "spread": _SPREAD,
        "peak_bytes_per_process": peak,
        "main_process_bytes": _own_peak() + held_bytes(plan, data),
        "disk_bytes": disk_bytes(plan, data),
        "trial_seconds": spent,
        "not_included": "starting processes, loading libraries, the estimates and the report",
    }


def _arm(plan: Plan, tried: ArmTrial) -> Record:
    """Seconds of one process for all cohorts of an arm, and how they were measured."""
    per_model = np.array([each.whole / each.models for each in tried.times])
    first = tried.times[0]
    cohort = min(plan.cohort_size, plan.models)

    def ends(scale: int, more: float) -> Record:
        chosen = {"value": per_model.mean(), "low": per_model.min(), "high": per_model.max()}
        return {end: float(x) * scale + more for end, x in chosen.items()}

    return {
        "seconds_per_cohort": ends(cohort, 0.0),
        "cross_check_seconds": tried.check,
        "process_seconds": ends(plan.models, tried.check),
        "cohorts": math.ceil(plan.models / cohort),
        "tried_cohorts": len(tried.times),
        "tried_models": first.models,
        "tried_steps": first.steps,
        "steps": first.full,
    }


def held_bytes(plan: Plan, data: Dataset) -> int:
    """What the main process holds while it estimates: who was in and who was right, one byte per
    model and example, of every arm."""
    n, n_test = len(data.y_train), len(data.y_test)
    return len(plan.arms) * plan.models * (2 * n + n_test)


def disk_bytes(plan: Plan, data: Dataset) -> int:
    """Bytes of the shards: membership and correctness as bits, margins as float16, canaries."""
    n, n_test = len(data.y_train), len(data.y_test)
    per_model = 2 * math.ceil(n / 8) + math.ceil(n_test / 8) + 2 * n + 2 * n_test
    models = len(plan.arms) * plan.models
    if plan.config.removal is not None:
        models += plan.config.removal.most_models
    planted, total = plan.canaries, models * per_model
    bits = math.ceil(planted.count / 8)
    per_canary = 2 * bits + 2 * planted.count if planted.examples else bits + 8 * planted.count
    return total + len(planted.arms) * plan.models * per_canary


def _files(folder: Path, data: Dataset, plan: Plan) -> DataFiles:
    def store(name: str, array: np.ndarray) -> Path:
        path = folder / f"{name}.npy"
        np.save(path, array, allow_pickle=False)
        return path

    planted = plan.canaries.examples
    return DataFiles(
        store("x_train", data.x_train),
        store("y_train", data.y_train),
        store("x_test", data.x_test),
        store("y_test", data.y_test),
        data.input_shape,
        x_canary=store("x_canary", planted.x) if planted else None,
        y_canary=store("y_canary", planted.y) if planted else None,
        copies=plan.canaries.copies,
    )


def _own_peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
