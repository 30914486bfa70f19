"""How numbers of the public profile are rounded. PURE."""

from __future__ import annotations

import math
from typing import Any

from audit.report.words import Json, finite, plain_number

COUNTS = 5
"""Counts of a part of the data are multiples of this; totals (n, n_test) are exact."""
RATES = 3
"""Decimals of rates, in text and in ``results``."""
# Parameters of a claim or a test, and what follows from them alone: no estimates, never rounded.
_EXACT = frozenset({
    "epsilon", "delta", "noise_multiplier", "sample_rate", "clip_norm", "alpha", "fdr", "power",
    "claimed", "memorization_cap", "tradeoff_cap", "equivalence_margin", "certifiable",
})  # fmt: skip
_P_VALUES = frozenset({
    "p_value", "q_p_value", "smallest_p", "worst_p_adjusted", "p_value_at_equal_difficulty",
})  # fmt: skip
_P_DIGITS = 2
# Limits by another name: how far losses may differ at most.
_UPPER = frozenset({"equivalent_within", "smallest_detectable"})
_LIMITS = {"low": -1, "high": 1}


def count(n: int) -> int:
    """``n`` to the nearest multiple of 5; at least 10 stays at least 10."""
    return COUNTS * round(n / COUNTS)


def rate(x: Any, decimals: int = RATES) -> float | None:
    """``x`` with ``decimals``; None where it is undefined."""
    return round(float(x), decimals) if finite(x) else None


def significant(x: float, digits: int) -> float:
    """``x`` with so many significant digits."""
    return float(f"{x:.{digits}g}")


def outward(x: float, step: float, direction: int) -> float:
    """The multiple of ``step`` at or beyond ``x``: above it (1) or below (−1)."""
    multiple = math.ceil(x / step - 1e-9) if direction > 0 else math.floor(x / step + 1e-9)
    return round(multiple * step, 10)


def estimates(value: Any, decimals: int, key: str = "") -> Any:
    """A part of summary.json with all estimates rounded, p-values to two significant digits."""
    if isinstance(value, dict):
        shown = {k: estimates(v, decimals, k) for k, v in value.items()}
        # Where only a lower limit exists (a certified ε), it is the value too.
        if finite(value.get("value")) and value["value"] == value.get("low"):
            shown["value"] = shown["low"]
        return shown
    if isinstance(value, list):
        return [estimates(v, decimals, key) for v in value]
    if not isinstance(value, float) or key in _EXACT or not math.isfinite(value):
        return value
    if key in _P_VALUES:
        return significant(value, _P_DIGITS)
    if key in _UPPER:
        return outward(value, 10.0**-decimals, 1)
    if key in _LIMITS:
        # An interval that shrank would hold less often than it says.
        return outward(value, 10.0**-decimals, _LIMITS[key])
    return round(value, decimals)


def largest(estimate: Json, step: float) -> Json:
    """The largest memorization: the value of a single example, so to the nearest ``step``, and its
    limits outward."""
    value, low, high = (plain_number(estimate.get(key)) for key in ("value", "low", "high"))
    return {
        **estimate,
        "value": None if value is None else round(round(value / step) * step, 10),
        "low": None if low is None else outward(low, step, -1),
        "high": None if high is None else outward(high, step, 1),
    }
