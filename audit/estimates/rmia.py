"""RMIA: is the example likelier under this model than population examples are?

Zarifzadeh, Liu & Shokri 2024, "Low-cost high-power membership inference attacks", §3. The score is
the share of population examples z with

    [p(x | model) / p(x)] / [p(z | model) / p(z)] > γ,

p(· | model) the probability of the true label. Higher means more likely a member.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64
from scipy.special import expit

GAMMA = 1.0
"""As in the authors' program; the paper finds the attack insensitive to it."""
OFFLINE_A = 0.3
"""p_in ≈ a · p_out + 1 − a, for what no model has seen: the default of the authors' program."""


def rmia(
    margin: Float[np.ndarray, "models n"],
    membership: Bool[np.ndarray, "models n"],
    population_margin: Float[np.ndarray, "models n_population"],
    *,
    online: bool = True,
    gamma: float = GAMMA,
    offline_a: float = OFFLINE_A,
) -> Float32[np.ndarray, "models n"]:
    """RMIA's score of every model and example; p(x) and p(z) from the other models.

    Online: p(x) = ½ (p̄_in + p̄_out), means over the other models with x in and out. Offline:
    p(x) = ½ ((1 + a) p̄_out + 1 − a). Population examples are in no model, so p(z) has the offline
    form in both (ibid., §3.2).

    Args:
        population_margin: of the same models on examples that none of them was trained on.

    Returns:
        Shares of the population from 0 to 1, many of them tied. NaN where the margin is NaN, where
        no other model had the example in (online) or out, and for a model without a population
        example that has a ratio.
    """
    models = margin.shape[0]
    scores = np.full(margin.shape, np.nan, dtype=np.float32)
    p_in, p_out, p_z = (
        _Sums.of(margin, membership),
        _Sums.of(margin, ~membership),
        _Sums.of(population_margin, np.ones(population_margin.shape, dtype=bool)),
    )
    for k in range(models):
        p, inside = expit(margin[k].astype(np.float64)), membership[k]
        without = p_out.without(p, ~inside)
        evidence = (
            (p_in.without(p, inside) + without) / 2 if online else _offline(without, offline_a)
        )
        z = expit(population_margin[k].astype(np.float64))
        everywhere = np.ones(z.shape, dtype=bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio_z = z / _offline(p_z.without(z, everywhere), offline_a)
            ratio_x = p / evidence
        known = np.sort(ratio_z[~np.isnan(ratio_z)])
        if known.size:
            beaten = np.searchsorted(known, ratio_x / gamma, side="left")
            scores[k] = np.where(np.isnan(ratio_x), np.nan, beaten / known.size)
    return scores


class _Sums:
    """Sum and count of true-label probabilities per example, to leave one model out of."""

    def __init__(self, total: Float64[np.ndarray, " n"], count: Float64[np.ndarray, " n"]) -> None:
        self._total, self._count = total, count

    @classmethod
    def of(
        cls, margin: Float[np.ndarray, "models n"], chosen: Bool[np.ndarray, "models n"]
    ) -> _Sums:
        total, count = np.zeros(margin.shape[1]), np.zeros(margin.shape[1])
        for row, cells in zip(margin, chosen, strict=True):
            p = expit(row.astype(np.float64))
            kept = cells & ~np.isnan(p)
            total += np.where(kept, p, 0.0)
            count += kept
        return cls(total, count)

    def without(
        self, p: Float64[np.ndarray, " n"], chosen: Bool[np.ndarray, " n"]
    ) -> Float64[np.ndarray, " n"]:
        """Mean without one model, whose probabilities are ``p``; NaN where nobody is left."""
        own = chosen & ~np.isnan(p)
        with np.errstate(invalid="ignore", divide="ignore"):
            left = self._count - own
            return np.where(left > 0, (self._total - np.where(own, p, 0.0)) / left, np.nan)


def _offline(p_out: Float64[np.ndarray, " n"], a: float) -> Float64[np.ndarray, " n"]:
    return ((1 + a) * p_out + 1 - a) / 2
