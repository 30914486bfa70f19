"""The removal experiment in the report: what test accuracy the memorized examples are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, chart, figure, heading, table, text
from audit.report.colours import STANDARD
from audit.report.words import (
    Json,
    count,
    counted,
    estimate,
    finite,
    general,
    part,
    percent,
    span,
)


def removal_blocks(summary: Mapping[str, Any]) -> list[Json]:
    """Both curves, their table and how to read it; empty where the run has no such experiment."""
    found = summary.get("removal")
    if not found:
        return []
    blocks = [heading("What the memorized examples are worth"), text(*_what(found))]
    rows = [row for row in found["thresholds"] if row["all"]]
    if not rows:
        return [*blocks, text("No example reaches any of the thresholds: nothing was removed.")]
    if found.get("near_duplicates") is None:
        return [*blocks, _figure(found, "all", ""), text(*_readings(rows, "all"))]
    left = (
        f"without the {counted(found['left_out'], 'test example')} that a training example is "
        "very like"
    )
    return [
        *blocks,
        _figure(found, "all", "on all test examples"),
        _figure(found, "filtered", left),
        text(*_readings(rows, "filtered")),
    ]


def _what(found: Mapping[str, Any]) -> list[str]:
    said = [
        "Standard models were trained again without the training examples of memorization θ or "
        "more, without as many drawn at random, and without none (the marginal utility of "
        "Feldman & Zhang 2020, §3.2). If what is memorized carries part of the test set, more is "
        f"lost with it than with the random ones. {count(found['models'])} models of each kind, on "
        "subsets of their own: none of them was used to estimate memorization. Model k has the "
        "same start, subset and minibatches in all of them."
    ]
    if finite(found.get("weight_decay")):
        said.append(
            f"All of them have a weight decay of {general(found['weight_decay'])}, whatever the "
            "audited arm has: with it networks memorize less, and less may hang on it."
        )
    if finite(found.get("near_duplicates")):
        said.append(
            "Where a test example is nearly the copy of a training example, removing that one "
            "costs it, and says little of rare examples in general. So the outcome is also given "
            "without test examples that are nearer to a training example than "
            f"{general(found['near_duplicates'])} times the median distance of training examples "
            "to their nearest (Euclidean, of the inputs)."
        )
    return said


def _figure(found: Mapping[str, Any], on: str, words: str) -> Json:
    rows = [row for row in found["thresholds"] if row[on]]
    whole = found[f"accuracy_{on}"]
    start = {"removed": 0, "threshold": None, "value": 0.0, "low": None, "high": None, "n": 0}
    points = [{"which": which, **start} for which in ("memorized", "random")] + [
        {"which": which, "removed": row["removed"], "threshold": row["threshold"],
         **{k: part(row[on][f"loss_{which}"], k) for k in ("value", "low", "high", "n")}}
        for which in ("memorized", "random") for row in rows
    ]  # fmt: skip
    points = [p for p in points if p["value"] is not None]
    title = "Accuracy lost with the memorized examples" + (f", {words}" if words else "")
    description = (
        "Accuracy loss in points with 95 % intervals against the number of training examples "
        "removed, the most memorized and as many at random"
    )
    columns = [("θ", NUMBER), ("Removed", NUMBER), ("Share", NUMBER)]
    columns += [("Accuracy without the memorized", NUMBER), ("Accuracy without as many", NUMBER)]
    columns += [("Loss with the memorized", NUMBER), ("Loss at random", NUMBER)]
    columns += [("More with the memorized", NUMBER)]
    cells = [["none", "0", "–", *[estimate(whole, "percent")] * 2, "–", "–", "–"]]
    cells += [_cells(row, on) for row in found["thresholds"]]
    columns[0] = ("Memorization θ or more", TEXT)
    numbers = table(
        title, columns, cells,
        "95 % intervals in brackets, crossed over models and test examples; losses and their "
        "difference are paired by model and example. They are not corrected for the number of "
        "thresholds. Which examples are removed rests on estimates: among them are some "
        "that are memorized less, the more so the fewer models the audit has.",
    )  # fmt: skip
    return figure(
        [chart("removal", title, description, {"points": points}, STANDARD)],
        "Test accuracy that standard models lose, against the number of training examples removed: "
        "those of largest memorization, and as many at random, side by side. Upright lines: 95 % "
        "intervals of the paired losses.",
        numbers,
        wide=True,
    )


def _cells(row: Mapping[str, Any], on: str) -> list[str]:
    first = [general(row["threshold"]), count(row["removed"]), percent(row["share"], 2)]
    if not row[on]:
        return [*first, *["–"] * 5]
    e = row[on]
    return [
        *first,
        estimate(e["accuracy_memorized"], "percent"),
        estimate(e["accuracy_random"], "percent"),
        *(estimate(e[key], "points", 2) for key in ("loss_memorized", "loss_random", "difference")),
    ]


def _readings(rows: list[Json], on: str) -> list[str]:
    """The threshold at which most is lost, and what its interval lets one say."""
    known = [row for row in rows if part(row[on]["difference"], "value") is not None]
    if not known:
        return []
    row = max(known, key=lambda r: part(r[on]["loss_memorized"], "value"))
    more = row[on]["difference"]
    low = part(more, "low")
    removed = counted(row["removed"], "example")
    said = (
        f"Most is lost at θ = {general(row['threshold'])}: without its {removed} "
        f"{estimate(row[on]['loss_memorized'], 'points', 2)}, without as many at random "
        f"{estimate(row[on]['loss_random'], 'points', 2)}."
    )
    if low is not None and low > 0:
        return [
            f"{said} The memorized examples carry {span(more, 2)} more of the test set than random "
            "ones. Of several thresholds the one that shows most was picked for this sentence; its "
            "interval is not corrected for that."
        ]
    return [
        f"{said} That difference is not told from none: its interval is {span(more, 2)}. More "
        "models, or more test examples, would narrow it."
    ]
