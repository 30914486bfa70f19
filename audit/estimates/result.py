"""The one shape of a reported number."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval and the count it rests on.

    Undefined values are NaN with their ``n``, never 0. ``n`` counts the independent units behind
    the number (models where the number is averaged over examples, test examples elsewhere; the
    function that returns it says which).
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Plain JSON: NaN and infinities become null, which JSON has and NaN it has not."""
        return {
            "value": to_json_number(self.value),
            "low": to_json_number(self.low),
            "high": to_json_number(self.high),
            "n": self.n,
        }


def to_json_number(value: float) -> float | None:
    """``value`` for JSON, which has neither NaN nor infinities: those become null."""
    return float(value) if math.isfinite(value) else None
