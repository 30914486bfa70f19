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
from audit.report.frontier_section import frontier_blocks
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
    private_arms,
)

TITLE = "Who is exposed without privacy, and who pays for it"


def exposed_section(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    withheld: Withheld,
) -> Json | None:
    """Exposure without privacy beside accuracy loss with it, over the main grouping."""
    arms, main = private_arms(summary, run), main_grouping(subgroups)
    if main is None and withheld and has_loss(summary, run):
        return section("exposed", TITLE, [text("Every subgroup is withheld in this profile.")])
    if main is None or not has_loss(summary, run):
        return None
    rows = rows_of(subgroups, "grouping", main)
    attacked = chart_data.exposed_by(rows, STANDARD) == chart_data.EXPOSURE
    blocks = [text(_INTRODUCTION, "" if attacked else _NO_ATTACK)]
    labels = {arm: arm_label(arm, run) for arm in arms}
    drawn = {arm: chart_data.exposed_and_paying(rows, arm, STANDARD) for arm in arms}
    losses = [p["loss"] for data in drawn.values() for p in data["points"]]
    charts = [
        chart(
            "exposure", f"Who is exposed and who pays, {labels[arm]}",
            f"Accuracy loss in points against {_MEASURES[attacked]} in standard training, a point "
            "per subgroup with 95 % intervals",
            {**data, "losses": [min(losses), max(losses)]}, PRIVATE,
        )
        for arm, data in drawn.items()
        if data["points"]
    ]  # fmt: skip
    left_out = max(data["left_out"] for data in drawn.values())
    caption = _caption(name(main), left_out, attacked) + not_drawn(withheld, main)
    numbers = _exposed(rows, labels, attacked, withheld)
    blocks.append(figure(charts, caption, numbers, wide=len(arms) > 1))
    blocks += frontier_blocks(run, summary, subgroups, withheld)
    return section("exposed", TITLE, blocks)


_INTRODUCTION = (
    "A subgroup on whose examples an attack is often right is exposed without privacy; one that "
    "loses accuracy pays for it. This section shows both for the same subgroups."
)
_NO_ATTACK = (
    "No attack was run on standard training, so exposure is read off memorization here: how much "
    "more often models are right on an example that they have seen."
)
_MEASURES = {True: "how often the attack LiRA is right", False: "mean memorization"}


def _caption(main: str, left_out: int, attacked: bool) -> str:
    right = (
        "the attack LiRA is right more often on its training examples without privacy (upright "
        "line: a coin, 50 %)"
        if attacked
        else "its examples are memorized more without privacy (no attack was run)"
    )
    return (
        f"Each point is a subgroup by “{main}”: the further right, the more {right}; the higher, "
        "the more accuracy it loses with it (level line: no loss). Upper right: exposed without "
        "privacy, and paying for it. Light bars: 95 % intervals, with an end outside the picture "
        "where they reach the edge. Diamonds: the rarest third. Subgroups not drawn for want of "
        f"examples: {count(left_out)}."
    )


def _exposed(
    rows: pd.DataFrame, labels: Mapping[str, str], attacked: bool, withheld: Withheld
) -> Json:
    """The numbers of the charts; ``labels``: the private arms and how they are called."""
    measure = chart_data.EXPOSURE if attacked else chart_data.MEMORIZATION
    by = f"{measure}_{STANDARD}"
    ordered = rows.sort_values(by, ascending=False, kind="stable")
    keep = ordered if len(ordered) <= MOST_ROWS else ordered.head(WORST)
    columns = [("Subgroup", TEXT), ("n train", NUMBER), ("n test", NUMBER)]
    columns += [("Attack right, standard", NUMBER)] * attacked
    columns += [("Memorization, standard", NUMBER)]
    columns += [(f"Loss (points), {label}", NUMBER) for label in labels.values()]
    cells = []
    for r in records(keep):
        exposure = [_cell(r, by, r["n_train"], "percent", 1)] if attacked else []
        cells.append([
            name(r["subgroup"]), count(r["n_train"]), count(r["n_test"]), *exposure,
            _cell(r, f"mem_{STANDARD}", r["n_train"], "number", 2),
            *(_loss(r, arm) for arm in labels),
        ])  # fmt: skip
    note = (
        "Most exposed first. Attack right: balanced accuracy of "
        "LiRA (online) over the subgroup's training examples, 50 % for a coin. "
        if attacked
        else "Most memorized first. "
    ) + "95 % intervals in brackets: of exposure and memorization over models, of loss over models "
    note += "and test examples."
    if left := len(ordered) - len(keep):
        note += f" {count(left)} less exposed subgroups are left out here."
    grouping = rows.grouping.iloc[0]
    cells += withheld_rows(withheld, grouping, len(columns))
    note += withheld_note(withheld, grouping)
    return table("Exposure without privacy, loss with it", columns, cells, note)


def _loss(row: Mapping[Any, Any], arm: str) -> str:
    """An accuracy loss in points with its interval."""
    ends = {key: 100 * value if finite(value := row[f"loss_{arm}{end}"]) else None
            for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))}  # fmt: skip
    return estimate({**ends, "n": row["n_test"]}, digits=1)


def _cell(row: Mapping[Any, Any], column: str, n: Any, unit: str, digits: int) -> str:
    ends = {"value": row[column], "low": row[f"{column}_low"], "high": row[f"{column}_high"]}
    return estimate({**ends, "n": n}, unit, digits)
