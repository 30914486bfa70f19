"""Does an outcome change with a subgroup's frequency? Random-effects meta-regression (method §7).

Each subgroup contributes an outcome y_g with a standard error s_g that must not move with y_g
(``pooled_error`` of the subgroup functions: with errors from each group's own few, skewed examples
the trend was *shown* in 61 % of data sets with permuted labels, with pooled ones in 6 %):

    y_g = β₀ + β₁ log₂(frequency_g) [+ β₂ difficulty_g] + u_g + e_g,   Var u = τ², Var e_g = s_g².

τ² by Paule & Mandel (1982): the value at which the weighted residual sum of squares equals its
degrees of freedom. It is the root of a falling function (no local maxima and no starting value, as
restricted likelihood has) and assumes no distribution; Veroniki et al. 2016, §5, recommend both.
Intervals by Knapp & Hartung (2003): the covariance is scaled by the weighted residual mean square
and compared with Student's t. Least squares and Spearman give 7–12 % false alarms at 5 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import optimize, stats

from audit.errors import BadInput
from audit.estimates.intervals import student
from audit.estimates.result import Estimate

METHOD = "random-effects meta-regression, Knapp–Hartung"
FEWEST_FOR_A_VERDICT = 8
FEWEST_FOR_DIFFICULTY = 12

Verdict = Literal["shown", "equivalent", "inconclusive", "too_few_groups"]


@dataclass(frozen=True)
class Trend:
    """Change of the outcome per doubling of the training frequency; ``n`` counts subgroups.

    ``difficulty_slope`` is None unless a difficulty was given and there are 12 groups or more; then
    ``slope`` is the change at equal difficulty. ``n_groups`` of the ``n_given`` subgroups enter;
    the others have no outcome, no error or no training example. ``level``: the outcome (at
    difficulty 0) where log₂ of the training count is ``centre``, its weighted mean: there the
    errors of slope and level are uncorrelated. ``tau``: spread beyond noise and trend.
    """

    slope: Estimate
    p_value: float
    tau: float
    level: Estimate
    centre: float
    difficulty_slope: Estimate | None
    n_groups: int
    n_given: int
    verdict: Verdict
    method: str = METHOD


def trend(
    outcome: Float[np.ndarray, " groups"],
    standard_error: Float[np.ndarray, " groups"],
    n_train: Int[np.ndarray, " groups"],
    *,
    difficulty: Float[np.ndarray, " groups"] | None = None,
    margin: float | None = None,
    alpha: float = 0.05,
) -> Trend:
    """Slope of ``outcome`` against log₂ of the training count, interval, p-value and verdict.

    Verdicts: *shown* (p ≤ α); *equivalent* (two one-sided tests at α put the slope within ±
    ``margin`` per doubling; never without a margin); else *inconclusive*. Under 8 groups
    *too_few_groups*: the slope and its interval stand, without a verdict.

    Raises:
        BadInput: a standard error of 0 or below (an outcome known exactly does not exist).
    """
    if (standard_error <= 0).any():
        raise BadInput(
            "standard_error",
            float(standard_error[standard_error <= 0][0]),
            "must be positive",
            "Use the errors of the subgroup functions, which are never 0.",
        )
    used = np.isfinite(outcome) & np.isfinite(standard_error) & (n_train > 0)
    if difficulty is not None:
        used &= np.isfinite(difficulty)
    n = int(used.sum())
    columns = [np.ones(n), np.log2(n_train[used].astype(np.float64))]
    if difficulty is not None and n >= FEWEST_FOR_DIFFICULTY:
        columns.append(difficulty[used].astype(np.float64))
    design = np.stack(columns, axis=1)
    degrees = float(n - design.shape[1])
    if degrees < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        nothing = Estimate(np.nan, np.nan, np.nan, n)
        few: Verdict = "too_few_groups"
        return Trend(nothing, np.nan, np.nan, nothing, np.nan, None, n, outcome.size, few)
    variance = standard_error[used] ** 2
    weight = 1 / (variance + paule_mandel(outcome[used], variance, design))
    centre = float(np.average(design[:, 1], weights=weight))
    design[:, 1] -= centre
    beta, errors, tau = meta_regression(outcome[used], variance, design)
    low, high = student(beta, errors, np.full(beta.size, degrees), confidence=1 - alpha)
    estimates = [
        Estimate(float(b), float(lo), float(hi), n)
        for b, lo, hi in zip(beta, low, high, strict=True)
    ]
    p_value = float(2 * stats.t.sf(abs(beta[1]) / errors[1], degrees))
    flat = margin is not None and within_margin(beta[1], errors[1], degrees, margin, alpha)
    level, slope, *rest = estimates
    verdict = _verdict(n, p_value <= alpha, flat)
    second = rest[0] if rest else None
    return Trend(slope, p_value, tau, level, centre, second, n, outcome.size, verdict)


def _verdict(n_groups: int, shown: bool, flat: bool) -> Verdict:
    if n_groups < FEWEST_FOR_A_VERDICT:
        return "too_few_groups"
    if shown:
        return "shown"
    return "equivalent" if flat else "inconclusive"


def meta_regression(
    outcome: Float[np.ndarray, " groups"],
    variance: Float[np.ndarray, " groups"],
    design: Float64[np.ndarray, "groups coefficients"],
) -> tuple[Float64[np.ndarray, " coefficients"], Float64[np.ndarray, " coefficients"], float]:
    """Coefficients, their Knapp–Hartung standard errors, and τ.

    Needs more groups than coefficients and a design of full rank.
    """
    tau_squared = paule_mandel(outcome, variance, design)
    beta, covariance, residual = _weighted_fit(outcome, variance + tau_squared, design)
    scale = residual / (design.shape[0] - design.shape[1])
    if scale < 1e-12:
        # Outcomes on one line to the last digit (all losses 0, say) are no proof of no noise: the
        # groups' own errors stand.
        scale = 1.0
    return beta, np.sqrt(scale * np.diag(covariance)), float(np.sqrt(tau_squared))


def paule_mandel(
    outcome: Float[np.ndarray, " groups"],
    variance: Float[np.ndarray, " groups"],
    design: Float64[np.ndarray, "groups coefficients"],
) -> float:
    """τ²: where the weighted residual sum of squares equals its degrees of freedom, at least 0."""
    degrees = design.shape[0] - design.shape[1]

    def excess(tau_squared: float) -> float:
        return _weighted_fit(outcome, variance + tau_squared, design)[2] - degrees

    if excess(0.0) <= 0:
        return 0.0
    high = float(variance.mean())
    while excess(high) > 0:
        high *= 2
    return float(optimize.root_scalar(excess, bracket=(0.0, high), xtol=1e-12 * high).root)


def within_margin(
    value: float, standard_error: float, degrees: float, margin: float, alpha: float
) -> bool:
    """Two one-sided tests at ``alpha``: the 1 − 2α interval lies within ± ``margin``."""
    half = float(stats.t.ppf(1 - alpha, degrees)) * standard_error
    return bool(abs(value) + half < margin)


def _weighted_fit(
    outcome: Float[np.ndarray, " groups"],
    variance: Float[np.ndarray, " groups"],
    design: Float64[np.ndarray, "groups coefficients"],
) -> tuple[
    Float64[np.ndarray, " coefficients"],
    Float64[np.ndarray, "coefficients coefficients"],
    float,
]:
    """Weighted least squares: coefficients, (XᵀWX)⁻¹ and the weighted residual sum of squares."""
    weighted = design.T / variance
    covariance = np.linalg.inv(weighted @ design)
    beta = covariance @ weighted @ outcome
    return beta, covariance, float(((outcome - design @ beta) ** 2 / variance).sum())
