"""The tables of numbers in a model card, from ``results`` and ``findings`` of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.disclosure.words import WITHHELD
from audit.report.markdown import escaped, labelled, table
from audit.report.verdicts import label, with_needed
from audit.report.words import (
    STANDARD,
    count,
    estimate,
    finite,
    general,
    interval,
    name,
    not_estimable,
    number,
)

MOST_SUBGROUPS = 12
_ABSENT = "–"


def arm_name(arm: str, facts: Mapping[str, Any]) -> str:
    """ "standard training", "private training, ε = 2"."""
    if arm == STANDARD:
        return "standard training"
    if finite(facts.get("epsilon")):
        return f"private training, ε = {general(facts['epsilon'])}"
    return name(arm)


def _arms(contents: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Names and results of the arms: standard training, then by ε (keys of JSON have no order)."""
    arms = contents["results"].get("arms", {})

    def place(arm: str) -> tuple[bool, float, str]:
        epsilon = arms[arm].get("epsilon")
        return arm != STANDARD, epsilon if finite(epsilon) else float("inf"), arm

    return [(arm, arms[arm]) for arm in sorted(arms, key=place)]


def settings_table(contents: Mapping[str, Any]) -> str:
    """What each way of training claims, and the native parameters behind the claim."""
    keys = ("epsilon", "delta", "noise_multiplier", "sample_rate", "steps", "clip_norm")
    head = ["Training", "ε", "δ", "Noise multiplier", "Sampling rate", "Steps", "Clipping norm"]
    rows = [
        [arm_name(arm, facts), *(_given(facts.get(key)) for key in keys)]
        for arm, facts in _arms(contents)
    ]
    return table(head, rows)


def _given(value: Any) -> str:
    return general(value, 4) if finite(value) else _ABSENT


def arm_rows(contents: Mapping[str, Any]) -> str:
    """Accuracy, memorization, attacks and certified ε of each way of training."""
    head = ["Training", "Test accuracy", "Mean memorization", "Largest memorization",
            "AUC of attacks", "Certified ε", "Models"]  # fmt: skip
    results = contents["results"]
    rows = [
        [
            arm_name(arm, facts),
            estimate(facts.get("accuracy_test"), "percent"),
            estimate(facts.get("mem_mean")),
            estimate(facts.get("mem_max")),
            estimate((facts.get("exposure") or {}).get("auc")),
            _at_least(facts.get("epsilon_certified") or {}),
            count(results.get("models")),
        ]
        for arm, facts in _arms(contents)
    ]
    return table(head, rows)


def data_lines(contents: Mapping[str, Any], key: str, noun: str) -> list[str]:
    """Name, size and fingerprint of the data, as items of a list."""
    data = contents["source"]["data"]
    lines = [("Data", name(data.get("name"))), ("Size", f"{count(data.get(key))} {noun}")]
    if data.get("fingerprint"):
        lines.append(("Fingerprint (SHA-256)", str(data["fingerprint"])))
    return [labelled(title, text, _ABSENT) for title, text in lines]


def findings_table(contents: Mapping[str, Any]) -> str:
    """Every finding with its verdict, value, interval and n."""
    rows = []
    for found in contents["findings"]:
        value = not_estimable(found["n"]) if found["value"] is None else general(found["value"], 4)
        if found.get("withheld"):
            value = WITHHELD
        if found["low"] is not None or found["high"] is not None:
            value += f" ({interval(found['low'], found['high'])})"
        n = count(found["n"]) if found["n"] is not None else _ABSENT
        rows.append([found["question"], label(found)["words"], with_needed(found), value, n])
    return table(["Question", "Verdict", "Finding", "Value (95 % interval)", "n"], rows)


def subgroup_tables(contents: Mapping[str, Any]) -> list[str]:
    """Per private arm and grouping, the subgroups that lose most, under a line that says so."""
    results, found = contents["results"], []
    arms = [(arm, facts) for arm, facts in _arms(contents) if arm != STANDARD]
    groupings = dict.fromkeys(row["grouping"] for row in results["subgroups"])
    for grouping in groupings:
        rows = [row for row in results["subgroups"] if row["grouping"] == grouping]
        for arm, facts in arms:
            found += _subgroup_table(rows, grouping, arm, arm_name(arm, facts))
    return found or ["No accuracy loss by subgroup was estimated in this run."]


def _subgroup_table(rows: list[dict[str, Any]], grouping: str, arm: str, called: str) -> list[str]:
    key = f"loss_{arm}"
    losses = [row for row in rows if key in row]
    if not losses:
        return []
    losses.sort(key=lambda row: (row[key] is None, -(row[key] or 0.0)))
    shown = losses[:MOST_SUBGROUPS]
    head = ["Subgroup", "n train", "n test", "Accuracy", "Loss"]
    cells = [
        [
            name(row["subgroup"]),
            count(row.get("n_train")),
            count(row.get("n_test")),
            estimate(_column(row, f"accuracy_{arm}"), "percent"),
            estimate(_column(row, key), "points"),
        ]
        for row in shown
    ]
    how_many = "all" if len(shown) == len(losses) else f"{len(shown)} of"
    line = (
        f"By “{escaped(name(grouping))}”, {escaped(called)}: {how_many} {len(losses)} subgroups, "
        "the largest loss first (95 % intervals)."
    )
    return [line, table(head, cells)]


def _column(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An estimate from the columns of a subgroup's record; n counts its test examples."""
    parts = {"value": key, "low": f"{key}_low", "high": f"{key}_high", "n": "n_test"}
    return {part: row.get(column) for part, column in parts.items()}


def _at_least(bound: Mapping[str, Any]) -> str:
    """A lower limit, which has no upper one."""
    value = bound.get("value")
    return f"at least {number(value, 2)}" if finite(value) else not_estimable(bound.get("n"))
