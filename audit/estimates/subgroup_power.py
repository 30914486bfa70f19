"""What differences between subgroups could be shown, before they are measured (method §7).

A subgroup's excess of loss over the rest has, with K models and n test examples of which n_g are
its own, the variance (:func:`audit.estimates.crossed.pooled_errors`, heterogeneity)

    (σ²_examples + σ²_cells / K) · n / (n_g (n − n_g)) + σ²_models / K.

Its first part does not fall with K: test examples are a sample, and with few of them no number of
models shows a small difference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int8
from scipy import stats

from audit.estimates.crossed import models_beyond_examples
from audit.estimates.power import ENOUGH_POWER


@dataclass(frozen=True)
class LossVariance:
    """Variances of a paired loss (−1, 0 or 1 per model and test example).

    ``examples``: of the examples' mean losses; ``cells``: of what one model adds to one example;
    ``models``: of what one model adds to a whole subgroup, beyond the rest.
    """

    examples: float
    cells: float
    models: float


def loss_variance(
    cells: Int8[np.ndarray, "models n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> LossVariance:
    """Estimate the variances from some models' paired losses; two-way random model, at least 0.

    NaN where there are fewer than two models or examples.
    """
    models, n = cells.shape
    if models < 2 or n < 2:
        return LossVariance(math.nan, math.nan, math.nan)
    values = cells.astype(np.float64)
    of_examples, of_models = values.mean(axis=0), values.mean(axis=1)
    rest = values - of_examples - of_models[:, None] + values.mean()
    residual = float((rest**2).sum() / ((models - 1) * (n - 1)))
    examples = max(0.0, float(of_examples.var(ddof=1)) - residual / models)
    beyond = models_beyond_examples(cells, codes, n_groups)
    sizes = np.bincount(codes, minlength=n_groups)
    known = np.isfinite(beyond) & (sizes > 0)
    shared = float(np.average(beyond[known], weights=sizes[known])) if known.any() else 0.0
    return LossVariance(examples, residual, max(0.0, shared) * models)


def excess_error(
    variance: LossVariance, models: int, n_group: Int[np.ndarray, " groups"], n_test: int
) -> Float64[np.ndarray, " groups"]:
    """Standard error of each subgroup's excess over the rest; NaN where one side is empty."""
    fixed, per_model = _parts(variance, n_group, n_test)
    return np.sqrt(fixed + per_model / models)


def smallest_excess(
    variance: LossVariance,
    models: int,
    n_group: Int[np.ndarray, " groups"],
    n_test: int,
    *,
    n_groups: int,
    alpha: float = 0.05,
) -> Float64[np.ndarray, " groups"]:
    """Excess of loss that would be shown with 80 % power.

    One-sided at ``alpha``, Bonferroni over ``n_groups`` subgroups (max-t, which the test uses, is
    at most that strict).
    """
    return _factor(n_groups, alpha) * excess_error(variance, models, n_group, n_test)


def smallest_margin(
    variance: LossVariance,
    models: int,
    n_group: Int[np.ndarray, " groups"],
    n_test: int,
    *,
    n_groups: int,
    alpha: float = 0.05,
) -> float:
    """Margin within which equal losses would be called *equivalent* with 80 % power.

    Two one-sided tests at ``alpha`` in every subgroup; all must pass, so each is given its share of
    the missing power (Bonferroni). NaN with fewer than two subgroups.
    """
    error = excess_error(variance, models, n_group, n_test)
    known = error[np.isfinite(error)]
    if known.size < 2:
        return math.nan
    missed = (1 - ENOUGH_POWER) / n_groups
    z = stats.norm.ppf(1 - alpha) + stats.norm.ppf(1 - missed / 2)
    return float(z * known.max())


def models_for_excess(
    excess: float,
    variance: LossVariance,
    n_group: int,
    n_test: int,
    *,
    n_groups: int,
    alpha: float = 0.05,
) -> int | None:
    """Fewest models that show ``excess`` with 80 % power; None where test examples alone forbid."""
    fixed, per_model = (float(part[0]) for part in _parts(variance, np.array([n_group]), n_test))
    room = (excess / _factor(n_groups, alpha)) ** 2 - fixed
    if not room > 0:
        return None
    return max(2, math.ceil(per_model / room))


def needed_test_examples(
    excess: float,
    variance: LossVariance,
    models: int,
    share: float,
    *,
    n_groups: int,
    alpha: float = 0.05,
) -> int | None:
    """Fewest test examples, ``share`` of them in the subgroup, that show ``excess`` with 80 % power
    from ``models`` models; None where the models' part alone forbids it."""
    room = (excess / _factor(n_groups, alpha)) ** 2 - variance.models / models
    if not room > 0 or not 0 < share < 1:
        return None
    each = variance.examples + variance.cells / models
    return max(2, math.ceil(each / (share * (1 - share) * room)))


def _factor(n_groups: int, alpha: float) -> float:
    return float(stats.norm.ppf(1 - alpha / max(n_groups, 1)) + stats.norm.ppf(ENOUGH_POWER))


def _parts(
    variance: LossVariance, n_group: Int[np.ndarray, " groups"], n_test: int
) -> tuple[Float64[np.ndarray, " groups"], Float64[np.ndarray, " groups"]]:
    """What does not fall with the number of models, and what does, for one model."""
    sizes = n_group.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = n_test / (sizes * (n_test - sizes))
    spread = np.where((sizes > 0) & (sizes < n_test), spread, np.nan)
    return variance.examples * spread, variance.cells * spread + variance.models
