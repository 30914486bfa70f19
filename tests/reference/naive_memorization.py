"""Memorization, influence and their averages by counting, one example at a time."""

from __future__ import annotations

import math

import numpy as np


def memorization(membership: np.ndarray, correct: np.ndarray) -> list[float]:
    """Share right among the models with the example in, minus the share among those without."""
    result = []
    for i in range(membership.shape[1]):
        inside = [bool(c) for m, c in zip(membership[:, i], correct[:, i], strict=True) if m]
        outside = [bool(c) for m, c in zip(membership[:, i], correct[:, i], strict=True) if not m]
        if inside and outside:
            result.append(sum(inside) / len(inside) - sum(outside) / len(outside))
        else:
            result.append(math.nan)
    return result


def influence(membership: np.ndarray, test_correct: np.ndarray, i: int, j: int) -> float:
    """The same with the correctness of test example j."""
    return memorization(membership[:, [i]], test_correct[:, [j]])[0]


def jackknife_error_of_mean(membership: np.ndarray, correct: np.ndarray) -> float:
    """Leave each model out, estimate everything again, look at the spread."""
    models = membership.shape[0]
    replicates = []
    for k in range(models):
        rest = [m for m in range(models) if m != k]
        replicates.append(float(np.mean(memorization(membership[rest], correct[rest]))))
    centre = sum(replicates) / models
    return math.sqrt((models - 1) / models * sum((r - centre) ** 2 for r in replicates))
