"""Meta-regression from its normal equations, τ² by walking a grid instead of finding a root."""

from __future__ import annotations

import math

import numpy as np


def meta_regression(y: list[float], s: list[float], x: list[float]) -> tuple[float, float, float]:
    """(slope, Knapp–Hartung standard error of the slope, τ²) of one covariate.

    τ² is the first value of a fine grid at which the weighted residual sum of squares is not above
    its degrees of freedom.
    """
    degrees = len(y) - 2
    grid = [0.0, *np.geomspace(1e-8, 10, 40_001)]
    tau_squared = next(t for t in grid if weighted_fit(y, s, x, t)[1] <= degrees)
    slope, residual, s_xx = weighted_fit(y, s, x, tau_squared)
    return slope, math.sqrt(residual / degrees / s_xx), float(tau_squared)


def weighted_fit(
    y: list[float], s: list[float], x: list[float], tau_squared: float
) -> tuple[float, float, float]:
    """(slope, residual sum of squares, sum of squares of x), each group weighted 1/(s² + τ²)."""
    w = [1 / (s_g**2 + tau_squared) for s_g in s]
    groups = list(zip(w, x, y, strict=True))
    x_mean = sum(w_g * x_g for w_g, x_g, _ in groups) / sum(w)
    y_mean = sum(w_g * y_g for w_g, _, y_g in groups) / sum(w)
    s_xx = sum(w_g * (x_g - x_mean) ** 2 for w_g, x_g, _ in groups)
    slope = sum(w_g * (x_g - x_mean) * (y_g - y_mean) for w_g, x_g, y_g in groups) / s_xx
    residual = sum(w_g * (y_g - y_mean - slope * (x_g - x_mean)) ** 2 for w_g, x_g, y_g in groups)
    return slope, residual, s_xx
