"""Do all subgroups lose equally? Spread beyond noise, the worst group, equivalence (method §7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int
from scipy import stats

from audit.estimates.corrections import holm
from audit.estimates.crossed import CrossedMeans, rest_contrasts
from audit.estimates.result import Estimate
from audit.estimates.subgroups import SubgroupLoss, subgroup_loss
from audit.estimates.trend import Verdict, paule_mandel, within_margin

_POWER = 0.8


@dataclass(frozen=True)
class Disparity:
    """Differences of the loss between subgroups.

    ``difference``: loss of each subgroup minus the loss of all other test examples, two-sided
    ``p_value`` and ``p_adjusted`` (Holm over subgroups). ``cochran_q`` on ``q_degrees`` degrees,
    its p-value ``q_p_value`` corrected for estimated errors (Welch); ``tau``: spread of the true
    losses (Paule–Mandel). ``worst``: the subgroup with the strongest evidence (largest t) of losing
    more than the rest, None under two estimable subgroups. ``detectable``: per subgroup, the
    difference that the Holm-first-step test would show with 80 % power; ``smallest_detectable``:
    their median, what a typical subgroup must differ by to be noticed. ``n_groups`` subgroups are
    estimable.
    """

    loss: SubgroupLoss
    difference: CrossedMeans
    p_value: Float64[np.ndarray, " groups"]
    p_adjusted: Float64[np.ndarray, " groups"]
    cochran_q: float
    q_degrees: int
    q_p_value: float
    tau: float
    worst: int | None
    worst_loss: Estimate
    worst_minus_rest: Estimate
    worst_p_holm: float
    equivalence_margin: float
    verdict: Verdict
    detectable: Float64[np.ndarray, " groups"]
    smallest_detectable: float
    n_groups: int


def heterogeneity(
    correct_standard: Bool[np.ndarray, "models n_test"],
    correct_dp: Bool[np.ndarray, "models n_test"],
    codes: Int[np.ndarray, " n_test"],
    n_groups: int,
    *,
    margin: float = 0.05,
    alpha: float = 0.05,
) -> Disparity:
    """Compare the losses of the subgroups of the test set.

    Verdicts: *shown* when some subgroup differs from the rest (Holm); *equivalent* when two
    one-sided tests at α put every estimable subgroup's difference within ± ``margin`` and every
    subgroup with test examples is estimable (all must pass, so nothing is to correct); else
    *inconclusive*; *too_few_groups* under two estimable subgroups. ``n`` of the estimates counts
    the test examples of the worst subgroup.
    """
    loss = subgroup_loss(correct_standard, correct_dp, codes, n_groups, confidence=1 - alpha)
    cells = correct_standard.astype(np.int8) - correct_dp.astype(np.int8)
    difference = rest_contrasts(cells, codes, n_groups, limits=(-1.0, 1.0), confidence=1 - alpha)
    p_value = difference.p_values()
    adjusted = holm(p_value)
    known = np.isfinite(difference.standard_error)
    n_known = int(known.sum())
    q, q_degrees, q_p, tau = cochran(
        loss.mean[known], loss.standard_error[known], loss.degrees[known]
    )
    with np.errstate(invalid="ignore"):
        t = difference.mean / difference.standard_error
    worst = int(np.nanargmax(np.where(known, t, np.nan))) if n_known > 1 else None
    detectable = _detectable(difference, max(n_known, 1), alpha)
    return Disparity(
        loss=loss,
        difference=difference,
        p_value=p_value,
        p_adjusted=adjusted,
        cochran_q=q,
        q_degrees=q_degrees,
        q_p_value=q_p,
        tau=tau,
        worst=worst,
        worst_loss=_estimate(loss, worst),
        worst_minus_rest=_estimate(difference, worst),
        worst_p_holm=float("nan") if worst is None else float(adjusted[worst]),
        equivalence_margin=margin,
        verdict=_verdict(difference, adjusted, margin, alpha),
        detectable=detectable,
        smallest_detectable=float(np.median(detectable[known])) if n_known else float("nan"),
        n_groups=n_known,
    )


def cochran(
    outcome: Float[np.ndarray, " groups"],
    standard_error: Float[np.ndarray, " groups"],
    degrees: Float[np.ndarray, " groups"],
) -> tuple[float, int, float, float]:
    """Cochran's Q (1954), its degrees, p-value, and τ (Paule–Mandel) of the true outcomes.

    χ² takes the errors as known; with errors estimated from ten examples it alarms too often. The
    p-value is Welch's (1951): Q/(G − 1), shrunk and compared with F by the groups' ``degrees``.
    Errors that the groups share (same models) make it conservative. NaN under two groups.
    """
    groups = outcome.size
    if groups < 2:
        return float("nan"), max(groups - 1, 0), float("nan"), float("nan")
    weight = 1 / standard_error**2
    q = float((weight * (outcome - np.average(outcome, weights=weight)) ** 2).sum())
    imprecision = float(((1 - weight / weight.sum()) ** 2 / degrees).sum())
    shrink = 1 + 2 * (groups - 2) / (groups**2 - 1) * imprecision
    p = stats.f.sf(q / (groups - 1) / shrink, groups - 1, (groups**2 - 1) / (3 * imprecision))
    tau_squared = paule_mandel(outcome, standard_error**2, np.ones((groups, 1)))
    return q, groups - 1, float(p), float(np.sqrt(tau_squared))


def _verdict(
    difference: CrossedMeans, adjusted: Float64[np.ndarray, " groups"], margin: float, alpha: float
) -> Verdict:
    known = np.flatnonzero(np.isfinite(difference.standard_error))
    if known.size < 2:
        return "too_few_groups"
    if (adjusted[known] <= alpha).any():
        return "shown"
    within = all(
        within_margin(
            difference.mean[g], difference.standard_error[g], difference.degrees[g], margin, alpha
        )
        for g in known
    )
    # A subgroup that cannot be estimated cannot pass: inconclusive.
    return "equivalent" if within and known.size == (difference.n > 0).sum() else "inconclusive"


def _detectable(
    difference: CrossedMeans, hypotheses: int, alpha: float
) -> Float64[np.ndarray, " groups"]:
    degrees = np.where(np.isfinite(difference.degrees), difference.degrees, 1.0)
    quantiles = stats.t.ppf(1 - alpha / (2 * hypotheses), degrees) + stats.t.ppf(_POWER, degrees)
    return np.asarray(quantiles * difference.standard_error, dtype=np.float64)


def _estimate(means: CrossedMeans, group: int | None) -> Estimate:
    if group is None:
        return Estimate(np.nan, np.nan, np.nan, 0)
    return Estimate(
        float(means.mean[group]),
        float(means.low[group]),
        float(means.high[group]),
        int(means.n[group]),
    )
