"""Tables of what K models can find: the same in the report and in ``audit plan``. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.report.words import Json, count, finite, general, name, number, percent, points

NOTHING = "–"


@dataclass(frozen=True)
class PowerTable:
    """A table of formatted cells: one row per question, one column per number of models."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def power_tables(power: Mapping[str, Any]) -> list[PowerTable]:
    """All tables that ``power`` (``audit.detectable.power_tables``) has rows for."""
    arms = dict.fromkeys(entry["arm"] for entry in power["excess"])
    tables = [_excess(power, arm) for arm in arms]
    tables += [_influence(power), _difference(power), _epsilon(power)]
    return [table for table in tables if table.rows]


def _excess(power: Mapping[str, Any], arm: str) -> PowerTable:
    entries = [entry for entry in power["excess"] if entry["arm"] == arm]
    rows = tuple(
        (
            f"{entry['bound']}, p_out = {general(entry['p_out'])}",
            number(entry["allowed"]),
            *(_excess_cell(row) for row in entry["rows"]),
        )
        for entry in entries
    )
    hypotheses = {e["bound"]: count(e["hypotheses"]) for e in entries}
    over = " and ".join(f"{n} ({bound})" for bound, n in hypotheses.items())
    about = general(entries[0]["epsilon"])
    return PowerTable(
        f"Smallest memorization that refutes {name(arm)} (ε = {about}), and its excess over the "
        "bound",
        ("Bound, p_out", "p_in allowed", *_models(power)),
        rows,
        f"p_in − p_out of one example that is refuted with {percent(power['power'], 0)} power; in "
        f"brackets how far its p_in lies above what the bound allows. Exact test, first step of "
        f"Holm at {percent(power['alpha'], 0)} over {over} hypotheses; n_in binomial. Against a "
        "trade-off bound, and for more than 250 models, Fisher's form of the test, which is "
        f"slightly weaker. “{NOTHING}”: not even p_in = 1 would be refuted.",
    )


def _excess_cell(row: Mapping[str, Any]) -> str:
    if not finite(row["memorization"]):
        return NOTHING
    return f"{number(row['memorization'], 2)} (+{number(row['excess'], 2)})"


def _influence(power: Mapping[str, Any]) -> PowerTable:
    entries = power["influence"]
    rows = tuple(
        (f"right in {percent(entry['right_out'], 0)} without it",
         *(_or_nothing(row["influence"]) for row in entry["rows"]))
        for entry in entries
    )  # fmt: skip
    note = ""
    if entries:
        first = entries[0]
        note = (
            f"Influence of a pair that is reported with {percent(power['power'], 0)} power: "
            f"Fisher's exact test at {general(first['level'], 2)} (false discovery rate "
            f"{percent(first['fdr'], 0)} over {count(first['pairs'])} pairs, as if it were the "
            f"only one: others that are found make it easier) and an estimate of "
            f"{general(first['cut'])} or more. The training example is taken to pass the cut of "
            "memorization."
        )
    return PowerTable(
        "Smallest influence that is reported", ("Test example", *_models(power)), rows, note
    )


def _difference(power: Mapping[str, Any]) -> PowerTable:
    rows = [
        (f"“{name(entry['grouping'])}”, {entry['subgroup']} subgroup",
         count(entry["n_test"]), *(_points(row["excess"]) for row in entry["rows"]))
        for entry in power["difference"]
    ]  # fmt: skip
    rows += [
        (f"“{name(entry['grouping'])}”, margin of equivalence",
         f"{count(entry['n_groups'])} groups", *(_points(row["margin"]) for row in entry["rows"]))
        for entry in power["equivalence"]
        if entry["n_groups"] > 1
    ]  # fmt: skip
    variance = power["loss_variance"]
    parts = ", ".join(
        f"{general(variance[key], 2)} ({what})"
        for key, what in (("examples", "between examples"), ("cells", "one model on one example"),
                          ("models", "one model on one subgroup"))
    )  # fmt: skip
    return PowerTable(
        "Smallest difference between subgroups that is shown (points of accuracy loss)",
        ("Subgroup", "Test examples", *_models(power)),
        tuple(rows),
        f"Excess of loss over the rest that is shown with {percent(power['power'], 0)} power: "
        f"one-sided at {percent(power['alpha'], 0)}, Bonferroni over the subgroups with test "
        f"examples, normal approximation. Variance of the paired loss: {parts}; "
        f"{name(variance['from'], 200)}. Margin of equivalence: within it equal losses would be "
        "called equivalent (two one-sided tests in every subgroup). Test examples are a sample: "
        "beyond some number, more models change little.",
    )


