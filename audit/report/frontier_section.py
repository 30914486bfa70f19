"""The ε frontier: what privacy buys and what it costs, at every ε of a run with several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report.blocks import NUMBER, TEXT, chart, figure, heading, table
from audit.report.colours import PRIVATE
from audit.report.disclosure.words import Withheld, not_drawn
from audit.report.frames import records, rows_of
from audit.report.subgroup_section import main_grouping
from audit.report.subgroup_tables import SMALL
from audit.report.words import (
    STANDARD,
    Json,
    arm_label,
    estimate,
    finite,
    general,
    has_test,
    name,
    part,
    plain_number,
    private_arms,
)

Estimates = dict[str, Json]


def frontier_blocks(
    run: Mapping[str, Any], summary: Mapping[str, Any], subgroups: pd.DataFrame, withheld: Withheld
) -> list[Json]:
    """Memorization, exposure and accuracy against ε as small multiples, their table below them.

    ``withheld``: subgroups that are not in ``subgroups``; one of them may be the worst.
    Empty unless at least two private arms claim different finite ε.
    """
    arms = _by_epsilon(run, summary)
    if len({run["arms"][a]["epsilon"] for a in arms}) < 2:
        return []
    panels = [p for p in _panels(run, summary, subgroups, arms) if _known(p, arms)]
    charts = [_chart(p, run, arms) for p in panels]
    numbers = _table(panels, run, summary, arms)
    main = main_grouping(subgroups)
    caption = _caption(panels) + ("" if main is None else not_drawn(withheld, main))
    return [
        heading("What each ε buys, and what it costs"),
        figure(charts, caption, numbers, wide=True),
    ]


def _by_epsilon(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    known = [a for a in private_arms(summary, run) if finite(run["arms"][a].get("epsilon"))]
    return sorted(known, key=lambda a: run["arms"][a]["epsilon"])


def _panels(
    run: Mapping[str, Any], summary: Mapping[str, Any], subgroups: pd.DataFrame, arms: list[str]
) -> list[Json]:
    """One measure each, with its estimates in every arm that has some."""
    results = summary["arms"]
    exposure = {a: (r.get("exposure") or {}).get("balanced_accuracy") for a, r in results.items()}
    panels = [
        _panel("Memorized by 0.25 or more", "share of training examples (%)", "percent",
               {a: r.get("mem_share_above_0.25") for a, r in results.items()}),
        _panel("Largest memorization", "largest p_in − p_out", "number",
               {a: r.get("mem_max") for a, r in results.items()},
               limits={a: _cap(results[a]) for a in arms}),
        _panel("Attack right (LiRA, online)", "balanced accuracy (%)", "percent", exposure,
               coin=0.5),
    ]  # fmt: skip
    if has_test(run):
        accuracy = {a: r.get("accuracy_test") for a, r in results.items()}
        panels.append(_panel("Test accuracy", "test accuracy (%)", "percent", accuracy))
        panels += _subgroup_panels(subgroups, list(results), arms[0])
    return panels


def _panel(
    title: str, axis: str, unit: str, estimates: Mapping[str, Json | None], *,
    limits: Mapping[str, float | None] | None = None, coin: float | None = None, note: str = "",
) -> Json:  # fmt: skip
    return {
        "title": title, "axis": axis, "unit": unit, "coin": coin, "note": note,
        "estimates": {a: e for a, e in estimates.items() if e}, "limits": dict(limits or {}),
    }  # fmt: skip


def _cap(result: Mapping[str, Any]) -> float | None:
    """The most that any example could reach under the claim, by the strictest bound known."""
    above = result.get("above_bound") or {}
    caps = [above[k] for k in ("tradeoff_cap", "memorization_cap") if finite(above.get(k))]
    return min(caps, default=None)


def _subgroup_panels(subgroups: pd.DataFrame, arms: list[str], strictest: str) -> list[Json]:
    """The rarest subgroups put together, and the subgroup that the smallest ε costs most."""
    main = main_grouping(subgroups)
    if main is None:
        return []
    panels = []
    rows = [r for r in records(rows_of(subgroups, "kind", "frequency"))
            if str(r["grouping"]) == f"{main}: frequency" and r["n_test"] >= SMALL]  # fmt: skip
    if rows:
        n = f"n={rows[0]['n_test']}"
        panels.append(_panel(
            "Accuracy of the rarest subgroups", "test accuracy (%)", "percent",
            _accuracies(rows[0], arms),
            note=f"Rarest: subgroups by “{name(main)}” that are each {name(rows[0]['subgroup'])} "
                 f"of the training set ({n}), the rarest bin with {SMALL} or more test examples.",
        ))  # fmt: skip
    loss = f"loss_{strictest}"
    worst = [r for r in records(rows_of(subgroups, "grouping", main))
             if r["n_test"] >= SMALL and finite(r.get(loss))]  # fmt: skip
    if worst:
        row = max(worst, key=lambda r: r[loss])
        panels.append(_panel(
            f"Accuracy of “{name(row['subgroup'], 34)}”", "test accuracy (%)", "percent",
            _accuracies(row, arms),
            note=f"“{name(row['subgroup'])}” (n={row['n_test']}): the subgroup with {SMALL} or "
                 "more test examples that loses most at the smallest ε; having been picked for "
                 "it, its loss there is rather too large than too small.",
        ))  # fmt: skip
    return panels


def _accuracies(row: Mapping[str, Any], arms: list[str]) -> Estimates:
    found = {}
    for arm in arms:
        ends = {key: plain_number(row.get(f"accuracy_{arm}{end}"))
                for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))}  # fmt: skip
        if ends["value"] is not None:
            found[arm] = {**ends, "n": int(row["n_test"])}
    return found


def _known(panel: Json, arms: list[str]) -> bool:
    return sum(part(panel["estimates"].get(a), "value") is not None for a in arms) >= 2


def _chart(panel: Json, run: Mapping[str, Any], arms: list[str]) -> Json:
    points = [
        {"epsilon": float(run["arms"][a]["epsilon"]), "limit": panel["limits"].get(a),
         **{k: part(panel["estimates"][a], k) for k in ("value", "low", "high")}}
        for a in arms
        if part(panel["estimates"].get(a), "value") is not None
    ]  # fmt: skip
    standard = panel["estimates"].get(STANDARD)
    contents = {
        "points": points, "unit": panel["unit"], "axis": panel["axis"], "coin": panel["coin"],
        "standard": None if part(standard, "value") is None
        else {k: part(standard, k) for k in ("value", "low", "high")},
    }  # fmt: skip
    description = f"{panel['axis']} at each ε with 95 % intervals, standard training as a line"
    return chart("frontier", panel["title"], description, contents, PRIVATE)


def _caption(panels: list[Json]) -> str:
    said = (
        "Each panel: one measure against ε on a log axis, with 95 % intervals. Dashed line and "
        "band: standard training, which has no ε, and its interval."
    )
    if any(finite(limit) for p in panels for limit in p["limits"].values()):
        said += " In sand: more memorization than the claim allows any example."
    if any(p["coin"] is not None for p in panels):
        said += " Dotted: a coin."
    return " ".join([said, *(p["note"] for p in panels if p["note"])])


def _table(
    panels: list[Json], run: Mapping[str, Any], summary: Mapping[str, Any], arms: list[str]
) -> Json:
    order = [*arms, *(a for a in summary["arms"] if a not in arms)]
    rows = [
        [arm_label(a, run), *(estimate(p["estimates"].get(a), p["unit"]) for p in panels)]
        for a in order
    ]
    columns = [("Arm", TEXT), *((p["title"], NUMBER) for p in panels)]
    smallest, largest = (general(run["arms"][a]["epsilon"]) for a in (arms[0], arms[-1]))
    note = f"ε from {smallest} to {largest}; 95 % intervals in brackets."
    return table("The ε frontier: memorization, exposure and accuracy", columns, rows, note)
