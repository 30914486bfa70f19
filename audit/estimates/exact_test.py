"""Exact test of "success probability 1 is at most a concave bound of success probability 2".

Two independent binomials, x₁ of n₁ with probability q₁ and x₂ of n₂ with probability q₂; the null
is q₁ ≤ g(q₂) for a concave, non-decreasing g (a :class:`~audit.estimates.bounds.Bound`). Evidence
against it is a large x₁ with a small x₂. Two p-values, both valid for every (q₁, q₂) of the null;
docs/method-exact-test.md has the proofs:

- Fisher's form: with S = sup over the boundary of P[X₁ ≥ x₁]·P[X₂ ≤ x₂], p = S(1 − ln S).
- The exact unconditional form: S only orders the tables, p = sup over the boundary of
  P[S(X₁, X₂) ≤ S observed] (Boschloo 1970; Röhmel & Mansmann 1999). S ≤ p ≤ Fisher's form.

Every supremum is bounded from above, so rounding can only make the test more cautious.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from scipy import special

from audit.estimates.bounds import Bound

LARGEST_EXACT = 1000
"""Models per example up to which the exact unconditional form decides; Fisher's form above."""

_STEPS = 22
"""Bisections of the boundary; the tangents then leave an error of ln S below 1e-6."""
_UNDERFLOW = float(np.log(np.finfo(np.float64).tiny))
_CELLS = 64
_TOLERANCE = 0.01
"""An exact size is bounded from above to within 1 %."""
_ROUNDS = 30


def log_order(
    x_1: Int64[np.ndarray, " tables"],
    n_1: Int64[np.ndarray, " tables"],
    x_2: Int64[np.ndarray, " tables"],
    n_2: Int64[np.ndarray, " tables"],
    bound: Bound,
) -> Float64[np.ndarray, " tables"]:
    """ln S of each table: ln of the largest product of the two tails over the null's boundary.

    Smaller is stronger evidence. 0 (S = 1) where the observed rates obey the bound; NaN where a
    side has no models. The logarithm of the product is concave along the boundary, so bisecting the
    sign of its slope encloses the maximum; the value returned is an upper bound from the last
    enclosure.
    """
    order = np.zeros(x_1.shape)
    empty = (n_1 == 0) | (n_2 == 0)
    order[empty] = np.nan
    with np.errstate(invalid="ignore"):
        obeys = x_1 / n_1 <= bound(x_2 / n_2)
    test = np.flatnonzero(~empty & ~obeys & (x_1 > 0) & (x_2 < n_2))
    if test.size:
        order[test] = _Tails(x_1[test], n_1[test], x_2[test], n_2[test], bound).log_supremum()
    return order


