"""Rules about accuracy: the loss overall, of the worst subgroup, and whether all lose alike. PURE.

Losses are fractions. Which limits they are judged by, and how these are corrected for many
subgroups and for few test examples, is in :mod:`audit.estimates.limits`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from audit.estimates.limits import fewest_degrees, upper_limit, widened
from audit.report.disclosure.rounding import COUNTS, RATES
from audit.report.disclosure.suppression import FEWEST
from audit.report.policy import AccuracyRules
from audit.report.policy_result import MET, NOT_MET, OPEN, Outcome, Result, at_most, gravest
from audit.report.words import Json, count, counted, interval, joined, name, part, points

_NAMED = 3


def accuracy_results(
    rules: AccuracyRules, report: Mapping[str, Any], arms: list[str]
) -> Iterator[Result]:
    """Every rule of the section [accuracy] on each of ``arms``, and of each grouping."""
    for arm in arms:
        if (most := rules.loss_at_most) is not None:
            yield _loss(report, arm, most)
        for grouping in _groupings(rules, report):
            if (most := rules.worst_group_loss_at_most) is not None:
                yield _worst_group(report, arm, grouping, most, rules.smallest_group)
            if (margin := rules.equivalence_margin) is not None:
                yield _equivalence(report, arm, grouping, margin, rules.smallest_group)


def _groupings(rules: AccuracyRules, report: Mapping[str, Any]) -> list[str | None]:
    """The groupings to look at; a None where there are none at all, so that a rule is answered."""
    if rules.groupings is not None:
        return list(dict.fromkeys(rules.groupings))
    rows = report["results"].get("subgroups") or []
    found = [row["grouping"] for row in rows if row["kind"] != "frequency"]
    found += list(report["results"].get("withheld") or {})
    return list(dict.fromkeys(found)) or [None]


def _loss(report: Mapping[str, Any], arm: str, most: float) -> Result:
    rule, loss = "accuracy.loss_at_most", report["results"]["arms"][arm].get("loss")
    value, low, high = (part(loss, key) for key in ("value", "low", "high"))
    n = part(report["source"]["data"], "n_test")
    if value is None or low is None or high is None or n is None:
        why = "there is no estimate of the loss with an interval (no standard models, no test "
        why += "outputs, or one model)"
        return Result(rule, OPEN, why, arm, value=value, threshold=most)
    upper = upper_limit(value, high, n)
    outcome = at_most(low, upper, most)
    return Result(
        rule,
        outcome,
        f"the average loss is {_limits_words(value, low, high)}{_unseen(high, upper, n)}; "
        f"{_judged(outcome, most)}",
        arm,
        value=value,
        low=low,
        high=upper,
        threshold=most,
    )


def _worst_group(
    report: Mapping[str, Any], arm: str, grouping: str | None, most: float, smallest: int
) -> Result:
    rule, rows = "accuracy.worst_group_loss_at_most", _rows(report, grouping)
    if missing := _nothing(report, grouping, rows):
        return Result(rule, OPEN, missing, arm, grouping, threshold=most)
    compared = sum(_why_open(row, arm, smallest) is None for row in rows)
    groups = [
        _judged_group(row, arm, report["results"]["models"], compared, most, smallest)
        for row in rows
    ]
    withheld = _withheld(report, grouping)
    hidden: list[Outcome] = [OPEN] * bool(withheld)
    outcome = gravest([*(g["outcome"] for g in groups), *hidden])
    worst = _worst(groups, outcome)
    return Result(
        rule,
        outcome,
        _groups_words(groups, outcome, most, withheld, worst),
        arm,
        grouping,
        value=worst["value"],
        low=worst["low"],
        high=worst["high"],
        threshold=most,
        groups=tuple(groups),
    )


def _judged_group(
    row: Mapping[str, Any], arm: str, models: int, compared: int, most: float, smallest: int
) -> Json:
    """One subgroup: its outcome, and the limits by which it was judged.

    ``high`` is its own 95 % limit (all subgroups have to be under the threshold), at least what so
    few test examples cannot exclude; ``low`` holds for ``compared`` subgroups at once.
    """
    value, low, high = (part(row, f"loss_{arm}{end}") for end in ("", "_low", "_high"))
    n = row["fewest"]
    judged: Json = {
        "subgroup": row["subgroup"],
        "n_test": part(row, "n_test"),
        "value": value,
        "limits": None,
    }
    if (why := _why_open(row, arm, smallest)) is not None:
        return {**judged, "low": None, "high": None, "outcome": OPEN, "why": why}
    assert value is not None
    assert low is not None
    assert high is not None
    assert n is not None
    least, _ = widened(value, low, high, degrees=fewest_degrees(models, n), comparisons=compared)
    lower = None if math.isnan(least) else least
    # A rounded value may be half a unit too small.
    upper = upper_limit(value + row["rounding"], high, n)
    outcome = at_most(lower, upper, most)
    limits = {"low": low, "high": high}
    return {
        **judged,
        "limits": limits,
        "low": lower,
        "high": upper,
        "outcome": outcome,
        "why": None,
    }


def _why_open(row: Mapping[str, Any], arm: str, smallest: int) -> str | None:
    """Why nothing can be said of a subgroup's loss; None where something can."""
    n = row["fewest"]
    if n is None:
        return "an unknown number of test examples"
    if n < smallest:
        return f"under {count(smallest)} test examples"
    if any(part(row, f"loss_{arm}{end}") is None for end in ("", "_low", "_high")):
        return "no loss with an interval"
    return None


