"""Changes of subgroups: which there are, how large, and what each loses. PURE."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from audit.estimates.limits import fewest_degrees, widened
from audit.report.diff_numbers import compared
from audit.report.diff_result import Change
from audit.report.reading import claiming_arms
from audit.report.words import Json, count, counted, name, part

_Key = tuple[str, str]


def subgroup_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], arms: dict[str, str]
) -> tuple[list[Change], list[str]]:
    """Groupings and subgroups that appeared, are gone or changed size, and losses beyond noise."""
    other = old["source"]["data"].get("fingerprint") != new["source"]["data"].get("fingerprint")
    before, now = (_rows(report, found_anew=other) for report in (old, new))
    changes, notes = [*_groupings(before, now), *_appeared(before, now)], []
    if other and any(_discovered(report) for report in (old, new)):
        notes.append(
            "subpopulations that were found inside classes are not compared: in other data they "
            "are other ones, whatever their names"
        )
    shared = [key for key in now if key in before]
    for key in shared:
        changes += _size(key, before[key], now[key])
    for arm in claiming_arms(new):
        if arm in arms:
            found, told = _losses(arm, arms[arm], shared, before, now, old, new)
            changes += found
            notes += told
    return changes, notes


def _rows(report: Mapping[str, Any], *, found_anew: bool) -> dict[_Key, Json]:
    """Rows by grouping and subgroup; without bins of frequency, which follow from the others."""
    kinds = {"frequency", "subpopulation"} if found_anew else {"frequency"}
    rows = report["results"].get("subgroups") or []
    return {(r["grouping"], r["subgroup"]): r for r in rows if r["kind"] not in kinds}


def _discovered(report: Mapping[str, Any]) -> bool:
    rows = report["results"].get("subgroups") or []
    return any(row["kind"] == "subpopulation" for row in rows)


def _groupings(before: Mapping[_Key, Json], now: Mapping[_Key, Json]) -> list[Change]:
    was, there = ({grouping: None for grouping, _ in rows} for rows in (before, now))
    new = [
        Change("subgroups", f"grouping “{name(g)}”", "new", new=_size_of(now, g))
        for g in there
        if g not in was
    ]
    gone = [
        Change("subgroups", f"grouping “{name(g)}”", "gone", old=_size_of(before, g))
        for g in was
        if g not in there
    ]
    return new + gone


def _size_of(rows: Mapping[_Key, Json], grouping: str) -> str:
    return counted(sum(g == grouping for g, _ in rows), "subgroup")


def _appeared(before: Mapping[_Key, Json], now: Mapping[_Key, Json]) -> list[Change]:
    """Subgroups that are new or gone in groupings that both reports have."""
    both = {g for g, _ in before} & {g for g, _ in now}
    new = [
        Change("subgroups", _called(key), "new", new=_examples(row))
        for key, row in now.items()
        if key not in before and key[0] in both
    ]
    gone = [
        Change("subgroups", _called(key), "gone", old=_examples(row))
        for key, row in before.items()
        if key not in now and key[0] in both
    ]
    return new + gone


def _size(key: _Key, was: Json, now: Json) -> list[Change]:
    if all(was.get(n) == now.get(n) for n in ("n_train", "n_test")):
        return []
    return [Change("subgroups", _called(key), "changed", old=_examples(was), new=_examples(now))]


def _examples(row: Mapping[str, Any]) -> str:
    return f"{count(row.get('n_train'))} training, {count(row.get('n_test'))} test examples"


def _called(key: _Key) -> str:
    return f"“{name(key[1])}” of “{name(key[0])}”"


def _losses(
    arm: str,
    arm_before: str,
    shared: list[_Key],
    before: Mapping[_Key, Json],
    now: Mapping[_Key, Json],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
) -> tuple[list[Change], list[str]]:
    """Losses of subgroups whose change is beyond noise for all of a grouping at once (Bonferroni),
    and how many were within it."""
    changes: list[Change] = []
    pairs = {key: (_loss(before[key], arm_before), _loss(now[key], arm)) for key in shared}
    known = {key: p for key, p in pairs.items() if None not in (p[0]["value"], p[1]["value"])}
    of = Counter(grouping for grouping, _ in known)
    within = 0
    for key, (was, is_now) in known.items():
        found = compared(
            "subgroups",
            f"loss of {_called(key)} under {name(arm)}",
            was,
            is_now,
            "points",
            1,
            judged_by=(_widened(was, old, of[key[0]]), _widened(is_now, new, of[key[0]])),
        )
        beyond = [c for c in found if c.numbers and c.numbers["beyond_noise"]]
        within += len(found) - len(beyond)
        changes += beyond
    if not changes and not within:
        return changes, []
    return changes, [
        f"of the losses of {counted(len(known), 'subgroup')} under {name(arm)}, "
        f"{count(len(changes))} changed beyond noise and {count(within)} within it; limits hold "
        "for all subgroups of a grouping at once (Bonferroni)"
    ]


def _loss(row: Mapping[str, Any], arm: str) -> Json:
    ends = {"value": "", "low": "_low", "high": "_high"}
    found = {key: part(row, f"loss_{arm}{end}") for key, end in ends.items()}
    return {**found, "n": part(row, "n_test")}


def _widened(found: Json, report: Mapping[str, Any], many: int) -> Json:
    value, low, high, n = (found[key] for key in ("value", "low", "high", "n"))
    if None in (value, low, high, n):
        return {**found, "low": None, "high": None}
    degrees = fewest_degrees(report["results"]["models"], n)
    least, most = widened(value, low, high, degrees=degrees, comparisons=many)
    if math.isnan(least):
        return {**found, "low": None, "high": None}
    return {**found, "low": least, "high": most}
