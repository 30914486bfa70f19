"""What the scripts here print: the median and the spread of what was measured in n rounds."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

_WIDTH = 72

_RESTRICTIONS = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES", "XLA_FLAGS"),
)


def lift_restrictions() -> dict[str, str]:
    """Take out of the environment, for processes started from now on, what keeps a library from the
    kernels it picks itself, and so would slow one side alone; returns what was there."""
    return {name: os.environ.pop(name) for name in _RESTRICTIONS if name in os.environ}


def heading(text: str) -> None:
    print(f"\n{text:<{_WIDTH}}     median   [min, max]")


def line(name: str, values: Sequence[float]) -> None:
    """``name``, then the median of ``values`` (one per round), the smallest, the largest, n."""
    print(
        f"{name:<{_WIDTH}} {_short(statistics.median(values)):>10}   "
        f"[{_short(min(values))}, {_short(max(values))}]   n = {len(values)}",
        flush=True,
    )


def _short(value: float) -> str:
    """Three or four digits that count, without exponents where these can be avoided."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
