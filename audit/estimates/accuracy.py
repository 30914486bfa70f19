"""Accuracy over K models: on included, excluded and test examples, and the generalization gap.

``n`` of every estimate here counts models, the independent units; intervals over the training
examples hold for this training set, those over test examples also for other ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

from audit.estimates.crossed import crossed_means
from audit.estimates.intervals import student, unanimous_error, wilson
from audit.estimates.result import Estimate


def accuracy(correct: Bool[np.ndarray, "models n_test"], *, confidence: float = 0.95) -> Estimate:
    """Test accuracy averaged over models and test examples, both as samples (crossed interval).

    One model: Wilson over the test examples. No test example: NaN.
    """
    n_models, n_test = correct.shape
    if n_models == 1:
        right = np.array([correct.sum()], dtype=np.int64)
        low, high = wilson(right, np.array([n_test]), confidence=confidence)
        value = float(right[0] / n_test) if n_test else np.nan
        return Estimate(value, float(low[0]), float(high[0]), 1)
    codes = np.zeros(n_test, dtype=np.int64)
    means = crossed_means(
        correct.astype(np.int8), codes, 1, limits=(0.0, 1.0), confidence=confidence
    )
    return Estimate(float(means.mean[0]), float(means.low[0]), float(means.high[0]), n_models)


def paired_loss(
    correct_standard: Bool[np.ndarray, "models n_test"],
    correct_dp: Bool[np.ndarray, "models n_test"],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Test accuracy of the standard arm minus that of the DP arm, paired by model and example.

    Higher means privacy costs more. NaN limits for a single model: it cannot show how models vary.
    """
    cells = correct_standard.astype(np.int8) - correct_dp.astype(np.int8)
    codes = np.zeros(cells.shape[1], dtype=np.int64)
    means = crossed_means(cells, codes, 1, limits=(-1.0, 1.0), confidence=confidence)
    return Estimate(float(means.mean[0]), float(means.low[0]), float(means.high[0]), cells.shape[0])


def accuracy_included(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Accuracy of a model on the training examples it trained on, averaged over models."""
    return _average_of_models(_share_right(membership, correct), (0.0, 1.0), confidence)


def accuracy_excluded(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Accuracy of a model on the training examples left out of its subset, averaged over models."""
    return _average_of_models(_share_right(~membership, correct), (0.0, 1.0), confidence)


def generalization_gap(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Accuracy on included minus accuracy on excluded examples, per model, averaged over models."""
    gaps = _share_right(membership, correct) - _share_right(~membership, correct)
    return _average_of_models(gaps, (-1.0, 1.0), confidence)


def _share_right(
    chosen: Bool[np.ndarray, "models n"], correct: Bool[np.ndarray, "models n"]
) -> Float64[np.ndarray, " models"]:
    """Per model, the share of its chosen examples it labels correctly; NaN where it has none."""
    with np.errstate(invalid="ignore"):
        return (chosen & correct).sum(axis=1) / chosen.sum(axis=1)


def _average_of_models(
    values: Float64[np.ndarray, " models"], limits: tuple[float, float], confidence: float
) -> Estimate:
    """Mean over the models with a defined value, Student's t; ``n`` counts those models."""
    known = values[~np.isnan(values)]
    n = int(known.size)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    mean = float(known.mean())
    if n == 1:
        return Estimate(mean, np.nan, np.nan, 1)
    spread = float(known.std(ddof=1))
    if spread < 1e-12:
        # No spread among n models is no certainty: see unanimous_error.
        furthest = max(limits[1] - mean, mean - limits[0])
        half = float(unanimous_error(np.array([n]), confidence=confidence)[0]) * furthest
    else:
        error = np.array([spread / np.sqrt(n)])
        half = float(student(np.zeros(1), error, np.array([n - 1.0]), confidence=confidence)[1][0])
    return Estimate(mean, max(limits[0], mean - half), min(limits[1], mean + half), n)
