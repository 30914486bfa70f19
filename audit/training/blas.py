"""NumPy's BLAS in worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"


@contextmanager
def one_thread_in_workers() -> Iterator[None]:
    """Processes started inside multiply with one thread.

    There is a process per core, and sums split between threads would not be the same on each run.
    The variable is read when NumPy is imported, so it must be set before a worker starts.
    """
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before
