"""The array arguments of the functions of ``audit``, checked before anything is computed.

A shape or a type that almost fits (labels for correctness, probabilities, rows in the place of
columns) would give numbers that look like an answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import ArrayLike

from audit.errors import BadInput

Number = float | int


def truth(name: str, values: ArrayLike) -> Bool[np.ndarray, "models columns"]:
    """A matrix of booleans, or of zeros and ones; anything else is refused."""
    array = _matrix(name, values)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf" or not bool(((array == 0) | (array == 1)).all()):
        raise BadInput(
            name,
            f"{array.dtype} values from {array.min()} to {array.max()}"
            if array.dtype.kind in "iuf"
            else str(array.dtype),
            "must be true or false (or 1 and 0)",
            "Compare predictions with labels first: predicted == y",
        )
    return array.astype(bool)


def real(name: str, values: ArrayLike) -> Float[np.ndarray, "models columns"]:
    """A matrix of floating-point numbers; NaN is undefined, infinities may be there.

    Who was right, or who was in, is refused in the place of margins and scores.
    """
    array = _matrix(name, values)
    if array.dtype.kind not in "if":
        raise BadInput(
            name, str(array.dtype), "must be real numbers", "Give log(p_y / (1 - p_y)), not answers"
        )
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def pair(
    membership: ArrayLike, correct: ArrayLike, *, second: str = "correct", same_width: bool = True
) -> tuple[Bool[np.ndarray, "models n"], Bool[np.ndarray, "models m"]]:
    """Membership and correctness of the same models; ``same_width``: of the same examples."""
    member, right = truth("membership", membership), truth(second, correct)
    rows = member.shape[0] == right.shape[0]
    if not rows or (same_width and member.shape != right.shape):
        raise BadInput(
            second,
            f"shape {right.shape}",
            f"does not fit membership, {member.shape}: row k of both is model k"
            + (", column i training example i" if same_width else ""),
            "Give the same models in the same order",
        )
    return member, right


def arms(
    standard_correct: ArrayLike, dp_correct: ArrayLike
) -> tuple[Bool[np.ndarray, "models n_test"], Bool[np.ndarray, "models n_test"]]:
    """Correctness of two arms on the same test examples, paired by model."""
    standard, dp = truth("standard_correct", standard_correct), truth("dp_correct", dp_correct)
    if standard.shape != dp.shape:
        raise BadInput(
            "dp_correct",
            f"shape {dp.shape}",
            f"does not fit standard_correct, {standard.shape}: models are paired by their subset",
            "Give the same models and test examples in the same order",
        )
    return standard, dp


def shares(name: str, values: ArrayLike | Number) -> Float64[np.ndarray, "*shape"]:
    """Probabilities; NaN stays NaN."""
    array = np.asarray(values, dtype=np.float64)
    if ((array < 0) | (array > 1)).any():
        raise BadInput(
            name, float(np.nanmax(np.abs(array))), "must lie between 0 and 1", "Give a probability"
        )
    return array


def codes(groups: Any, n: int) -> tuple[tuple[str, ...], Int64[np.ndarray, " n"]]:
    """Names and codes of groups; missing values are "(not recorded)"."""
    from audit.data.array_examples import value_grouping
    from audit.data.given_columns import column

    values = column("groups", groups, n)
    grouping = value_grouping("groups", values, values[:0])
    return grouping.subgroups, grouping.train.astype(np.int64)


def table(names: tuple[str, ...], columns: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row per subgroup."""
    return pd.DataFrame(columns, index=pd.Index(names, name="subgroup"))


def number(name: str, value: Any, low: float, high: float, rule: str) -> float:
    """``value`` as a float from ``low`` to ``high``, which ``rule`` says in words."""
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise BadInput(name, value, "is no number", f"It {rule}") from error
    if not low <= found <= high:
        raise BadInput(name, value, rule, "Give another value")
    return found


def level(name: str, value: Any) -> float:
    """A confidence or an error rate: strictly between 0 and 1."""
    tiny = 1e-12
    return number(name, value, tiny, 1 - tiny, "must lie between 0 and 1")


def claim(epsilon: Any, delta: Any) -> dict[str, float]:
    """A privacy claim (ε, δ)."""
    largest = float(np.finfo(np.float64).max)
    return {
        "epsilon": number("epsilon", epsilon, 0.0, largest, "must be a finite number, 0 or more"),
        "delta": number("delta", delta, 0.0, 1.0, "must lie from 0 to 1"),
    }


def _matrix(name: str, values: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise BadInput(name, type(values).__name__, "is no matrix", "Use [models, n]") from error
    if array.ndim != 2 or not array.size:
        raise BadInput(
            name,
            f"shape {array.shape}",
            "must be [models, examples], none empty",
            "Stack the models",
        )
    return array
