"""Empirical ε: a lower bound that holds with the stated confidence (method §5, witness bound)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64

from audit.errors import BadInput
from audit.estimates.bounds import line_bound
from audit.estimates.exact_test import fisher_p, log_order
from audit.estimates.memorization import check_counts
from audit.estimates.result import Estimate


def certified_epsilon(
    n_in: Int[np.ndarray, " n"],
    correct_in: Int[np.ndarray, " n"],
    n_out: Int[np.ndarray, " n"],
    correct_out: Int[np.ndarray, " n"],
    *,
    delta: float,
    confidence: float = 0.95,
) -> Estimate:
    """Witness bound: the largest ε₀ that some example refutes, Bonferroni over all directions.

    With probability ≥ ``confidence`` the true ε (at this δ) is not below it; 0 where nothing is
    refuted. ``value`` and ``low`` are this bound; ``high`` is +∞: no test bounds ε from above. NaN
    where nothing could be tested. ``n`` counts models. Fisher's form is used throughout: it falls
    with ε₀, without which an inverted test would not be a bound (method §5).
    """
    if not 0 < confidence < 1:
        raise BadInput("confidence", confidence, "must be between 0 and 1", "Use 0.95.")
    check_counts("correct_in", correct_in, n_in)
    check_counts("correct_out", correct_out, n_out)
    models = int((n_in + n_out).max(initial=0))
    usable = (n_in > 0) & (n_out > 0)
    hypotheses = 4 * int(usable.sum())
    if hypotheses == 0:
        return Estimate(np.nan, np.nan, np.nan, models)
    a, big_a = correct_in[usable], n_in[usable]
    b, big_b = correct_out[usable], n_out[usable]
    sides = [(a, big_a, b, big_b), (big_a - a, big_a, big_b - b, big_b)]
    sides += [(x_2, n_2, x_1, n_1) for x_1, n_1, x_2, n_2 in sides]
    tables = np.concatenate([np.stack(side, axis=1) for side in sides]).astype(np.int64)
    value = _largest_refuted(np.unique(tables, axis=0), delta, (1 - confidence) / hypotheses)
    return Estimate(value, value, np.inf, models)


def _largest_refuted(tables: Int64[np.ndarray, "tables 4"], delta: float, level: float) -> float:
    """Largest ε₀ ≥ 0 at which a table has p ≤ ``level``; bisection, rounded down.

    p rises with ε₀ for every table: when some are refuted at ε₀, only these can be at a larger one.
    """
    low, high = 0.0, 1.0
    survivors = _refuted_at(tables, low, delta, level)
    if not survivors.size:
        return 0.0
    while (stronger := _refuted_at(survivors, high, delta, level)).size:
        survivors, low, high = stronger, high, 2 * high
    for _ in range(20):
        middle = (low + high) / 2
        stronger = _refuted_at(survivors, middle, delta, level)
        if stronger.size:
            survivors, low = stronger, middle
        else:
            high = middle
    return low


def _refuted_at(
    tables: Int64[np.ndarray, "tables 4"], epsilon: float, delta: float, level: float
) -> Int64[np.ndarray, "refuted 4"]:
    log_s = log_order(
        tables[:, 0], tables[:, 1], tables[:, 2], tables[:, 3], line_bound(epsilon, delta)
    )
    return tables[fisher_p(log_s) <= level]
