"""The local executor: worker processes give what one process gives, and end at once."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.plan import make_plan
from audit.resolve import load_data
from audit.training.cohort_task import CohortTask
from audit.training.executors import DataFiles, SpawnWorkers, run_local, stop_workers
from tests.training.learners import PATH
from tests.training.outputs import assert_same

STUDY = {
    "data": "digits", "models": 2, "cohort_size": 2, "clusters_per_class": 1,
    "standard": {"epochs": 1}, "dp": {"epochs": 1},
}  # fmt: skip
# What a task can hold, by the canaries beside it: planted rows are files that workers open too.
KINDS = {
    "planted rows": [
        {"controls": ["clip-only", "noise-only", "neither", "pruned-80", "random-labels"]},
        {"plant": "no_noise"},
    ],
    "gradient canaries": [
        {"model": "tests.training.networks:plain_conv"},
        {"model": "tests.training.networks:scaled_linear"},  # by torch.func
        {"model": "tests.training.networks:plain_conv", "engine": "opacus", "canaries": 0},
        {"model": f"{PATH}nearest", "standard": None, "dp": None},
    ],
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data(configure(None, STUDY))


@pytest.mark.parametrize("canaries", list(KINDS))
def test_worker_processes_give_what_one_process_gives(canaries: str, data: Dataset, tmp_path: Path):
    kind = {"canary_kind": "mislabeled", "canaries": 6} if canaries == "planted rows" else {}
    tasks: list[CohortTask] = []
    arrays = {name: getattr(data, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    copies = 1
    for change in KINDS[canaries]:
        given = {**STUDY, **kind, **change}
        config = configure(None, {k: v for k, v in given.items() if v is not None})
        plan = make_plan(config, data, device="cpu")
        tasks += [task for task in plan.tasks if task not in tasks]
        if plan.canaries.examples is not None:
            rows = plan.canaries.examples
            arrays |= {"x_canary": rows.x, "y_canary": rows.y}
            copies = rows.copies
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    paths = {name: tmp_path / f"{name}.npy" for name in arrays}
    files = DataFiles(**paths, input_shape=data.input_shape, copies=copies)
    here, there = (
        {
            str(tasks.index(task)): output
            for task, output in run_local(tasks, files, workers=workers)
        }
        for workers in (1, 2)
    )
    assert len(here) == len(tasks) > 4
    assert_same(here, there)


def half_a_result(begun: Path) -> None:
    """Begin a message of 1,000 bytes in the pool's queue of results, and never end it."""
    results = sys._getframe(1).f_locals["result_queue"]
    os.write(results._writer.fileno(), struct.pack("!i", 1_000))
    begun.touch()
    time.sleep(600)


def test_a_worker_stopped_in_the_midst_of_its_result_does_not_hold_up_the_end(tmp_path: Path):
    pool = ProcessPoolExecutor(2, mp_context=SpawnWorkers())
    pool.submit(half_a_result, tmp_path / "begun")
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    # The interpreter waits for this thread when it ends.
    thread: Any = pool._executor_manager_thread
    stop_workers(pool)
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("why", "says"), [("can't start new thread", False), ("a fault of the program", True)]
)
def test_a_worker_that_cannot_start_for_lack_of_memory_says_nothing(
    why: str, says: bool, tmp_path: Path
):
    """Its parent does, in one line; whatever else goes wrong is shown."""
    program = f"""
import threading
from pathlib import Path
from audit.training.executors import DataFiles, start_worker

def start(thread):
    raise RuntimeError({why!r})

threading.Thread.start = start
start_worker(DataFiles(*[Path("none")] * 4, input_shape=(1,)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (why in done.stderr) == says
    assert bool(done.stderr) == says
