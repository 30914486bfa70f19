"""Influence: which test example is right because of which training example (method §3).

infl(i → j) = P[h(x_j) = y_j | i in] − P[h(x_j) = y_j | i out] (Feldman & Zhang 2020, §2). From the
same models, one product of membership and correctness per block; the n × n_test matrix is
never held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import special

from audit.errors import BadInput
from audit.estimates.corrections import benjamini_hochberg
from audit.estimates.intervals import newcombe, wilson
from audit.estimates.memorization import memorization
from audit.estimates.result import Estimate

BLOCK = 2048
"""Training × test examples per block (16 MB of float32 counts, in four buffers)."""
_PAIRS = 16384
"""Pairs estimated again at once (a byte per model and pair)."""


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
    ``n_train`` / ``n_test``: different examples among the pairs. ``n_one_to_one``: pairs of which
    neither example is in another one: a memorized example that serves a single test example.
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
    n_train: int
    n_test: int
    n_one_to_one: int


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
    whole, split = _search(membership, correct, test_correct, cuts)
    pairs = whole.selected()
    halves = _re_estimate(membership, test_correct, split)
    order = np.lexsort((pairs.test, pairs.train, -pairs.influence))
    train, test = pairs.train[order], pairs.test[order]
    low, high = newcombe(*(c[order] for c in pairs.counts))
    n_test = test_correct.shape[1]
    touched = np.bincount(test, minlength=n_test)
    touching = np.bincount(train, minlength=membership.shape[1])
    return InfluencePairs(
        train=train,
        test=test,
        influence=pairs.influence[order],
        low=low,
        high=high,
        q_value=pairs.q_value[order],
        mem=whole.mem[train],
        n_by_cuts=pairs.n_by_cuts,
        n_tested=membership.shape[1] * n_test,
        fdr=fdr,
        mean_selected=_mean(halves[0]),
        mean_reestimated=_mean(halves[1]),
        n_split=halves[0].size,
        share_touched=_share(touched >= 1),
        share_touched_once=_share(touched == 1),
        n_train=int((touching > 0).sum()),
        n_test=int((touched > 0).sum()),
        n_one_to_one=int(((touching[train] == 1) & (touched[test] == 1)).sum()),
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


class _Search:
    """The pairs of one set of models that pass the cuts, looked for block by block."""

    def __init__(
        self, membership: np.ndarray, correct: np.ndarray, test_correct: np.ndarray, cuts: _Cuts
    ) -> None:
        self.cuts, self.models = cuts, membership.shape[0]
        estimate = memorization(membership, correct)
        self.mem, self.n_in = estimate.mem, estimate.n_in
        # Only memorized examples can be reported: the others' influence is never computed.
        self.memorized = self.mem >= cuts.min_mem - 1e-12
        self.right = test_correct.sum(axis=0, dtype=np.int64)
        self.hypotheses = membership.shape[1] * test_correct.shape[1]
        # No more pairs can be rejected than have a memorized example, so a p-value above this
        # cannot have a q-value below the FDR: such noise is not stored. A little more than that,
        # for rounding; q-values decide.
        self.largest_p = cuts.fdr * float(self.memorized.mean()) * (1 + 1e-9)
        self.n_by_cuts = 0
        self._found: list[tuple[np.ndarray, ...]] = []

    def thresholds(
        self, rows: Int64[np.ndarray, " rows"]
    ) -> tuple[Float32[np.ndarray, "rows 1"], Float32[np.ndarray, "rows 1"]]:
        """a, b: influence ≥ the cut if right_in ≥ a + b · right; ∞ where mem is under its cut.

        right_in / n_in − (right − right_in) / n_out ≥ c, solved for right_in. A little less than
        that, for single precision: what passes is looked at again.
        """
        n_in, models = self.n_in[rows].astype(np.float64), self.models
        at_least = self.cuts.min_influence * n_in * (models - n_in) / models - 1e-6 * models - 1e-3
        at_least[~self.memorized[rows]] = np.inf
        return at_least.astype(np.float32)[:, None], (n_in / models).astype(np.float32)[:, None]

    def look(
        self,
        right_in: Float32[np.ndarray, "rows columns"],
        thresholds: tuple[np.ndarray, np.ndarray],
        rows: Int64[np.ndarray, " rows"],
        left: int,
        buffer: Float32[np.ndarray, "rows columns"],
    ) -> None:
        """Keep the pairs of ``rows`` and the test examples from ``left`` on that pass."""
        at_least, share = thresholds
        columns = self.right[left : left + right_in.shape[1]]
        np.multiply(share, columns.astype(np.float32), out=buffer)
        buffer += at_least
        where = np.flatnonzero(right_in >= buffer)
        if not where.size:
            return
        i, j = np.divmod(where, right_in.shape[1])
        x, n_in, right = right_in.ravel()[where].astype(np.int64), self.n_in[rows[i]], columns[j]
        passes = _influence(x, n_in, right, self.models) >= self.cuts.min_influence - 1e-12
        self.n_by_cuts += int(passes.sum())
        p = np.ones(where.size)
        p[passes] = _fisher_exact(x[passes], n_in[passes], right[passes], self.models)
        kept = p <= self.largest_p
        # Compact: at few models many millions of pairs are kept until the last block is known.
        self._found.append(
            ((rows[i[kept]]).astype(np.int32), (left + j[kept]).astype(np.int32),
             x[kept].astype(np.int32), p[kept])
        )  # fmt: skip

    def selected(self) -> _Selected:
        """The pairs that survive the FDR, over all pairs there are."""
        none = tuple(np.zeros(0, dtype=t) for t in (np.int32, np.int32, np.int32, np.float64))
        parts = zip(*(self._found or [none]), strict=True)
        train, test, right_in, p = (np.concatenate(part) for part in parts)
        q_value = benjamini_hochberg(p, hypotheses=self.hypotheses)
        kept = q_value <= self.cuts.fdr
        train, test, right_in = (a[kept].astype(np.int64) for a in (train, test, right_in))
        n_in, right = self.n_in[train], self.right[test]
        influence = _influence(right_in, n_in, right, self.models)
        counts = (right_in, n_in, right - right_in, self.models - n_in)
        return _Selected(train, test, influence, q_value[kept], counts, self.n_by_cuts)


def _influence(
    right_in: np.ndarray, n_in: np.ndarray, right: np.ndarray, models: int
) -> Float64[np.ndarray, " pairs"]:
    return right_in / n_in - (right - right_in) / (models - n_in)


def _search(
    membership: np.ndarray, correct: np.ndarray, test_correct: np.ndarray, cuts: _Cuts
) -> tuple[_Search, list[_Search]]:
    """The pairs of all models, and those of each half, from the same products.

    Halves: even against odd models. They are independent draws, so any fixed split is a random
    one. What all models did is the sum of what both halves did.
    """
    whole = _Search(membership, correct, test_correct, cuts)
    cut = (slice(0, None, 2), slice(1, None, 2)) if membership.shape[0] > 1 else (slice(None),)
    halves = [_Search(membership[h], correct[h], test_correct[h], cuts) for h in cut]
    searches = [whole, *halves] if len(halves) > 1 else [whole]
    rows = np.flatnonzero(np.any([search.memorized for search in searches], axis=0))
    n_test = test_correct.shape[1]
    shape = (min(rows.size, cuts.block), min(n_test, cuts.block))
    buffers = [np.empty(shape, dtype=np.float32) for _ in range(len(searches) + 1)]
    for start in range(0, rows.size, cuts.block):
        some = rows[start : start + cuts.block]
        members = [membership[h, some].T.astype(np.float32) for h in cut]
        thresholds = [search.thresholds(some) for search in searches]
        for left in range(0, n_test, cuts.block):
            right = test_correct[:, left : left + cuts.block]
            spare, *counts = (b[: some.size, : right.shape[1]] for b in buffers)
            for h, inside, count in zip(cut, members, counts[-len(cut) :], strict=True):
                # Exact in single precision below 2²⁴ models.
                np.matmul(inside, right[h].astype(np.float32), out=count)
            if len(cut) > 1:
                np.add(counts[1], counts[2], out=counts[0])
            for search, count, least in zip(searches, counts, thresholds, strict=True):
                search.look(count, least, some, left, spare)
    return whole, halves if len(halves) > 1 else []


def _re_estimate(
    membership: np.ndarray, test_correct: np.ndarray, halves: list[_Search]
) -> tuple[Float64[np.ndarray, " pairs"], Float64[np.ndarray, " pairs"]]:
    """Influence of pairs selected on one half of the models, on that half and on the other one."""
    selected, again = [np.zeros(0)], [np.zeros(0)]
    for half, other in zip(halves, (slice(1, None, 2), slice(0, None, 2)), strict=False):
        pairs = half.selected()
        for start in range(0, pairs.train.size, _PAIRS):
            some = slice(start, start + _PAIRS)
            inside = membership[other, pairs.train[some]]
            right = test_correct[other, pairs.test[some]]
            with np.errstate(invalid="ignore"):
                p_in = (inside & right).sum(axis=0) / inside.sum(axis=0)
                p_out = (~inside & right).sum(axis=0) / (~inside).sum(axis=0)
            known = ~np.isnan(p_in - p_out)
            selected.append(pairs.influence[some][known])
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
    base = models + 1
    rows = right_in * base + n_in
    names = rows
    if base**3 > np.iinfo(np.int64).max:
        rows, names = np.unique(rows, return_inverse=True)
    keys, where = np.unique(names * base + right_all, return_inverse=True)
    of_key = keys // base if names is rows else rows[keys // base]
    x, drawn, right = (a.astype(np.float64) for a in (of_key // base, of_key % base, keys % base))
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
