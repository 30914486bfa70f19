"""Accuracy and comparisons between subgroups as functions of NumPy arrays.

``test_correct`` [models, n_test]: model k labels test example j correctly. ``groups``: one value
per example, a name or a code; missing ones are the subgroup "(not recorded)". Tables are in the
order of the sorted subgroups. The mathematics is in ``audit.estimates``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from audit.api import arguments
from audit.api.arguments import Number
from audit.errors import BadInput
from audit.estimates import accuracy as _accuracy
from audit.estimates import heterogeneity as _heterogeneity
from audit.estimates import subgroups as _subgroups
from audit.estimates import trend as _trend
from audit.estimates.result import Estimate


def accuracy(test_correct: ArrayLike, *, confidence: Number = 0.95) -> Estimate:
    """Test accuracy; the interval lets models and test examples vary. ``n`` counts models.

    Raises:
        BadInput: no matrix of zeros and ones.
    """
    return _accuracy.accuracy(
        arguments.truth("test_correct", test_correct),
        confidence=arguments.level("confidence", confidence),
    )


def generalization_gap(
    membership: ArrayLike, correct: ArrayLike, *, confidence: Number = 0.95
) -> Estimate:
    """Accuracy on included minus accuracy on excluded training examples, averaged over models.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _accuracy.generalization_gap(
        *arguments.pair(membership, correct), confidence=arguments.level("confidence", confidence)
    )


def accuracy_loss(
    standard_correct: ArrayLike, dp_correct: ArrayLike, *, confidence: Number = 0.95
) -> Estimate:
    """Test accuracy of standard models minus that of DP models, paired by model and example.

    Higher means that privacy costs more. Row k of both has the same training subset.

    Raises:
        BadInput: arrays that do not fit.
    """
    return _accuracy.paired_loss(
        *arguments.arms(standard_correct, dp_correct),
        confidence=arguments.level("confidence", confidence),
    )


def subgroup_accuracy(
    test_correct: ArrayLike, groups: Any, *, confidence: Number = 0.95
) -> pd.DataFrame:
    """Test accuracy of each subgroup; ``groups`` has one value (a name, a code) per test example.

    Returns:
        A row per subgroup: ``accuracy, low, high, n``; crossed models × examples interval.

    Raises:
        BadInput: arrays that do not fit.
    """
    correct = arguments.truth("test_correct", test_correct)
    names, codes = arguments.codes(groups, correct.shape[1])
    found = _subgroups.subgroup_accuracy(
        correct, codes, len(names), confidence=arguments.level("confidence", confidence)
    )
    columns = {"accuracy": found.mean, "low": found.low, "high": found.high, "n": found.n}
    return arguments.table(names, columns)


def subgroup_loss(
    standard_correct: ArrayLike, dp_correct: ArrayLike, groups: Any, *, confidence: Number = 0.95
) -> pd.DataFrame:
    """Accuracy loss of each subgroup under DP, paired as in :func:`accuracy_loss`.

    Returns:
        A row per subgroup: ``loss, low, high, p, p_holm`` (of "no loss and no gain", two-sided,
        and corrected over the subgroups), ``error`` (for comparing subgroups, see
        :func:`trend`), ``n`` test examples.

    Raises:
        BadInput: arrays that do not fit.
    """
    standard, dp = arguments.arms(standard_correct, dp_correct)
    names, codes = arguments.codes(groups, standard.shape[1])
    found = _subgroups.subgroup_loss(
        standard, dp, codes, len(names), confidence=arguments.level("confidence", confidence)
    )
    return arguments.table(
        names,
        {
            "loss": found.mean,
            "low": found.low,
            "high": found.high,
            "p": found.p_value,
            "p_holm": found.p_adjusted,
            "error": found.pooled_error,
            "n": found.n,
        },
    )


def subgroup_memorization(
    membership: ArrayLike, correct: ArrayLike, groups: Any, *, confidence: Number = 0.95
) -> pd.DataFrame:
    """Mean memorization of each subgroup; ``groups`` has one value per *training* example.

    Returns:
        A row per subgroup: ``mem, low, high`` (jackknife over models), ``error`` (for comparing
        subgroups, see :func:`trend`), ``n`` training examples, ``n_undefined`` of them without a
        mem.

    Raises:
        BadInput: arrays that do not fit.
    """
    member, right = arguments.pair(membership, correct)
    names, codes = arguments.codes(groups, member.shape[1])
    found = _subgroups.subgroup_mean_memorization(
        member, right, codes, len(names), confidence=arguments.level("confidence", confidence)
    )
    return arguments.table(
        names,
        {
            "mem": found.mean,
            "low": found.low,
            "high": found.high,
            "error": found.pooled_error,
            "n": found.n,
            "n_undefined": found.n_undefined,
        },
    )


def heterogeneity(
    standard_correct: ArrayLike,
    dp_correct: ArrayLike,
    groups: Any,
    *,
    rng: np.random.Generator,
    margin: Number = 0.05,
    alpha: Number = 0.05,
) -> _heterogeneity.Disparity:
    """Do all subgroups lose equally? By relabelling the test examples at random with ``rng``.

    ``verdict``: *shown* (one loses more than the rest), *equivalent* (all within ± ``margin``),
    *inconclusive*, *too_few_groups*. The arrays in the result are in the order of the sorted
    subgroups, that of :func:`subgroup_loss`.

    Raises:
        BadInput: arrays that do not fit.
    """
    standard, dp = arguments.arms(standard_correct, dp_correct)
    names, codes = arguments.codes(groups, standard.shape[1])
    return _heterogeneity.heterogeneity(
        standard,
        dp,
        codes,
        len(names),
        rng=rng,
        margin=float(margin),
        alpha=arguments.level("alpha", alpha),
    )


def trend(
    outcome: ArrayLike,
    error: ArrayLike,
    n_train: ArrayLike,
    *,
    difficulty: ArrayLike | None = None,
    margin: Number | None = None,
    alpha: Number = 0.05,
) -> _trend.Trend:
    """Does an outcome of subgroups change with how frequent they are? Slope per doubling.

    ``outcome`` and ``error`` as in the tables of :func:`subgroup_loss` and
    :func:`subgroup_memorization`, ``n_train`` training examples per subgroup, in the same order.
    Random-effects meta-regression with Knapp–Hartung intervals.

    Raises:
        BadInput: arrays of different length, or an error that is not positive.
    """
    columns = [np.asarray(part, dtype=np.float64) for part in (outcome, error)]
    counts = np.asarray(n_train)
    hard = None if difficulty is None else np.asarray(difficulty, dtype=np.float64)
    for name, part in (("error", columns[1]), ("n_train", counts), ("difficulty", hard)):
        if part is not None and (part.ndim != 1 or part.shape != columns[0].shape):
            raise BadInput(
                name,
                f"shape {part.shape}",
                f"must be one number for each of the {columns[0].size} outcomes",
                "Give the subgroups in the same order in all of them",
            )
    if counts.dtype.kind not in "iu":
        raise BadInput("n_train", str(counts.dtype), "must be whole numbers", "Count the examples")
    return _trend.trend(columns[0], columns[1], counts, difficulty=hard, margin=margin, alpha=alpha)
