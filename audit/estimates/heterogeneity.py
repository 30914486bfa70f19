"""Do all subgroups lose equally? Spread beyond noise, the clearest excess, equivalence (method §7).

The null is exchangeability: the loss of an example (its mean over the models) does not depend on
the subgroup it belongs to. Under it, test examples can be relabelled at random, so that p-values
are exact however skewed losses are and however small a subgroup is. It says more than equal means:
subgroups of very different spread break it, too. Errors taken from each group's own few examples
raised 100 % false alarms where labels were permuted: losses are skewed, so a group without a bad
example looks sure of itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int8, Int64
from scipy import stats

from audit.estimates.corrections import max_statistic_p_values
from audit.estimates.crossed import CrossedMeans, models_beyond_examples, rest_contrasts
from audit.estimates.result import Estimate
from audit.estimates.subgroups import SubgroupLoss, subgroup_loss
from audit.estimates.trend import Verdict, paule_mandel

RELABELLINGS = 1999
"""Random relabellings; with the data as they are 2,000, so that the smallest p-value is 0.0005."""
_POWER = 0.8


@dataclass(frozen=True)
class Disparity:
    """Differences of the loss between subgroups.

    ``difference``: loss of each subgroup minus the loss of all other test examples, with its own
    crossed interval; ``pooled_error``: its error for the tests. ``p_adjusted``: of "loses more than
    the rest", one-sided, by relabelling, corrected over the subgroups (max-t). ``cochran_q``:
    weighted between-group sum of squares on ``q_degrees`` degrees, ``q_p_value`` by the same
    relabelling; ``tau``: spread of the true losses (Paule–Mandel). ``worst``: the clearest excess
    (smallest ``p_adjusted``), None under two subgroups with test examples; ``largest``: the
    subgroup with the largest loss, often another, smaller one. ``equivalent_within``: the margin
    beyond which the tests of equivalence pass for every subgroup, whatever ``equivalence_margin``;
    NaN where a subgroup with test examples cannot be compared. ``detectable``: per subgroup, the
    excess that would be shown with 80 % power; ``smallest_detectable``: their median, what a
    typical subgroup must lose more to be noticed. ``n_groups`` of ``n_given`` subgroups have test
    examples.
    """

    loss: SubgroupLoss
    difference: CrossedMeans
    pooled_error: Float64[np.ndarray, " groups"]
    p_adjusted: Float64[np.ndarray, " groups"]
    cochran_q: float
    q_degrees: int
    q_p_value: float
    tau: float
    worst: int | None
    worst_loss: Estimate
    worst_minus_rest: Estimate
    worst_p_adjusted: float
    largest: int | None
    largest_loss: Estimate
    equivalence_margin: float
    equivalent_within: float
    verdict: Verdict
    detectable: Float64[np.ndarray, " groups"]
    smallest_detectable: float
    n_groups: int
    n_given: int
    relabellings: int


@dataclass(frozen=True)
class Relabelled:
    """Excesses over the rest and Cochran's Q under random relabelling of the examples.

    ``z``: excess over its pooled error, per draw and subgroup; NaN where a subgroup has none or all
    of the examples. ``within``, ``overall``: variance within groups, pooled, and of all examples,
    of the sums over models; never 0.
    """

    z: Float64[np.ndarray, "draws groups"]
    q: Float64[np.ndarray, " draws"]
    within: Float64[np.ndarray, " draws"]
    overall: float


def heterogeneity(
    correct_standard: Bool[np.ndarray, "models n_test"],
    correct_dp: Bool[np.ndarray, "models n_test"],
    codes: Int[np.ndarray, " n_test"],
    n_groups: int,
    *,
    rng: np.random.Generator,
    margin: float = 0.05,
    alpha: float = 0.05,
    relabellings: int = RELABELLINGS,
) -> Disparity:
    """Compare the losses of the subgroups of the test set.

    Verdicts: *shown* when the clearest excess is beyond chance (max-t); *equivalent* when two
    one-sided tests at α put every subgroup's difference within ± ``margin``, with the pooled error
    and with the subgroup's own where that is larger (all must pass, so nothing is to correct; a
    subgroup with a single test example cannot); else *inconclusive*; *too_few_groups* under two
    subgroups with test examples. What the models add beyond the examples' noise enters the
    observed statistics alone: no relabelling can produce it. ``n`` of the estimates counts the
    test examples of the subgroup.
    """
    loss = subgroup_loss(correct_standard, correct_dp, codes, n_groups, confidence=1 - alpha)
    cells = correct_standard.astype(np.int8) - correct_dp.astype(np.int8)
    difference = rest_contrasts(cells, codes, n_groups, limits=(-1.0, 1.0), confidence=1 - alpha)
    n = loss.n
    null = relabelled(cells, codes, n_groups, draws=relabellings, rng=rng)
    z, error, q, tau = _observed(cells, codes, n_groups)
    p_adjusted = max_statistic_p_values(z, null.z)
    q_p = float(max_statistic_p_values(np.array([q]), null.q[:, None])[0])
    known = np.isfinite(z)
    worst = int(np.nanargmax(z)) if known.sum() > 1 else None
    detectable = _detectable(error, null.z[:, known], alpha)
    within = _equivalent_within(difference, error, known, alpha)
    verdict = _verdict(within, p_adjusted, margin, alpha)
    largest = int(np.nanargmax(loss.mean)) if n.any() else None
    return Disparity(
        loss=loss,
        difference=difference,
        pooled_error=error,
        p_adjusted=p_adjusted,
        cochran_q=q,
        q_degrees=max(int((n > 0).sum()) - 1, 0),
        q_p_value=q_p,
        tau=tau,
        worst=worst,
        worst_loss=_estimate(loss, worst),
        worst_minus_rest=_estimate(difference, worst),
        worst_p_adjusted=float("nan") if worst is None else float(p_adjusted[worst]),
        largest=largest,
        largest_loss=_estimate(loss, largest),
        equivalence_margin=margin,
        equivalent_within=within,
        verdict=verdict,
        detectable=detectable,
        smallest_detectable=float(np.median(detectable[known])) if known.any() else float("nan"),
        n_groups=int((n > 0).sum()),
        n_given=n_groups,
        relabellings=relabellings,
    )


def relabelled(
    cells: Int8[np.ndarray, "models n"],
    codes: Int[np.ndarray, " n"],
    n_groups: int,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Relabelled:
    """z and Q of ``draws`` random relabellings of the examples; group sizes and models stay.

    Sums are of whole numbers, hence exact: a relabelling that changes nothing gives a tie.
    """
    right = cells.sum(axis=0, dtype=np.int64)
    sizes = np.bincount(codes, minlength=n_groups).astype(np.int64)
    present = np.flatnonzero(sizes)
    starts = np.concatenate([[0], np.cumsum(sizes[present])[:-1]])
    sums = np.zeros((draws, n_groups))
    for draw in range(draws):
        sums[draw, present] = np.add.reduceat(rng.permutation(right), starts)
    return _statistics(sums, right, sizes)


def _statistics(
    sums: Float64[np.ndarray, "draws groups"],
    right: Int64[np.ndarray, " n"],
    sizes: Int64[np.ndarray, " groups"],
) -> Relabelled:
    """z and Q from the sums of ``right`` per group.

    z takes the variance of all examples, which relabelling leaves as it is: with the variance
    within groups, a group that does differ lowers the error of all others, and a single example
    would exceed every one of its draws by that alone.
    """
    n = right.size
    deviations = sums - sizes * right.mean()
    total = float(((right - right.mean()) ** 2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.nansum(deviations**2 / sizes, axis=1)
        degrees = n - int((sizes > 0).sum())
        # At least a rounding: where all values of each group agree nothing is left, z is infinite.
        within = np.maximum(total - between, 1e-12 * max(total, 1.0)) / degrees
        overall = max(total, 1e-12) / (n - 1)
        z = deviations * np.sqrt(n / (sizes * (n - sizes.astype(np.float64))) / overall)
    usable = (sizes > 0) & (sizes < n) & (degrees > 0)
    return Relabelled(np.where(usable, z, np.nan), between / within, within, overall)


def _observed(
    cells: Int8[np.ndarray, "models n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> tuple[Float64[np.ndarray, " groups"], Float64[np.ndarray, " groups"], float, float]:
    """z and error of each subgroup's difference from the rest, Cochran's Q (1954), and τ."""
    right = cells.sum(axis=0, dtype=np.int64)
    sizes = np.bincount(codes, minlength=n_groups).astype(np.int64)
    sums = np.bincount(codes, weights=right, minlength=n_groups)
    plain = _statistics(sums[None, :], right, sizes)
    models = models_beyond_examples(cells, codes, n_groups)
    n, n_models = right.size, cells.shape[0]
    within = float(plain.within[0]) / n_models**2
    with np.errstate(invalid="ignore", divide="ignore"):
        examples = plain.overall / n_models**2 * n / (sizes * (n - sizes.astype(np.float64)))
        z = plain.z[0] / np.sqrt(1 + models / examples)
        # A group is part of the whole: it deviates from it by (1 − n_g/n) of its difference.
        variance = within / sizes + models * (1 - sizes / n) ** 2
    known = np.isfinite(z)
    error = np.where(known, np.sqrt(examples + models), np.nan)
    if known.sum() < 2:
        return z, error, float("nan"), float("nan")
    mean, variance = sums[known] / sizes[known] / n_models, variance[known]
    q = float(((mean - np.average(mean, weights=1 / variance)) ** 2 / variance).sum())
    tau_squared = paule_mandel(mean, variance, np.ones((mean.size, 1)))
    return z, error, q, float(np.sqrt(tau_squared))


def _verdict(
    within: float, p_adjusted: Float64[np.ndarray, " groups"], margin: float, alpha: float
) -> Verdict:
    known = np.flatnonzero(np.isfinite(p_adjusted))
    if known.size < 2:
        return "too_few_groups"
    if (p_adjusted[known] <= alpha).any():
        return "shown"
    # NaN is within no margin.
    return "equivalent" if within < margin else "inconclusive"


def _equivalent_within(
    difference: CrossedMeans,
    pooled_error: Float64[np.ndarray, " groups"],
    known: Bool[np.ndarray, " groups"],
    alpha: float,
) -> float:
    """The margin above which two one-sided tests pass for every subgroup with test examples."""
    if known.sum() < 2 or known.sum() < (difference.n > 0).sum():
        return float("nan")
    # NaN without an error of its own, which the maximum keeps.
    error = np.maximum(pooled_error, difference.standard_error)[known]
    half = stats.t.ppf(1 - alpha, difference.degrees[known]) * error
    return float((np.abs(difference.mean[known]) + half).max())


def _detectable(
    error: Float64[np.ndarray, " groups"], null: Float64[np.ndarray, "draws known"], alpha: float
) -> Float64[np.ndarray, " groups"]:
    """The excess whose z passes the largest z of chance (its 1 − α quantile) with 80 % power."""
    if null.shape[1] < 2:
        return np.full(error.shape, np.nan)
    critical = float(np.quantile(null.max(axis=1), 1 - alpha))
    return np.asarray((critical + stats.norm.ppf(_POWER)) * error, dtype=np.float64)


def _estimate(means: CrossedMeans, group: int | None) -> Estimate:
    if group is None:
        return Estimate(np.nan, np.nan, np.nan, 0)
    return Estimate(
        float(means.mean[group]),
        float(means.low[group]),
        float(means.high[group]),
        int(means.n[group]),
    )