def _epsilon(power: Mapping[str, Any]) -> PowerTable:
    entries = power["epsilon"]
    rows = tuple(
        (f"{entry['procedure']}, on {name(entry['on'], 120)}",
         *(_or_nothing(row["epsilon"]) for row in entry["rows"]))
        for entry in entries
    )  # fmt: skip
    return PowerTable(
        "ε that is certified",
        ("Procedure", *_models(power)),
        rows,
        f"Lower bound at {percent(1 - power['alpha'], 0)} confidence that is reached with "
        f"{percent(power['power'], 0)} power. Witness bound: p_in = .99, p_out = .01, as without "
        "privacy; Bonferroni over 4 directions of all examples. Pooled bounds: an ideal attack on "
        "the mechanism that is claimed, every coin as exposed as the claim allows; real attacks "
        "certify less.",
    )


def answer_lines(wanted: Mapping[str, Any]) -> list[str]:
    """One sentence per answer to what the user wanted to be able to find."""
    lines: list[str] = []
    for what, asked in wanted.items():
        lines += [_WRITE[what](asked["size"], answer) for answer in asked["answers"]]
        if not asked["answers"]:
            lines.append(f"{what} of {general(asked['size'])}: no number of models, because there "
                         f"are {_MISSING[what]}.")  # fmt: skip
    return lines


def _excess_answer(size: float, answer: Json) -> str:
    return (
        f"excess of {general(size)} over the {answer['bound']} bound of {name(answer['arm'])} at "
        f"p_out = {general(answer['p_out'])}: {_needed(answer)}"
    )


def _influence_answer(size: float, answer: Json) -> str:
    return (
        f"influence of {general(size)} on a test example right in "
        f"{percent(answer['right_out'], 0)} without it: {_needed(answer)}"
    )


def _difference_answer(size: float, answer: Json) -> str:
    text = (
        f"{points(size)} more loss in the {answer['subgroup']} subgroup by "
        f"“{name(answer['grouping'])}” ({count(answer['n_test'])} test examples): {_needed(answer)}"
    )
    if finite(answer.get("test_examples_of_subgroup")):
        text += (
            f"; about {count(answer['test_examples_of_subgroup'])} test examples of it "
            f"({count(answer['test_examples'])} in all) would do"
        )
    return text


def _epsilon_answer(size: float, answer: Json) -> str:
    return (
        f"ε of {general(size)} certified by the {answer['procedure']} on "
        f"{name(answer['on'], 120)}: {_needed(answer)}"
    )


_WRITE = {
    "excess": _excess_answer,
    "influence": _influence_answer,
    "difference": _difference_answer,
    "epsilon": _epsilon_answer,
}
_MISSING = {
    "excess": "no claims",
    "influence": "no test examples",
    "difference": "no two subgroups with test examples",
    "epsilon": "no claims",
}


def _needed(answer: Mapping[str, Any]) -> str:
    if finite(answer["models"]):
        return f"{count(answer['models'])} models"
    return f"no number of models ({answer['why']})"


def _models(power: Mapping[str, Any]) -> Sequence[str]:
    return [f"K = {count(k)}" for k in power["models"]]


def _or_nothing(value: Any) -> str:
    return number(value, 2) if finite(value) else NOTHING


def _points(value: Any) -> str:
    return number(100 * value, 1) if finite(value) else NOTHING
