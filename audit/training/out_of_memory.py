"""Which errors mean that memory ran out, on a CPU and on a GPU."""

from __future__ import annotations

import torch

# PyTorch's allocator of ordinary memory has no error of its own; cuBLAS says in its own words that
# it could not allocate its workspace; a thread needs a stack.
_WORDS = (
    *("DefaultCPUAllocator", "ALLOC_FAILED", "std::bad_alloc", "Cannot allocate memory"),
    "can't start new thread",
)
# CPython's words where an extension gave up without saying why; NumPy's do so for want of memory.
_WITHOUT_REASON = ("without exception set", "without setting an exception")
MEMORY_ERRORS = (RuntimeError, MemoryError, OSError, SystemError)
"""Types that a lack of memory may have; :func:`ran_out_of_memory` tells which of them have it."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or one that it came from, says that memory could not be had.

    Where a CUDA graph was being captured, leaving the capture may raise another error over the one
    that ended it: so the whole chain is looked through.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, (torch.OutOfMemoryError, MemoryError)):
            return True
        if isinstance(seen, (RuntimeError, OSError)) and any(w in str(seen) for w in _WORDS):
            return True
        if isinstance(seen, SystemError) and any(w in str(seen) for w in _WITHOUT_REASON):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
