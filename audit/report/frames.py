"""Selecting rows of a results table: one place, so that the types stay those of tables."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd


def rows_of(frame: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    """The rows whose ``column`` equals ``value``."""
    return cast(pd.DataFrame, frame.loc[frame[column] == value])


def rows_known(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows in which every one of ``columns`` is defined (not NaN)."""
    return cast(pd.DataFrame, frame.loc[frame[list(columns)].notna().all(axis=1)])


def values(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A numeric column as float64; undefined values are NaN."""
    return np.asarray(frame[column], dtype=np.float64)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts by column name."""
    columns = [str(c) for c in frame.columns]
    return [
        dict(zip(columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)
    ]
