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
from audit.store import read_json, write_bytes, write_json

_TABLES = ("examples", "influence", "subgroups")


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


def write_results(run: Path, results: Results) -> None:
    """Write ``results/``; the same numbers give the same bytes."""
    for name in _TABLES:
        table = pa.Table.from_pandas(getattr(results, name), preserve_index=False)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        write_bytes(run / "results" / f"{name}.parquet", buffer.getvalue())
    write_json(run / "results" / "summary.json", results.summary)


def read_results(run: Path) -> Results:
    """Read ``results/``.

    Raises:
        BadInput: a table is missing or unreadable.
    """
    frames = {}
    for name in _TABLES:
        path = run / "results" / f"{name}.parquet"
        try:
            frames[name] = pq.read_table(path).to_pandas()
        except (OSError, pa.ArrowException) as error:
            raise BadInput(
                "run",
                str(run),
                f"has no readable results/{name}.parquet ({type(error).__name__})",
                "Finish the run with `audit run` and the options it was started with",
            ) from error
    return Results(**frames, summary=read_json(run / "results" / "summary.json"))
