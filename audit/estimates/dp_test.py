"""Is (ε, δ) refuted? Per example and direction, with every comparison paid for (method §4).

An (ε, δ)-DP algorithm obeys, for every example, four inequalities; each is one exact test:

    0  p_in ≤ e^ε p_out + δ                1  p_out ≤ e^ε p_in + δ
    2  1 − p_in ≤ e^ε (1 − p_out) + δ      3  1 − p_out ≤ e^ε (1 − p_in) + δ

Holm over all of them keeps the chance to accuse a private algorithm at all ≤ α.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from audit.errors import BadInput
from audit.estimates.bounds import Bound, line_bound
from audit.estimates.corrections import holm
from audit.estimates.exact_test import LARGEST_EXACT, exact_p, fisher_p, log_order
from audit.estimates.memorization import check_counts
from audit.estimates.power import ENOUGH_POWER, average_power, smallest_number_of_models

Verdict = Literal["violates", "consistent", "could_not_tell"]

DIRECTIONS = ("in right", "out right", "in wrong", "out wrong")
"""What happens too often in each column of the p-values."""

MOST_EXACT = 2000
"""Distinct tables per call for which it is computed, the strongest first (about 10 ms each)."""


@dataclass(frozen=True)
class DpTest:
    """The test of one arm against (``epsilon``, ``delta``) at family-wise error ``alpha``.

    ``p_values`` / ``p_adjusted`` (Holm): one column per direction, NaN where an example was never
    in or never out. ``refuted``: examples with an adjusted p ≤ alpha; ``witnesses``: their indices,
    the strongest evidence first. ``hypotheses``: p-values that exist. ``exact``: which of them are
    the exact unconditional form; the others are Fisher's form, which decides the same way.
    ``power``: chance that an example with p_in = .99 and p_out = .01 would be refuted at Holm's
    first step, averaged over the examples' (n_in, n_out). ``models_needed``: models for 80 % power
    (a multiple of 10), None if more than a million or if such an example obeys the inequalities.
    """

    epsilon: float
    delta: float
    alpha: float
    p_values: Float64[np.ndarray, "n 4"]
    p_adjusted: Float64[np.ndarray, "n 4"]
    exact: Bool[np.ndarray, "n 4"]
    refuted: Bool[np.ndarray, " n"]
    witnesses: Int64[np.ndarray, " witnesses"]
    verdict: Verdict
    power: float
    models_needed: int | None
    hypotheses: int

    @property
    def smallest_p(self) -> float:
        """Smallest unadjusted p-value; NaN if nothing could be tested."""
        return float(np.nanmin(self.p_values)) if self.hypotheses else float("nan")

    @property
    def n_refuted(self) -> int:
        return int(self.refuted.sum())


def dp_verdict(
    n_in: Int[np.ndarray, " n"],
    correct_in: Int[np.ndarray, " n"],
    n_out: Int[np.ndarray, " n"],
    correct_out: Int[np.ndarray, " n"],
    *,
    epsilon: float,
    delta: float,
    alpha: float = 0.05,
) -> DpTest:
    """Test every example against (ε, δ) and say *violates*, *consistent* or *could not tell*.

    ``epsilon`` and ``delta`` are those of "in" against "out": under the ``fixed`` inclusion design
    twice the ε of the mechanism (:func:`audit.inclusion.neighbour_guarantee`). *Consistent* needs
    80 % power against an example memorized as a standard model memorizes; less is *could not tell*.

    Raises:
        BadInput: ε < 0, δ outside [0, 1], α outside (0, 1), or impossible counts.
    """
    p_values, exact = refutation_p_values(
        n_in, correct_in, n_out, correct_out, epsilon=epsilon, delta=delta, alpha=alpha
    )
    adjusted = holm(p_values)
    hypotheses = int((~np.isnan(p_values)).sum())
    strongest = np.where(np.isnan(adjusted), np.inf, adjusted).min(axis=1)
    refuted = strongest <= alpha
    by_evidence = np.argsort(
        np.where(np.isnan(p_values), np.inf, p_values).min(axis=1), kind="stable"
    )
    power, needed = _power(n_in, n_out, hypotheses, epsilon, delta, alpha)
    verdict: Verdict = "could_not_tell"
    if refuted.any():
        verdict = "violates"
    elif power >= ENOUGH_POWER:
        verdict = "consistent"
    return DpTest(
        epsilon=epsilon,
        delta=delta,
        alpha=alpha,
        p_values=p_values,
        p_adjusted=adjusted,
        exact=exact,
        refuted=refuted,
        witnesses=by_evidence[refuted[by_evidence]].astype(np.int64),
        verdict=verdict,
        power=power,
        models_needed=needed,
        hypotheses=hypotheses,
    )


def refutation_p_values(
    n_in: Int[np.ndarray, " n"],
    correct_in: Int[np.ndarray, " n"],
    n_out: Int[np.ndarray, " n"],
    correct_out: Int[np.ndarray, " n"],
    *,
    epsilon: float,
    delta: float,
    alpha: float = 0.05,
) -> tuple[Float64[np.ndarray, "n 4"], Bool[np.ndarray, "n 4"]]:
    """p-values of the four directions (module docstring) and which of them are the exact form.

    Valid for every point of the null, each by itself. NaN where n_in or n_out is 0. The exact form
    lies between S and S(1 − ln S); it is computed where it can change what Holm at ``alpha``
    decides (and the table is small enough, ``LARGEST_EXACT``), Fisher's form stands elsewhere.
    """
    check_level(alpha)
    check_counts("correct_in", correct_in, n_in)
    check_counts("correct_out", correct_out, n_out)
    wrong_in, wrong_out = n_in - correct_in, n_out - correct_out
    directions = [
        (correct_in, n_in, correct_out, n_out),
        (correct_out, n_out, correct_in, n_in),
        (wrong_in, n_in, wrong_out, n_out),
        (wrong_out, n_out, wrong_in, n_in),
    ]
    return _p_values(directions, line_bound(epsilon, delta), alpha)


def bound_p_values(
    n_in: Int[np.ndarray, " n"],
    correct_in: Int[np.ndarray, " n"],
    n_out: Int[np.ndarray, " n"],
    correct_out: Int[np.ndarray, " n"],
    *,
    bound: Bound,
    alpha: float = 0.05,
) -> tuple[Float64[np.ndarray, "n 2"], Bool[np.ndarray, "n 2"]]:
    """The same for p_in ≤ bound(p_out) (column 0) and p_out ≤ bound(p_in) (column 1).

    For a bound that speaks about both outcomes at once, such as the trade-off bound of a privacy
    curve (:func:`audit.estimates.bounds.curve_bound`), these two say everything.
    """
    check_level(alpha)
    check_counts("correct_in", correct_in, n_in)
    check_counts("correct_out", correct_out, n_out)
    directions = [(correct_in, n_in, correct_out, n_out), (correct_out, n_out, correct_in, n_in)]
    return _p_values(directions, bound, alpha)


def power_to_refute(
    models: int,
    n_examples: int,
    p: float,
    epsilon: float,
    delta: float,
    alpha: float = 0.05,
    *,
    p_in: float = 0.99,
    p_out: float = 0.01,
) -> float:
    """Chance to refute one example with ``p_in`` and ``p_out``, before any training.

    Holm's first step over 4·``n_examples`` hypotheses; n_in is binomial(``models``, ``p``).
    """
    level = alpha / (4 * n_examples)
    return average_power(models, p, line_bound(epsilon, delta), level, p_in=p_in, p_out=p_out)


def _p_values(
    directions: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    bound: Bound,
    alpha: float,
) -> tuple[Float64[np.ndarray, "n directions"], Bool[np.ndarray, "n directions"]]:
    tables = _stack(directions)
    shape = tables.shape[:2]
    # Few distinct tables occur: each is computed once.
    distinct, where = np.unique(tables.reshape(-1, 4), axis=0, return_inverse=True)
    where = where.reshape(shape)
    log_s = _log_order(distinct, bound)
    p = fisher_p(log_s)
    # S ≤ exact ≤ Fisher: if Holm decides alike with S and with Fisher's form, so it does with the
    # exact one in between.
    open_question = (holm(np.exp(log_s)[where]) <= alpha) & ~(holm(p[where]) <= alpha)
    open_tables = np.unique(where[open_question])
    small = distinct[open_tables][:, [1, 3]].sum(axis=1) <= LARGEST_EXACT
    chosen = open_tables[small][np.argsort(log_s[open_tables[small]], kind="stable")][:MOST_EXACT]
    for table in chosen:
        _, n_1, _, n_2 = distinct[table]
        p[table] = min(p[table], exact_p(float(log_s[table]), int(n_1), int(n_2), bound))
    exact = np.zeros(len(distinct), dtype=bool)
    exact[chosen] = True
    return p[where], exact[where]


def check_level(alpha: float) -> None:
    """Refuse an error rate outside (0, 1)."""
    if not 0 < alpha < 1:
        raise BadInput("alpha", alpha, "must be between 0 and 1", "Use 0.05.")


def _log_order(
    tables: Int64[np.ndarray, "tables 4"], bound: Bound
) -> Float64[np.ndarray, " tables"]:
    return log_order(tables[:, 0], tables[:, 1], tables[:, 2], tables[:, 3], bound)


def _stack(
    directions: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
) -> Int64[np.ndarray, "n directions 4"]:
    columns = [np.stack(direction, axis=-1) for direction in directions]
    return np.stack(columns, axis=1).astype(np.int64)


def _power(
    n_in: np.ndarray, n_out: np.ndarray, hypotheses: int, epsilon: float, delta: float, alpha: float
) -> tuple[float, int | None]:
    """Power at the examples' own counts, and the models needed at their share p and number."""
    usable = (n_in > 0) & (n_out > 0)
    if not usable.any():
        return float("nan"), None
    bound, level = line_bound(epsilon, delta), alpha / hypotheses
    models = int((n_in + n_out).max())
    p = float((n_in[usable] / (n_in + n_out)[usable]).mean())
    power = average_power(models, p, bound, level, n_in=n_in, n_out=n_out)
    return power, smallest_number_of_models(p, bound, level)
