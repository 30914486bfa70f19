"""A short trial before a run: how long cohorts take, and how much memory, measured.

As many cohorts of an arm train side by side as a run would have processes, for a few steps: a
process alone would be faster than one of several that share a memory bus. Nothing is kept but the
outputs of arms that were cheap enough to be trained to the end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

import numpy as np

from audit.errors import AuditError
from audit.training.arms import Arm
from audit.training.blas import one_thread_in_workers
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortOutput, CohortTask, TrainingData
from audit.training.executors import (
    DataFiles,
    SpawnWorkers,
    one_thread,
    start_worker,
    stop_workers,
    worker_data,
)

_FIRST_STEPS = 8
"""Steps of the first look, from which it follows how many fit into the time allowed."""
_CHECKED = 4
"""The cross-check is timed at so many steps, and at so many times as many."""


@dataclass(frozen=True)
class CohortTime:
    """One cohort, timed.

    ``per_step``: seconds of a step of the whole cohort; ``overhead``: seconds of everything else
    (setting up, evaluating on all examples); ``steps`` trained of the ``full`` ones of a run.
    ``peak_bytes``: the most memory that the process, or on a GPU its tensors, ever held.
    """

    models: int
    steps: int
    full: int
    per_step: float
    overhead: float
    peak_bytes: int

    @property
    def whole(self) -> float:
        """Seconds that the cohort would take in a run."""
        return self.overhead + self.per_step * self.full


@dataclass(frozen=True)
class ArmTrial:
    """The trial of one arm: its cohorts' times, and its outputs where it was trained to the end.

    ``check``: seconds that the cross-check of one model would add; 0 for arms that have none.
    """

    arm: str
    times: tuple[CohortTime, ...]
    check: float
    outputs: tuple[CohortOutput, ...]


def trial(
    tasks: list[CohortTask],
    files: DataFiles,
    *,
    workers: int,
    seconds: float,
    listen: Callable[[str], None] = lambda text: None,
) -> list[ArmTrial]:
    """Time the arms of a run; ``seconds`` is about what each arm may take.

    Args:
        tasks: the cohorts of the run; the first of each arm are tried.
        workers: processes side by side; on a GPU this process alone works.

    Raises:
        AuditError: a process died, most likely for lack of memory.
        BadInput: what training itself refuses.
    """
    with _Bench(files, min(workers, len(tasks)), tasks[0].device) as bench:
        found = []
        for name in dict.fromkeys(task.arm.name for task in tasks):
            listen(f"trial: {name}")
            mine = [task for task in tasks if task.arm.name == name]
            found.append(_try_arm(name, mine, bench, seconds))
        return found


class _Bench:
    """Processes that train side by side, as those of a run; or this process, for a GPU."""

    def __init__(self, files: DataFiles, workers: int, device: str) -> None:
        self.files, self.workers, self.device = files, workers, device
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Bench:
        if self.device == "cpu":
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=SpawnWorkers(),
                initializer=start_worker,
                initargs=(self.files,),
            )
        return self

    def __exit__(self, *exc: object) -> None:
        if self._pool is not None:
            stop_workers(self._pool)

    def timed(self, tasks: list[CohortTask], full: int) -> list[tuple[CohortTime, CohortOutput]]:
        """Train ``tasks`` at the same time; ``full``: the steps that a run would take."""
        if self._pool is None:
            data = self.files.open()
            with one_thread():
                return [_time_one(task, data, full) for task in tasks[:1]]
        try:
            with one_thread_in_workers():
                pending = [self._pool.submit(_in_worker, task, full) for task in tasks]
            return [future.result() for future in pending]
        except BrokenProcessPool as error:
            raise AuditError(
                "a training process of the trial was killed, most likely for lack of memory: use "
                "a smaller cohort_size or model, or --no-trial"
            ) from error


def _try_arm(name: str, mine: list[CohortTask], bench: _Bench, seconds: float) -> ArmTrial:
    full = mine[0].arm.steps
    checked = next((task for task in mine if task.checked_model is not None), None)
    tasks = [replace(task, checked_model=None) for task in mine[: bench.workers]]
    tasks = _affordable(tasks, bench, seconds)
    few = min(_FIRST_STEPS, full)
    timed = bench.timed([_shortened(task, few) for task in tasks], full)
    # Again, and longer: the first steps of a process pay for what it loads and lays out.
    overhead = max(each.overhead for each, _ in timed)
    per_step = max(each.per_step for each, _ in timed)
    steps = int(np.clip((seconds - overhead) / max(per_step, 1e-9), few, full))
    if steps > few or full == few:
        timed = bench.timed([_shortened(task, steps) for task in tasks], full)
    check = 0.0 if checked is None else _check_seconds(checked, bench, few, full)
    outputs = tuple(output for _, output in timed) if steps == full else ()
    return ArmTrial(name, tuple(each for each, _ in timed), check, outputs)


def _affordable(tasks: list[CohortTask], bench: _Bench, seconds: float) -> list[CohortTask]:
    """Where models train one by one: as many of each cohort as can be trained in time."""
    task = tasks[0]
    if task.engine not in ("opacus", "estimator"):
        return tasks
    alone = [_few(each, 1) for each in tasks]
    steps = min(2, task.arm.steps)
    timed = bench.timed([_shortened(each, steps) for each in alone], task.arm.steps)
    slowest = max(each.overhead + each.per_step * steps for each, _ in timed)
    models = max(1, min(len(task.models), int(seconds / (4 * max(slowest, 1e-9)))))
    return [_few(each, models) for each in tasks]


def _few(task: CohortTask, models: int) -> CohortTask:
    return replace(task, last=min(task.last, task.first + models - 1))


def _shortened(task: CohortTask, steps: int) -> CohortTask:
    if not isinstance(task.arm, Arm):
        return task
    return replace(task, arm=replace(task.arm, steps=steps))


def _check_seconds(task: CohortTask, bench: _Bench, few: int, full: int) -> float:
    """Seconds that the cross-check of one model adds, which grow linearly with the steps."""
    assert task.checked_model is not None
    alone = replace(task, first=task.checked_model, last=task.checked_model)

    def added(steps: int) -> float:
        with_check = [_shortened(alone, steps)] * bench.workers
        without = [replace(each, checked_model=None) for each in with_check]
        spent, plain = (
            float(np.mean([timed.overhead for timed, _ in bench.timed(tasks, full)]))
            for tasks in (with_check, without)
        )
        return max(0.0, spent - plain)

    # The first check of a process loads the reference; a run's processes do that once.
    added(1)
    more = min(_CHECKED * few, full)
    short, long = added(few), added(more)
    per_step = max(0.0, long - short) / (more - few) if more > few else 0.0
    return long + per_step * (full - more)


def _in_worker(task: CohortTask, full: int) -> tuple[CohortTime, CohortOutput]:
    return _time_one(task, worker_data(), full)


def _time_one(task: CohortTask, data: TrainingData, full: int) -> tuple[CohortTime, CohortOutput]:
    times: list[tuple[int, float]] = []
    start = time.perf_counter()
    output = train_cohort(task, data, lambda done: times.append((done, time.perf_counter())))
    end = time.perf_counter()
    models, steps = len(task.models), task.arm.steps
    (first_done, first), (last_done, last) = times[0], times[-1]
    if last_done > first_done:
        per_step = (last - first) / (last_done - first_done) * models
    else:
        per_step = last - start
    overhead = max(0.0, end - start - per_step * steps)
    return CohortTime(models, steps, full, per_step, overhead, _peak_bytes(task.device)), output


def _peak_bytes(device: str) -> int:
    import resource

    import torch

    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak if sys.platform == "darwin" else 1024 * peak