def fisher_p(log_s: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Fisher's combination of two p-values with product S = exp(``log_s``): S(1 − ln S)."""
    return np.asarray(np.exp(log_s) * (1 - log_s), dtype=np.float64)


def staircase(
    log_s: float, columns: Int64[np.ndarray, " columns"], n_1: int, n_2: int, bound: Bound
) -> Int64[np.ndarray, " columns"]:
    """For each x₂ in ``columns``, the smallest x₁ whose table is at least as extreme as ``log_s``.

    n₁ + 1 where there is none. S falls with x₁, so bisection finds it.
    """
    low = np.zeros(columns.shape, dtype=np.int64)
    high = np.full(columns.shape, n_1 + 1, dtype=np.int64)
    ones = np.ones(columns.shape, dtype=np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        extreme = log_order(np.minimum(middle, n_1), ones * n_1, columns, ones * n_2, bound)
        extreme = (extreme <= log_s) & (middle <= n_1)
        high = np.where(extreme, middle, high)
        low = np.where(extreme, low, np.minimum(middle + 1, high))
    return high


def exact_p(log_s: float, n_1: int, n_2: int, bound: Bound) -> float:
    """Exact size of the tables at least as extreme as ``log_s``, at most 1 % too large."""
    if log_s >= 0:
        return 1.0
    columns = np.arange(last_column(n_2, bound) + 1)
    first = staircase(log_s, columns, n_1, n_2, bound)
    return size(first, n_1, n_2, bound)


def last_column(n_2: int, bound: Bound) -> int:
    """Largest x₂ that can be evidence against the null at all: the bound at x₂/n₂ is below 1."""
    columns = np.arange(n_2 + 1)
    return int(np.flatnonzero(bound(columns / n_2) < 1).max(initial=0))


def size(first: Int64[np.ndarray, " columns"], n_1: int, n_2: int, bound: Bound) -> float:
    """Largest probability, over the null, of the region {x₁ ≥ first[x₂]}, x₂ = 0, 1, ….

    The region grows with x₁ and shrinks with x₂ (``first`` does not decrease), so its probability
    rises with q₁ and falls with q₂: the supremum lies on the boundary, and on a cell [a, b] of it
    P(g(b), a) is an upper bound. Cells whose bound exceeds the largest value seen are split until
    1 % is left.
    """
    kept = np.flatnonzero(first <= n_1)
    if kept.size == 0:
        return 0.0
    region = _Region(kept, first[kept], n_1, n_2)
    ceiling = float(bound.at[np.argmax(bound.value >= 1)])
    edges = np.unique(np.concatenate([np.linspace(0, ceiling, _CELLS + 1), bound.at[:-1]]))
    edges = edges[edges <= ceiling]
    left, right = edges[:-1], edges[1:]
    # Beyond the ceiling q₁ may be 1, and the probability falls with q₂.
    seen = float(region.probability(np.array([1.0]), np.array([ceiling]))[0])
    settled = seen
    for _ in range(_ROUNDS):
        if left.size == 0:
            break
        upper = region.probability(bound(right), left)
        seen = max(seen, float(region.probability(bound(right), right).max()))
        open_cells = upper > seen * (1 + _TOLERANCE)
        settled = max(settled, float(upper[~open_cells].max(initial=0.0)))
        left, right = _quartered(left[open_cells], right[open_cells])
    else:
        settled = max(settled, float(region.probability(bound(right), left).max(initial=0.0)))
    return min(1.0, max(seen, settled))


class _Tails:
    """ln P[X₁ ≥ x₁] + ln P[X₂ ≤ x₂] along the boundary, with its slope; one entry per table."""

    def __init__(
        self, x_1: np.ndarray, n_1: np.ndarray, x_2: np.ndarray, n_2: np.ndarray, bound: Bound
    ) -> None:
        self.at, self.value = bound.at, bound.value
        self.slopes = np.append(np.diff(bound.value) / np.diff(bound.at), 0.0)
        self.a_1, self.b_1 = x_1.astype(np.float64), (n_1 - x_1 + 1).astype(np.float64)
        self.a_2, self.b_2 = (x_2 + 1).astype(np.float64), (n_2 - x_2).astype(np.float64)
        self.norm_1 = special.betaln(self.a_1, self.b_1)
        self.norm_2 = special.betaln(self.a_2, self.b_2)

    def log_supremum(self) -> Float64[np.ndarray, " tables"]:
        low = np.zeros(self.a_1.shape)
        # Where the bound has reached 1 the first tail is 1 and the second falls: nothing to gain.
        high = np.full(self.a_1.shape, self.at[np.argmax(self.value >= 1)])
        # A tail may underflow to 0, its logarithm to −∞; slope() says which way leads out.
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            for _ in range(_STEPS):
                middle = (low + high) / 2
                rising = self.slope(middle, *self.log_tails(middle)) > 0
                low, high = np.where(rising, middle, low), np.where(rising, high, middle)
            at_low, at_high, width = self.log_tails(low), self.log_tails(high), high - low
            corner = at_high[0] + at_low[1]
            tangent_low = at_low[0] + at_low[1] + self.slope(low, *at_low) * width
            tangent_high = at_high[0] + at_high[1] - self.slope(high, *at_high) * width
        upper = np.fmin(np.fmin(corner, tangent_low), tangent_high)
        # A product below the smallest float is reported as that float: an upper bound still.
        return np.clip(upper, _UNDERFLOW, 0.0)

    def log_tails(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q_1 = np.interp(q, self.at, self.value)
        return (
            np.log(special.betainc(self.a_1, self.b_1, q_1)),
            np.log(special.betaincc(self.a_2, self.b_2, q)),
        )

    def slope(self, q: np.ndarray, log_tail_1: np.ndarray, log_tail_2: np.ndarray) -> np.ndarray:
        """Supergradient in q. +∞ where tail 1 has underflowed, else −∞ where tail 2 has."""
        q_1 = np.interp(q, self.at, self.value)
        density_1 = special.xlogy(self.a_1 - 1, q_1) + special.xlog1py(self.b_1 - 1, -q_1)
        density_2 = special.xlogy(self.a_2 - 1, q) + special.xlog1py(self.b_2 - 1, -q)
        rise = self.slopes[np.searchsorted(self.at, q, side="right") - 1]
        rise = rise * np.exp(density_1 - self.norm_1 - log_tail_1)
        slope = rise - np.exp(density_2 - self.norm_2 - log_tail_2)
        slope = np.where(log_tail_2 == -np.inf, -np.inf, slope)
        return np.where(log_tail_1 == -np.inf, np.inf, slope)


class _Region:
    """Probability of {x₁ ≥ first[j] and x₂ = columns[j] for some j} under (q₁, q₂)."""

    def __init__(self, columns: np.ndarray, first: np.ndarray, n_1: int, n_2: int) -> None:
        self.columns, self.n_2 = columns.astype(np.float64), n_2
        steps, self.step_of_column = np.unique(first, return_inverse=True)
        self.a, self.b = np.maximum(steps, 1.0), n_1 - np.maximum(steps, 1.0) + 1.0
        self.certain = steps == 0
        self.choose = -special.betaln(columns + 1.0, n_2 - columns + 1.0) - np.log(n_2 + 1.0)

    def probability(
        self, q_1: Float64[np.ndarray, " points"], q_2: Float64[np.ndarray, " points"]
    ) -> Float64[np.ndarray, " points"]:
        tails = np.where(self.certain, 1.0, special.betainc(self.a, self.b, q_1[:, None]))
        mass = np.exp(
            self.choose
            + special.xlogy(self.columns, q_2[:, None])
            + special.xlog1py(self.n_2 - self.columns, -q_2[:, None])
        )
        return (mass * tails[:, self.step_of_column]).sum(axis=1)


def _quartered(
    left: Float64[np.ndarray, " cells"], right: Float64[np.ndarray, " cells"]
) -> tuple[Float64[np.ndarray, " parts"], Float64[np.ndarray, " parts"]]:
    edges = np.linspace(left, right, 5)
    return edges[:-1].ravel(), edges[1:].ravel()
