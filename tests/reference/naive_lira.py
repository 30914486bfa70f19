"""LiRA, RMIA and ROC in plain loops: for each model, forget it, fit, ask about it."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve


def lira(
    margin: np.ndarray, membership: np.ndarray, *, online: bool, fixed: bool, median: bool
) -> np.ndarray:
    """Scores [models, examples], higher for members; every example needs two models of each side.

    ``fixed``: one standard deviation, of all margins "in" (offline: "out"), as in the program
    published with Carlini et al. 2022; ``median``: its centre.
    """
    margin = margin.astype(np.float64)
    models, n = margin.shape
    centre = np.median if median else np.mean
    scores = np.empty((models, n))
    for k in range(models):
        rest = [other for other in range(models) if other != k]
        x, keep = margin[rest], membership[rest]
        everything = np.std(x[keep] if online else x[~keep])
        for i in range(n):
            inside, outside = x[keep[:, i], i], x[~keep[:, i], i]
            sigma_out = everything if fixed else np.std(outside)
            z = (margin[k, i] - centre(outside)) / sigma_out
            if not online:
                scores[k, i] = z
                continue
            sigma_in = everything if fixed else np.std(inside)
            y = (margin[k, i] - centre(inside)) / sigma_in
            # log N(y) − log N(z), the densities' logarithms written out.
            scores[k, i] = (z**2 - y**2) / 2 + np.log(sigma_out) - np.log(sigma_in)
    return scores


def rmia(
    margin: np.ndarray,
    membership: np.ndarray,
    population: np.ndarray,
    *,
    online: bool,
    gamma: float,
) -> np.ndarray:
    """Share of the population that each example's ratio exceeds more than ``gamma``-fold."""
    a = 0.3
    p, q = (stats.logistic.cdf(v.astype(np.float64)) for v in (margin, population))
    scores = np.empty(margin.shape)
    for k in range(len(margin)):
        rest = [other for other in range(len(margin)) if other != k]
        ratio_z = [
            q[k, j] / (((1 + a) * q[rest, j].mean() + 1 - a) / 2)
            for j in range(population.shape[1])
        ]
        for i in range(margin.shape[1]):
            keep = membership[rest, i]
            p_out = p[rest, i][~keep].mean()
            p_x = ((1 + a) * p_out + 1 - a) / 2
            if online:
                p_x = (p[rest, i][keep].mean() + p_out) / 2
            ratio_x = p[k, i] / p_x
            scores[k, i] = np.mean([ratio_x / z > gamma for z in ratio_z])
    return scores


def auc_and_tpr(scores: np.ndarray, membership: np.ndarray, at: float) -> tuple[float, float]:
    """scikit-learn's AUC, and the highest TPR of its curve whose FPR is at most ``at``."""
    known = ~np.isnan(scores)
    fpr, tpr, _ = roc_curve(membership[known], scores[known], drop_intermediate=False)
    return float(roc_auc_score(membership[known], scores[known])), float(tpr[fpr <= at].max())
