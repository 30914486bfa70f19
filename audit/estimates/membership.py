"""Membership inference: how surely can be told which examples a model was trained on?

Attacks on model k that use the margins log(p_y / (1 − p_y)) of k and of all *other* models, of
which it is known who was trained on what (shadow models); what k was trained on is only used to
judge the guess. **A higher score means: more likely a member.** NaN: no score can be given.

- ``lira``: likelihood ratio of two Gaussians per example (Carlini et al. 2022, Algorithm 1).
- ``rmia`` (``audit.estimates.rmia``): pairwise ratios with a population.
- ``global_threshold``: the margin itself (Yeom et al. 2018, §3.3: low loss, so a member).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64

from audit.estimates.leave_one_out import Centre, Others, others

Variance = Literal["per-example", "fixed"]

FEWEST_FOR_OWN_VARIANCE = 64
"""Shadow models below which a variance per example is too noisy (Carlini et al. 2022, §VI)."""
LARGEST_MARGIN = 65504.0
"""Margins are cut here, at float16's largest number, as the run directory stores them."""
_BLOCK_CELLS = 2**20


def default_variance(n_models: int) -> Variance:
    """``fixed`` with fewer than 64 other models to learn from, else ``per-example``."""
    return "fixed" if n_models - 1 < FEWEST_FOR_OWN_VARIANCE else "per-example"


def lira(
    margin: Float[np.ndarray, "models n"],
    membership: Bool[np.ndarray, "models n"],
    *,
    online: bool = True,
    variance: Variance | None = None,
    centre: Centre = "mean",
) -> Float32[np.ndarray, "models n"]:
    """LiRA's score of every model and example, fitted on the other models.

    Online: log N(x; μ_in, σ_in²) − log N(x; μ_out, σ_out²), x the margin of the model attacked
    (Carlini et al. 2022, Algorithm 1). Offline, without models that saw the example: (x − μ_out) /
    σ_out, which orders as the paper's 1 − P[N(μ_out, σ_out²) > x] does (§V-C) and does not
    saturate. (The published code takes the two-sided −log N(x; μ_out, σ_out²) instead.)

    Args:
        margin: of model k on example i; NaN where undefined, ±∞ cut at ±65504.
        variance: ``per-example``, or ``fixed``: one σ, the standard deviation of all the other
            models' margins on examples they saw (offline: did not see), as in the published code.
            Scores of all examples then share it, so it hardly touches their order. None: by the
            number of models (:func:`default_variance`).
        centre: of the Gaussians: ``mean`` (the paper) or ``median`` (the published code).

    Returns:
        Higher for members. NaN where the margin is NaN, where no other model had the example in
        (online) or out, and with ``per-example`` where fewer than two had, or all of these agree to
        the last digit: no Gaussian has variance 0.
    """
    variance = default_variance(margin.shape[0]) if variance is None else variance
    scores = np.empty(margin.shape, dtype=np.float32)
    sigma = _common_deviation(margin, membership, online) if variance == "fixed" else None
    for block, x, inside, outside in _blocks(margin, membership):
        out = others(x, outside, centre)
        if online:
            found = _log_density(x, others(x, inside, centre), sigma) - _log_density(x, out, sigma)
        else:
            found = (x - out.centre) / (out.deviation if sigma is None else sigma)
        scores[:, block] = found
    return scores


def global_threshold(margin: Float[np.ndarray, "models n"]) -> Float32[np.ndarray, "models n"]:
    """The margin as a score: one threshold for all examples (Yeom et al. 2018, Adversary 2).

    Uses no other model. Ordered as the cross-entropy loss log(1 + e^−margin), turned over.
    """
    return np.clip(np.asarray(margin, dtype=np.float32), -LARGEST_MARGIN, LARGEST_MARGIN)


def _blocks(
    margin: Float[np.ndarray, "models n"], membership: Bool[np.ndarray, "models n"]
) -> Iterator[tuple[slice, Float64[np.ndarray, "models b"], np.ndarray, np.ndarray]]:
    """Blocks of examples in float64: cut margins, known cells with the example in, and out."""
    n_models, n = margin.shape
    size = max(1, _BLOCK_CELLS // n_models)
    for start in range(0, n, size):
        block = slice(start, min(start + size, n))
        x = np.clip(margin[:, block].astype(np.float64), -LARGEST_MARGIN, LARGEST_MARGIN)
        known = ~np.isnan(x)
        yield block, x, membership[:, block] & known, ~membership[:, block] & known


def _log_density(
    x: Float64[np.ndarray, "models b"],
    fit: Others,
    sigma: Float64[np.ndarray, "models 1"] | None,
) -> Float64[np.ndarray, "models b"]:
    """Log-density of N(centre, σ²) at ``x``, less the constant ½ log 2π."""
    deviation = fit.deviation if sigma is None else sigma
    return -0.5 * ((x - fit.centre) / deviation) ** 2 - np.log(deviation)


def _common_deviation(
    margin: Float[np.ndarray, "models n"], membership: Bool[np.ndarray, "models n"], online: bool
) -> Float64[np.ndarray, "models 1"]:
    """Standard deviation of all cells "in" (offline: "out") of the other models; NaN if zero."""
    sums = np.zeros((3, margin.shape[0]))
    for _, x, inside, outside in _blocks(margin, membership):
        side = inside if online else outside
        kept = np.where(side, x, 0.0)
        sums += [side.sum(axis=1), kept.sum(axis=1), (kept**2).sum(axis=1)]
    count, total, squares = sums.sum(axis=1, keepdims=True) - sums
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = squares / count - (total / count) ** 2
        enough = variance > 1e-12 * squares / count
        return np.where(enough, np.sqrt(np.where(enough, variance, 1.0)), np.nan)[:, None]
