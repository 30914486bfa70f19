"""From scores to guesses: which coins a guesser is surest about, and how many he gets right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

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
    of fewer than two of these models, or where all of them say the same. The difference of the two
    means, in standard deviations, is drawn towards that of all canaries as far as chance explains
    how much they differ (DerSimonian & Laird 1986): of few models a canary's own is mostly noise.
    """
    n = statistic.shape[1]
    width = max(1, _BLOCK_NUMBERS // max(1, len(statistic)))
    blocks = [slice(first, min(first + width, n)) for first in range(0, n, width)]
    fits = [_moments(statistic[:, block], coins[:, block]) for block in blocks]
    mean_in, mean_out, squares, n_in, n_out = (
        np.concatenate(part) for part in zip(*fits, strict=True)
    )
    usable = (n_in >= _FEWEST) & (n_out >= _FEWEST)
    degrees = np.where(usable, n_in + n_out - 2, 0)
    total = degrees[usable].sum()
    average = squares[usable].sum() / total if total else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares + _PRIOR_DEGREES * average) / (degrees + _PRIOR_DEGREES)
        usable &= variance > 0
        deviation = np.sqrt(np.where(usable, variance, np.nan))
        effect = _shrunk((mean_in - mean_out) / deviation, n_in, n_out)
        slope = effect / deviation
        # The mean of all scores stays where it is.
        average_score = (n_in * mean_in + n_out * mean_out) / (n_in + n_out)
        middle = average_score + (n_out - n_in) / (n_in + n_out) * effect * deviation / 2
        log_odds = np.empty(target.shape, dtype=np.float32)
        for block in blocks:
            values = target[:, block].astype(np.float64)
            known = np.where(np.isfinite(values), values, np.nan)
            log_odds[:, block] = slope[block] * (known - middle[block]) + np.log(p / (1 - p))
    return log_odds


def _moments(
    statistic: Float[np.ndarray, "models canaries"], coins: Bool[np.ndarray, "models canaries"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per canary: mean in, mean out, squared residuals about them, models with it in and out."""
    values = statistic.astype(np.float64)
    known = np.isfinite(values)
    inside, outside = coins & known, ~coins & known
    n_in, n_out = inside.sum(axis=0), outside.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_in = np.where(inside, values, 0.0).sum(axis=0) / n_in
        mean_out = np.where(outside, values, 0.0).sum(axis=0) / n_out
        residual = np.where(known, values, 0.0) - np.where(coins, mean_in, mean_out)
        squares = np.where(known, residual**2, 0.0).sum(axis=0)
    return mean_in, mean_out, squares, n_in, n_out


def _shrunk(
    effect: Float64[np.ndarray, " canaries"],
    n_in: Int64[np.ndarray, " canaries"],
    n_out: Int64[np.ndarray, " canaries"],
) -> Float64[np.ndarray, " canaries"]:
    """Standardised differences of means, drawn towards their average; NaN stays NaN."""
    known = np.isfinite(effect)
    weight = (n_in[known] * n_out[known]) / (n_in[known] + n_out[known])
    total = weight.sum()
    if not total:
        return effect
    average = float((weight * effect[known]).sum() / total)
    excess = float((weight * (effect[known] - average) ** 2).sum()) - (weight.size - 1)
    spread = total - float((weight**2).sum()) / total
    between = max(0.0, excess / spread) if spread > 0 else np.inf
    own = 1.0 if np.isinf(between) else between * weight / (between * weight + 1)
    shrunk = effect.copy()
    shrunk[known] = average + own * (effect[known] - average)
    return shrunk
