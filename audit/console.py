"""What the commands print: progress bars, short tables, and nothing computed."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from audit.data.inspect import Inspection
from audit.data.registry import BUILTIN
from audit.errors import BadInput
from audit.pipeline import RunOutcome
from audit.plan import Plan
from audit.report.console import summary_lines
from audit.report.planted import planted_words
from audit.report.verdicts import with_needed
from audit.results import Results

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


class _Rate(ProgressColumn):
    """Models per minute, since this command started (resumed work does not count)."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{60 * task.speed:,.0f} models/min")


class RunDisplay:
    """Progress of a run on stderr: one bar per arm with models done, rate and time left.

    On something that is not a terminal only the stages are printed, a line each.
    """

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} models"),
            _Rate(),
            TimeRemainingColumn(),
            console=_err,
        )
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> RunDisplay:
        if _err.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if _err.is_terminal:
            self._progress.stop()

    def stage(self, text: str) -> None:
        _err.print(f"audit: {escape(_one_line(text))} …", soft_wrap=True)

    def plan(self, plan: Plan, done: dict[str, int]) -> None:
        resumed = sum(done.values())
        self.stage(
            f"{len(plan.arms)} arms × {plan.models} models ({plan.model.describe()})"
            + (f", {resumed} trained before" if resumed else "")
        )
        if plan.config.plant is not None:
            self.stage(planted_words(plan.config.plant))
        for engine, why in dict.fromkeys((a.engine, a.engine_reason) for a in plan.arms):
            self.stage(f"engine {engine}: {why}")
        if plan.no_private_arm:
            self.stage(f"no private arm: {plan.no_private_arm}")
        for arm in plan.arms:
            self._bars[arm.name] = self._progress.add_task(
                arm.name, total=plan.models, completed=done.get(arm.name, 0)
            )

    def progress(self, models_done: dict[str, float]) -> None:
        for arm, count in models_done.items():
            if arm in self._bars:
                self._progress.update(self._bars[arm], completed=count)


def print_outcome(outcome: RunOutcome) -> None:
    """The short result table, each finding that needs attention, and where the report lies."""
    if "plant" in outcome.manifest:
        _out.print(escape(planted_words(outcome.manifest["plant"]["name"])), soft_wrap=True)
    table = Table(show_header=False)
    for title, value in summary_lines(outcome.summary, outcome.manifest):
        table.add_row(escape(title), escape(value))
    _out.print(table)
    for finding in outcome.summary["findings"]:
        if finding["fails"]:
            _out.print(f"FAILS: {escape(finding['statement'])}", soft_wrap=True)
        elif finding["verdict"] == "could_not_tell":
            _out.print(f"COULD NOT TELL: {escape(with_needed(finding))}", soft_wrap=True)
    undecided = sum(f["verdict"] == "inconclusive" for f in outcome.summary["findings"])
    if undecided:
        _out.print(f"{undecided} further questions could not be decided: see the report")
    _out.print(f"results: {escape(str(outcome.path / 'results'))}", soft_wrap=True)
    _out.print(f"report:  {escape(str(outcome.report))}", soft_wrap=True)


def print_example(results: Results, example: str) -> None:
    """One training example in each arm, and the test examples it carries.

    Raises:
        BadInput: no such example.
    """
    n = int(results.examples["example"].to_numpy().max(initial=-1)) + 1
    if not example.isascii() or not example.isdigit() or int(example) >= n:
        raise BadInput("example", example, f"must be a number from 0 to {n - 1}", "Give another")
    if "plant" in results.summary:
        _out.print(escape(planted_words(_one_line(str(results.summary["plant"])))), soft_wrap=True)
    rows = results.examples.loc[results.examples["example"] == int(example)]
    _out.print(f"[italic]Training example {example}[/italic]")
    for start in range(0, len(rows), per_table := _arms_per_table(_out.width)):
        _out.print(_example_table(rows.iloc[start : start + per_table]))
    carried = results.influence.loc[results.influence["train_example"] == int(example)]
    if len(carried) == 0:
        _out.print("No test example was found that this one alone carries.")
    for pair in carried.to_dict("records"):
        _out.print(
            f"carries test example {pair['test_example']} in {escape(str(pair['arm']))}: influence "
            f"{pair['influence']:.2f} [{pair['low']:.2f}, {pair['high']:.2f}], "
            f"q = {pair['q_value']:.2g}",
            soft_wrap=True,
        )


