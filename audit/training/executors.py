"""Executors: who runs the cohorts. Results do not depend on the choice.

On a CPU the local executor runs one process per core with one thread each: at these matrix sizes a
second thread inside a product costs more than it gains, and a single thread makes every sum's
order, and so every bit of the result, the same on each run.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from audit.errors import AuditError
from audit.training.blas import one_thread_in_workers
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortOutput, CohortTask, TrainingData
from audit.training.out_of_memory import MEMORY_ERRORS, ran_out_of_memory

_POLL_SECONDS = 0.2
_MOST_LIKELY = (
    "most likely for lack of memory. Finished cohorts are kept: run the same command again, with a "
    "smaller cohort_size if it happens again."
)


@dataclass(frozen=True)
class DataFiles:
    """Where workers find the arrays (memory-mapped .npy) and the shape of one example.

    ``x_canary``, ``y_canary``, ``copies``: planted examples, where there are any.
    """

    x_train: Path
    y_train: Path
    x_test: Path
    y_test: Path
    input_shape: tuple[int, ...]
    x_canary: Path | None = None
    y_canary: Path | None = None
    copies: int = 1

    def open(self) -> TrainingData:
        # Copy-on-write: torch wants writable memory, and nothing is ever written.
        def load(path: Path) -> np.ndarray:
            return np.load(path, mmap_mode="c", allow_pickle=False)

        return TrainingData(
            load(self.x_train),
            load(self.y_train),
            load(self.x_test),
            load(self.y_test),
            self.input_shape,
            None if self.x_canary is None else load(self.x_canary),
            None if self.y_canary is None else load(self.y_canary),
            self.copies,
        )


class _Worker(SpawnProcess):
    """A fresh process that does not run the caller's main module.

    Spawning imports ``__main__`` again in the child: a script that calls ``audit.run`` without
    ``if __name__ == "__main__"`` would start itself over in every worker. Nothing that a worker
    needs lives there (tasks name what they need by module), so the child is told of no main module.
    """

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            # multiprocessing calls it with the process alone; its stubs know it as private.
            return SpawnProcess._Popen(process_obj)  # pyright: ignore
        finally:
            sys.modules["__main__"] = main


class SpawnWorkers(SpawnContext):
    """Processes of :class:`_Worker`."""

    Process = _Worker


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_local(
    tasks: list[CohortTask],
    files: DataFiles,
    *,
    workers: int,
    on_progress: Callable[[dict[str, float]], None] = lambda fractions: None,
) -> Generator[tuple[CohortTask, CohortOutput], None, None]:
    """Run ``tasks`` on this machine; yields each as it completes.

    Args:
        workers: processes; 1 runs in this process (the choice for a GPU).
        on_progress: called a few times a second with each running cohort's finished fraction.

    Raises:
        AuditError: a worker died (most likely killed for memory); what was yielded stays valid.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        yield from _in_this_process(tasks, files, on_progress)
        return
    context = SpawnWorkers()
    steps: Any = context.Array("q", len(tasks), lock=False)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=start_worker, initargs=(files, steps)
    )
    try:
        with one_thread_in_workers():
            # Submitting starts the processes.
            pending: dict[Future[CohortOutput], int] = {
                pool.submit(_work, index, task): index for index, task in enumerate(tasks)
            }
        while pending:
            done, _ = wait(pending, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            running = {tasks[i].key: steps[i] / tasks[i].total_steps for i in pending.values()}
            on_progress(running)
            # A cohort that failed ends the run: those that finished with it are kept first.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                yield tasks[pending.pop(future)], _kept(future)
    except BrokenProcessPool as error:
        raise AuditError(f"a training process was killed, {_MOST_LIKELY}") from error
    finally:
        stop_workers(pool)


def _kept(future: Future[CohortOutput]) -> CohortOutput:
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except MEMORY_ERRORS as error:
        # Not while a cohort trained (that is halved): its answers could not be kept or sent.
        if not ran_out_of_memory(error):
            raise
        raise AuditError(f"a training process failed, {_MOST_LIKELY}") from error


def _in_this_process(
    tasks: list[CohortTask], files: DataFiles, on_progress: Callable[[dict[str, float]], None]
) -> Generator[tuple[CohortTask, CohortOutput], None, None]:
    data = files.open()
    for task in tasks:
        with one_thread():
            output = train_cohort(task, data, _throttled(task, on_progress))
        yield task, output


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread in every product of this process, as in a worker."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)


def _throttled(
    task: CohortTask, on_progress: Callable[[dict[str, float]], None]
) -> Callable[[int], None]:
    last = 0.0

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _POLL_SECONDS:
            last = now
            on_progress({task.key: done / task.total_steps})

    return report


def stop_workers(pool: ProcessPoolExecutor) -> None:
    """End the workers now; on an interrupt they may be minutes from finishing a cohort."""
    processes = list((pool._processes or {}).values())
    results = pool._result_queue
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()
    # The pool's thread may be in the midst of a result whose worker has just been ended. As long as
    # a writing end is open, ours the last one, it waits for the rest, and this process for it.
    if results is not None:
        results._writer.close()  # pyright: ignore


# State of a worker process, set once by its initializer.
_worker: dict[str, Any] = {}


def start_worker(files: DataFiles, steps: Any = None) -> None:
    """Initialise a worker: one thread, the data opened, ``steps`` to report progress in.

    Without the memory for that it ends as if the kernel had ended it: the parent says so in a line.
    """
    try:
        _start_worker(files, steps)
    except MEMORY_ERRORS as error:
        if not ran_out_of_memory(error):
            raise
        os._exit(1)


def _start_worker(files: DataFiles, steps: Any) -> None:
    import signal

    import torch

    # Ctrl-C goes to the whole process group; the parent decides what happens to workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(1)
    _worker["data"] = files.open()
    _worker["steps"] = steps


def worker_data() -> TrainingData:
    """The data of this worker process."""
    return _worker["data"]


def _follow_parent() -> None:
    """Leave when the parent is gone (kill -9 leaves no other sign), so that no orphan trains on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(index: int, task: CohortTask) -> CohortOutput:
    steps = _worker["steps"]

    def report(done: int) -> None:
        steps[index] = done

    return train_cohort(task, _worker["data"], report)
