"""The section on who is exposed without privacy and who pays for it, per subgroup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report import chart_data
from audit.report.blocks import NUMBER, TEXT, chart, figure, section, table, text
from audit.report.colours import PRIVATE
from audit.report.subgroup_section import main_grouping
from audit.report.subgroup_tables import MOST_ROWS, WORST
from audit.report.words import (
    STANDARD,
    Json,
    arm_label,
    count,
    finite,
    interval,
    name,
    number,
    private_arms,
)


def exposed_section(
    run: Mapping[str, Any], summary: Mapping[str, Any], subgroups: pd.DataFrame
) -> Json | None:
    """Memorization without privacy beside accuracy loss with it, per subgroup of the main grouping."""
    arms, main = private_arms(summary, run), main_grouping(subgroups)
    if main is None or not arms or f"mem_{STANDARD}" not in subgroups:
        return None
    rows = subgroups[subgroups.grouping == main]
    blocks = [text(
        "A subgroup that standard training memorizes is exposed without privacy; one that loses "
        "accuracy pays for it. This section shows both for the same subgroups.",
    )]  # fmt: skip
    for arm in arms:
        data = chart_data.exposed_and_paying(rows, arm, STANDARD)
        label = arm_label(arm, run)
        drawn = chart(
            "exposure", f"Who is exposed and who pays, {label}",
            "Accuracy loss in points against mean memorization in standard training, a point per "
            "subgroup", data, PRIVATE,
        )  # fmt: skip
        caption = (
            f"Each point is a subgroup by “{name(main)}”: to the right, memorized more without "
            f"privacy; higher, losing more with it ({label}). Diamonds: the rarest third. Subgroups "
            f"not drawn for want of test examples: {count(data['left_out'])}."
        )
        blocks.append(
            figure([drawn] if data["points"] else [], caption, _exposed(rows, arm, label))
        )
    return section("exposed", "Who is exposed without privacy, and who pays for it", blocks)


def _exposed(rows: pd.DataFrame, arm: str, label: str) -> Json:
    ordered = rows.sort_values(f"mem_{STANDARD}", ascending=False, kind="stable")
    keep = ordered if len(ordered) <= MOST_ROWS else ordered.head(WORST)
    cells = []
    for r in keep.to_dict("records"):
        mem, n_test = r[f"mem_{STANDARD}"], r["n_test"]
        ends = interval(r[f"mem_{STANDARD}_low"], r[f"mem_{STANDARD}_high"], digits=2)
        loss = number(100 * r[f"loss_{arm}"], 1) if finite(r[f"loss_{arm}"]) else (
            f"not estimable (n={count(n_test)})"
        )  # fmt: skip
        cells.append([
            name(r["subgroup"]), count(r["n_train"]),
            f"{number(mem, 2)} ({ends})" if finite(mem) else f"not estimable (n={count(r['n_train'])})",
            loss,
        ])  # fmt: skip
    columns = [("Subgroup", TEXT), ("n train", NUMBER), ("Memorization, standard", NUMBER)]
    columns += [("Loss (points)", NUMBER)]
    left = len(ordered) - len(keep)
    note = "Most memorized first; intervals of memorization resample models."
    if left:
        note += f" {count(left)} less memorized subgroups are left out here."
    return table(f"Exposure and loss, {label}", columns, cells, note)
