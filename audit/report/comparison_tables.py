"""Tables that compare subgroups: trends with frequency, equal losses, fairlearn's rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.blocks import NUMBER, TEXT, table
from audit.report.disclosure.words import WITHHELD, Withheld, unless_withheld, withheld_rows
from audit.report.subgroup_findings import NULL, is_loss, outcome_words, slope_words
from audit.report.verdicts import LABELS
from audit.report.words import (
    Json,
    arm_label,
    bare_p,
    count,
    finite,
    interval,
    name,
    number,
    part,
    points,
)


def comparison_tables(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[Json]:
    """Trends with frequency, and whether all subgroups lose equally; absent if not fitted."""
    blocks = []
    if trends := summary.get("trends"):
        blocks.append(_trends(run, trends))
    if disparity := summary.get("disparity"):
        blocks.append(_equal_losses(run, disparity))
    return blocks


def _trends(run: Mapping[str, Any], trends: Sequence[Mapping[str, Any]]) -> Json:
    rows = []
    for t in trends:
        slope, ends = slope_words(t)
        adjusted = slope_words(t, "slope_at_equal_difficulty")
        has_adjusted = part(t.get("slope_at_equal_difficulty"), "value") is not None
        rows.append([
            name(t["grouping"]),
            outcome_words(t, run)[0],
            f"{count(t.get('n_groups'))} of {count(t.get('n_given'))}",
            unless_withheld(t, "slope", slope),
            unless_withheld(t, "slope", ends),
            unless_withheld(t, "p_value", bare_p(t.get("p_value"))),
            unless_withheld(
                t, "slope_at_equal_difficulty",
                f"{adjusted[0]} ({adjusted[1]})" if has_adjusted else "not fitted",
            ),
            unless_withheld(
                t, "tau", points(t.get("tau")) if is_loss(t) else number(t.get("tau"), 3)
            ),
            LABELS[t["verdict"]][0],
        ])  # fmt: skip
    columns = [("Grouping", TEXT), ("Outcome", TEXT), ("Groups", NUMBER)]
    columns += [("Slope per doubling", NUMBER), ("95 % interval", NUMBER), ("p", NUMBER)]
    columns += [("At equal difficulty", NUMBER), ("τ", NUMBER), ("Verdict", TEXT)]
    method = trends[0].get("method") or "random-effects meta-regression, Knapp–Hartung"
    return table(
        "Trends with frequency",
        columns,
        rows,
        f"Method: {method}. A negative slope: the rarer the subgroup, the larger the outcome. The "
        "variance of examples within subgroups is pooled, so that no subgroup's weight moves with "
        "its own outcome. Groups: how many of how many enter; the others have no test or no "
        "training example. τ is "
        "the spread between subgroups beyond noise. Under 8 groups no verdict is given. A rare "
        "subgroup may also be a hard one: “at equal difficulty” fits both (12 groups or more; "
        "difficulty is the error of standard models on training examples they did not see).",
    )


def _equal_losses(run: Mapping[str, Any], disparity: Sequence[Mapping[str, Any]]) -> Json:
    def shown(x: Any) -> str:
        return number(100 * x, 1) if finite(x) else "not estimable"

    rows = []
    for d in disparity:
        excess = d.get("worst_minus_rest")
        worst = [
            name(d.get("worst_subgroup") or "–"),
            shown(part(d.get("worst_loss"), "value")),
            shown(part(excess, "value")),
            interval(part(excess, "low"), part(excess, "high"), 100.0, 1),
            unless_withheld(d, "worst_p_adjusted", bare_p(d.get("worst_p_adjusted"))),
        ]
        rows.append([
            name(d["grouping"]),
            arm_label(d["arm"], run),
            *(unless_withheld(d, "worst_subgroup", cell) for cell in worst),
            unless_withheld(d, "largest_subgroup", _largest(d)),
            unless_withheld(d, "cochran_q", number(d.get("cochran_q"), 1)),
            unless_withheld(d, "q_p_value", bare_p(d.get("q_p_value"))),
            unless_withheld(d, "tau", shown(d.get("tau"))),
            shown(d.get("equivalence_margin")),
            unless_withheld(d, "smallest_detectable", shown(d.get("smallest_detectable"))),
            LABELS[d["verdict"]][0],
        ])  # fmt: skip
    columns = [("Grouping", TEXT), ("Arm", TEXT), ("Clearest excess", TEXT), ("Its loss", NUMBER)]
    columns += [("More than the rest", NUMBER), ("95 % interval", NUMBER), ("Corrected p", NUMBER)]
    columns += [("Largest loss", TEXT)]
    columns += [("Cochran Q", NUMBER), ("p of Q", NUMBER), ("τ", NUMBER), ("Margin ±", NUMBER)]
    columns += [("Smallest detectable", NUMBER), ("Verdict", TEXT)]
    return table(
        "Do all subgroups lose equally? (losses in percentage points)",
        columns,
        rows,
        f"{NULL[0].upper()}{NULL[1:]}; p-values by relabelling the test examples at random, which "
        "holds for skewed losses and small subgroups. It says more than equal means: subgroups of "
        "very different spread break it too. Corrected p: one-sided, for the choice among the "
        "subgroups (max-t). The interval of the excess is the subgroup's own, not corrected. "
        "Equivalence within the margin by two one-sided tests. τ is the spread between subgroups "
        "beyond noise. “Not significant” is never read as equal.",
    )


def _largest(d: Mapping[str, Any]) -> str:
    """The subgroup with the largest loss, with its n and interval: often one of few examples."""
    loss = d.get("largest_loss")
    if part(loss, "value") is None:
        return "–"
    ends = interval(part(loss, "low"), part(loss, "high"), 100.0, 1)
    shown = number(100 * (part(loss, "value") or 0.0), 1)
    return f"{name(d.get('largest_subgroup'))}: {shown} ({ends}; n = {count(part(loss, 'n'))})"


def rate_tables(
    run: Mapping[str, Any], summary: Mapping[str, Any], full: bool, withheld: Withheld
) -> list[Json]:
    """fairlearn's point values, with every subgroup's rate in the full report."""
    entries = [e for e in summary.get("fairlearn") or [] if "by_group" in e or "value" in e]
    if not entries:
        return []
    rows = [[
        name(e["grouping"]), arm_label(e["arm"], run), name(str(e["metric"]).replace("_", " ")),
        unless_withheld(e, "difference", number(e.get("value", e.get("difference")))),
        unless_withheld(e, "ratio", number(e["ratio"])) if "ratio" in e else "–",
    ] for e in entries]  # fmt: skip
    columns = [("Grouping", TEXT), ("Arm", TEXT), ("Rate", TEXT)]
    columns += [("Largest difference", NUMBER), ("Smallest ratio", NUMBER)]
    note = (
        "Point values as fairlearn computes them, so that anyone can reproduce them; they carry no "
        "interval, and differences between small subgroups are mostly chance."
    )
    if any(e.get("of_shown") for e in entries):
        note += (
            " Where subgroups are withheld, over those that are shown. Rates among test examples "
            "of one class are left out here: how many these are in a subgroup is not known."
        )
    blocks = [table("Rates by subgroup (fairlearn)", columns, rows, note)]
    for e in entries if full else []:
        if by_group := e.get("by_group"):
            hidden = e.get("unanimous", ())
            cells = [[name(g), WITHHELD if g in hidden else number(v)] for g, v in by_group.items()]
            cells += withheld_rows(withheld, e["grouping"], 2)
            title = f"{str(e['metric']).replace('_', ' ').capitalize()} by “{name(e['grouping'])}”"
            columns = [("Subgroup", TEXT), ("Rate", NUMBER)]
            blocks.append(table(f"{title}, {arm_label(e['arm'], run)}", columns, cells))
    return blocks
