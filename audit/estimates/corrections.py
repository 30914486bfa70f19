"""Corrections for many hypotheses: Holm and max-t (family-wise error), Benjamini–Hochberg (FDR).

NaN marks a hypothesis that could not be tested; it stays NaN and does not count as a hypothesis.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64


def holm(p_values: Float[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
    """Holm-adjusted p-values over all tested entries, in the shape given (Holm 1979).

    Rejecting the entries ≤ α keeps the chance of any false rejection ≤ α, whatever the dependence.
    """
    flat, tested, order = _sorted(p_values)
    ranked = flat[tested][order]
    remaining = ranked.size - np.arange(ranked.size)
    return _unsort(np.maximum.accumulate(ranked * remaining), flat, tested, order, p_values.shape)


def benjamini_hochberg(
    p_values: Float[np.ndarray, "*shape"], *, hypotheses: int | None = None
) -> Float64[np.ndarray, "*shape"]:
    """BH q-values (Benjamini & Hochberg 1995), in the shape given.

    ``hypotheses``: size of the family when ``p_values`` holds only its smallest entries and all
    others count as p = 1; by default the number of entries that are not NaN.
    """
    flat, tested, order = _sorted(p_values)
    ranked = flat[tested][order]
    family = ranked.size if hypotheses is None else hypotheses
    scaled = ranked * family / np.arange(1, ranked.size + 1)
    q_values = np.minimum.accumulate(scaled[::-1])[::-1]
    return _unsort(q_values, flat, tested, order, p_values.shape)


def max_statistic_p_values(
    observed: Float[np.ndarray, " hypotheses"], null: Float64[np.ndarray, "draws hypotheses"]
) -> Float64[np.ndarray, " hypotheses"]:
    """Single-step max-t adjusted p-values by resampling (Westfall & Young 1993, §2.3).

    Each observed statistic (large = evidence) is held against the largest of every draw from the
    null: (1 + number of draws that reach it) / (1 + draws), never 0, valid for any number of draws
    (Phipson & Smyth 2010). One hypothesis gives the plain permutation p-value.
    """
    tested = ~np.isnan(observed)
    if not tested.any():
        return np.full(observed.shape, np.nan)
    largest = null[:, tested].max(axis=1)
    # Draws that equal the observed statistic may land one rounding below it.
    reached = largest >= (observed - 1e-9 * np.maximum(np.abs(observed), 1.0))[:, None]
    return np.where(tested, (1 + reached.sum(axis=1)) / (1 + largest.size), np.nan)


def _sorted(p_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat = np.asarray(p_values, dtype=np.float64).ravel()
    tested = np.flatnonzero(~np.isnan(flat))
    return flat, tested, np.argsort(flat[tested], kind="stable")


def _unsort(
    ranked: np.ndarray,
    flat: np.ndarray,
    tested: np.ndarray,
    order: np.ndarray,
    shape: tuple[int, ...],
) -> np.ndarray:
    adjusted = np.full(flat.shape, np.nan)
    adjusted[tested[order]] = np.minimum(ranked, 1.0)
    return adjusted.reshape(shape)
