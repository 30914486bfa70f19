"""From scores to guesses: which coins a guesser is surest about, and how many he gets right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

# A canary's own variance is mixed with the average one as if that had been seen this often more:
# few models would else give some canaries a variance near zero.
_PRIOR_DEGREES = 4.0
_FEWEST = 2
# Numbers worked on at once, per temporary array.
_BLOCK_NUMBERS = 4_000_000


def most_confident(
    log_odds: Float[np.ndarray, "models coins"], guesses: int
) -> Int64[np.ndarray, " guesses"]:
    """Flat indices of the ``guesses`` coins with the largest |log-odds|; the first of equals.

    NaN is never guessed about: fewer come back where fewer are known.
    """
    confidence = np.abs(log_odds.ravel())
    confidence = np.where(np.isnan(confidence), -np.inf, confidence)
    known = int((confidence > -np.inf).sum())
    guesses = min(guesses, known)
    if guesses <= 0:
        return np.empty(0, dtype=np.int64)
    least = np.partition(confidence, confidence.size - guesses)[confidence.size - guesses]
    above = np.flatnonzero(confidence > least)
    equal = np.flatnonzero(confidence == least)[: guesses - above.size]
    return np.concatenate([above, equal])


def correct_guesses(
    log_odds: Float[np.ndarray, "models coins"],
    coins: Bool[np.ndarray, "models coins"],
    chosen: Int64[np.ndarray, " guesses"],
) -> int:
    """How many of the ``chosen`` are right if "in" is said where log-odds are positive."""
    said = log_odds.ravel()[chosen] > 0
    return int((said == coins.ravel()[chosen]).sum())


def fitted_log_odds(
    statistic: Float[np.ndarray, "fitted canaries"],
    coins: Bool[np.ndarray, "fitted canaries"],
    target: Float[np.ndarray, "models canaries"],
    *,
    p: float,
) -> Float32[np.ndarray, "models canaries"]:
    """Log-odds of "in" for ``target`` by Gaussians fitted on *other* models (LiRA with one variance
    for in and out: Carlini et al. 2022, §V).

    Mean in, mean out and variance per canary from ``statistic``; NaN where a canary was in or out
    of fewer than two of these models, or where all of them say the same.
    """
    n = statistic.shape[1]
    width = max(1, _BLOCK_NUMBERS // max(1, len(statistic)))
    blocks = [slice(first, min(first + width, n)) for first in range(0, n, width)]
    fits = [_moments(statistic[:, block], coins[:, block]) for block in blocks]
    mean_in, mean_out, squares, degrees = (np.concatenate(part) for part in zip(*fits, strict=True))
    usable = degrees > 0
    total = degrees[usable].sum()
    average = squares[usable].sum() / total if total else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares + _PRIOR_DEGREES * average) / (degrees + _PRIOR_DEGREES)
        usable &= variance > 0
        slope = np.where(usable, (mean_in - mean_out) / variance, np.nan)
        middle = (mean_in + mean_out) / 2
        log_odds = np.empty(target.shape, dtype=np.float32)
        for block in blocks:
            values = target[:, block].astype(np.float64)
            known = np.where(np.isfinite(values), values, np.nan)
            log_odds[:, block] = slope[block] * (known - middle[block]) + np.log(p / (1 - p))
    return log_odds


def _moments(
    statistic: Float[np.ndarray, "models canaries"], coins: Bool[np.ndarray, "models canaries"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per canary: mean in, mean out, squared residuals about them, and their degrees of freedom; 0
    of these where it was in or out of fewer than two models."""
    values = statistic.astype(np.float64)
    known = np.isfinite(values)
    inside, outside = coins & known, ~coins & known
    n_in, n_out = inside.sum(axis=0), outside.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_in = np.where(inside, values, 0.0).sum(axis=0) / n_in
        mean_out = np.where(outside, values, 0.0).sum(axis=0) / n_out
        residual = np.where(known, values, 0.0) - np.where(coins, mean_in, mean_out)
        squares = np.where(known, residual**2, 0.0).sum(axis=0)
    usable = (n_in >= _FEWEST) & (n_out >= _FEWEST)
    return mean_in, mean_out, squares, np.where(usable, n_in + n_out - 2, 0)
