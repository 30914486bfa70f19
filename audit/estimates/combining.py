"""One p-value from those of models that may depend on each other, by a rule fixed beforehand."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def twice_the_mean(p_values: Float[np.ndarray, " models"]) -> float:
    """min(1, 2 · mean): a p-value under any dependence (Rüschendorf 1982; Vovk & Wang 2020,
    Proposition 2). NaN (a model that could not be tested) counts as 1."""
    if p_values.size == 0:
        return float("nan")
    return float(min(1.0, 2 * np.where(np.isnan(p_values), 1.0, p_values).mean()))


def average_e_value(p_values: Float[np.ndarray, " models"]) -> float:
    """min(1, 1 / mean e-value) with the e-values 1/(2√p) (Vovk & Wang 2021, §2 and Proposition 3.1,
    κ = ½): valid under any dependence; stronger than twice the mean where few models say much."""
    if p_values.size == 0:
        return float("nan")
    known = np.where(np.isnan(p_values), 1.0, p_values)
    e_values = 0.5 / np.sqrt(np.maximum(known, 1e-300))
    return float(min(1.0, 1 / e_values.mean()))
