"""Memorization: what a model gets right on an example only because it trained on it (method §2).

mem_i = P[h(x_i) = y_i | i in] − P[h(x_i) = y_i | i out], over K models trained on random subsets
(Feldman 2020, Definition 1.1; the subset estimator of Feldman & Zhang 2020, §3). Higher means more
memorized. Negative estimates are kept: clipping them at 0 would bias every average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from scipy import stats

from audit.errors import BadInput
from audit.estimates.intervals import newcombe, student
from audit.estimates.result import Estimate

BLOCK = 4096
"""Examples per block: a [models, block] float64 matrix is held (65 MB at 2,000 models)."""
_OWN_ERRORS = 0.75


@dataclass(frozen=True)
class Memorization:
    """Memorization of each training example, with the counts it rests on.

    ``n_in`` / ``n_out``: models with the example in / out; ``correct_in`` / ``correct_out``: those
    of them that label it correctly. ``p_in``, ``p_out``, ``mem`` and the limits ``low``, ``high``
    (Newcombe's hybrid score, at ``confidence``) are NaN where a count of models is 0.
    """

    n_in: Int64[np.ndarray, " n"]
    n_out: Int64[np.ndarray, " n"]
    correct_in: Int64[np.ndarray, " n"]
    correct_out: Int64[np.ndarray, " n"]
    p_in: Float64[np.ndarray, " n"]
    p_out: Float64[np.ndarray, " n"]
    mem: Float64[np.ndarray, " n"]
    low: Float64[np.ndarray, " n"]
    high: Float64[np.ndarray, " n"]
    confidence: float

    @property
    def n_undefined(self) -> int:
        """Examples that no model has seen, or that every model has seen."""
        return int(np.isnan(self.mem).sum())


def memorization(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    *,
    confidence: float = 0.95,
) -> Memorization:
    """Memorization of n training examples from who trained on what and who was right.

    Args:
        membership: model k trained on example i.
        correct: model k labels training example i correctly.
        confidence: of the interval per example.

    Raises:
        BadInput: no models, no examples, or a confidence outside (0, 1).
    """
    n_models, n = membership.shape
    if n_models == 0 or n == 0:
        raise BadInput(
            "membership.shape", membership.shape, "needs a model and an example", "Train models."
        )
    n_in = np.empty(n, dtype=np.int64)
    correct_in, correct_out = np.empty_like(n_in), np.empty_like(n_in)
    for block in blocks(n):
        inside, right = membership[:, block], correct[:, block]
        n_in[block] = inside.sum(axis=0, dtype=np.int64)
        correct_in[block] = (inside & right).sum(axis=0, dtype=np.int64)
        correct_out[block] = (~inside & right).sum(axis=0, dtype=np.int64)
    return memorization_from_counts(
        n_in, n_models - n_in, correct_in, correct_out, confidence=confidence
    )


def memorization_from_counts(
    n_in: Int[np.ndarray, " n"],
    n_out: Int[np.ndarray, " n"],
    correct_in: Int[np.ndarray, " n"],
    correct_out: Int[np.ndarray, " n"],
    *,
    confidence: float = 0.95,
) -> Memorization:
    """The same from counts added up over shards.

    Raises:
        BadInput: a count is negative, more models are right than there are, or a confidence
            outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise BadInput("confidence", confidence, "must be between 0 and 1", "Use 0.95.")
    check_counts("correct_in", correct_in, n_in)
    check_counts("correct_out", correct_out, n_out)
    with np.errstate(invalid="ignore"):
        p_in, p_out = correct_in / n_in, correct_out / n_out
    low, high = newcombe(correct_in, n_in, correct_out, n_out, confidence=confidence)
    return Memorization(
        n_in=n_in.astype(np.int64),
        n_out=n_out.astype(np.int64),
        correct_in=correct_in.astype(np.int64),
        correct_out=correct_out.astype(np.int64),
        p_in=p_in,
        p_out=p_out,
        mem=p_in - p_out,
        low=low,
        high=high,
        confidence=confidence,
    )


def mean_memorization(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Mean mem over the examples for which it is defined; interval by the jackknife over models.

    ``n`` of the estimate counts models, the independent units. The mean is close to the
    generalization gap at size p·n, which every report checks.
    """
    everything = np.zeros(membership.shape[1], dtype=np.int64)
    means, standard_errors = jackknife_means(membership, correct, everything, 1)
    degrees = np.array([membership.shape[0] - 1.0])
    low, high = student(means, standard_errors, degrees, confidence=confidence)
    return Estimate(float(means[0]), float(low[0]), float(high[0]), membership.shape[0])


def jackknife_means(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    codes: Int[np.ndarray, " n"],
    n_groups: int,
) -> tuple[Float64[np.ndarray, " groups"], Float64[np.ndarray, " groups"]]:
    """Mean mem per group of examples and its delete-one-model jackknife standard error.

    Leaving out model k moves mem_i by (p_in − c)/(n_in − 1) if k had i in, by −(p_out − c)/(n_out −
    1) if out, c = "k is right on i": no model is estimated twice. An example whose mem is undefined
    counts in no mean; one that only one model has seen (or not seen) cannot be left out of that
    model and adds nothing to that model's replicate. NaN for a group without a defined example, and
    for the error of a single model.
    """
    n_models = membership.shape[0]
    sums, sizes = np.zeros(n_groups), np.zeros(n_groups)
    shifts = np.zeros((n_models, n_groups))
    for block in blocks(membership.shape[1]):
        inside = membership[:, block]
        right = correct[:, block]
        part = memorization(inside, right)
        member = np.zeros((part.mem.size, n_groups))
        defined = ~np.isnan(part.mem)
        member[np.flatnonzero(defined), codes[block][defined]] = 1.0
        sums += np.nan_to_num(part.mem, nan=0.0) @ member
        sizes += member.sum(axis=0)
        shifts += _leave_one_out_shift(inside, right, part) @ member
    with np.errstate(invalid="ignore"):
        means, replicates = sums / sizes, shifts / sizes
    if n_models < 2:
        return means, np.full(n_groups, np.nan)
    spread = ((replicates - replicates.mean(axis=0)) ** 2).sum(axis=0)
    return means, np.sqrt((n_models - 1) / n_models * spread)


def share_above(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    threshold: float,
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Share of the examples with a defined mem that have mem ≥ ``threshold``; ``n`` counts models.

    The value is the plug-in share, as published in the literature. It is biased away from the
    share of *true* memorizations by the noise of each mem (usually upwards: more examples lie just
    under a threshold than above it), so ± 2 bootstrap standard errors cover 59–84 % at a nominal
    95 %. The lower limit moves every mem down, by the error that all examples share (models are
    good or bad as a whole: the interval of the mean mem) and by ¾ of its own standard error
    (Newcombe), counts again, and takes off the examples that noise may still have lifted over the
    threshold, judged by how far below it the others lie: their expected number, and two standard
    deviations of it, which matter with few examples; the upper limit mirrors it. Own errors go both
    ways and cancel in a share, hence ¾ and not 2. Simulated coverage is in
    benchmarks/statistics_calibration.py: 98–100 %. It is lost where most examples sit on one side
    of the threshold and within a standard error of it: no count of noisy mems can tell that side.
    """
    n_models = membership.shape[0]
    own = _OWN_ERRORS * float(stats.norm.ppf((1 + confidence) / 2) / stats.norm.ppf(0.975))
    estimate = memorization(membership, correct, confidence=2 * float(stats.norm.cdf(own)) - 1)
    defined = ~np.isnan(estimate.mem)
    if not defined.any() or n_models < 2:
        return Estimate(np.nan, np.nan, np.nan, n_models)
    mem, low, high = (v[defined] for v in (estimate.mem, estimate.low, estimate.high))
    mean = mean_memorization(membership, correct, confidence=confidence)
    shared = (mean.high - mean.low) / 2
    above = _above(mem, threshold)
    with np.errstate(divide="ignore"):
        distance = np.abs(mem - threshold) / (np.where(above, high - mem, mem - low) / own)
    crossed_by_chance = stats.norm.sf(distance + own)
    z = float(stats.norm.ppf((1 + confidence) / 2))
    fewest = _above(low - shared, threshold).sum() - _at_most(crossed_by_chance[~above], z)
    most = _above(high + shared, threshold).sum() + _at_most(crossed_by_chance[above], z)
    value = float(above.mean())
    # The corrections look at one side only: they never move a limit to the far side of the value.
    return Estimate(
        value,
        min(value, max(0.0, float(fewest / mem.size))),
        max(value, min(1.0, float(most / mem.size))),
        n_models,
    )


def _at_most(chances: Float64[np.ndarray, " n"], z: float) -> float:
    """How many of independent events happen at most: the expected number and ``z`` deviations."""
    return float(chances.sum() + z * np.sqrt((chances * (1 - chances)).sum()))


def mem_max(estimate: Memorization, *, confidence: float = 0.95) -> Estimate:
    """Largest mem, with limits for the largest *true* mem; ``n`` counts models.

    The largest of many noisy estimates is large by chance, and no resampling scheme is consistent
    for a maximum. The limits need none. Lower: the largest of the examples' lower limits, each at
    half the error over the number of examples (all hold together, so their largest lies below the
    largest true mem). Upper: the largest of the upper limits, each at half the error (the limit of
    the truly most memorized example alone suffices).
    """
    defined = ~np.isnan(estimate.mem)
    n_models = int((estimate.n_in + estimate.n_out).max(initial=0))
    if not defined.any():
        return Estimate(np.nan, np.nan, np.nan, n_models)
    counts = [
        c[defined]
        for c in (estimate.correct_in, estimate.n_in, estimate.correct_out, estimate.n_out)
    ]
    error = 1 - confidence
    low, _ = newcombe(*counts, confidence=1 - error / int(defined.sum()))
    _, high = newcombe(*counts, confidence=confidence)
    return Estimate(float(np.nanmax(estimate.mem)), float(low.max()), float(high.max()), n_models)


def check_counts(name: str, correct: Int[np.ndarray, " n"], models: Int[np.ndarray, " n"]) -> None:
    """Refuse counts of right models that are negative or above the number of models."""
    if (correct < 0).any() or (correct > models).any():
        worst = int(np.flatnonzero((correct < 0) | (correct > models))[0])
        raise BadInput(
            f"{name}[{worst}]",
            int(correct[worst]),
            f"must lie between 0 and the {int(models[worst])} models it counts",
            "Check that membership and correctness have the same models in the same order.",
        )


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover ``range(n)`` in steps of ``size``."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _leave_one_out_shift(
    inside: Bool[np.ndarray, "models n"], right: Bool[np.ndarray, "models n"], part: Memorization
) -> Float64[np.ndarray, "models n"]:
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(
            inside,
            (part.p_in - right) / (part.n_in - 1),
            (right - part.p_out) / (part.n_out - 1),
        )
    return np.where(np.isfinite(shift), shift, 0.0)


def _above(mem: Float64[np.ndarray, "*shape"], threshold: float) -> Bool[np.ndarray, "*shape"]:
    # Fractions that equal the threshold exactly may land one rounding below it.
    return mem >= threshold - 1e-12
