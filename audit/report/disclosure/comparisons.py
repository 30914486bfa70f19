"""The comparisons between subgroups in summary.json as the public profile may see them. PURE.

Where a grouping has withheld subgroups, numbers computed from all of them are equations for what is
withheld. Those that single out a subgroup or a count (an extreme, the smallest detectable
difference, level and centre of a trend) are taken out. Slopes, spreads and p-values of an outcome
are at most four independent numbers; they stay where the withheld subgroups leave four rates of
that outcome open (``suppression.open_counts``), so that each outcome brings as many unknowns as
equations and none is left for a count. Verdicts, and which way a shown trend goes, always stay.

An entry that something was taken out of says so (``withheld``: its keys that are null for it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from audit.report.disclosure import rounding
from audit.report.frames import records
from audit.report.words import Json, finite

Withheld = Mapping[str, Sequence[str]]
FEWEST_OPEN = 4
"""As many numbers as a trend (slope and error) and a comparison (τ, Q) tell of one outcome."""
# What may be told of a grouping with withheld subgroups; what is added later has to be added here.
_ALWAYS = frozenset({
    *("grouping", "kind", "arm", "outcome", "verdict", "method", "n_groups", "n_given"),
    *("equivalence_margin", "relabellings", "q_degrees"),
})  # fmt: skip
# Of a trend its slope (with its error), of a comparison τ and Q: not the trend's own spread, nor
# the slope at equal difficulty, which would be three equations more.
_OF_TRENDS = frozenset({"slope", "p_value"})
_OF_COMPARISONS = frozenset({"tau", "cochran_q", "q_p_value", "worst_p_adjusted"})
_WORST = frozenset({"worst_subgroup", "worst_loss", "worst_minus_rest"})
_LARGEST = frozenset({"largest_subgroup", "largest_loss"})
# Their denominators are test examples of one class in a subgroup, which nothing here counts.
_BY_CLASS = ("true_positive_rate", "false_positive_rate", "equalized_odds")


def comparisons(
    summary: Mapping[str, Any],
    withheld: Withheld,
    still_open: Mapping[str, int],
    published: pd.DataFrame,
) -> Json:
    """The parts of ``summary`` about subgroups.

    ``still_open``: by grouping, how many withheld counts could be chosen freely. ``published``: the
    rows of the public profile.
    """
    power = summary.get("power") or {}
    enough = {g for g in withheld if still_open[g] >= FEWEST_OPEN}
    of_trends, of_comparisons = (
        {g: _ALWAYS | (numbers if g in enough else frozenset()) for g in withheld}
        for numbers in (_OF_TRENDS, _OF_COMPARISONS)
    )
    found = {
        "trends": [_trend(t, of_trends) for t in summary.get("trends") or []],
        "disparity": [
            _disparity(d, withheld, of_comparisons) for d in summary.get("disparity") or []
        ],
        "fairlearn": _rates(summary.get("fairlearn") or [], withheld),
        "longtail": [_longtail(e) for e in summary.get("longtail") or []
                     if e["grouping"] not in withheld],
        "power": {**power, **_power(power, withheld, published)},
    }  # fmt: skip
    return {key: value for key, value in found.items() if key in summary}


def _trend(trend: Mapping[str, Any], told: Mapping[str, frozenset[str]]) -> Json:
    if trend["grouping"] not in told:
        return dict(trend)
    shown = _only(trend, told[trend["grouping"]])
    if trend["verdict"] == "shown" and "slope" in shown.get("withheld", ()):
        shown["falling"] = trend["slope"]["value"] < 0
    return shown


def _disparity(
    entry: Mapping[str, Any], withheld: Withheld, told: Mapping[str, frozenset[str]]
) -> Json:
    shown, names = dict(entry), withheld.get(entry["grouping"], ())
    if names:
        keys = told[entry["grouping"]]
        if entry.get("worst_subgroup") not in names:
            keys |= _WORST
        else:
            keys -= {"worst_p_adjusted"}
        keys |= _LARGEST if entry.get("largest_subgroup") not in names else set()
        shown = _only(entry, keys)
    for key in ("worst_loss", "worst_minus_rest", "largest_loss"):
        if shown.get(key) and finite(shown[key].get("n")):
            shown[key] = {**shown[key], "n": rounding.count(shown[key]["n"])}
    return shown


def _only(entry: Mapping[str, Any], keys: frozenset[str]) -> Json:
    """``entry`` with all but ``keys`` null, and these listed as withheld."""
    gone = [key for key in entry if key not in keys]
    return {**entry, **dict.fromkeys(gone), **({"withheld": gone} if gone else {})}


def _longtail(entry: Mapping[str, Any]) -> Json:
    # Where one subgroup is clearly the smallest, τ · n is its count.
    smallest = rounding.count(entry["smallest"])
    return {**_only(entry, frozenset(entry) - {"tau"}), "smallest": smallest}


def _power(power: Mapping[str, Any], withheld: Withheld, published: pd.DataFrame) -> Json:
    """Without the differences that subgroups of a certain size could show; of groupings that are
    published whole with rounded counts."""
    known = {str(r["grouping"]) for r in records(published)}
    found = {
        key: [e for e in power.get(key) or [] if e["grouping"] in known - set(withheld)]
        for key in ("difference", "equivalence")
        if key in power
    }
    for entries in found.values():
        entries[:] = [
            {
                **rounding.estimates(e, 2),
                **({"n_test": rounding.count(e["n_test"])} if "n_test" in e else {}),
            }
            for e in entries
        ]
    return found


def _rates(records_: Sequence[Mapping[str, Any]], withheld: Withheld) -> list[Json]:
    """fairlearn's rates of the subgroups that are published, and their extremes.

    Rates of 0 and 1 go without a value, as everywhere, and with them the extremes. A smallest or
    largest value of withheld subgroups would be found by subtraction, so extremes are computed anew
    (fairlearn's definitions: largest minus smallest, smallest over largest).
    """
    kept = [dict(r) for r in records_ if not str(r["metric"]).startswith(_BY_CLASS)]
    by_selection = {}
    for record in kept:
        if "by_group" not in record:
            continue
        names = withheld.get(record["grouping"], ())
        shown = {g: _inner(v) for g, v in record["by_group"].items() if g not in names}
        alike = [g for g, v in shown.items() if v is None and finite(record["by_group"][g])]
        record |= {"by_group": shown, **_extremes([v for v in shown.values() if v is not None])}
        if names:
            record["of_shown"] = True
        if alike:
            # They are the extremes themselves; those of the others would look more equal.
            gone = dict.fromkeys(("difference", "ratio"))
            record |= {**gone, "withheld": list(gone), "unanimous": alike}
        if record["metric"] == "selection_rate":
            by_selection[record["grouping"], record["arm"]] = record
    for record in kept:
        kind = str(record["metric"]).removeprefix("demographic_parity_")
        if kind in ("difference", "ratio") and "value" in record:
            frame = by_selection[record["grouping"], record["arm"]]
            record["value"] = frame[kind]
            if "withheld" in frame:
                record["withheld"] = ["difference"]
    return kept


def _inner(value: Any) -> float | None:
    rounded = rounding.rate(value)
    return None if rounded in (0.0, 1.0) else rounded


def _extremes(rates: Sequence[float]) -> Json:
    if len(rates) < 2:
        return {"difference": None, "ratio": None}
    least, most = min(rates), max(rates)
    return {"difference": rounding.rate(most - least), "ratio": rounding.rate(least / most)}
