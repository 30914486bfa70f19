"""Which kernels NumPy's BLAS uses in worker processes.

OpenBLAS picks kernels by a processor's model number, and falls back to AVX2 on models newer than
itself although they have AVX-512: products then run at half speed (benchmarks/RESULTS.md). The
choice is made when NumPy is first imported, so it can be made for workers only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLE = "OPENBLAS_CORETYPE"
# What OpenBLAS calls its AVX2 kernels, and its AVX-512 kernels.
_AVX2, _AVX512 = {"Haswell", "Zen"}, "SkylakeX"


def kernels_in_use() -> str | None:
    """The architecture that NumPy's OpenBLAS was loaded for; None if it is another BLAS."""
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library.get("internal_api") == "openblas" and "numpy" in library.get("filepath", ""):
            return library.get("architecture")
    return None


@contextmanager
def best_kernels_for_workers() -> Iterator[None]:
    """Processes started inside multiply with one thread, by AVX-512 kernels where there are any.

    A choice of kernels that the user made (``OPENBLAS_CORETYPE``) stands. One thread: there is a
    process per core, and sums split between threads would not be the same on each run.
    """
    import torch

    chosen = {"OPENBLAS_NUM_THREADS": "1"}
    if torch.backends.cpu.get_cpu_capability() == "AVX512" and kernels_in_use() in _AVX2:
        chosen[_VARIABLE] = os.environ.get(_VARIABLE, _AVX512)
    before = {name: os.environ.get(name) for name in chosen}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
