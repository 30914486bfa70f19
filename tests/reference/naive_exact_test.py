"""The exact test by brute force: every table, a fine grid of the null's boundary."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

GRID = 20_000


def boundary(epsilon: float, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """(q₁, q₂) on a fine grid of q₁ = min(1, e^ε q₂ + δ)."""
    q_2 = np.linspace(0, 1, GRID + 1)
    return np.minimum(1, math.exp(epsilon) * q_2 + delta), q_2


def order(x_1: int, n_1: int, x_2: int, n_2: int, epsilon: float, delta: float) -> float:
    """Largest product of P[X₁ ≥ x₁] and P[X₂ ≤ x₂] on the grid; 1 if the rates obey the bound."""
    if x_1 / n_1 <= min(1, math.exp(epsilon) * x_2 / n_2 + delta):
        return 1.0
    q_1, q_2 = boundary(epsilon, delta)
    return float((stats.binom.sf(x_1 - 1, n_1, q_1) * stats.binom.cdf(x_2, n_2, q_2)).max())


def all_orders(n_1: int, n_2: int, epsilon: float, delta: float) -> np.ndarray:
    """``order`` of every table [x₁, x₂]."""
    return np.array(
        [[order(a, n_1, b, n_2, epsilon, delta) for b in range(n_2 + 1)] for a in range(n_1 + 1)]
    )


def exact_p(x_1: int, x_2: int, orders: np.ndarray, epsilon: float, delta: float) -> float:
    """Largest probability, over the grid, of all tables at least as extreme."""
    n_1, n_2 = orders.shape[0] - 1, orders.shape[1] - 1
    q_1, q_2 = boundary(epsilon, delta)
    total = np.zeros(q_1.shape)
    for a in range(n_1 + 1):
        for b in range(n_2 + 1):
            if orders[a, b] <= orders[x_1, x_2] * (1 + 1e-9):
                total += stats.binom.pmf(a, n_1, q_1) * stats.binom.pmf(b, n_2, q_2)
    return float(total.max())
