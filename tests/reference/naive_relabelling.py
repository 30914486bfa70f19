"""Relabelling test examples at random, one draw and one group at a time (method §7)."""

from __future__ import annotations

import numpy as np


def pooled_variance(x: np.ndarray, codes: np.ndarray) -> float:
    """Variance of ``x`` around the mean of its group, over n − number of groups."""
    squares = 0.0
    for group in set(codes.tolist()):
        inside = x[codes == group]
        squares += float(((inside - inside.mean()) ** 2).sum())
    return squares / (x.size - len(set(codes.tolist())))


def excess(x: np.ndarray, codes: np.ndarray, group: int) -> float:
    """Difference of a group from the rest over its error, with the variance of all examples."""
    inside, rest = x[codes == group], x[codes != group]
    error = np.std(x, ddof=1) * np.sqrt(1 / inside.size + 1 / rest.size)
    return float((inside.mean() - rest.mean()) / error)


def between(x: np.ndarray, codes: np.ndarray) -> float:
    """Cochran's Q with the pooled variance: n_g (mean_g − mean)² summed, over that variance."""
    total = sum(
        float((codes == g).sum() * (x[codes == g].mean() - x.mean()) ** 2)
        for g in set(codes.tolist())
    )
    return total / pooled_variance(x, codes)


def adjusted_p_values(
    x: np.ndarray, codes: np.ndarray, draws: int, rng: np.random.Generator
) -> list[float]:
    """Per group: share of the relabellings whose largest excess reaches the group's own."""
    groups = sorted(set(codes.tolist()))
    observed = [excess(x, codes, g) for g in groups]
    reached = [1] * len(groups)
    for _ in range(draws):
        shuffled = rng.permutation(codes)
        largest = max(excess(x, shuffled, g) for g in groups)
        for place, value in enumerate(observed):
            reached[place] += largest >= value
    return [r / (1 + draws) for r in reached]
