"""The section on who is exposed without privacy and who pays for it, per subgroup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report import chart_data
from audit.report.blocks import NUMBER, TEXT, chart, figure, section, table, text
from audit.report.colours import PRIVATE
from audit.report.disclosure.words import Withheld, not_drawn, withheld_note, withheld_rows
from audit.report.frames import records, rows_of
from audit.report.subgroup_section import main_grouping
from audit.report.subgroup_tables import MOST_ROWS, WORST
from audit.report.words import (
    STANDARD,
    Json,
    arm_label,
    count,
    estimate,
    finite,
    has_loss,
    name,
    not_estimable,
    number,
    private_arms,
)

TITLE = "Who is exposed without privacy, and who pays for it"


def exposed_section(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    withheld: Withheld,
) -> Json | None:
    """Memorization without privacy beside accuracy loss with it, over the main grouping."""
    arms, main = private_arms(summary, run), main_grouping(subgroups)
    if main is None and withheld and has_loss(summary, run):
        return section("exposed", TITLE, [text("Every subgroup is withheld in this profile.")])
    if main is None or not has_loss(summary, run):
        return None
    rows = rows_of(subgroups, "grouping", main)
    blocks = [
        text(
            "A subgroup that standard training memorizes is exposed without privacy; one that "
            "loses accuracy pays for it. This section shows both for the same subgroups.",
        )
    ]
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
            f"privacy; higher, losing more with it ({label}). Diamonds: the rarest third. "
            f"Subgroups not drawn for want of test examples: {count(data['left_out'])}."
            f"{not_drawn(withheld, main)}"
        )
        blocks.append(
            figure([drawn] if data["points"] else [], caption, _exposed(rows, arm, label, withheld))
        )
    return section("exposed", TITLE, blocks)


def _exposed(rows: pd.DataFrame, arm: str, label: str, withheld: Withheld) -> Json:
    ordered = rows.sort_values(f"mem_{STANDARD}", ascending=False, kind="stable")
    keep = ordered if len(ordered) <= MOST_ROWS else ordered.head(WORST)
    cells = []
    for r in records(keep):
        loss, mem = r[f"loss_{arm}"], f"mem_{STANDARD}"
        of_mem = {"value": r[mem], "low": r[f"{mem}_low"], "high": r[f"{mem}_high"]}
        cells.append(
            [
                name(r["subgroup"]),
                count(r["n_train"]),
                estimate({**of_mem, "n": r["n_train"]}, digits=2),
                number(100 * loss, 1) if finite(loss) else not_estimable(r["n_test"]),
            ]
        )
    columns = [("Subgroup", TEXT), ("n train", NUMBER), ("Memorization, standard", NUMBER)]
    columns += [("Loss (points)", NUMBER)]
    left = len(ordered) - len(keep)
    note = "Most memorized first; intervals of memorization resample models."
    if left:
        note += f" {count(left)} less memorized subgroups are left out here."
    grouping = rows.grouping.iloc[0]
    cells += withheld_rows(withheld, grouping, len(columns))
    note += withheld_note(withheld, grouping)
    return table(f"Exposure and loss, {label}", columns, cells, note)
