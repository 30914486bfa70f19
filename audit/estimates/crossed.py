"""Means over models × test examples, both of them samples: the crossed variance (method §7).

Every model answers every example, so the K·n cells are not independent: cells of one model share
its training, cells of one example share its difficulty. With row (model) means and column (example)
means of a group's cells,

    Var(mean) = s²_models / K + s²_examples / n − s²_residual / (K n),

unbiased for the two-way random model (Cornfield & Tukey 1956; Searle, Casella & McCulloch 1992,
§4.3), floored at the larger of the first two terms, Satterthwaite 1946 degrees of freedom, at least
min(K, n) − 1: subtracting a term can push the formula below 1, where limits explode. Pooling
the cells covers 40–91 % at a nominal 95 %, resampling examples alone 44–93 %.

Such an error describes one group. To *compare* groups it misleads: losses are skewed, so in a small
group the error is small whenever the mean is, and groups of low loss get the weight. Comparisons
take :func:`pooled_errors`, in which no group's error moves with its own mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int, Int8, Int64
from scipy import stats

from audit.estimates.intervals import student, unanimous_error

_ROUNDING = 1e-13


@dataclass(frozen=True)
class CrossedMeans:
    """One mean per group with its crossed standard error, degrees of freedom and limits.

    ``n`` counts test examples. NaN where a group has no test example (all), or one test example or
    one model (everything but the mean).
    """

    mean: Float64[np.ndarray, " groups"]
    standard_error: Float64[np.ndarray, " groups"]
    degrees: Float64[np.ndarray, " groups"]
    low: Float64[np.ndarray, " groups"]
    high: Float64[np.ndarray, " groups"]
    n: Int64[np.ndarray, " groups"]

    def p_values(self) -> Float64[np.ndarray, " groups"]:
        """Two-sided p-value of "the mean is 0" (Student's t with the Satterthwaite degrees)."""
        defined = np.isfinite(self.standard_error)
        with np.errstate(invalid="ignore"):
            t = np.abs(self.mean) / self.standard_error
        p = 2 * stats.t.sf(np.where(defined, t, 0.0), np.where(defined, self.degrees, 1.0))
        return np.where(defined, p, np.nan)


@dataclass(frozen=True)
class CrossedSums:
    """Sufficient statistics of the cells of each group; sums over disjoint groups add up.

    ``row_sums``: per model, over the group's examples; ``column_squares``: sum over examples of the
    squared example mean; ``cell_squares``: sum over cells of the squared cell.
    """

    n: Int64[np.ndarray, " groups"]
    row_sums: Float64[np.ndarray, "models groups"]
    column_squares: Float64[np.ndarray, " groups"]
    cell_squares: Float64[np.ndarray, " groups"]

    def rest(self) -> CrossedSums:
        """For each group, the same sums over all examples outside it."""
        return CrossedSums(
            self.n.sum() - self.n,
            self.row_sums.sum(axis=1, keepdims=True) - self.row_sums,
            self.column_squares.sum() - self.column_squares,
            self.cell_squares.sum() - self.cell_squares,
        )


def crossed_sums(
    cells: Int8[np.ndarray, "models n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> CrossedSums:
    """Sums of ``cells`` (0/1 for a correctness, −1/0/1 for a paired difference) per group code."""
    member = np.zeros((cells.shape[1], n_groups), dtype=np.float32)
    member[np.arange(cells.shape[1]), codes] = 1.0
    # float32 sums of small integers are exact below 2²⁴ examples.
    row_sums = (cells.astype(np.float32) @ member).astype(np.float64)
    member = member.astype(np.float64)
    squares = np.abs(cells).sum(axis=0, dtype=np.int64)
    return CrossedSums(
        member.sum(axis=0).astype(np.int64),
        row_sums,
        cells.mean(axis=0, dtype=np.float64) ** 2 @ member,
        squares @ member,
    )


def crossed_means(
    cells: Int8[np.ndarray, "models n"],
    codes: Int[np.ndarray, " n"],
    n_groups: int,
    *,
    limits: tuple[float, float],
    confidence: float = 0.95,
) -> CrossedMeans:
    """Mean of the cells of each group; ``limits`` are the smallest and largest possible mean."""
    sums = crossed_sums(cells, codes, n_groups)
    with np.errstate(invalid="ignore"):
        rows = sums.row_sums / sums.n
    return _summarise(rows, [sums], limits=limits, spread=limits, confidence=confidence)


def rest_contrasts(
    cells: Int8[np.ndarray, "models n"],
    codes: Int[np.ndarray, " n"],
    n_groups: int,
    *,
    limits: tuple[float, float],
    confidence: float = 0.95,
) -> CrossedMeans:
    """Mean of each group minus the mean of all other examples, paired by model.

    What a model does to both sides alike cancels: the models' part is the variance of the per-model
    difference. Examples of the two sides are independent, so their parts add. ``limits`` are those
    of one side's mean; ``n`` counts the group's own examples.
    """
    inside = crossed_sums(cells, codes, n_groups)
    outside = inside.rest()
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = inside.row_sums / inside.n - outside.row_sums / outside.n
    width = limits[1] - limits[0]
    return _summarise(
        rows, [inside, outside], limits=(-width, width), spread=limits, confidence=confidence
    )


def pooled_errors(
    cells: Int8[np.ndarray, "models n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> Float64[np.ndarray, " groups"]:
    """Standard error of each group's mean with the examples' variance pooled over groups.

    A group with a single example has one, too. The models' part is the average over groups, by
    number of examples. NaN for a group without examples, for one model, and where no group has two
    examples; 0 where all examples have the same mean.
    """
    sums = crossed_sums(cells, codes, n_groups)
    with np.errstate(invalid="ignore"):
        rows = sums.row_sums / sums.n
    models = _models_part(rows, [sums])
    known = np.isfinite(models)
    shared = max(0.0, float(np.average(models[known], weights=sums.n[known]))) if known.any() else 0
    examples = pooled_within(cells.mean(axis=0, dtype=np.float64), codes, n_groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = np.where(sums.n > 0, examples / sums.n, np.nan) + shared
    return np.sqrt(variance if cells.shape[0] > 1 else np.full(n_groups, np.nan))


def models_beyond_examples(
    cells: Int8[np.ndarray, "models n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> Float64[np.ndarray, " groups"]:
    """What models add, over K, to the variance of each group's mean minus the rest's; at least 0.

    That is luck of models with one group, beyond the noise of single cells. For a group or a rest
    of one example, where the two cannot be told apart, the average of the others by number of
    examples; NaN where there is no other, and for one model.
    """
    inside = crossed_sums(cells, codes, n_groups)
    outside = inside.rest()
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = inside.row_sums / inside.n - outside.row_sums / outside.n
    models = np.maximum(_models_part(rows, [inside, outside]), 0.0)
    known = np.isfinite(models)
    usual = float(np.average(models[known], weights=inside.n[known])) if known.any() else np.nan
    return np.where(known, models, usual)


def pooled_within(
    values: Float64[np.ndarray, " n"], codes: Int[np.ndarray, " n"], n_groups: int
) -> float:
    """Variance of ``values`` within groups, pooled; NaN where no group has two of them."""
    sizes = np.bincount(codes, minlength=n_groups)
    degrees = values.size - int((sizes > 0).sum())
    if degrees < 1:
        return float("nan")
    means = np.bincount(codes, weights=values, minlength=n_groups) / np.maximum(sizes, 1)
    return float(((values - means[codes]) ** 2).sum() / degrees)


def _models_part(
    rows: Float64[np.ndarray, "models groups"], sides: list[CrossedSums]
) -> Float64[np.ndarray, " groups"]:
    """Variance over models of ``rows``, over K, less what independent cells would show.

    Unbiased, so it may be negative; NaN where a side has fewer than two examples.
    """
    n_models = rows.shape[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = ((rows - rows.mean(axis=0)) ** 2).sum(axis=0) / (n_models - 1) / n_models
    for side in sides:
        spread = spread - _example_parts(side)[1]
    return spread


def _summarise(
    rows: Float64[np.ndarray, "models groups"],
    sides: list[CrossedSums],
    *,
    limits: tuple[float, float],
    spread: tuple[float, float],
    confidence: float,
) -> CrossedMeans:
    """Mean of ``rows`` over models with the crossed variance of the disjoint ``sides``.

    A side whose cells all agree shows no variance, yet five agreeing examples are no certainty: it
    adds the error that its agreeing units do not exclude (:func:`unanimous_error`), so that no
    limit of width 0 is ever reported.
    """
    n_models, n_groups = rows.shape
    mean = rows.mean(axis=0)
    model_degrees = float(n_models - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        models = ((rows - mean) ** 2).sum(axis=0) / model_degrees / n_models
    model_part = _without_rounding(models)
    example_part, residual_part, degrees_sum = np.zeros((3, n_groups))
    agreeing, units = np.zeros(n_groups), np.full(n_groups, np.inf)
    for side in sides:
        examples, residual = _example_parts(side)
        example_part, residual_part = example_part + examples, residual_part + residual
        with np.errstate(invalid="ignore", divide="ignore"):
            degrees_sum = degrees_sum + examples**2 / (side.n - 1)
            degrees_sum = degrees_sum + residual**2 / ((side.n - 1) * model_degrees)
        error, side_units = _agreement(side, spread, confidence)
        agreeing += error**2
        units = np.where(error > 0, np.minimum(units, side_units), units)
    variance = np.maximum(
        model_part + example_part - residual_part, np.maximum(model_part, example_part)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = variance**2 / (model_part**2 / model_degrees + degrees_sum)
    # Satterthwaite without the subtraction never falls below the fewest degrees of its terms.
    fewest = np.minimum(model_degrees, np.min([side.n for side in sides], axis=0) - 1.0)
    degrees = np.fmin(np.maximum(degrees, fewest), units - 1)
    error = np.sqrt(variance + agreeing)
    low, high = student(mean, error, degrees, confidence=confidence)
    return CrossedMeans(
        mean, error, degrees, np.clip(low, *limits), np.clip(high, *limits), sides[0].n
    )


def _example_parts(
    sums: CrossedSums,
) -> tuple[Float64[np.ndarray, " groups"], Float64[np.ndarray, " groups"]]:
    """(s²_examples / n, s²_residual / Kn) of each group; NaN where n or K is below 2."""
    n_models, n = sums.row_sums.shape[0], sums.n
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = sums.row_sums / n
        mean = rows.mean(axis=0)
        models = n * ((rows - mean) ** 2).sum(axis=0)
        examples = np.maximum(sums.column_squares - n * mean**2, 0.0)
        total = sums.cell_squares - n_models * n * mean**2
        residual = np.maximum(total - models - n_models * examples, 0.0)
        residual = residual / ((n_models - 1) * (n - 1) * float(n_models) * n)
        examples = examples / ((n - 1) * n)
    enough = (n > 1) & (n_models > 1)
    return (
        np.where(enough, _without_rounding(examples), np.nan),
        np.where(enough, _without_rounding(residual), np.nan),
    )


def _agreement(
    sums: CrossedSums, spread: tuple[float, float], confidence: float
) -> tuple[Float64[np.ndarray, " groups"], Int64[np.ndarray, " groups"]]:
    """Standard error of groups whose cells all agree (0 elsewhere) and their independent units.

    min(K, n) cells with neither model nor example in common are independent. The error is scaled so
    that Student's limits with units − 1 degrees reach exactly Wilson's.
    """
    n_models = sums.row_sums.shape[0]
    cells = float(n_models) * sums.n
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sums.row_sums.sum(axis=0) / cells
        agree = np.abs(sums.cell_squares / cells - mean**2) < _ROUNDING
    units = np.minimum(n_models, sums.n)
    agree &= units > 1
    furthest = np.maximum(spread[1] - mean, mean - spread[0])
    t = stats.t.ppf((1 + confidence) / 2, np.maximum(units - 1, 1))
    share = unanimous_error(units, confidence=confidence)
    return np.where(agree, share * furthest / t, 0.0), units


def _without_rounding(part: Float64[np.ndarray, " groups"]) -> Float64[np.ndarray, " groups"]:
    """Differences of sums leave about 1e-16 where the truth is 0."""
    return np.where(part < _ROUNDING, 0.0, part)