def _worst(groups: list[Json], outcome: Outcome) -> Json:
    """The subgroup that the result is about: the clearest excess, else the largest upper limit."""

    def key(group: Json) -> float:
        found = group["low" if outcome == NOT_MET else "high"]
        return found if found is not None else -math.inf

    of = [g for g in groups if g["outcome"] == outcome and g["value"] is not None]
    return max(of or groups, key=key)


def _groups_words(
    groups: list[Json], outcome: Outcome, most: float, withheld: int, worst: Json
) -> str:
    if outcome == MET:
        return (
            f"no subgroup of {count(len(groups))} loses more than {points(most)}: the largest "
            f"upper limit is {points(worst['high'])} (“{name(worst['subgroup'])}”)"
        )
    if outcome == NOT_MET:
        return _excess_words(groups, most)
    return _open_words([g for g in groups if g["outcome"] == OPEN], len(groups), most, withheld)


def _excess_words(groups: list[Json], most: float) -> str:
    reached = sorted((g for g in groups if g["outcome"] == NOT_MET), key=lambda g: -g["low"])
    shown = [
        f"“{name(g['subgroup'])}” loses {points(g['value'])} (at least {points(g['low'])}, "
        f"corrected for all subgroups; n = {count(g['n_test'])})"
        for g in reached[:_NAMED]
    ]
    text = f"{joined(shown)}{_more(reached)}; at most {points(most)} is asked for"
    open_ = sum(g["outcome"] == OPEN for g in groups)
    return text + (f"; of {count(open_)} more it could not be told" if open_ else "")


def _open_words(groups: list[Json], of: int, most: float, withheld: int) -> str:
    """Of which subgroups it could not be told: by name with an interval, else by the reason."""
    wide = sorted((g for g in groups if g["why"] is None), key=lambda g: -g["high"])
    reasons = [f"“{name(g['subgroup'])}” ({_reaches(g)})" for g in wide[:_NAMED]]
    told = [f"{joined(reasons)}{_more(wide)}"] if wide else []
    unknown = Counter(g["why"] for g in groups if g["why"] is not None)
    told += [f"{count(times)} with {why}" for why, times in unknown.items()]
    told += [f"{count(withheld)} withheld from this report"] if withheld else []
    return (
        f"of {count(len(groups) + withheld)} of {counted(of + withheld, 'subgroup')} it could not "
        f"be told whether they lose at most {points(most)}: {'; '.join(told)}"
    )


def _reaches(group: Json) -> str:
    limits = group["limits"]
    words = _limits_words(group["value"], limits["low"], limits["high"])
    return f"{words}{_unseen(limits['high'], group['high'], group['n_test'])}"


def _more(groups: list[Json]) -> str:
    left = len(groups) - _NAMED
    return f" and {count(left)} more" if left > 0 else ""


