"""What ``audit theory`` prints and draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.errors import BadInput
from audit.report.colours import STANDARD
from audit.report.words import count, counted, finite, general, name, percent, points

_out = Console(highlight=False)
_READINGS = {
    "says_nothing": "says nothing: all worlds gave the same",
    "violates": "below the bound: a chance of 1 in 40 where both are equal",
    "equal": "holds with equality",
    "holds": "holds, and more is lost",
}
# Fewer examples seen once than this, in expectation, are none.
_NONE = 1e-6


def print_theory_json(answer: Mapping[str, Any]) -> None:
    """The answer as JSON, for other programs (docs/commands/theory.md)."""
    print(json.dumps(answer, indent=1, ensure_ascii=False, allow_nan=False))


def print_theory(answer: Mapping[str, Any]) -> None:
    """A table per case: the model's numbers, then both sides of the theorem, simulated."""
    setting = answer["setting"]
    drawn = (
        "drawn from the prior by every point, as in the theorem"
        if setting["frequencies"] == "random"
        else "those of the prior itself"
    )
    _line(
        f"{count(setting['classes'])} equally likely classes, label noise "
        f"{percent(setting['noise'])}; frequencies: {drawn}"
    )
    limit = setting["memorization_limit"]
    if setting["epsilon"] is not None:
        _line(
            f"ε = {general(setting['epsilon'])}, δ = {general(setting['delta'])} allow an example "
            f"that would else be guessed to be memorized by {general(limit)}"
        )
    for case in answer["cases"]:
        _predictions(case, limit)
        if case["simulation"]:
            _simulation(case, setting)


def write_chart(answer: Mapping[str, Any], path: Path) -> None:
    """The tail of the first case as an SVG file.

    Raises:
        BadInput: there are several cases, or the file cannot be written.
    """
    from audit.report.charts import picture

    if len(answer["cases"]) > 1:
        names = ", ".join(case["name"] for case in answer["cases"])
        raise BadInput(
            "chart", path, f"can show one grouping, and there are {names}",
            "Name one with --subgroups",
        )  # fmt: skip
    (case,) = answer["cases"]
    drawn = picture(
        {
            "kind": "longtail",
            "title": f"The long tail: {name(case['name'])}",
            "description": (
                "Share of the population by frequency, in bins of a factor of 2, in three parts: "
                f"points that a sample of {count(case['samples'])} never shows, shows once, and "
                "shows more than once."
            ),
            "data": {"rows": case["spectrum"]},
            "colour": STANDARD,
        }
    )
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            "chart", path, f"cannot be written ({error.strerror})", "Name another file"
        ) from error


def _predictions(case: Mapping[str, Any], limit: float | None) -> None:
    populations = case["populations"]
    n = case["samples"]
    table = Table(
        title=escape(f"{name(case['name'])}: n = {count(n)}"), title_justify="left",
        header_style="bold",
    )  # fmt: skip
    table.add_column("quantity")
    several = len(populations) > 1
    for population in populations:
        table.add_column(
            f"{escape(population['population'])}\nN = {count(population['domain'])}",
            justify="right",
        )
    if several:
        table.add_column("together", justify="right")
    rows = [
        ("examples seen once (share of n)", "singletons", percent),
        ("mass of points never seen", "unseen", percent),
        ("mass of frequencies within a factor of 2 of 1/n", "weight", percent),
        ("τ × n: expected frequency of a point seen once", "tau", general),
        ("lowest error there is (everything fitted)", "optimum", _error),
        ("added by fitting no singleton, at least", "unfitted", points),
    ]
    if limit is not None:
        rows.append((f"added if memorized by {general(limit)} at most", "limited", points))
    for label, key, told in rows:
        digits = {} if told in (general, _error) else {"digits": 2}
        cells = [
            "–" if key == "tau" and _none_once(population) else told(population[key], **digits)
            for population in populations
        ]
        if several:
            cells.append("–" if key == "tau" else told(case["all"][key], **digits))
        table.add_row(label, *cells)
    _out.print(table)
    _line(
        "Good–Turing: the share of examples seen once estimates the mass never seen "
        f"({percent(case['all']['singletons'], 2)} for {percent(case['all']['unseen'], 2)})."
    )
    observed = case["observed"]
    if observed:
        _line(
            f"In this data set {count(observed['singletons'])} of {count(observed['groups'])} "
            "subgroups are seen once (the smallest has "
            f"{counted(observed['smallest'], 'training example')}): not fitting them costs "
            f"at least {points(observed['price'], 2)}. Above: what is expected of a new sample "
            "with the same frequencies."
        )


def _none_once(population: Mapping[str, Any]) -> bool:
    return population["singletons"] * population["samples"] < _NONE


def _simulation(case: Mapping[str, Any], setting: Mapping[str, Any]) -> None:
    table = Table(
        title=f"Both sides of the theorem, {count(setting['worlds'])} simulated worlds "
        f"(seed {setting['seed']})",
        title_justify="left", header_style="bold",
    )  # fmt: skip
    table.add_column("learner")
    for column in ("error", "≥ optimum + τ × unfitted", "error − bound [95 % interval]", "reading"):
        table.add_column(column, justify="left" if column == "reading" else "right")
    for side in case["simulation"]:
        excess = side["excess"]
        ends = ", ".join(points(excess[end], 3).rpartition(" ")[0] for end in ("low", "high"))
        table.add_row(
            side["learner"],
            _error(side["error"]["value"]),
            _error(side["bound"]["value"]),
            f"{points(excess['value'], 3)} [{ends}]",
            _READINGS[side["reading"]],
        )
    _out.print(table)


def _error(value: Any) -> str:
    return percent(value, 2) if finite(value) else "–"


def _line(text: str) -> None:
    _out.print(text, markup=False, soft_wrap=True)
