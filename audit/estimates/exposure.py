"""Attack exposure: how well each attack does on an arm, on each example, on each subgroup.

The default attack is LiRA online; an example's exposure is the balanced accuracy of that attack on
it over models, guessing "in" where "in" is the likelier (½: no better than a coin).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from audit.estimates.crossed import pooled_within
from audit.estimates.intervals import student
from audit.estimates.membership import Variance, default_variance, global_threshold, lira
from audit.estimates.rmia import rmia
from audit.estimates.roc import Roc, roc

DEFAULT = "lira_online"
_BLOCK = 4096
# Learners that give every example they saw probability 1 have no variance of their own to fit.
_MOST_UNFIT = 0.05


@dataclass(frozen=True)
class Exposure:
    """``attacks``: the pooled ROC of each attack that could be run; ``scores``: of the default one.

    ``each``: exposure of every example, NaN where no model, or every model, has it with a score.
    ``not_run``: attacks that could not be run, and why.
    """

    variance: Variance
    attacks: dict[str, Roc]
    not_run: dict[str, str]
    scores: Float32[np.ndarray, "models n"]
    each: Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class SubgroupExposure:
    """Mean exposure of the examples of each subgroup; interval by the jackknife over models.

    ``pooled_error``: for comparing subgroups, with the examples' variance pooled over them.
    ``rocs``: the pooled ROC of each subgroup.
    """

    mean: Float64[np.ndarray, " groups"]
    low: Float64[np.ndarray, " groups"]
    high: Float64[np.ndarray, " groups"]
    pooled_error: Float64[np.ndarray, " groups"]
    rocs: list[Roc]


def exposure(
    margin: Float[np.ndarray, "models n"],
    membership: Bool[np.ndarray, "models n"],
    population_margin: Float[np.ndarray, "models n_test"] | None,
) -> Exposure:
    """Every attack on every model, each with what the other models show.

    LiRA's variance is :func:`default_variance`'s, but ``fixed`` where more than 5 % of the cells
    would have no score otherwise: a rule that looks at what can be fitted, never at success.

    ``population_margin``: of test examples, for RMIA; None where there are none.
    """
    variance = default_variance(len(margin))
    scores = lira(margin, membership, variance=variance)
    unfit = int((np.isnan(scores) & ~np.isnan(margin)).sum())
    if variance == "per-example" and unfit > _MOST_UNFIT * scores.size:
        variance = "fixed"
        scores = lira(margin, membership, variance=variance)
    runs: dict[str, Callable[[], Float32[np.ndarray, "models n"]]] = {
        "lira_offline": lambda: lira(margin, membership, online=False, variance=variance),
        "global_threshold": lambda: global_threshold(margin),
    }
    not_run: dict[str, str] = {}
    if population_margin is None or np.isnan(population_margin).all():
        why = "needs margins on test examples"
        left_out: tuple[str, ...] = ("rmia_online", "rmia_offline")
        not_run = dict.fromkeys(left_out, why)
    else:
        z = population_margin
        runs["rmia_online"] = lambda: rmia(margin, membership, z)
        runs["rmia_offline"] = lambda: rmia(margin, membership, z, online=False)
    attacks = {DEFAULT: roc(scores, membership, threshold=0.0)}
    # One attack at a time: a score per cell is as much memory as the margins twice.
    for name, score in runs.items():
        attacks[name] = roc(score(), membership, shared_fits=name != "global_threshold")
    return Exposure(variance, attacks, not_run, scores, exposure_of_examples(scores, membership))


def exposure_of_examples(
    scores: Float[np.ndarray, "models n"], membership: Bool[np.ndarray, "models n"]
) -> Float64[np.ndarray, " n"]:
    """Per example ½ (share scored above 0 of the models that saw it + below 0 of the others).

    A score of 0 is half a guess. NaN where a side has no model with a score.
    """
    found = np.empty(scores.shape[1])
    for start in range(0, found.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        found[block] = _shares(scores[:, block], membership[:, block])[0]
    return found


def subgroup_exposure(
    scores: Float[np.ndarray, "models n"],
    membership: Bool[np.ndarray, "models n"],
    codes: Int[np.ndarray, " n"],
    n_groups: int,
    *,
    confidence: float = 0.95,
) -> SubgroupExposure:
    """Exposure and pooled ROC of each subgroup, from the default attack's scores.

    Variance over models doubled, as in :mod:`audit.estimates.roc` (scores share their fits).
    Simulated coverage on noise of a nominal 95 %: 93–95 % (88 % with 30 models, half of them in).
    """
    models = len(scores)
    rocs: list[Roc] = []
    mean, error, own, sizes = np.full((4, n_groups), np.nan)
    each = np.full(codes.size, np.nan)
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(n_groups + 1))
    for g in range(n_groups):
        columns = order[ends[g] : ends[g + 1]]
        here, member = scores[:, columns], membership[:, columns]
        rocs.append(roc(here, member, threshold=0.0))
        found, shifts, noise = _shares(here, member)
        each[columns] = found
        defined = ~np.isnan(found)
        sizes[g] = defined.sum()
        if not defined.any():
            continue
        mean[g] = found[defined].mean()
        own[g] = noise[defined].sum() / sizes[g] ** 2
        if models > 1:
            replicates = shifts[:, defined].mean(axis=1)
            spread = ((replicates - replicates.mean()) ** 2).sum()
            error[g] = np.sqrt(2 * (models - 1) / models * spread)
    low, high = student(mean, error, np.full(n_groups, models - 1.0), confidence=confidence)
    pooled = _pooled_error(each, codes, error, own, sizes)
    return SubgroupExposure(mean, np.clip(low, 0, 1), np.clip(high, 0, 1), pooled, rocs)


def _shares(
    scores: Float[np.ndarray, "models b"], membership: Bool[np.ndarray, "models b"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exposure of examples, what leaving out each model moves it by, and its own variance."""
    known = ~np.isnan(scores)
    guess = np.where(known, (scores > 0) + 0.5 * (scores == 0), 0.0)
    value, noise = np.full(scores.shape[1], 0.5), np.zeros(scores.shape[1])
    shift = np.zeros(scores.shape)
    for side, sign in ((membership & known, 0.5), (~membership & known, -0.5)):
        count = side.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.where(side, guess, 0.0).sum(axis=0) / count
            # An example that one model alone has seen cannot be left out of it: no shift.
            shift += sign * np.where(side & (count > 1), (share - guess) / (count - 1), 0.0)
            noise += np.where(count > 1, share * (1 - share) / (count - 1), 0.0) / 4
        value += sign * share
    return value, shift, noise


def _pooled_error(
    each: Float64[np.ndarray, " n"],
    codes: Int[np.ndarray, " n"],
    jackknife: Float64[np.ndarray, " groups"],
    own: Float64[np.ndarray, " groups"],
    sizes: Float64[np.ndarray, " groups"],
) -> Float64[np.ndarray, " groups"]:
    """Error with the examples' variance pooled over groups, and the models' part beyond it."""
    defined = ~np.isnan(each)
    beyond = jackknife**2 - own
    known = np.isfinite(beyond)
    shared = max(0.0, float(np.average(beyond[known], weights=sizes[known]))) if known.any() else 0
    within = pooled_within(each[defined], codes[defined], len(sizes))
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = np.sqrt(np.where(sizes > 0, within / sizes, np.nan) + shared)
    return np.where(pooled > 0, pooled, jackknife)
