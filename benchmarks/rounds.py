"""What the scripts here print: the median and the spread of what was measured in n rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

_WIDTH = 72


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
