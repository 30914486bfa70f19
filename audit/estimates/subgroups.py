"""Accuracy, loss, memorization and multiplicity of each subgroup (method §7).

Every function takes ``codes`` (the subgroup of each example, 0 … n_groups − 1) and returns one
entry per subgroup. A subgroup without examples is there, with NaN: absent is a finding, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from audit.errors import BadInput
from audit.estimates.corrections import holm
from audit.estimates.crossed import CrossedMeans, crossed_means, pooled_errors, pooled_within
from audit.estimates.intervals import student, wilson
from audit.estimates.memorization import Memorization, jackknife_means, memorization


@dataclass(frozen=True)
class SubgroupLoss(CrossedMeans):
    """Accuracy of the standard arm minus accuracy of the DP arm: higher means the group pays more.

    ``p_value``: two-sided, of "no loss and no gain"; ``p_adjusted``: Holm over the subgroups.
    ``pooled_error``: the error for comparing subgroups (:func:`pooled_errors`), which does not move
    with a group's own mean; a group with one test example has one.
    """

    p_value: Float64[np.ndarray, " groups"]
    p_adjusted: Float64[np.ndarray, " groups"]
    pooled_error: Float64[np.ndarray, " groups"]


@dataclass(frozen=True)
class SubgroupMemorization:
    """Mean mem per subgroup of training examples; interval by the jackknife over models.

    The interval is about these training examples (models are what varies). ``pooled_error``: the
    error for comparing subgroups, whose examples are a sample, too: variance of mem within
    subgroups, pooled, over n, and the models' part. ``n``: training examples of the subgroup;
    ``n_undefined``: those of them whose mem is undefined and that are in no mean.
    """

    mean: Float64[np.ndarray, " groups"]
    standard_error: Float64[np.ndarray, " groups"]
    low: Float64[np.ndarray, " groups"]
    high: Float64[np.ndarray, " groups"]
    pooled_error: Float64[np.ndarray, " groups"]
    n: Int64[np.ndarray, " groups"]
    n_undefined: Int64[np.ndarray, " groups"]


@dataclass(frozen=True)
class FrequencyBins:
    """Bins of subgroups by share of the training set, the rarest first.

    ``names[b]`` covers shares in (2^−(k+1), 2^−k]; ``codes[g]`` is the bin of subgroup g. Subgroups
    without training examples have a bin of their own, "0".
    """

    names: tuple[str, ...]
    codes: Int64[np.ndarray, " groups"]


def subgroup_accuracy(
    correct: Bool[np.ndarray, "models n_test"],
    codes: Int[np.ndarray, " n_test"],
    n_groups: int,
    *,
    confidence: float = 0.95,
) -> CrossedMeans:
    """Test accuracy per subgroup, crossed interval; Wilson over the examples for a single model.

    Raises:
        BadInput: a code outside 0 … n_groups − 1.
    """
    _check_codes(codes, n_groups)
    means = crossed_means(
        correct.astype(np.int8), codes, n_groups, limits=(0.0, 1.0), confidence=confidence
    )
    if correct.shape[0] > 1:
        return means
    right = np.bincount(codes, weights=correct[0], minlength=n_groups).astype(np.int64)
    low, high = wilson(right, means.n, confidence=confidence)
    return replace(means, low=low, high=high)


def subgroup_loss(
    correct_standard: Bool[np.ndarray, "models n_test"],
    correct_dp: Bool[np.ndarray, "models n_test"],
    codes: Int[np.ndarray, " n_test"],
    n_groups: int,
    *,
    confidence: float = 0.95,
) -> SubgroupLoss:
    """Loss per subgroup, paired: model k of both arms trained on the same subset.

    Raises:
        BadInput: a code outside 0 … n_groups − 1.
    """
    _check_codes(codes, n_groups)
    cells = correct_standard.astype(np.int8) - correct_dp.astype(np.int8)
    means = crossed_means(cells, codes, n_groups, limits=(-1.0, 1.0), confidence=confidence)
    p_value = means.p_values()
    pooled = pooled_errors(cells, codes, n_groups)
    # Examples that all have the same mean loss show no variance to pool: the groups' own errors,
    # which are never 0, stand.
    pooled = np.where(pooled > 0, pooled, means.standard_error)
    return SubgroupLoss(
        **vars(means), p_value=p_value, p_adjusted=holm(p_value), pooled_error=pooled
    )


def subgroup_mean_memorization(
    membership: Bool[np.ndarray, "models n"],
    correct: Bool[np.ndarray, "models n"],
    codes: Int[np.ndarray, " n"],
    n_groups: int,
    *,
    confidence: float = 0.95,
) -> SubgroupMemorization:
    """Mean mem per subgroup of the training set.

    Where leaving out any model changes nothing (every model right on every example), the jackknife
    shows an error of 0; there the limits are the averages of the examples' own Newcombe limits,
    which hold whatever the dependence between the examples.

    Raises:
        BadInput: a code outside 0 … n_groups − 1.
    """
    _check_codes(codes, n_groups)
    mean, error = jackknife_means(membership, correct, codes, n_groups)
    degrees = np.full(n_groups, membership.shape[0] - 1.0)
    low, high = student(mean, error, degrees, confidence=confidence)
    each = memorization(membership, correct, confidence=confidence)
    undefined = np.bincount(codes[np.isnan(each.mem)], minlength=n_groups).astype(np.int64)
    pooled = _pooled_mem_error(each, codes, error)
    silent = error < 1e-12
    if silent.any():
        each_low, each_high = (_group_means(v, codes, n_groups) for v in (each.low, each.high))
        low, high = np.where(silent, each_low, low), np.where(silent, each_high, high)
        t = student(np.zeros(1), np.ones(1), degrees[:1], confidence=confidence)[1][0]
        error = np.where(silent, (high - low) / (2 * t), error)
    n = np.bincount(codes, minlength=n_groups).astype(np.int64)
    pooled = np.where(pooled > 0, pooled, error)
    return SubgroupMemorization(mean, error, low, high, pooled, n, undefined)


def _pooled_mem_error(
    each: Memorization, codes: Int[np.ndarray, " n"], jackknife: Float64[np.ndarray, " groups"]
) -> Float64[np.ndarray, " groups"]:
    """Error of mean mem with the examples' variance pooled over groups.

    The models' part is what the jackknife shows beyond the examples' own noise (which the variance
    of mem contains), averaged over groups by number of examples.
    """
    defined = ~np.isnan(each.mem)
    mem, group, groups = each.mem[defined], codes[defined], jackknife.size
    n = np.bincount(group, minlength=groups)
    own = np.zeros(mem.size)
    models = (each.n_in + each.n_out)[defined].astype(np.float64)
    for share, count in ((each.p_in, each.n_in), (each.p_out, each.n_out)):
        p, m = share[defined], count[defined].astype(np.float64)
        # As the jackknife counts: an example that one model alone has seen adds nothing.
        own += np.where(m > 1, m * p * (1 - p) / np.maximum(m - 1, 1) ** 2, 0.0)
    own *= (models - 1) / models
    with np.errstate(invalid="ignore", divide="ignore"):
        beyond = jackknife**2 - np.bincount(group, weights=own, minlength=groups) / n**2
        known = np.isfinite(beyond) & (n > 0)
        shared = max(0.0, float(np.average(beyond[known], weights=n[known]))) if known.any() else 0
        examples = np.where(n > 0, pooled_within(mem, group, groups) / n, np.nan)
    return np.sqrt(examples + shared)


def multiplicity(
    correct: Bool[np.ndarray, "models n_test"], codes: Int[np.ndarray, " n_test"], n_groups: int
) -> Float64[np.ndarray, " groups"]:
    """Predictive multiplicity: mean of 2q(1 − q), q = share of the models that are right.

    The chance that two of the models, drawn with replacement, disagree about being right: 0 where
    all agree, at most ½.
    """
    _check_codes(codes, n_groups)
    q = correct.mean(axis=0)
    return _group_means(2 * q * (1 - q), codes, n_groups)


def frequency_bins(counts: Int[np.ndarray, " groups"], n: int) -> FrequencyBins:
    """Bin subgroups by count/n in powers of two, exactly (no rounding of logarithms).

    Raises:
        BadInput: a count below 0 or above n.
    """
    if (counts < 0).any() or (counts > n).any():
        worst = int(counts[(counts < 0) | (counts > n)][0])
        raise BadInput("counts", worst, f"must lie between 0 and n = {n}", "Count train examples.")
    halvings = [(n // int(c)).bit_length() - 1 if c else None for c in counts]
    exponents = sorted({h for h in halvings if h is not None}, reverse=True)
    absent = None in halvings
    names = ["0"] * absent + [f"1/{2 ** (k + 1)}–1/{2**k}" for k in exponents]
    place = {k: index + absent for index, k in enumerate(exponents)}
    codes = np.array([0 if h is None else place[h] for h in halvings], dtype=np.int64)
    return FrequencyBins(tuple(names), codes)


def _group_means(
    values: Float64[np.ndarray, " n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> Float64[np.ndarray, " groups"]:
    """Mean of the defined values per group; NaN where there are none."""
    defined = ~np.isnan(values)
    sums = np.bincount(codes[defined], weights=values[defined], minlength=n_groups)
    sizes = np.bincount(codes[defined], minlength=n_groups)
    with np.errstate(invalid="ignore"):
        return sums / sizes


def _check_codes(codes: Int[np.ndarray, " n"], n_groups: int) -> None:
    if codes.size and (codes.min() < 0 or codes.max() >= n_groups):
        worst = int(codes[(codes < 0) | (codes >= n_groups)][0])
        raise BadInput(
            "codes",
            worst,
            f"must lie between 0 and {n_groups - 1}, one per subgroup",
            'Give a missing group its own code, named "(not recorded)".',
        )
