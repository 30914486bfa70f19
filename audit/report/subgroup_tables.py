"""Tables of subgroups: each with its counts and interval, the smallest marked, none dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report.blocks import NUMBER, TEXT, table
from audit.report.disclosure.words import WITHHELD, Withheld, withheld_note, withheld_rows
from audit.report.frames import records, rows_of
from audit.report.words import (
    STANDARD,
    Json,
    arm_label,
    bare_p,
    count,
    estimate,
    finite,
    interval,
    name,
    not_estimable,
    number,
    percent,
)

WORST = 12
MOST_ROWS = 60
SMALL = 10
_SMALL_NOTE = (
    f"† fewer than {SMALL} test examples: interval and Holm p lean on few, skewed examples (where "
    "by chance none of them is lost, both look surer than they are); read neither as a finding."
)


def groups_table(
    rows: pd.DataFrame,
    arm: str,
    label: str,
    full: bool,
    withheld: Withheld,
    *,
    kind: str = "private",
) -> Json:
    """Loss of every subgroup under ``arm``; subgroups that are withheld come last, by name.

    ``kind``: what its models are called: "private", or "control".
    """
    loss = f"loss_{arm}"
    ordered = rows.sort_values(loss, ascending=False, kind="stable", na_position="last")
    keep = ordered if full or len(ordered) <= MOST_ROWS else ordered.head(WORST)
    columns = [("Subgroup", TEXT), ("n train", NUMBER), ("Share", NUMBER), ("n test", NUMBER)]
    columns += [("Accuracy, standard", NUMBER), (f"Accuracy, {kind}", NUMBER)]
    columns += [("Loss (points)", NUMBER), ("95 % interval", NUMBER), ("Holm p", NUMBER)]
    columns += [("Multiplicity", NUMBER)]
    left = len(ordered) - len(keep)
    note = (
        f"{_SMALL_NOTE} Loss and interval: "
        "paired by training subset, crossed models × examples variance, Satterthwaite t. "
        "Intervals of accuracy, in brackets: over models and test examples. "
        "Holm p: two-sided, corrected over the subgroups of this grouping. "
        f"Multiplicity: mean of 2q(1−q), q = share of {kind} models that are right."
    )
    if left:
        note += f" {count(left)} further subgroups that lose less, or are not estimable, are left "
        note += "out here: audit report --subgroups shows all."
    grouping = rows.grouping.iloc[0]
    cells = [_group_cells(r, arm) for r in records(keep)]
    return table(
        f"Subgroups by “{name(grouping)}”, {label}, largest loss first",
        columns,
        cells + withheld_rows(withheld, grouping, len(columns)),
        note + withheld_note(withheld, grouping),
    )


def _group_cells(row: Mapping[Any, Any], arm: str) -> list[str]:
    n_test, loss = row["n_test"], row[f"loss_{arm}"]
    small = " †" if n_test < SMALL else ""
    first = [name(row["subgroup"]), count(row["n_train"]), percent(row["frequency"], 2)]
    first.append(f"{count(n_test)}{small}")
    if not finite(loss):
        missing = not_estimable(n_test)
        return [*first, missing, missing, missing, "–", "–", "–"]
    p, multiplicity = row.get(f"loss_{arm}_p_holm"), row.get(f"multiplicity_{arm}")
    return [
        *first,
        estimate(_limits(row, f"accuracy_{STANDARD}", n_test), "percent"),
        estimate(_limits(row, f"accuracy_{arm}", n_test), "percent"),
        number(100 * loss, 1),
        interval(row[f"loss_{arm}_low"], row[f"loss_{arm}_high"], 100.0, 1),
        bare_p(p),
        number(multiplicity, 2) if finite(multiplicity) else WITHHELD,
    ]


def alone_table(rows: pd.DataFrame, arm: str, label: str, full: bool, withheld: Withheld) -> Json:
    """Accuracy and memorization of each subgroup in one arm, the most memorized first."""
    mem, accuracy = f"mem_{arm}", f"accuracy_{arm}"
    ordered = rows.sort_values(mem, ascending=False, kind="stable", na_position="last")
    keep = ordered if full or len(ordered) <= MOST_ROWS else ordered.head(WORST)
    cells = [
        [
            name(r["subgroup"]),
            count(r["n_train"]),
            percent(r["frequency"], 2),
            count(r["n_test"]),
            estimate(_limits(r, accuracy, r["n_test"]), "percent"),
            estimate(_limits(r, mem, r["n_train"])),
        ]
        for r in records(keep)
    ]
    columns = [("Subgroup", TEXT), ("n train", NUMBER), ("Share", NUMBER), ("n test", NUMBER)]
    columns += [("Test accuracy", NUMBER), ("Mean memorization", NUMBER)]
    note = (
        "95 % intervals in brackets: of accuracy over models and test examples, of memorization "
        "over models."
    )
    if left := len(ordered) - len(keep):
        note += f" {count(left)} further subgroups are left out here: audit report --subgroups "
        note += "shows all."
    grouping = rows.grouping.iloc[0]
    return table(
        f"Subgroups by “{name(grouping)}”, {label}, most memorized first",
        columns,
        cells + withheld_rows(withheld, grouping, len(columns)),
        note + withheld_note(withheld, grouping),
    )


def _limits(row: Mapping[Any, Any], column: str, n: Any) -> Json:
    return {
        "value": row[column],
        "low": row[f"{column}_low"],
        "high": row[f"{column}_high"],
        "n": n,
    }


def frequency_table(
    run: Mapping[str, Any], subgroups: pd.DataFrame, main: str, arm: str
) -> Json | None:
    bins = [
        row
        for row in records(rows_of(subgroups, "kind", "frequency"))
        if str(row["grouping"]).startswith(main)
    ]
    if not bins:
        return None
    rows = [_group_cells(r, arm) for r in bins]
    columns = [("Subgroups of this size", TEXT), ("n train", NUMBER), ("Share", NUMBER)]
    columns += [("n test", NUMBER), ("Accuracy, standard", NUMBER), ("Accuracy, private", NUMBER)]
    columns += [("Loss (points)", NUMBER), ("95 % interval", NUMBER), ("Holm p", NUMBER)]
    columns += [("Multiplicity", NUMBER)]
    return table(
        f"Subgroups of “{name(main)}” put together by how common they are, {arm_label(arm, run)}",
        columns,
        rows,
        "Bins are powers of two of a subgroup's share of the training set. † as above.",
    )
