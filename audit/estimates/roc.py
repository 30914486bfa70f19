"""ROC curve of membership scores, pooled over (model, example) cells; intervals over models.

Members should score higher. A cell with a NaN score enters nothing and is counted. The cells of a
model are dependent (one model may fit everything more tightly), so models are the units: intervals
come from the jackknife that leaves out all cells of a model (Miller 1974, §2), never from counting
cells.

Where scores are fitted on the other models, each pair of models counts twice, since each is fitted
on the other; leaving out the cells of one, with all fits kept, shows it once. On noise the variance
is then exactly twice what the jackknife shows, and ``shared_fits`` doubles it. Simulated coverage
of a nominal 95 %: AUC 93–99 % (83 % without doubling), TPR at 1 %
FPR 88–98 % with 50 examples or more and 73–92 % in groups of 10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64

from audit.estimates.intervals import student, unanimous_error
from audit.estimates.result import Estimate

LOW_FPR = (0.001, 0.01)
"""False-positive rates at which attacks are compared (Carlini et al. 2022, §III)."""
CURVE_POINTS = 41

_THRESHOLDS = 240
_BLOCK_CELLS = 2**20


@dataclass(frozen=True)
class Roc:
    """How well scores tell members from others; ``n`` of each estimate counts models.

    ``auc``: chance that a member scores higher than a non-member, ties half (Mann–Whitney).
    ``balanced_accuracy``: ½ (TPR + 1 − FPR) at a threshold fixed before looking or, without one, at
    the one that does best on the *other* models; the same cells would flatter (noise gets above ½).
    ``tpr``: by FPR, the highest TPR whose FPR is at most that; NaN with fewer than 1/FPR cells of
    non-members. ``curve_fpr``, ``curve_tpr``: the curve at log-spaced FPR from one cell to all.
    """

    auc: Estimate
    balanced_accuracy: Estimate
    tpr: dict[float, Estimate]
    n_in: int
    n_out: int
    n_undefined: int
    curve_fpr: Float64[np.ndarray, " points"]
    curve_tpr: Float64[np.ndarray, " points"]


def roc(
    scores: Float[np.ndarray, "models n"],
    membership: Bool[np.ndarray, "models n"],
    *,
    threshold: float | None = None,
    shared_fits: bool = True,
    low_fpr: tuple[float, ...] = LOW_FPR,
    confidence: float = 0.95,
) -> Roc:
    """The pooled ROC of ``scores`` [models, examples], higher for members, NaN where undefined.

    Args:
        threshold: of the balanced accuracy: above it a guess is "in", at it half of one (LiRA
            online: 0, equal likelihoods). None: learned from the other models.
        shared_fits: the scores of a model were fitted on the other models.
    """
    known = ~np.isnan(scores)
    inside = np.sort(scores[membership & known])
    outside = np.sort(scores[~membership & known])
    undefined = scores.size - inside.size - outside.size
    if not inside.size or not outside.size:
        nothing = Estimate(np.nan, np.nan, np.nan, int(known.any(axis=1).sum()))
        tpr = dict.fromkeys(low_fpr, nothing)
        empty = np.zeros(0)
        return Roc(nothing, nothing, tpr, inside.size, outside.size, undefined, empty, empty)
    won, tied_or_won = _pairs_won(inside, outside)
    auc = float(won + tied_or_won) / (2 * inside.size * outside.size)
    tables = _Tables.of(scores, membership, _thresholds(inside, outside), shared_fits)
    grid = np.geomspace(1 / outside.size, 1.0, CURVE_POINTS)
    return Roc(
        auc=tables.estimate(auc, tables.auc(), confidence),
        balanced_accuracy=tables.balanced_accuracy(
            confidence, None if threshold is None else _at(scores, membership, threshold)
        ),
        tpr={
            x: tables.estimate(_tpr(inside, outside, x), tables.tpr(x), confidence) for x in low_fpr
        },
        n_in=inside.size,
        n_out=outside.size,
        n_undefined=undefined,
        curve_fpr=grid,
        curve_tpr=np.array([_tpr(inside, outside, x) for x in grid]),
    )


def _pairs_won(
    inside: Float[np.ndarray, " members"], outside: Float[np.ndarray, " others"]
) -> tuple[int, int]:
    """Pairs in which the member scores higher, and those in which it scores as high or higher.

    Both sorted, so the searches run along memory; the fewer are looked up among the more.
    """
    if inside.size <= outside.size:
        sides = (np.searchsorted(outside, inside, side=side) for side in ("left", "right"))
        won, tied_or_won = (int(below.sum()) for below in sides)
    else:
        sides = (np.searchsorted(inside, outside, side=side) for side in ("right", "left"))
        won, tied_or_won = (inside.size * outside.size - int(below.sum()) for below in sides)
    return won, tied_or_won


def _tpr(
    inside: Float[np.ndarray, " members"], outside: Float[np.ndarray, " others"], fpr: float
) -> float:
    """Highest TPR with FPR ≤ ``fpr``, of scores that are sorted."""
    allowed = int(np.floor(fpr * outside.size + 1e-9))
    if allowed < 1:
        return float("nan")
    if allowed >= outside.size:
        return 1.0
    # A threshold lets through every non-member that is not below it: it has to lie above this one.
    last_kept_out = outside[outside.size - allowed - 1]
    return 1 - float(np.searchsorted(inside, last_kept_out, side="right")) / inside.size


def _thresholds(
    inside: Float[np.ndarray, " members"], outside: Float[np.ndarray, " others"]
) -> Float[np.ndarray, " thresholds"]:
    """Scores that cut both classes finely, finest where few non-members lie above."""
    found = []
    for ordered in (inside, outside):
        last = ordered.size - 1
        steps = np.linspace(0, last, _THRESHOLDS // 2)
        tail = last - np.geomspace(1, ordered.size, _THRESHOLDS // 2) + 1
        found.append(ordered[np.unique(np.concatenate([steps, tail]).round().astype(np.int64))])
    return np.unique(np.concatenate(found))


@dataclass(frozen=True)
class _Tables:
    """Cells at or above each threshold, per model, and what leaving a model out makes of them.

    The thresholds fall, with (0, 0) before and (1, 1) after, so that curves rise.
    """

    above_in: Float64[np.ndarray, "models points"]
    above_out: Float64[np.ndarray, "models points"]
    shared_fits: bool

    @classmethod
    def of(
        cls,
        scores: Float[np.ndarray, "models n"],
        membership: Bool[np.ndarray, "models n"],
        thresholds: Float[np.ndarray, " thresholds"],
        shared_fits: bool,
    ) -> _Tables:
        models, n = scores.shape
        width = thresholds.size + 1
        counts = np.zeros((2, models, width))
        step = max(1, _BLOCK_CELLS // n)
        for start in range(0, models, step):
            rows = scores[start : start + step]
            bins = np.searchsorted(thresholds, rows, side="right")
            bins += width * np.arange(len(rows))[:, None]
            known, member = ~np.isnan(rows), membership[start : start + step]
            for side, cells in enumerate((member & known, ~member & known)):
                found = np.bincount(bins[cells], minlength=width * len(rows))
                counts[side, start : start + step] = found.reshape(len(rows), width)
        above = np.cumsum(counts[:, :, ::-1], axis=2)
        # Models without any defined cell say nothing and are no units.
        used = above[:, :, -1].sum(axis=0) > 0
        padded = np.pad(above[:, used], ((0, 0), (0, 0), (1, 0)))
        return cls(padded[0], padded[1], shared_fits)

    @property
    def n_models(self) -> int:
        return len(self.above_in)

    def _without_each(self) -> tuple[Float64[np.ndarray, "models points"], ...]:
        """TPR and FPR of all models but one, for each."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return tuple(
                (rest := side.sum(axis=0) - side) / rest[:, -1:]
                for side in (self.above_in, self.above_out)
            )

    def auc(self) -> Float64[np.ndarray, " models"]:
        """AUC without each model, by the trapezoid rule over the thresholds."""
        tpr, fpr = self._without_each()
        return np.trapezoid(tpr, fpr, axis=1)

    def tpr(self, at: float) -> Float64[np.ndarray, " models"]:
        """TPR without each model where the curve, straight between thresholds, has FPR ``at``."""
        tpr, fpr = self._without_each()
        place = np.clip((fpr <= at).sum(axis=1), 1, fpr.shape[1] - 1)[:, None]
        (x0, x1), (y0, y1) = (
            (np.take_along_axis(v, place - 1, 1), np.take_along_axis(v, place, 1))
            for v in (fpr, tpr)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(x1 > x0, (at - x0) / (x1 - x0), 0.0)
        return (y0 + part * (y1 - y0))[:, 0]

    def balanced_accuracy(
        self, confidence: float, at: tuple[np.ndarray, np.ndarray] | None
    ) -> Estimate:
        """At a given threshold (``at``: hits, false alarms per model), or the others' best."""
        if at is None and self.n_models < 2:
            return Estimate(np.nan, np.nan, np.nan, self.n_models)
        hits, alarms = self._at_best_of_others() if at is None else at
        members, others = self.above_in[:, -1], self.above_out[:, -1]

        def value(
            hits: np.ndarray, members: np.ndarray, alarms: np.ndarray, others: np.ndarray
        ) -> np.ndarray:
            with np.errstate(invalid="ignore", divide="ignore"):
                return (hits / members + 1 - alarms / others) / 2

        totals = [hits, members, alarms, others]
        whole = float(value(*(np.array([t.sum()]) for t in totals))[0])
        return self.estimate(whole, value(*(t.sum() - t for t in totals)), confidence)

    def _at_best_of_others(self) -> tuple[np.ndarray, np.ndarray]:
        tpr, fpr = self._without_each()
        # NaN where the other models have no cells of a class: no threshold can be learned.
        best = np.argmax(np.nan_to_num(tpr - fpr, nan=-1.0), axis=1)[:, None]
        found = [np.take_along_axis(v, best, axis=1)[:, 0] for v in (self.above_in, self.above_out)]
        return found[0], found[1]

    def estimate(
        self, value: float, replicates: Float64[np.ndarray, " models"], confidence: float
    ) -> Estimate:
        """``value`` with the jackknife's interval, on the logit scale, which keeps to (0, 1)."""
        n = self.n_models
        if n < 2 or not np.isfinite(value) or not np.isfinite(replicates).all():
            return Estimate(value, np.nan, np.nan, n)
        spread = (n - 1) / n * float(((replicates - replicates.mean()) ** 2).sum())
        spread *= 2 if self.shared_fits else 1
        inner = value * (1 - value)
        if spread < 1e-24 or inner <= 0:
            # No spread among n models is no certainty: see unanimous_error.
            half = float(unanimous_error(np.array([n]), confidence=confidence)[0])
            half *= max(value, 1 - value)
            return Estimate(value, max(0.0, value - half), min(1.0, value + half), n)
        degrees = np.array([n - 1.0])
        error = np.sqrt(spread) / inner
        if error > 1:
            # Too rough for the logit's slope at the value to speak for the whole interval.
            ends = student(np.array([value]), np.sqrt([spread]), degrees, confidence=confidence)
            low, high = (float(np.clip(end[0], 0, 1)) for end in ends)
            return Estimate(value, low, high, n)
        logit = np.array([np.log(value / (1 - value))])
        ends = student(logit, np.array([error]), degrees, confidence=confidence)
        low, high = (float(1 / (1 + np.exp(-end[0]))) for end in ends)
        return Estimate(value, low, high, n)


def _at(
    scores: Float[np.ndarray, "models n"], membership: Bool[np.ndarray, "models n"], at: float
) -> tuple[Float64[np.ndarray, " used"], Float64[np.ndarray, " used"]]:
    """Hits and false alarms of each model that has a defined cell; a score at ``at`` is half."""
    used = ~np.isnan(scores).all(axis=1)
    guesses = (scores > at) + 0.5 * (scores == at)
    hits = np.where(membership, guesses, 0.0).sum(axis=1)
    return hits[used], (guesses.sum(axis=1) - hits)[used]
