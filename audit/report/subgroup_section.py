"""The section on accuracy by subgroup and by how common the subgroup is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report import chart_data
from audit.report.blocks import chart, figure, heading, section, text
from audit.report.brought import is_brought
from audit.report.colours import PRIVATE
from audit.report.comparison_tables import comparison_tables, rate_tables
from audit.report.controls_blocks import controls_blocks
from audit.report.disclosure.words import RULE, Withheld, not_drawn, withheld_table
from audit.report.frames import rows_of
from audit.report.subgroup_tables import WORST, alone_table, frequency_table, groups_table
from audit.report.words import (
    Json,
    arm_label,
    count,
    has_loss,
    name,
    no_loss_because,
    part,
    private_arms,
)

TITLE = "Accuracy by subgroup and frequency"
MOST_DRAWN = 60
# Kinds a user asked for come first: who names columns wants to read about them.
_PREFERENCE = ("crossing", "column", "subpopulation", "class")


def _so_stated(run: Mapping[str, Any]) -> str:
    return ", as stated by whoever brought the outputs" if is_brought(run) else ""


def main_grouping(subgroups: pd.DataFrame) -> str | None:
    """The grouping the default report shows in full: the finest of the kind that matters most.

    Crossings before columns before subpopulations before classes; frequency bins are a summary of
    another grouping and never the main one.
    """
    for kind in _PREFERENCE:
        sizes = rows_of(subgroups, "kind", kind).groupby("grouping", sort=False).size()
        if len(sizes):
            return str(sizes.idxmax())
    return None


def subgroup_section(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    full: bool,
    withheld: Withheld,
) -> Json | None:
    """Loss by subgroup and frequency; ``full``: every subgroup of every grouping.

    ``withheld``: subgroups by grouping that are not in ``subgroups`` (public profile).
    """
    main = main_grouping(subgroups)
    if main is None and not withheld and not summary.get("controls"):
        return None
    if main is None and not withheld:
        blocks = []
    elif main is None:
        why = f"Every subgroup of every grouping is withheld: {RULE}."
        blocks = [text(why), *comparison_tables(run, summary)]
    elif has_loss(summary, run):
        blocks = _with_loss(run, summary, subgroups, main, full, withheld)
    else:
        blocks = _without_loss(run, summary, subgroups, main, full, withheld)
    blocks += controls_blocks(run, summary, subgroups, main, full, withheld)
    if withheld:
        blocks.append(withheld_table(withheld))
    return section("subgroups", TITLE, blocks)


def _with_loss(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    main: str,
    full: bool,
    withheld: Withheld,
) -> list[Json]:
    arms = private_arms(summary, run)
    more = f"The pictures show “{name(main)}”; audit report --subgroups shows every grouping."
    blocks = [
        text(
            "Accuracy loss of a subgroup is the accuracy of standard training less that of private "
            "training on its test examples, in percentage points; both are trained on the same "
            f"subsets of the data{_so_stated(run)}. Rare means a small share of the training set.",
            "" if full else more,
        )
    ]
    blocks += comparison_tables(run, summary)
    shown = [main, *(g for g in _groupings(subgroups) if full and g != main)]
    for grouping in shown:
        rows = rows_of(subgroups, "grouping", grouping)
        blocks.append(heading(f"By “{name(grouping)}”"))
        for arm in arms:
            blocks += _grouping(run, summary, rows, arm, full, withheld)
    if not full:
        blocks += [b for arm in arms if (b := frequency_table(run, subgroups, main, arm))]
    return blocks + rate_tables(run, summary, full, withheld)


def _without_loss(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    main: str,
    full: bool,
    withheld: Withheld,
) -> list[Json]:
    """Where there are no two arms to compare: accuracy and memorization by subgroup."""
    missing = no_loss_because(summary, run)
    more = f"The table shows “{name(main)}”; audit report --subgroups shows every grouping."
    blocks = [
        text(
            f"What privacy costs each subgroup is not estimated: there are {missing}. Test "
            "accuracy and mean memorization are those of each arm alone.",
            "" if full else more,
        )
    ]
    blocks += comparison_tables(run, summary)
    for grouping in _groupings(subgroups) if full else [main]:
        rows = rows_of(subgroups, "grouping", grouping)
        for arm in summary["arms"]:
            blocks.append(alone_table(rows, arm, arm_label(arm, run), full, withheld))
    return blocks + rate_tables(run, summary, full, withheld)


def _groupings(subgroups: pd.DataFrame) -> list[str]:
    return [str(g) for g in subgroups.grouping.unique()]


def _grouping(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    rows: pd.DataFrame,
    arm: str,
    full: bool,
    withheld: Withheld,
) -> list[Json]:
    grouping, label = str(rows.grouping.iloc[0]), arm_label(arm, run)
    fitted = (t for t in summary.get("trends") or [] if t["grouping"] == grouping)
    trend = next((t for t in fitted if t["outcome"] == f"loss_{arm}"), None)
    data = chart_data.loss_by_frequency(rows, arm, trend)
    most = MOST_DRAWN if full else WORST
    forest = {
        **chart_data.forest(rows, arm, most),
        "overall": _in_points(summary["arms"][arm].get("loss")),
    }
    charts = []
    if data["points"]:
        charts.append(chart(
            "trend", f"Accuracy loss by frequency, {label}",
            "Accuracy loss in points of each subgroup against its share of the training set, with "
            "95 % intervals" + (", fitted line and its band" if data["line"] else ""), data,
            PRIVATE,
        ))  # fmt: skip
        charts.append(chart(
            "forest", f"The {count(forest['shown'])} subgroups that lose most, {label}",
            "Accuracy loss in points with 95 % intervals, largest first", forest, PRIVATE,
        ))  # fmt: skip
    line = (
        "The line is the fitted trend with its 95 % band; a subgroup without an interval (one test "
        "example) does not enter it. " if data["line"] else ""
    )  # fmt: skip
    caption = (
        f"Accuracy loss under {label} by “{name(grouping)}”: against frequency (larger points have "
        f"more test examples), and for the {count(forest['shown'])} of {count(forest['of'])} "
        "subgroups that lose most (lines: no loss and, dashed, the overall loss). Where a "
        "bar ends in an arrow, its interval goes on; the table has it in full. "
        f"{line}Not drawn for want of test examples: {count(data['left_out'])}, in the table."
        f"{not_drawn(withheld, grouping, ' and the fitted line')}"
    )
    return [figure(charts, caption, groups_table(rows, arm, label, full, withheld), wide=True)]


def _in_points(e: Mapping[str, Any] | None) -> float | None:
    value = part(e, "value")
    return None if value is None else 100 * value