def _equivalence(
    report: Mapping[str, Any], arm: str, grouping: str | None, margin: float, smallest: int
) -> Result:
    """Whether every subgroup loses as the rest does, within the margin, by two one-sided tests.

    The run's tests give the margin from which on they pass; a run that does not record it, only the
    margin that it tested.
    """
    rule, rows = "accuracy.equivalence_margin", _rows(report, grouping)
    if missing := _nothing(report, grouping, rows):
        return Result(rule, OPEN, missing, arm, grouping, threshold=margin)
    entry = next(
        (
            d
            for d in report["results"].get("disparity") or []
            if d["grouping"] == grouping and d["arm"] == arm
        ),
        None,
    )
    if entry is None:
        why = "the subgroups of this grouping were not compared"
        return Result(rule, OPEN, why, arm, grouping, threshold=margin)
    within = part(entry, "equivalent_within")
    if within is None and entry["verdict"] == "equivalent":
        within = part(entry, "equivalence_margin")
    excess = entry.get("worst_minus_rest")
    value, least = part(excess, "value"), _least_excess(entry, report)
    small = [row for row in rows if (row["fewest"] or 0) < smallest]
    withheld = _withheld(report, grouping)
    worst = f"“{name(entry.get('worst_subgroup') or '?')}” loses {points(value)} more than the rest"
    if least is not None and least > margin:
        outcome = NOT_MET
        text = f"{worst} (at least {points(least)}, corrected for all subgroups)"
    elif small or withheld:
        outcome = OPEN
        few = [f"{counted(len(small), 'subgroup')} with under {smallest} test examples"]
        hidden = [f"{counted(withheld, 'subgroup')} withheld from this report"]
        text = joined([*(few if small else []), *(hidden if withheld else [])])
    elif within is not None and within <= margin:
        outcome = MET
        text = f"every subgroup loses as the rest does to within {points(within)}"
    else:
        outcome = OPEN
        shown = "an unknown margin" if within is None else points(within)
        text = f"equivalence is shown to within {shown} only; the clearest excess: {worst}"
    text += f"; a margin of {points(margin)} is asked for"
    return Result(
        rule, outcome, text, arm, grouping, value=value, low=least, high=within, threshold=margin
    )


def _least_excess(entry: Mapping[str, Any], report: Mapping[str, Any]) -> float | None:
    """The lower limit of the clearest excess, corrected for having picked it among all."""
    excess = entry.get("worst_minus_rest")
    found = [part(excess, key) for key in ("value", "low", "high", "n")]
    found += [part(entry, "n_groups"), part(report["source"]["data"], "n_test")]
    if any(x is None for x in found):
        return None
    value, low, high, n, groups, n_test = found
    n = _fewest(n, report["profile"] == "public")
    degrees = fewest_degrees(report["results"]["models"], n, n_test - n)
    least, _ = widened(value, low, high, degrees=degrees, comparisons=int(groups))
    return None if math.isnan(least) else least


def _rows(report: Mapping[str, Any], grouping: str | None) -> list[Json]:
    """The subgroups of a grouping, each with ``fewest``: the test examples that it has at least.

    A public report tells counts to the nearest multiple, so a subgroup may have fewer than shown.
    """
    rows = [r for r in report["results"].get("subgroups") or [] if r["grouping"] == grouping]
    rounded = report["profile"] == "public"
    half = 0.5 * 10.0**-RATES if rounded else 0.0
    return [
        {**row, "fewest": _fewest(part(row, "n_test"), rounded), "rounding": half} for row in rows
    ]


def _fewest(shown: Any, rounded: bool) -> Any:
    if shown is None or not rounded:
        return shown
    return max(min(shown, FEWEST), shown - COUNTS // 2)


def _withheld(report: Mapping[str, Any], grouping: str | None) -> int:
    return len((report["results"].get("withheld") or {}).get(grouping) or [])


def _nothing(report: Mapping[str, Any], grouping: str | None, rows: list[Json]) -> str:
    """Why there is nothing to judge; empty where there is."""
    if rows:
        return ""
    if withheld := _withheld(report, grouping):
        return f"all its subgroups ({count(withheld)}) are withheld from this report"
    if grouping is None:
        return "this report has no subgroups"
    known = list(dict.fromkeys(r["grouping"] for r in report["results"].get("subgroups") or []))
    shown = joined([f"“{name(g)}”" for g in known[:8]]) or "none"
    return f"this report has no such grouping; it has {shown}"


def _limits_words(value: float, low: float, high: float) -> str:
    return f"{points(value)} (95 % interval {interval(low, high, 100.0, 1)})"


def _unseen(high: float, upper: float, n: float) -> str:
    """What an interval from few examples leaves out; empty where it leaves nothing out."""
    if upper <= high:
        return ""
    return f", {counted(int(n), 'test example')} not excluding {points(upper)}"


def _judged(outcome: Outcome, most: float) -> str:
    return {
        MET: f"all of it at most {points(most)}",
        NOT_MET: f"all of it above {points(most)}",
        OPEN: f"not all of it on one side of {points(most)}",
    }[outcome]
