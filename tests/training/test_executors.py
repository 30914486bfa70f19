"""The local executor's end: at once, whatever its workers are about."""

from __future__ import annotations

import os
import struct
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from audit.training.executors import SpawnWorkers, stop_workers


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
