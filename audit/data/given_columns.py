"""Labels and groups given in memory → plain NumPy arrays, one value per row, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Set
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from audit.data.names import printable
from audit.errors import BadInput


def detached(name: str, values: Any) -> Any:
    """A torch tensor as a NumPy array; anything else as it is. torch is not imported for it.

    Raises:
        BadInput: a tensor that NumPy has no type for (bfloat16).
    """
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    try:
        return values.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        raise BadInput(
            name,
            f"tensor of {getattr(values, 'dtype', 'an unknown type')}",
            "has a type that NumPy does not know",
            "Convert it first, e.g. with .float()",
        ) from error


def column(name: str, values: Any, rows: int) -> np.ndarray:
    """One value per row as a 1-D array; missing ones stay missing (NaN, None).

    Raises:
        BadInput: another number of values than ``rows``, or no sequence at all.
    """
    values = detached(name, values)
    if isinstance(values, np.ma.MaskedArray):
        values = np.array(values.tolist(), dtype=object)  # a masked value becomes None
    if not isinstance(values, np.ndarray):
        unordered = isinstance(values, str | bytes | Mapping | Set)
        if unordered or not hasattr(values, "__len__"):
            raise BadInput(
                name, values, "is no sequence of values", "Give an array with one value per row"
            )
        # Through objects: NumPy would make the text 'nan' of a NaN among strings.
        values = pd.Series(values, dtype=object).to_numpy()
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (rows,):
        raise BadInput(
            name,
            f"values of shape {values.shape}",
            f"must be one for each of the {rows:,} rows of x",
            "Give as many, in the same order",
        )
    return values


def labels(name: str, values: Any, rows: int) -> np.ndarray:
    """Labels as integers, floats or strings.

    Raises:
        BadInput: as :func:`column`, missing labels, or objects of several kinds.
    """
    plain = column(name, values, rows)
    missing = int(pd.isna(plain).sum())
    if missing:
        raise BadInput(
            name,
            f"{missing:,} missing of {rows:,}",
            "each row needs its label",
            "Remove these rows, or give them a class of their own",
        )
    if plain.dtype.kind != "O":
        return plain
    objects = plain.tolist()
    for kind, dtype in ((str, np.str_), (Integral, np.int64), (Real, np.float64)):
        if all(isinstance(value, kind) for value in objects):
            try:
                return np.asarray(objects, dtype=dtype)
            except OverflowError:
                break
    kinds = sorted({type(value).__name__ for value in objects})
    raise BadInput(
        name,
        f"objects: {', '.join(kinds[:5])}",
        "must be whole numbers or strings, not several kinds of objects",
        "Convert it, e.g. with .astype(str)",
    )


def groups_of(name: str, groups: Any, x: Any) -> dict[str, np.ndarray]:
    """The groups of the rows of ``x``, by name: from a dict, a DataFrame, a Series, or None.

    Raises:
        BadInput: no such thing, values that do not fit ``x``, or names that read alike.
    """
    if groups is None:
        return {}
    if isinstance(groups, pd.Series):
        groups = groups.to_frame(groups.name if groups.name is not None else "group")
    if isinstance(groups, pd.DataFrame):
        refuse_other_order(name, groups, x)
        named = [(key, groups.iloc[:, at]) for at, key in enumerate(groups.columns)]
    elif isinstance(groups, Mapping):
        named = list(groups.items())
        for key, values in named:
            refuse_other_order(f"{name}[{key!r}]", values, x)
    else:
        raise BadInput(
            name,
            type(groups).__name__,
            "must be a dict of name → one value per row, or a DataFrame",
            "Use e.g. groups={'sex': sex}",
        )
    found: dict[str, np.ndarray] = {}
    shown: set[str] = set()
    for key, values in named:
        text = str(key).strip()
        if not text:
            raise BadInput(name, key, "is an empty name", "Give the grouping a name")
        if printable(text) in shown:
            raise BadInput(
                name, text, "is there twice, or reads like another name", "Give distinct names"
            )
        shown.add(printable(text))
        found[text] = column(f"{name}[{text!r}]", values, len(x))
    return found


def refuse_other_order(name: str, values: Any, x: Any) -> None:
    """Refuse labels or groups whose pandas index is not that of ``x``: rows could be mixed up.

    Raises:
        BadInput: both have an index, and they differ.
    """
    both = isinstance(values, pd.Series | pd.DataFrame) and isinstance(x, pd.Series | pd.DataFrame)
    if both and len(values) == len(x) and not values.index.equals(x.index):
        raise BadInput(
            name,
            type(values).__name__,
            "has another index than x: its rows may be in another order",
            "Use .loc[x.index] to bring them into the order of x, or .to_numpy() if they are",
        )
