"""Influence: which test example is right because of which training example (method §3).

infl(i → j) = P[h(x_j) = y_j | i in] − P[h(x_j) = y_j | i out] (Feldman & Zhang 2020, §2). From the
same models, one product of membership and correctness per block; the n × n_test matrix is
never held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy import special

from audit.errors import BadInput
from audit.estimates.corrections import benjamini_hochberg
from audit.estimates.intervals import newcombe, wilson
from audit.estimates.memorization import memorization
from audit.estimates.result import Estimate

BLOCK = 2048
"""Training × test examples per block (16 MB of float32 counts)."""


@dataclass(frozen=True)
class InfluencePairs:
    """Reported pairs (training example, test example), the largest influence first.

    ``influence`` with Newcombe limits ``low`` / ``high`` (per pair, blind to the selection),
    ``q_value`` (Benjamini–Hochberg over all ``n_tested`` pairs), ``mem`` of the training example.
    ``n_by_cuts``: pairs that the two cuts alone would have reported.
    ``mean_selected`` / ``mean_reestimated``: mean influence of the ``n_split`` pairs selected on
    one half of the models, on that half and on the other one (both ways, pooled): the difference is
    the winner's curse. NaN where a half selects nothing.
    ``share_touched`` / ``share_touched_once``: share of the test examples with at least / exactly
    one reported training example; Wilson over the test examples, given these models (``n`` counts
    test examples: the variation between sets of models is not in the interval).
    """

    train: Int64[np.ndarray, " pairs"]
    test: Int64[np.ndarray, " pairs"]
    influence: Float64[np.ndarray, " pairs"]
    low: Float64[np.ndarray, " pairs"]
    high: Float64[np.ndarray, " pairs"]
    q_value: Float64[np.ndarray, " pairs"]
    mem: Float64[np.ndarray, " pairs"]
    n_by_cuts: int
    n_tested: int
    fdr: float
    mean_selected: float
    mean_reestimated: float
    n_split: int
    share_touched: Estimate
    share_touched_once: Estimate


def influential_pairs(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    test_correct: Bool[np.ndarray, "models n_test"],
    *,
    min_influence: float = 0.15,
    min_mem: float = 0.25,
    fdr: float = 0.1,
    block: int = BLOCK,
) -> InfluencePairs:
    """Pairs with influence ≥ ``min_influence`` and mem ≥ ``min_mem`` that survive the FDR.

    p-value of a pair: Fisher's exact test, one-sided (P[as many right with i in, by chance], given
    how often i was in and j right). The family is *all* n × n_test pairs, those that fail a cut
    counting as p = 1: conservative, and the cuts need no correction. Raising a p-value to 1 keeps
    it valid, and selection by mem cannot make a chance pair more likely to pass than its own test.

    Raises:
        BadInput: fdr outside (0, 1), or a cut that is not positive (it would hold all pairs).
    """
    _check(min_influence, min_mem, fdr)
    cuts = _Cuts(min_influence, min_mem, fdr, block)
    pairs = _select(membership, correct, test_correct, cuts)
    halves = _re_estimate(membership, correct, test_correct, cuts)
    order = np.lexsort((pairs.test, pairs.train, -pairs.influence))
    train, test = pairs.train[order], pairs.test[order]
    mem = memorization(membership[:, train], correct[:, train]).mem if train.size else np.zeros(0)
    low, high = newcombe(*(c[order] for c in pairs.counts))
    n_test = test_correct.shape[1]
    touched = np.bincount(test, minlength=n_test)
    return InfluencePairs(
        train=train,
        test=test,
        influence=pairs.influence[order],
        low=low,
        high=high,
        q_value=pairs.q_value[order],
        mem=mem,
        n_by_cuts=pairs.n_by_cuts,
        n_tested=membership.shape[1] * n_test,
        fdr=fdr,
        mean_selected=_mean(halves[0]),
        mean_reestimated=_mean(halves[1]),
        n_split=halves[0].size,
        share_touched=_share(touched >= 1),
        share_touched_once=_share(touched == 1),
    )


def influence_matrix(
    membership: Bool[np.ndarray, "models n"], test_correct: Bool[np.ndarray, "models n_test"]
) -> Float64[np.ndarray, "n n_test"]:
    """Influence of every given training example on every given test example; pass few of either.

    NaN in the rows of examples that no model or every model has seen.
    """
    n_in = membership.sum(axis=0, dtype=np.int64)[:, None]
    right_in = _right_in(membership, test_correct)
    right_out = test_correct.sum(axis=0, dtype=np.int64) - right_in
    with np.errstate(invalid="ignore"):
        return right_in / n_in - right_out / (membership.shape[0] - n_in)


@dataclass(frozen=True)
class _Cuts:
    min_influence: float
    min_mem: float
    fdr: float
    block: int


@dataclass(frozen=True)
class _Selected:
    train: Int64[np.ndarray, " pairs"]
    test: Int64[np.ndarray, " pairs"]
    influence: Float64[np.ndarray, " pairs"]
    q_value: Float64[np.ndarray, " pairs"]
    counts: tuple[Int64[np.ndarray, " pairs"], ...]
    """right and in, in, right and out, out: models."""
    n_by_cuts: int


def _select(
    membership: np.ndarray,
    correct: np.ndarray,
    test_correct: np.ndarray,
    cuts: _Cuts,
) -> _Selected:
    models, block = membership.shape[0], cuts.block
    # Only memorized examples can be reported: the others' influence is never computed.
    mem = memorization(membership, correct).mem
    rows = np.flatnonzero(mem >= cuts.min_mem - 1e-12)
    found: list[np.ndarray] = [np.zeros((4, 0), dtype=np.int64)]
    n_by_cuts = 0
    for start in range(0, rows.size, block):
        members = membership[:, rows[start : start + block]]
        n_in = members.sum(axis=0, dtype=np.int64)
        for left in range(0, test_correct.shape[1], block):
            right = test_correct[:, left : left + block]
            i, j = np.nonzero(influence_matrix(members, right) >= cuts.min_influence - 1e-12)
            n_by_cuts += i.size
            right_in = _right_in(members, right)[i, j]
            row = np.stack([rows[start + i], left + j, right_in, right.sum(axis=0)[j]])
            # A p-value above the FDR cannot have a q-value below it: noise is not stored.
            found.append(row[:, _fisher_exact(right_in, n_in[i], row[3], models) <= cuts.fdr])
    train, test, right_in, right_all = np.concatenate(found, axis=1)
    n_in = membership.sum(axis=0, dtype=np.int64)[train]
    q_value = benjamini_hochberg(
        _fisher_exact(right_in, n_in, right_all, models),
        hypotheses=membership.shape[1] * test_correct.shape[1],
    )
    kept = q_value <= cuts.fdr
    counts = (right_in, n_in, right_all - right_in, models - n_in)
    counts = tuple(c[kept] for c in counts)
    influence = counts[0] / counts[1] - counts[2] / counts[3]
    return _Selected(train[kept], test[kept], influence, q_value[kept], counts, n_by_cuts)


def _re_estimate(
    membership: np.ndarray, correct: np.ndarray, test_correct: np.ndarray, cuts: _Cuts
) -> tuple[Float64[np.ndarray, " pairs"], Float64[np.ndarray, " pairs"]]:
    """Influence of pairs selected on one half of the models, on that half and on the other one.

    Even against odd models: they are independent draws, so any fixed split is a random one.
    """
    if membership.shape[0] < 2:
        return np.zeros(0), np.zeros(0)
    selected, again = [], []
    for first in (0, 1):
        half, other = slice(first, None, 2), slice(1 - first, None, 2)
        pairs = _select(membership[half], correct[half], test_correct[half], cuts)
        inside, right = membership[other][:, pairs.train], test_correct[other][:, pairs.test]
        with np.errstate(invalid="ignore"):
            p_in = (inside & right).sum(axis=0) / inside.sum(axis=0)
            p_out = (~inside & right).sum(axis=0) / (~inside).sum(axis=0)
        known = ~np.isnan(p_in - p_out)
        selected.append(pairs.influence[known])
        again.append((p_in - p_out)[known])
    return np.concatenate(selected), np.concatenate(again)


def _right_in(
    members: Bool[np.ndarray, "models n"], right: Bool[np.ndarray, "models n_test"]
) -> Int64[np.ndarray, "n n_test"]:
    """Models with i in that are right on j; exact in float32 below 2²⁴ models."""
    return (members.T.astype(np.float32) @ right.astype(np.float32)).astype(np.int64)


def _fisher_exact(
    right_in: Int64[np.ndarray, " pairs"],
    n_in: Int64[np.ndarray, " pairs"],
    right_all: Int64[np.ndarray, " pairs"],
    models: int,
) -> Float64[np.ndarray, " pairs"]:
    """P[X ≥ right_in], X hypergeometric: ``n_in`` of ``models`` drawn, ``right_all`` are right."""
    if right_in.size == 0:
        return np.zeros(0)
    # At small K few distinct tables occur among millions of pairs.
    tables, where = np.unique(np.stack([right_in, n_in, right_all]), axis=1, return_inverse=True)
    x, drawn, right = tables.astype(np.float64)
    log_term = (
        _log_choose(right, x)
        + _log_choose(models - right, drawn - x)
        - _log_choose(np.float64(models), drawn)
    )
    term = np.exp(log_term)
    tail, k = term.copy(), x.copy()
    while True:
        # Each term of the tail from the one before; it is 0 from the largest possible x on.
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (right - k) * (drawn - k) / ((k + 1) * (models - right - drawn + k + 1))
        term = term * np.where(ratio > 0, ratio, 0.0)
        tail, k = tail + term, k + 1
        if not (term > 1e-17 * tail).any():
            return np.minimum(tail, 1.0)[where.ravel()]


def _log_choose(n: np.ndarray | np.float64, k: np.ndarray) -> np.ndarray:
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


def _share(chosen: Bool[np.ndarray, " n_test"]) -> Estimate:
    count, n = np.array([chosen.sum()], dtype=np.int64), np.array([chosen.size])
    low, high = wilson(count, n)
    value = float(chosen.mean()) if chosen.size else np.nan
    return Estimate(value, float(low[0]), float(high[0]), int(chosen.size))


def _mean(values: Float64[np.ndarray, " pairs"]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _check(min_influence: float, min_mem: float, fdr: float) -> None:
    for name, value in (("min_influence", min_influence), ("min_mem", min_mem)):
        if not value > 0:
            raise BadInput(name, value, "must be positive", "The paper uses 0.15 and 0.25.")
    if not 0 < fdr < 1:
        raise BadInput("fdr", fdr, "must be between 0 and 1", "Use 0.1.")
