"""The section on influence: test examples that hang on single training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from audit.report.blocks import NUMBER, TEXT, section, table, text
from audit.report.frames import records, rows_of
from audit.report.words import (
    Json,
    arm_label,
    count,
    estimate,
    general,
    has_test,
    interval,
    number,
    percent,
)

MOST_PAIRS = 10


def influence_section(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    influence: pd.DataFrame,
    gallery: Sequence[Json] = (),
) -> Json | None:
    """Counts per arm and the strongest pairs, at the end ``gallery``; ``None`` if influence was
    not estimated."""
    arms = {a: r["influence"] for a, r in summary["arms"].items() if r.get("influence")}
    if not arms or not has_test(run):
        return None
    rows = [
        ["Pairs tested", *(count(i.get("pairs_tested")) for i in arms.values())],
        ["Pairs the cuts alone would give",
         *(count(i.get("pairs_by_cuts")) for i in arms.values())],
        ["Pairs reported (cuts and false discovery rate)",
         *(count(i.get("pairs_reported")) for i in arms.values())],
        ["Different training examples in them",
         *(count(i.get("pairs_train_examples")) for i in arms.values())],
        ["Different test examples in them",
         *(count(i.get("pairs_test_examples")) for i in arms.values())],
        ["One to one: neither example is in another pair",
         *(count(i.get("pairs_one_to_one")) for i in arms.values())],
        ["False discovery rate", *(percent(i.get("fdr"), 0) for i in arms.values())],
        ["Test examples touched by at least one",
         *(estimate(i.get("share_test_touched"), "percent") for i in arms.values())],
        ["Test examples touched by exactly one",
         *(estimate(i.get("share_test_touched_once"), "percent") for i in arms.values())],
        ["Mean influence where selected", *(number(i.get("mean_selected")) for i in arms.values())],
        ["Mean influence re-estimated on other models",
         *(number(i.get("mean_reestimated")) for i in arms.values())],
    ]  # fmt: skip
    columns = [("Quantity", TEXT), *((arm_label(a, run), NUMBER) for a in arms)]
    note = (
        "Cuts: influence ≥ 0.15 and memorization of the training example ≥ 0.25. With few models "
        "the cuts alone let noise through, so a pair must also survive Benjamini–Hochberg. "
        "Selected pairs look stronger than they are; the re-estimate, on models not used to "
        "select them, does not."
    )
    blocks = [
        text(
            "Influence of a training example on a test example is how much more often models label "
            "the test example correctly when the training example was in their subset."
        ),
        table("Influential pairs", columns, rows, note),
    ]
    note = "Examples are given by their number" + (
        "; the strongest pairs are shown below."
        if gallery
        else " only; no training record is shown."
    )
    tables = (_pairs(rows_of(influence, "arm", a), arm_label(a, run), note) for a in arms)
    blocks += [t for t in tables if t]
    if influence.empty and any(i.get("pairs_reported") for i in arms.values()):
        blocks.append(text("Single pairs are not shown in this profile."))
    return section(
        "influence", "Test examples carried by single training examples", [*blocks, *gallery]
    )


def _pairs(pairs: pd.DataFrame, label: str, note: str) -> Json | None:
    if pairs.empty:
        return None
    order = ["influence", "train_example", "test_example"]
    strongest = pairs.sort_values(order, ascending=[False, True, True]).head(MOST_PAIRS)
    rows = [
        [
            count(r["train_example"]),
            count(r["test_example"]),
            number(r["influence"], 2),
            interval(r["low"], r["high"], digits=2),
            general(r["q_value"], 2),
            number(r["mem"], 2),
        ]
        for r in records(strongest)
    ]
    columns = [("Training example", TEXT), ("Test example", NUMBER), ("Influence", NUMBER)]
    columns += [("95 % interval", NUMBER), ("q-value", NUMBER), ("Memorization", NUMBER)]
    return table(
        f"The {count(len(rows))} strongest of {count(len(pairs))} reported pairs, {label}",
        columns,
        rows,
        note,
    )
