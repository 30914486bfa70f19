"""A finished run, opened: frames, verdicts, charts, and what every model did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float16
from markupsafe import Markup

from audit.api.charts import Charts, charts_of
from audit.data.names import did_you_mean
from audit.errors import BadInput
from audit.manifest import read_manifest
from audit.results import Results, read_results
from audit.shards import read_shards
from audit.store import newest_run

_ESTIMATE = frozenset({"value", "low", "high", "n"})


@dataclass(frozen=True, repr=False, eq=False)
class Outputs:
    """What every model of an arm did, in the order of the models; read when first asked for.

    Models of different arms in the same row had the same training subset. The margins take 16 bits
    each and are read apart from the rest.
    """

    path: Path
    arm: str
    _manifest: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Outputs of {self.arm} in {self.path}>"

    def _joined(self, *names: str) -> tuple[np.ndarray, ...]:
        parts = [
            tuple(getattr(shard, name) for name in names)
            for shard in read_shards(self.path, dict(self._manifest), self.arm)
        ]
        if not parts:
            raise BadInput(
                "run", str(self.path), f"holds no shards of {self.arm}", "Fetch its folder shards/"
            )
        if any(array is None for part in parts for array in part):
            raise BadInput(
                "run", str(self.path), f"has no {names[0]}", "Use membership and correctness"
            )
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    @cached_property
    def _bits(self) -> tuple[np.ndarray, ...]:
        return self._joined("membership", "train_correct", "test_correct")

    @property
    def membership(self) -> Bool[np.ndarray, "models n"]:
        """Model k trained on training example i."""
        return self._bits[0]

    @property
    def train_correct(self) -> Bool[np.ndarray, "models n"]:
        """Model k labels training example i correctly, whether it trained on it or not."""
        return self._bits[1]

    @property
    def test_correct(self) -> Bool[np.ndarray, "models n_test"]:
        """Model k labels test example j correctly."""
        return self._bits[2]

    @cached_property
    def train_margin(self) -> Float16[np.ndarray, "models n"]:
        """log(p_y / (1 − p_y)) of model k on training example i (Carlini et al. 2022, §IV).

        Raises:
            BadInput: the run has none (answers without probabilities).
        """
        return self._joined("train_margin")[0]

    @cached_property
    def test_margin(self) -> Float16[np.ndarray, "models n_test"]:
        """The same on test example j.

        Raises:
            BadInput: the run has none.
        """
        return self._joined("test_margin")[0]


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """The results of a run; a notebook shows its verdicts.

    Columns and keys are those of the files in ``results/`` (docs/run-directory.md).
    """

    path: Path
    """The run directory."""
    manifest: dict[str, Any]
    """``run.json``: configuration, data, versions, arms, plan."""
    results: Results
    """The result files as read; the properties below look into them."""

    @property
    def report(self) -> Path:
        """The report, an HTML file."""
        return self.path / "report.html"

    @property
    def examples(self) -> pd.DataFrame:
        """A row per arm and training example: p_in, p_out, mem, its interval, bounds, verdict."""
        return self.results.examples

    @property
    def influence(self) -> pd.DataFrame:
        """A row per reported pair of a training and a test example."""
        return self.results.influence

    @property
    def subgroups(self) -> pd.DataFrame:
        """A row per grouping and subgroup: sizes, accuracy, loss, memorization, with intervals."""
        return self.results.subgroups

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per arm and estimate: ``arm, quantity, value, low, high, n``; undefined is NaN.

        Controls come last (docs/controls.md).
        """
        arms = self.summary_json["arms"] | self.summary_json.get("controls", {})
        rows = [
            {"arm": arm, "quantity": quantity, **estimate}
            for arm, found in arms.items()
            for quantity, estimate in found.items()
            if isinstance(estimate, dict) and estimate.keys() == _ESTIMATE
        ]
        frame = pd.DataFrame(rows, columns=["arm", "quantity", "value", "low", "high", "n"])
        return frame.astype({"value": float, "low": float, "high": float})

    @property
    def summary_json(self) -> dict[str, Any]:
        """``results/summary.json`` as it is stored: everything, also trends and disparities."""
        return self.results.summary

    @cached_property
    def findings(self) -> pd.DataFrame:
        """A row per finding: question, statement, verdict, value, interval, n, threshold, method.

        ``fails``: a claim or a check is refuted. ``inconclusive``: the data could not decide.
        """
        return pd.DataFrame(self.summary_json["findings"])

    @cached_property
    def verdicts(self) -> dict[str, str]:
        """Verdict of each arm on (ε, δ): ``violates``, ``consistent`` or ``could_not_tell``."""
        return {arm: found["verdict"] for arm, found in self.summary_json["arms"].items()}

    @cached_property
    def charts(self) -> Charts:
        """The report's charts."""
        return charts_of(self._document(self.subgroups))

    def charts_by(self, grouping: str) -> Charts:
        """The report's charts with the subgroups of ``grouping`` instead of the finest one.

        Raises:
            BadInput: the run has no such grouping.
        """
        table = self.subgroups
        groupings = table["grouping"].astype(str).tolist()
        known = dict.fromkeys(
            g for g, kind in zip(groupings, table["kind"], strict=True) if kind != "frequency"
        )
        if grouping not in known:
            raise BadInput(
                "grouping", grouping, "is none of this run", did_you_mean(grouping, known)
            )
        chosen = [at for at, g in enumerate(groupings) if g in (grouping, f"{grouping}: frequency")]
        return charts_of(self._document(table.iloc[chosen].reset_index(drop=True)))

    def outputs(self, arm: str) -> Outputs:
        """Membership, correctness and margins of every model of ``arm``.

        Raises:
            BadInput: the run has no such arm.
        """
        if arm not in self.manifest["arms"]:
            raise BadInput(
                "arm", arm, "is none of this run", did_you_mean(arm, self.manifest["arms"])
            )
        return Outputs(self.path, arm, self.manifest)

    def _document(self, subgroups: pd.DataFrame) -> dict[str, Any]:
        from audit.report.document import document
        from audit.report.inputs import ReportInputs

        try:
            return document(
                ReportInputs(
                    self.manifest, self.summary_json, self.examples, self.influence, subgroups
                )
            )
        except Exception as error:
            # As for the report itself: results are files that anyone may have edited.
            raise BadInput(
                "run",
                str(self.path),
                f"holds results that cannot be drawn ({type(error).__name__}: {error})",
                "Give the command of the run again: it makes them anew from the shards",
            ) from error

    def __repr__(self) -> str:
        lines = [f"  {what}: {', '.join(values)}" for what, values in self._table()]
        return "\n".join([f"Run({str(self.path)!r}): {self._facts()}", *lines])

    def _repr_html_(self) -> str:
        from audit.report.words import name

        cell = Markup('<td style="text-align:left">{}</td>')
        rows = [
            Markup("<tr>{}</tr>").format(Markup("").join(map(cell.format, (what, *values))))
            for what, values in self._table()
        ]
        attention = [
            Markup("<li>{}</li>").format(finding["statement"])
            for finding in self.summary_json["findings"]
            if finding["fails"] or finding["verdict"] == "could_not_tell"
        ]
        page = (
            "<div><p><b>{}</b></p><table>{}</table><ul>{}</ul><p>Report: <code>{}</code></p></div>"
        )
        return str(
            Markup(page).format(
                self._facts(),
                Markup("").join(rows),
                Markup("").join(attention),
                name(self.report, 400),
            )
        )

    def _facts(self) -> str:
        from audit.report.words import count, name

        data = self.manifest["data"]
        return (
            f"{name(data['name'])}, {count(self.summary_json.get('models'))} models per arm, "
            f"{count(data['n'])} training and {count(data['n_test'])} test examples"
        )

    def _table(self) -> list[tuple[str, list[str]]]:
        """The short result, a column per arm: the arms, their verdicts, a line per estimate."""
        from audit.report.console import summary_lines

        lines = summary_lines(self.summary_json, self.manifest)
        arms = len(self.summary_json["arms"])
        size = len(lines) // arms
        columns = [lines[at : at + size] for at in range(0, arms * size, size)]
        names, verdicts = ([column[0][part] for column in columns] for part in (0, 1))
        estimates = [
            (what, [column[at][1] for column in columns])
            for at, (what, _) in enumerate(columns[0])
            if at > 0
        ]
        return [("arm", names), ("verdict", verdicts), *estimates]


def load(path: str | PathLike[str] | None = None) -> Run:
    """Open the run directory ``path``; without one, the newest under ``runs/``.

    Raises:
        BadInput: there is no finished run.
    """
    folder = newest_run(Path("runs")) if path is None else Path(path)
    return Run(folder, read_manifest(folder), read_results(folder))