def _arms_per_table(width: int) -> int:
    """How many arms stand side by side: a memorization with its interval, in 24 characters, stays
    on one line."""
    return max(1, (width - 28) // 26)


def _example_table(rows: pd.DataFrame) -> Table:
    # Folded, not cut: a number without its last digit is another number.
    table = Table(header_style="bold")
    table.add_column("", overflow="fold")
    for arm in rows["arm"]:
        table.add_column(escape(str(arm)), justify="right", overflow="fold")
    for title, cells in _example_lines(rows):
        table.add_row(escape(title), *[escape(cell) for cell in cells])
    return table


def _example_lines(rows: pd.DataFrame) -> list[tuple[str, list[str]]]:
    def column(name: str) -> list[str]:
        return [_number(value) for value in rows[name]]

    interval = [
        f"{_number(m)} [{_number(low)}, {_number(high)}]"
        for m, low, high in zip(rows["mem"], rows["mem_low"], rows["mem_high"], strict=True)
    ]
    groups = [c for c in rows.columns if c not in _EXAMPLE_COLUMNS]
    return [
        ("label", [str(v) for v in rows["label"]]),
        *[(name, [str(v) for v in rows[name]]) for name in groups],
        (
            "models with it in / out",
            [f"{a} / {b}" for a, b in zip(rows.n_in, rows.n_out, strict=True)],
        ),
        ("right when in", column("p_in")),
        ("right when out", column("p_out")),
        ("memorization [95 %]", interval),
        ("e^ε bound on right when in", column("bound")),
        ("trade-off bound", column("tradeoff_bound")),
        ("attack right (coin: 0.5)", column("exposure")),
        ("verdict", [str(v).replace("_", " ") for v in rows["verdict"]]),
    ]


_EXAMPLE_COLUMNS = frozenset(
    {"arm", "example", "label", "n_in", "n_out", "p_in", "p_out", "mem", "mem_low", "mem_high"}
    | {"bound", "tradeoff_bound", "verdict", "exposure"}
)


def _number(value: float) -> str:
    return "not estimable" if math.isnan(value) else f"{value:.3f}"


_FILES = {
    "FILE.csv, FILE.tsv": "a table; --label names the column to predict",
    "FILE.parquet": "the same",
    "FILE.npz": "arrays x_train, y_train, x_test, y_test, or x and y",
    "FILE.npy": "features; --label names the .npy file with the labels",
    "FOLDER": "images, a sub-folder per class",
}


def print_sources() -> None:
    """The built-in data sets and the kinds of files."""
    table = Table("source", "what it is", header_style="bold")
    for name, text in (BUILTIN | _FILES).items():
        table.add_row(escape(name), escape(text))
    _out.print(table)


def print_inspection(found: Inspection) -> None:
    """What a data set becomes: size, classes, groupings, concerns."""
    _print_fact("data", f"{found.name} ({found.source}; {found.licence})")
    _print_fact("rows", f"{found.n_train:,} for training, {found.n_test:,} for testing")
    shape = " × ".join(str(size) for size in found.input_shape)
    _print_fact("features", f"{found.features:,} (one example: {shape})")
    _print_fact("fitted on training rows", "; ".join(found.fitted_on_train) or "nothing")
    for name, text in found.notes.items():
        _print_fact(name, text)
    _print_sizes("class", [(c.name, c.n_train, c.n_test) for c in found.classes])
    for grouping in found.groupings:
        if grouping.kind != "class":
            _print_sizes(f"{grouping.name} ({grouping.kind})", list(grouping.subgroups))
    for concern in found.concerns:
        _out.print(f"look at: {escape(_one_line(concern))}", soft_wrap=True)
    _print_fact("fingerprint", found.fingerprint)


_MOST_SUBGROUPS_SHOWN = 40


def _print_sizes(title: str, sizes: list[tuple[str, int, int]]) -> None:
    table = Table(escape(_one_line(title)), header_style="bold")
    for column in ("training", "test", "share of training"):
        table.add_column(column, justify="right")
    total = sum(n_train for _, n_train, _ in sizes)
    shown = sorted(sizes, key=lambda row: -row[1])[:_MOST_SUBGROUPS_SHOWN]
    for name, n_train, n_test in shown:
        share = n_train / total if total else math.nan
        table.add_row(escape(_one_line(name)), f"{n_train:,}", f"{n_test:,}", f"{share:.2%}")
    _out.print(table)
    if len(sizes) > len(shown):
        _out.print(f"and {len(sizes) - len(shown):,} smaller ones")


def _print_fact(name: str, text: str) -> None:
    _out.print(f"{escape(_one_line(name))}: {escape(_one_line(text))}", soft_wrap=True)


def _one_line(text: str) -> str:
    """Names come from files: control characters must not reach the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
