"""Confidence intervals used in more than one place: Wilson, Newcombe, Student.

Every function is vectorised and returns NaN where the quantity is undefined (no trials, fewer than
two units), never 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int
from scipy import stats


def wilson(
    successes: Int[np.ndarray, "*shape"],
    trials: Int[np.ndarray, "*shape"],
    *,
    confidence: float = 0.95,
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Wilson's score limits for a proportion (Wilson 1927); NaN where there are no trials."""
    z2 = _normal_quantile(confidence) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = successes / trials
        centre = (successes + z2 / 2) / (trials + z2)
        half = np.sqrt(z2 * (share * (1 - share) + z2 / (4 * trials)) / trials)
        half = half / (1 + z2 / trials)
    # At 0 and n successes the limit is 0 or 1; rounding would leave it 1e-17 outside.
    low = np.where(successes == 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(successes == trials, 1.0, np.clip(centre + half, 0, 1))
    undefined = np.asarray(trials) == 0
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def newcombe(
    successes_1: Int[np.ndarray, "*shape"],
    trials_1: Int[np.ndarray, "*shape"],
    successes_2: Int[np.ndarray, "*shape"],
    trials_2: Int[np.ndarray, "*shape"],
    *,
    confidence: float = 0.95,
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """Hybrid score limits for the difference p₁ − p₂ of independent proportions.

    Newcombe 1998, "Interval estimation for the difference between independent proportions",
    method 10. NaN where either side has no trials.
    """
    low_1, high_1 = wilson(successes_1, trials_1, confidence=confidence)
    low_2, high_2 = wilson(successes_2, trials_2, confidence=confidence)
    with np.errstate(invalid="ignore", divide="ignore"):
        p_1, p_2 = successes_1 / trials_1, successes_2 / trials_2
        low = p_1 - p_2 - np.sqrt((p_1 - low_1) ** 2 + (high_2 - p_2) ** 2)
        high = p_1 - p_2 + np.sqrt((high_1 - p_1) ** 2 + (p_2 - low_2) ** 2)
    return low, high


def student(
    value: Float[np.ndarray, "*shape"],
    standard_error: Float[np.ndarray, "*shape"],
    degrees: Float[np.ndarray, "*shape"],
    *,
    confidence: float = 0.95,
) -> tuple[Float64[np.ndarray, "*shape"], Float64[np.ndarray, "*shape"]]:
    """``value ± t · standard_error`` with ``degrees`` of freedom; NaN where these are undefined."""
    defined = np.isfinite(degrees) & (degrees > 0) & np.isfinite(standard_error)
    t = stats.t.ppf((1 + confidence) / 2, np.where(defined, degrees, 1.0))
    half = np.where(defined, t * np.where(defined, standard_error, np.nan), np.nan)
    return np.asarray(value - half, dtype=np.float64), np.asarray(value + half, dtype=np.float64)


def unanimous_error(
    units: Int[np.ndarray, "*shape"], *, confidence: float = 0.95
) -> Float64[np.ndarray, "*shape"]:
    """Largest share of deviating cells that ``units`` unanimous independent cells do not exclude.

    An interval of width 0 is never honest: if a share w of all cells deviated, ``units``
    independent ones would all agree with probability (1 − w)^units. The value is Wilson's upper
    limit for 0 of ``units``.
    """
    return wilson(np.zeros_like(units), units, confidence=confidence)[1]


def _normal_quantile(confidence: float) -> float:
    return float(stats.norm.ppf((1 + confidence) / 2))
