"""The crossed variance as written in the method, with loops and no shortcuts."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats


def crossed_interval(cells: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high) of a [models, examples] table, without limits and for varied cells."""
    n_models, n = cells.shape
    mean = float(np.mean(cells))
    rows = [float(np.mean(cells[k])) for k in range(n_models)]
    columns = [float(np.mean(cells[:, i])) for i in range(n)]
    s2_models = sum((r - mean) ** 2 for r in rows) / (n_models - 1)
    s2_examples = sum((c - mean) ** 2 for c in columns) / (n - 1)
    residual = 0.0
    for k in range(n_models):
        for i in range(n):
            residual += (float(cells[k, i]) - rows[k] - columns[i] + mean) ** 2
    s2_residual = residual / ((n_models - 1) * (n - 1))
    a, b, c = s2_models / n_models, s2_examples / n, s2_residual / (n_models * n)
    variance = max(a + b - c, a, b)
    below = a**2 / (n_models - 1) + b**2 / (n - 1) + c**2 / ((n_models - 1) * (n - 1))
    degrees = max(variance**2 / below, min(n_models, n) - 1)
    half = float(stats.t.ppf(0.975, degrees)) * math.sqrt(variance)
    return mean, mean - half, mean + half


def crossed_contrast_variance(cells: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """(difference, variance) of the mean inside minus the mean outside, paired by model."""
    n_models = cells.shape[0]
    differences = [
        float(np.mean(cells[k, inside]) - np.mean(cells[k, ~inside])) for k in range(n_models)
    ]
    models = float(np.var(differences, ddof=1)) / n_models
    examples = residual = 0.0
    for side in (cells[:, inside], cells[:, ~inside]):
        n = side.shape[1]
        rows, columns = side.mean(axis=1, keepdims=True), side.mean(axis=0, keepdims=True)
        examples += float(np.var(columns, ddof=1)) / n
        rest = float(((side - rows - columns + side.mean()) ** 2).sum())
        residual += rest / ((n_models - 1) * (n - 1)) / (n_models * n)
    return float(np.mean(differences)), max(models + examples - residual, models, examples)
