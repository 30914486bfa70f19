"""The section on attack exposure: how well can be told who was in the training data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report.blocks import NUMBER, TEXT, chart, figure, section, table, text
from audit.report.colours import STANDARD
from audit.report.disclosure.words import Withheld, withheld_note, withheld_rows
from audit.report.frames import records, rows_of
from audit.report.subgroup_section import main_grouping
from audit.report.subgroup_tables import MOST_ROWS, SMALL, WORST
from audit.report.words import (
    Json,
    arm_label,
    arm_words,
    count,
    estimate,
    finite,
    general,
    joined,
    name,
    part,
    percent,
)

LOW, LOWEST = "tpr_at_0.01", "tpr_at_0.001"
ATTACKS = {
    "lira_online": "LiRA, online",
    "lira_offline": "LiRA, offline",
    "rmia_online": "RMIA, online",
    "rmia_offline": "RMIA, offline",
    "global_threshold": "One threshold for all",
}
_SMALLEST_RATE = 1e-4
_LIMIT_STEPS = 8


def attacked(summary: Mapping[str, Any]) -> dict[str, Json]:
    """Exposure of the arms on which attacks were run."""
    found = {arm: result.get("exposure") or {} for arm, result in summary["arms"].items()}
    return {arm: exposure for arm, exposure in found.items() if exposure.get("attack")}


def not_attacked(summary: Mapping[str, Any]) -> str:
    """Why attacks were not run on some arm, as an item of what is not covered; empty if on all."""
    arms = attacked(summary)
    missing = {a: r.get("exposure") or {} for a, r in summary["arms"].items() if a not in arms}
    if not missing:
        return ""
    reasons = list(dict.fromkeys(name(e["why_not"], 200) for e in missing.values()
                                 if e.get("why_not")))  # fmt: skip
    where = "" if not arms else f" on {joined([name(arm) for arm in missing])}"
    why = f" ({'; '.join(reasons)})" if reasons else ""
    return f"Attacks that guess who was in the training data: not run{where}{why}."


def exposure_section(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    subgroups: pd.DataFrame,
    withheld: Withheld,
) -> Json | None:
    """Attacks on every arm, their ROC curves, and exposure by subgroup; None without attacks."""
    arms = attacked(summary)
    if not arms:
        return None
    blocks = [
        text(
            "An attacker has a model and an example, and wants to know whether the model was "
            "trained on it. He has trained models of his own in the same way and knows what each "
            "of these has seen; here, these are all other models of the arm.",
            *(attacker_words(arm, run, exposure) for arm, exposure in arms.items()),
        ),
        _figure(run, arms),
    ]
    main = main_grouping(subgroups)
    if main is not None:
        rows = rows_of(subgroups, "grouping", main)
        blocks += _by_subgroup(run, rows, list(arms), withheld)
    return section("attacks", "Who was in the training data?", blocks)


def attacker_words(arm: str, run: Mapping[str, Any], exposure: Mapping[str, Any]) -> str:
    """What the default attack achieves on an arm, beside what a coin would."""
    right, found = (part(exposure.get(key), "value") for key in ("balanced_accuracy", LOW))
    who = f"On {arm_words(arm, run)}: an attacker who is asked about as many members as others"
    if right is None:
        return f"{who} cannot be judged (too few models or scores)."
    cases = estimate(exposure["balanced_accuracy"], "percent")
    said = f"{who} is right in {cases} of cases, a coin in 50 %."
    if found is None:
        return said
    return (
        f"{said} One who accuses a non-member in 1 case of 100 at most finds "
        f"{estimate(exposure[LOW], 'percent')} of the members; a coin finds 1 %."
    )


def _figure(run: Mapping[str, Any], arms: Mapping[str, Json]) -> Json:
    curves = [_curve(arm, run, exposure) for arm, exposure in arms.items()]
    drawn = chart(
        "roc", "Attack success at each rate of false alarms",
        "True-positive rate against false-positive rate of the attack LiRA, both on log axes, a "
        "line per arm, beside the diagonal of a coin and what claims allow",
        {"curves": curves, "limits": _limits(run, arms)}, STANDARD,
    )  # fmt: skip
    variant = name(next(iter(arms.values())).get("variant", ""))
    caption = (
        f"ROC of LiRA (online, {variant}) on log axes, over all models and training examples. To "
        "the left few non-members are accused. Dotted: guessing by a coin. Above it, members are "
        "found more often than non-members are accused."
        + (" Dashed: the most that a claim allows." if any(_most(run["arms"].get(a) or {}, 0.01)
                                                          is not None for a in arms) else "")
    )  # fmt: skip
    rows = [
        [
            ATTACKS.get(attack, name(attack)),
            arm_label(arm, run),
            estimate(found.get("auc")),
            estimate(found.get("balanced_accuracy"), "percent"),
            estimate(found.get(LOWEST), "percent", 2),
            estimate(found.get(LOW), "percent"),
            _allowed(run["arms"].get(arm) or {}),
        ]
        for attack in ATTACKS
        for arm, exposure in arms.items()
        if (found := (exposure.get("attacks") or {}).get(attack))
    ]
    columns = [("Attack", TEXT), ("Arm", TEXT), ("AUC", NUMBER), ("Balanced accuracy", NUMBER)]
    columns += [("TPR at 0.1 % FPR", NUMBER), ("TPR at 1 % FPR", NUMBER)]
    columns += [("Claim allows at 1 % FPR", NUMBER)]
    return figure([drawn], caption, table("Attacks", columns, rows, _note(arms)), wide=True)


def _note(arms: Mapping[str, Json]) -> str:
    undefined = joined([
        f"{count((e.get('attacks') or {}).get(e['attack'], {}).get('n_undefined'))} ({name(arm)})"
        for arm, e in arms.items()
    ])  # fmt: skip
    missing = {a: why for e in arms.values() for a, why in (e.get("not_run") or {}).items()}
    note = (
        "TPR: share of the members found; FPR: share of the non-members accused; AUC: 0.5 for a "
        "coin, 1 if always right. The attack on a model uses the other models only. LiRA: Carlini "
        "et al. 2022; RMIA: Zarifzadeh et al. 2024, ties leave it low rates of 0; one threshold: "
        "Yeom et al. 2018. Online: models that saw the example help, offline: they do not. "
        "Balanced accuracy of LiRA online: at equal likelihoods; else at the threshold that does "
        "best on the other models. 95 % intervals over models. Pairs of model and example without "
        f"a LiRA score: {undefined}."
    )
    if missing:
        named = joined([ATTACKS.get(a, name(a)) for a in missing])
        note += (
            f" Not run: {named} ({'; '.join(dict.fromkeys(name(w) for w in missing.values()))})."
        )
    return note


def _allowed(facts: Mapping[str, Any]) -> str:
    """The highest TPR at 1 % FPR that an arm's claim allows, as a cell."""
    most = _most(facts, 0.01)
    return "no claim" if most is None else percent(most)


