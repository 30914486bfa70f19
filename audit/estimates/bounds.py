"""What (ε, δ) and the whole privacy curve allow p_in to be, given p_out (method §4).

Each bound is a concave, non-decreasing function of p_out, so it also holds for averages over
training sets (Jensen). The same function bounds p_out given p_in: the guarantee is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float64

from audit.errors import BadInput


# Compared by identity, as a key of what was computed for it: two of the same numbers are only
# computed for twice.
@dataclass(frozen=True, eq=False)
class Bound:
    """A concave piecewise linear upper bound on one probability given the other.

    ``at``: knots on [0, 1], increasing from 0 to 1; ``value``: the bound there. Between knots the
    bound is linear, exactly.
    """

    at: Float64[np.ndarray, " knots"]
    value: Float64[np.ndarray, " knots"]

    def __call__(self, p: Float[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """The largest allowed probability given ``p``; NaN where ``p`` is NaN."""
        return np.asarray(np.interp(p, self.at, self.value), dtype=np.float64)

    def lower(self, p: Float[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """The smallest allowed probability given ``p``: the bound on the complementary outcome."""
        return 1 - self(1 - np.asarray(p, dtype=np.float64))

    def cap(self) -> float:
        """The largest difference p_in − p_out that any example can have; attained at a knot."""
        return float((self.value - self.at).max())


@lru_cache(maxsize=256)
def line_bound(epsilon: float, delta: float) -> Bound:
    """One direction of one outcome alone: p_in ≤ min(1, e^ε p_out + δ)."""
    return _envelope(*_lines(np.array([epsilon]), np.array([delta]), both_outcomes=False))


@lru_cache(maxsize=256)
def dp_bound(epsilon: float, delta: float) -> Bound:
    """Both outcomes: p_in ≤ min(e^ε p_out + δ, 1 − e^{−ε}(1 − δ − p_out)).

    The trade-off function of (ε, δ)-DP (Wasserman & Zhou 2010; Dong, Roth & Su 2022, Prop. 2.5).
    """
    return _envelope(*_lines(np.array([epsilon]), np.array([delta]), both_outcomes=True))


def curve_bound(
    curve_epsilon: Float[np.ndarray, " points"], curve_delta: Float[np.ndarray, " points"]
) -> Bound:
    """The trade-off bound: min over ε' of e^{ε'} p_out + δ(ε'), over the points of the curve.

    ε' runs over ``curve_epsilon`` (≥ 0) and its negatives, with δ(−ε') = 1 − e^{−ε'}(1 − δ(ε'))
    (Dong, Roth & Su 2022, Prop. 2.12). Every point is a guarantee by itself, so a coarse grid
    gives a valid, looser bound.

    Raises:
        BadInput: the curve is empty, unequal in length, has ε' < 0, or δ outside [0, 1].
    """
    if curve_epsilon.size == 0 or curve_epsilon.shape != curve_delta.shape:
        raise BadInput(
            "privacy curve",
            (curve_epsilon.shape, curve_delta.shape),
            "needs as many δ as ε, at least one",
            "Pass the curve of the accountant.",
        )
    return _envelope(*_lines(curve_epsilon, curve_delta, both_outcomes=True))


def in_probability_bound(
    p_out: Float[np.ndarray, "*shape"], epsilon: float, delta: float
) -> Float64[np.ndarray, "*shape"]:
    """Largest p_in that (ε, δ) allows at ``p_out``; NaN stays NaN."""
    return dp_bound(epsilon, delta)(p_out)


def memorization_cap(epsilon: float, delta: float) -> float:
    """Largest mem that (ε, δ) allows any example: (e^ε − 1 + 2δ)/(e^ε + 1), at most 1."""
    # Written with tanh, which neither overflows at large ε nor cancels at small ε.
    half = np.tanh(epsilon / 2)
    return float(min(1.0, half + delta * (1 - half)))


def tradeoff_bound(
    p_out: Float[np.ndarray, "*shape"],
    curve_epsilon: Float[np.ndarray, " points"],
    curve_delta: Float[np.ndarray, " points"],
) -> Float64[np.ndarray, "*shape"]:
    """Largest p_in that the whole privacy curve allows at ``p_out``; NaN stays NaN."""
    return curve_bound(curve_epsilon, curve_delta)(p_out)


def tradeoff_cap(
    curve_epsilon: Float[np.ndarray, " points"], curve_delta: Float[np.ndarray, " points"]
) -> float:
    """Largest mem that the whole privacy curve allows any example."""
    return curve_bound(curve_epsilon, curve_delta).cap()


def is_informative(p_out: Float[np.ndarray, "*shape"], bound: Bound) -> Bool[np.ndarray, "*shape"]:
    """Whether the bound at ``p_out`` excludes anything (is below 1); False where p_out is NaN."""
    return np.asarray(bound(p_out) < 1)


def _lines(
    epsilon: Float[np.ndarray, " points"],
    delta: Float[np.ndarray, " points"],
    *,
    both_outcomes: bool,
) -> tuple[Float64[np.ndarray, " lines"], Float64[np.ndarray, " lines"]]:
    """Slopes and intercepts of the lines whose minimum is the bound."""
    for name, wrong, rule in (
        ("epsilon", ~((epsilon >= 0) & np.isfinite(epsilon)), "must be a finite number ≥ 0"),
        ("delta", ~((delta >= 0) & (delta <= 1)), "must lie in [0, 1]"),
    ):
        if wrong.any():
            array = epsilon if name == "epsilon" else delta
            raise BadInput(name, float(array[wrong][0]), rule, "Give the guarantee per model.")
    slope, intercept = np.exp(np.minimum(epsilon, 700.0)), delta
    if both_outcomes:
        slope = np.concatenate([slope, 1 / slope])
        intercept = np.concatenate([intercept, 1 - (1 - delta) / np.exp(np.minimum(epsilon, 700))])
    return (
        np.append(slope, 0.0).astype(np.float64),
        np.append(intercept, 1.0).astype(np.float64),
    )


def _envelope(
    slope: Float64[np.ndarray, " lines"], intercept: Float64[np.ndarray, " lines"]
) -> Bound:
    """Exact lower envelope on [0, 1] of lines that include the constant 1.

    Sorted by falling slope, the lines of a minimum take over from left to right; a line whose
    take-over point lies left of its predecessor's never holds the minimum.
    """
    order = np.lexsort((intercept, -slope))
    kept: list[tuple[float, float, float]] = []
    for s, c in zip(slope[order], intercept[order], strict=True):
        if kept and kept[-1][1] == s:
            continue
        start = 0.0
        while kept:
            start = (c - kept[-1][2]) / (kept[-1][1] - s)
            if start > kept[-1][0]:
                break
            kept.pop()
            start = 0.0
        if start < 1:
            kept.append((start, float(s), float(c)))
    at = np.array([start for start, _, _ in kept] + [1.0])
    value = np.array([s * q + c for q, s, c in kept] + [kept[-1][1] + kept[-1][2]])
    return Bound(at, np.minimum(value, 1.0))
