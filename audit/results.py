"""The results folder of a run: three tables and a summary that any tool can read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from audit.errors import BadInput
from audit.store import check_plain, read_json, write_bytes, write_json

# The columns that every reader needs; more may be there.
_TABLES: dict[str, tuple[str, ...]] = {
    "examples": (
        *(
            "arm",
            "example",
            "label",
            "n_in",
            "n_out",
            "p_in",
            "p_out",
            "mem",
            "mem_low",
            "mem_high",
        ),
        *("bound", "tradeoff_bound", "verdict"),
    ),
    "influence": ("arm", "train_example", "test_example", "influence", "low", "high", "q_value"),
    "subgroups": ("grouping", "kind", "subgroup", "n_train", "n_test", "frequency"),
}
_LARGEST = 1e15
_TEXT = frozenset({"arm", "label", "verdict", "grouping", "kind", "subgroup"})


@dataclass(frozen=True)
class Results:
    """The estimates of a run, as stored.

    ``examples``: a row per arm and training example; ``influence``: a row per reported pair;
    ``subgroups``: a row per grouping and subgroup; ``summary``: plain JSON.
    """

    examples: pd.DataFrame
    influence: pd.DataFrame
    subgroups: pd.DataFrame
    summary: dict[str, Any]


def calibration_file(path: Path) -> Path:
    """What `audit calibrate` leaves of the run in ``path``."""
    return path / "results" / "calibration.json"


def write_results(run: Path, results: Results) -> None:
    """Write ``results/``; the same numbers give the same bytes."""
    for name in _TABLES:
        write_bytes(run / "results" / f"{name}.parquet", _table_bytes(getattr(results, name)))
    write_json(run / "results" / "summary.json", results.summary)


def _table_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer, compression="zstd")
    return buffer.getvalue()


def differing_results(run: Path, results: Results) -> list[str]:
    """The files in ``results/`` that hold other numbers than ``results``, beyond rounding.

    Raises:
        BadInput: a table is missing or unreadable.
    """
    stored = read_results(run)
    different = []
    for name in _TABLES:
        mine = pq.read_table(io.BytesIO(_table_bytes(getattr(results, name)))).to_pandas()
        try:
            pd.testing.assert_frame_equal(getattr(stored, name), mine, rtol=1e-9, atol=1e-12)
        except AssertionError:
            different.append(f"{name}.parquet")
    return different


def read_results(run: Path) -> Results:
    """Read ``results/``.

    Raises:
        BadInput: a table is missing or unreadable.
    """
    check_plain(run)
    frames = {name: _read_table(run, name, columns) for name, columns in _TABLES.items()}
    if len(frames["examples"]) == 0:
        raise _unreadable(run, "examples", "it has no rows")
    return Results(**frames, summary=read_json(run / "results" / "summary.json"))


def _read_table(run: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    path = run / "results" / f"{name}.parquet"
    try:
        # As a file: a folder of this name would be read as a partitioned data set.
        with path.open("rb") as file:
            frame = pq.read_table(file).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(run, name, type(error).__name__) from error
    for column in columns:
        if column not in frame:
            raise _unreadable(run, name, f"it has no column {column}")
        if column not in _TEXT and not pd.api.types.is_numeric_dtype(frame[column]):
            raise _unreadable(run, name, f"its column {column} is not numeric")
    for column in frame.select_dtypes("number"):
        # What is undefined is NaN; nothing here is infinite, nor are there so many of anything.
        if (frame[column].abs() > _LARGEST).any():
            raise _unreadable(run, name, f"its column {column} has a number beyond {_LARGEST:g}")
    return frame


def _unreadable(run: Path, name: str, why: str) -> BadInput:
    return BadInput(
        "run",
        str(run),
        f"has no readable results/{name}.parquet ({why})",
        "Give the command of the run again: it makes the results anew from the shards",
    )