def _most(facts: Mapping[str, Any], fpr: float) -> float | None:
    """The highest TPR at ``fpr`` that (ε, δ) between in and out allows (method §4, averaged)."""
    epsilon, delta = facts.get("in_out_epsilon"), facts.get("in_out_delta")
    if not finite(epsilon) or not finite(delta):
        return None
    assert epsilon is not None
    assert delta is not None
    least = 1 - math.exp(-epsilon) * (1 - delta - fpr)
    # A factor of e^100 and more allows everything.
    return min(1.0, math.exp(min(epsilon, 100.0)) * fpr + delta, least)


def _limits(run: Mapping[str, Any], arms: Mapping[str, Json]) -> list[Json]:
    """What each claim allows at every rate of false alarms, for the chart."""
    claims = {a: facts for a in arms if _most(facts := run["arms"].get(a) or {}, 0.01) is not None}
    words = "ε = " if len(claims) > 1 else "allowed at ε = "
    rates = [10 ** (-4 + k / _LIMIT_STEPS) for k in range(4 * _LIMIT_STEPS + 1)]
    return [
        {"name": f"{words}{general(facts['epsilon'])}",
         "points": [{"fpr": rate, "tpr": most} for rate in rates
                    if (most := _most(facts, rate)) is not None]}
        for facts in claims.values()
    ]  # fmt: skip


def _curve(arm: str, run: Mapping[str, Any], exposure: Mapping[str, Any]) -> Json:
    roc = exposure.get("roc") or {}
    points = [
        {"fpr": float(x), "tpr": float(y)}
        for x, y in zip(roc.get("fpr") or [], roc.get("tpr") or [], strict=True)
        if finite(x) and finite(y) and x >= _SMALLEST_RATE and y >= _SMALLEST_RATE
    ]
    private = (run["arms"].get(arm) or {}).get("kind") == "dp"
    return {"name": arm_label(arm, run), "private": private, "points": points}


# What is measured of a subgroup, by the beginning of its column in the table of subgroups.
_MEASURES = {
    "Exposure": ("exposure", "percent"),
    "AUC": ("auc", "number"),
    "TPR at 1 % FPR": (LOW, "percent"),
}
# With more arms a row of all that is measured fits no sheet: then a table for each measure.
_SIDE_BY_SIDE = 2


def _by_subgroup(
    run: Mapping[str, Any], rows: pd.DataFrame, arms: list[str], withheld: Withheld
) -> list[Json]:
    ordered = rows.sort_values(f"exposure_{arms[0]}", ascending=False, kind="stable")
    keep = ordered if len(ordered) <= MOST_ROWS else ordered.head(WORST)
    grouping = rows.grouping.iloc[0]
    note = (
        "Exposure: how often LiRA is right on an example, members and non-members counting half "
        "each, averaged over the subgroup's examples (50 %: a coin). 95 % intervals over models. "
        f"† fewer than {SMALL} training examples: their intervals hold less often than 95 %; read "
        "them as rough."
    )
    if left := len(ordered) - len(keep):
        note += f" {count(left)} less exposed subgroups are left out here."

    def of(measures: list[str], caption: str) -> Json:
        wanted = [(m, arm) for arm in arms for m in measures]
        columns = [("Subgroup", TEXT), ("n train", NUMBER)]
        columns += [(f"{m}, {arm_label(arm, run)}" if len(measures) > 1 else arm_label(arm, run),
                     NUMBER) for m, arm in wanted]  # fmt: skip
        cells = []
        for row in records(keep):
            small = " †" if row["n_train"] < SMALL else ""
            line = [name(row["subgroup"]), f"{count(row['n_train'])}{small}"]
            for m, arm in wanted:
                column, unit = _MEASURES[m]
                line.append(_cell(row, f"{column}_{arm}", unit))
            cells.append(line)
        cells += withheld_rows(withheld, grouping, len(columns))
        return table(caption, columns, cells, note + withheld_note(withheld, grouping))

    by = f"by “{name(grouping)}”, most exposed first"
    if len(arms) <= _SIDE_BY_SIDE:
        return [of(list(_MEASURES), f"Exposure {by}")]
    return [of([m], f"{m} {by}") for m in _MEASURES]


def _cell(row: Mapping[Any, Any], column: str, unit: str) -> str:
    limits = {"value": row.get(column), "low": row.get(f"{column}_low")}
    return estimate({**limits, "high": row.get(f"{column}_high"), "n": row["n_train"]}, unit, None)
