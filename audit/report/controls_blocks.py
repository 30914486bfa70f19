"""Controls: arms that claim nothing, beside those of the audit; what each part costs whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report.blocks import NUMBER, TEXT, chart, figure, heading, table, text
from audit.report.colours import PRIVATE
from audit.report.comparison_tables import comparison_tables
from audit.report.disclosure.words import Withheld, not_drawn
from audit.report.frames import records, rows_of
from audit.report.subgroup_tables import SMALL, groups_table
from audit.report.words import (
    STANDARD,
    Json,
    arm_label,
    count,
    estimate,
    finite,
    general,
    has_test,
    interval,
    name,
    number,
    percent,
    private_arms,
)

_WORST = 10
"""Subgroups shown where there are no frequency bins: those that private training costs most."""
_DRAWN = ("clip-only", "noise-only", "neither", "pruned")
"""Random labels leave no accuracy to compare: drawn beside the others, they would flatten them."""


def controls_blocks(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    main: str | None,
    full: bool,
    withheld: Withheld,
) -> list[Json]:
    """The controls beside the arms of the audit; empty where the run has none.

    ``full``: every subgroup of every grouping under each control, as for private arms.
    """
    found = summary.get("controls") or {}
    if not found:
        return []
    blocks = [heading("Other limits on memorization, and controls"), text(*_what(run, found))]
    blocks.append(_overall(run, summary))
    if main is None or not has_test(run):
        return blocks
    rows = _rows(run, summary, subgroups, main)
    if rows:
        blocks.append(_by_subgroup(run, summary, rows, main, withheld))
    if full:
        for arm, result in found.items():
            label = arm_label(arm, run)
            blocks.append(heading(label.capitalize()))
            blocks += comparison_tables(run, result)
            for grouping in subgroups.loc[subgroups.kind != "frequency", "grouping"].unique():
                of = rows_of(subgroups, "grouping", str(grouping))
                blocks.append(groups_table(of, arm, label, full, withheld, kind="control"))
    return blocks


def _what(run: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    kinds = {(run["arms"][arm].get("control") or {}).get("name") for arm in found}
    said = [
        "These arms claim nothing and are not part of the verdict. They train on the same subsets "
        "as the others, so that a difference is one of training."
    ]
    if kinds & {"clip-only", "noise-only", "neither"}:
        said.append(
            "DP-SGD does two things: it shortens every gradient to the clip norm, and adds noise. "
            "Each is done alone here, with the private arm's settings (Bagdasaryan & Shmatikov "
            "2019). What the two cost alone need not add up to what they cost together."
        )
        said.append(
            "These settings were chosen for clipped gradients; on gradients of full length the "
            "same learning rate takes longer steps. So the loss of noise alone is that of the "
            "noise only as far as it exceeds the loss of "
            + ("the arm with neither, which stands beside it."
               if "neither" in kinds
               else "training with neither, which was not run here (--control neither).")
        )  # fmt: skip
    if "pruned" in kinds:
        said.append(
            "Pruning takes the smallest weights of every matrix away while the network is trained "
            "(Zhu & Gupta 2018; Hooker et al. 2019): a limit on memorization that is no privacy."
        )
    if "random-labels" in kinds:
        said.append(
            "Where training labels are drawn at random (Zhang et al. 2017), p_in and p_out are "
            "about the label that was trained on: what is learnt of such an example can only be "
            "memorized. Test accuracy is about the true labels."
        )
    return said


def _ordered(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    audited = [a for a in summary["arms"] if a == STANDARD]
    return [*audited, *private_arms(summary, run), *summary["controls"]]


def _overall(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Json:
    results = {**summary["arms"], **summary["controls"]}
    judged = (run.get("judged_by") or {}).get("epsilon")
    rows = []
    for arm in _ordered(run, summary):
        r = results[arm]
        exposure = (r.get("exposure") or {}).get("balanced_accuracy")
        rows.append([
            arm_label(arm, run),
            estimate(r.get("accuracy_test"), "percent"),
            "–" if arm == STANDARD else estimate(r.get("loss"), "points"),
            estimate(r.get("mem_mean")),
            estimate(r.get("mem_share_above_0.25"), "percent"),
            estimate(r.get("mem_max")),
            estimate(exposure, "percent"),
            count(r.get("n_refuted")),
            count(r.get("diverged")),
        ])  # fmt: skip
    columns = [("Arm", TEXT), ("Test accuracy", NUMBER), ("Loss (points)", NUMBER)]
    columns += [("Mean memorization", NUMBER), ("Memorized by 0.25 or more", NUMBER)]
    columns += [("Largest memorization", NUMBER), ("Attack right (LiRA, online)", NUMBER)]
    columns += [("Examples that ε forbids", NUMBER), ("Diverged", NUMBER)]
    held = f"ε = {general(judged)}" if finite(judged) else "the strictest ε of the run"
    note = (
        "95 % intervals in brackets; losses paired with standard training by training subset. "
        "The largest memorization of many estimates is too high by chance where there are few "
        "models. Examples that ε forbids: those on which the exact test (Holm, 5 %) refutes a "
        f"private arm's own claim; of the others, {held}. A control in which none is found claims "
        "nothing all the same, about these examples or others."
    )
    return table("Each arm as a whole", columns, rows, note)


def _drawn_arms(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """The strictest private arm, and the controls that belong beside it."""
    private = min(
        private_arms(summary, run), key=lambda a: run["arms"][a].get("epsilon") or 0, default=None
    )
    epsilon = "" if private is None else f"{run['arms'][private].get('epsilon'):g}"
    arms = [] if private is None else [private]
    for arm in summary["controls"]:
        kind = (run["arms"][arm].get("control") or {}).get("name")
        if kind in _DRAWN and (kind != "noise-only" or arm == f"noise-only-{epsilon}"):
            arms.append(arm)
    return arms


def _rows(
    run: Mapping[str, Any], summary: Mapping[str, Any], subgroups: pd.DataFrame, main: str
) -> list[Json]:
    """Subgroups of one size put together, rare ones first; without such, those that lose most."""
    arms = _drawn_arms(run, summary)
    if not arms or f"loss_{arms[0]}" not in subgroups:
        return []
    key = f"loss_{arms[0]}"
    binned = [r for r in records(rows_of(subgroups, "kind", "frequency"))
              if str(r["grouping"]) == f"{main}: frequency"]  # fmt: skip
    own = [r for r in records(rows_of(subgroups, "grouping", main)) if finite(r.get(key))]
    own.sort(key=lambda r: -r[key])
    return binned or [r for r in own if r["n_test"] >= SMALL][:_WORST]


def _by_subgroup(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    rows: list[Json],
    main: str,
    withheld: Withheld,
) -> Json:
    arms = _drawn_arms(run, summary)
    labels = {arm: arm_label(arm, run) for arm in arms}
    binned = str(rows[0]["grouping"]) != main
    drawn = [r for r in rows if r["n_test"] >= SMALL]
    marks = [
        {"name": str(r["subgroup"]), "n_test": int(r["n_test"]), "row": i, "arm": labels[arm],
         **{k: _points(r.get(f"loss_{arm}{end}"))
            for k, end in (("loss", ""), ("low", "_low"), ("high", "_high"))}}
        for i, r in enumerate(drawn) for arm in arms if finite(r.get(f"loss_{arm}"))
    ]  # fmt: skip
    groups = [{"name": str(r["subgroup"]), "n_test": int(r["n_test"])} for r in drawn]
    contents = {"arms": [labels[a] for a in arms], "groups": groups, "rows": marks}
    what = "by how common the subgroup is" if binned else "by subgroup"
    picture = chart(
        "controls", f"Accuracy loss {what}, arm by arm",
        f"Accuracy loss in points with 95 % intervals {what}, for {', '.join(labels.values())}",
        contents, PRIVATE,
    )  # fmt: skip
    columns = [("Subgroups of this size" if binned else "Subgroup", TEXT)]
    columns += [("n train", NUMBER), ("Share", NUMBER), ("n test", NUMBER)]
    columns += [(f"{labels[arm].capitalize()}: loss (points)", NUMBER) for arm in arms]
    cells = [
        [name(r["subgroup"]), count(r["n_train"]), percent(r["frequency"], 2), count(r["n_test"]),
         *(_loss(r, arm) for arm in arms)]
        for r in rows
    ]  # fmt: skip
    shown = (
        f"Bins are powers of two of a subgroup's share of the training set, by “{name(main)}”."
        if binned
        else f"Subgroups by “{name(main)}”, the {_WORST} with {SMALL} or more test examples that "
        "private training costs most."
    )
    left = len(rows) - len(drawn)
    caption = (
        f"Accuracy loss against standard training, arm by arm. {shown} Lines: 95 % intervals. "
        f"Not drawn, having fewer than {SMALL} test examples: {count(left)}, in the table."
        f"{not_drawn(withheld, main)}"
    )
    numbers = table(
        "What each part costs", columns, cells,
        f"{shown} 95 % intervals in brackets: paired by training subset, crossed models × examples "
        "variance, Satterthwaite t; not corrected for the number of subgroups and arms.",
    )  # fmt: skip
    return figure([picture], caption, numbers, wide=True) if marks else numbers


def _loss(row: Mapping[str, Any], arm: str) -> str:
    value = row.get(f"loss_{arm}")
    if value is None or not finite(value):
        return "not estimable"
    ends = interval(row.get(f"loss_{arm}_low"), row.get(f"loss_{arm}_high"), 100.0, 1)
    return f"{number(100 * value, 1)} ({ends})"


def _points(value: Any) -> float | None:
    return 100 * float(value) if finite(value) else None
