"""Differences of estimates between two reports, and whether they are beyond noise. PURE.

The two runs may share data, test examples and seeds, so their estimates may depend on each other in
any way. The standard error of a difference is at most the sum of both errors, whatever the
dependence, so ``new − old`` with limits ``new.low − old.high`` and ``new.high − old.low`` holds at
95 % or more. It is beyond noise where these exclude 0: where the two intervals do not overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.diff_result import Change, Kind, sided
from audit.report.exposure_section import ATTACKS, LOW
from audit.report.reading import claiming_arms
from audit.report.words import Json, at_least, estimate, interval, name, part

JUDGED = (
    "a difference is beyond noise where the 95 % intervals of the two reports do not overlap, "
    "which holds however the runs depend on each other; each number at its own 95 %"
)
_RISING, _FALLING = 1, -1
# key → words, unit, and the direction that is worse in an arm that claims privacy.
_ESTIMATES = {
    "loss": ("average accuracy loss", "points", _RISING),
    "accuracy_test": ("test accuracy", "percent", _FALLING),
    "mem_mean": ("mean memorization", "number", _RISING),
    "mem_share_above_0.25": ("share memorized ≥ 0.25", "percent", _RISING),
    "mem_max": ("largest memorization", "number", 0),
}
# Its interval is that of one example, which was picked for being the largest of all: it holds 95 %
# of nothing here. Whether the largest refutes a claim is a finding, and findings are compared.
_PICKED = "mem_max"
_NO_LIMITS: tuple[Json, Json] = ({"low": None, "high": None}, {"low": None, "high": None})
_RATES = {
    "auc": ("AUC", "number"),
    "balanced_accuracy": ("balanced accuracy", "percent"),
    LOW: ("true-positive rate at 1 % false positives", "percent"),
}


def number_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], arms: dict[str, str]
) -> tuple[list[Change], list[str]]:
    """Every estimate of an arm that differs, and how differences were judged."""
    found: list[Change] = []
    private = claiming_arms(new)
    for arm, before in arms.items():
        was, now = old["results"]["arms"][before], new["results"]["arms"][arm]
        worse = 1 if arm in private else 0
        for key, (words, unit, side) in _ESTIMATES.items():
            what = f"{words} of {name(arm)}"
            judged = _NO_LIMITS if key == _PICKED else None
            found += compared("numbers", what, was.get(key), now.get(key), unit, worse * side,
                              judged_by=judged)  # fmt: skip
        found += _attacked(arm, was.get("exposure") or {}, now.get("exposure") or {}, worse)
        found += _certified(arm, was, now)
    return found, [JUDGED] if any(change.numbers for change in found) else []


def compared(
    section: Any,
    what: str,
    was: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
    unit: str,
    worse: int,
    *,
    judged_by: tuple[Json, Json] | None = None,
) -> list[Change]:
    """The change of an estimate; [] where it is the same.

    Args:
        worse: 1 where rising is worse, −1 where falling is, 0 where neither is.
        judged_by: both estimates with limits that hold for many comparisons at once; None for
            their own.
    """
    old, new = ({k: part(e, k) for k in ("value", "low", "high", "n")} for e in (was, now))
    if [old[k] for k in ("value", "low", "high")] == [new[k] for k in ("value", "low", "high")]:
        return []
    shown = [None if e["value"] is None else estimate(e, unit) for e in (old, new)]
    if old["value"] is None or new["value"] is None:
        kind: Kind = "new" if old["value"] is None else "gone"
        return [Change(section, what, kind, old=shown[0], new=shown[1])]
    before, after = judged_by or (old, new)
    difference: Json = {"difference": new["value"] - old["value"], "low": None, "high": None}
    if None in (before["low"], before["high"], after["low"], after["high"]):
        judged, beyond = "no interval to judge it by", False
    else:
        difference["low"] = after["low"] - before["high"]
        difference["high"] = after["high"] - before["low"]
        beyond = difference["low"] > 0 or difference["high"] < 0
        scale = 1.0 if unit == "number" else 100.0
        ends = interval(difference["low"], difference["high"], scale, 3 if scale == 1 else 1)
        judged = f"{'beyond' if beyond else 'within'} noise (difference {ends})"
    kind = sided(difference["difference"] * worse > 0) if beyond and worse else "changed"
    numbers = {"old": old, "new": new, **difference, "beyond_noise": beyond}
    return [Change(section, what, kind, old=shown[0], new=shown[1], note=judged, numbers=numbers)]


def _attacked(arm: str, was: Json, now: Json, worse: int) -> list[Change]:
    """The attack that was fixed before looking; of two different ones nothing can be compared."""
    attack = now.get("attack")
    if was.get("attack") != attack:
        shown = [
            None if a is None else ATTACKS.get(a, name(a)) for a in (was.get("attack"), attack)
        ]
        return [Change("numbers", f"attack on {name(arm)}", "changed", old=shown[0], new=shown[1])]
    found: list[Change] = []
    for key, (words, unit) in _RATES.items():
        what = f"{words} of attacks on {name(arm)}"
        found += compared("numbers", what, was.get(key), now.get(key), unit, worse)
    return found


def _certified(arm: str, was: Json, now: Json) -> list[Change]:
    """Certified ε, which are lower bounds: a larger one is stronger evidence, not a larger ε."""
    found = []
    before, after = (_bounds(facts) for facts in (was, now))
    for on in dict.fromkeys([*before, *after]):
        old, new = before.get(on), after.get(on)
        if old != new:
            shown = [None if e is None else f"at least {at_least(e)}" for e in (old, new)]
            kind: Kind = "new" if old is None else "gone" if new is None else "changed"
            what = f"ε of {name(arm)} certified on {name(on)}"
            note = "a lower bound: no difference of ε"
            found.append(Change("numbers", what, kind, old=shown[0], new=shown[1], note=note))
    return found


def _bounds(facts: Mapping[str, Any]) -> dict[str, float]:
    """Certified ε by what was attacked."""
    found = {"single examples": part(facts.get("epsilon_certified"), "value")}
    for entry in (facts.get("empirical_epsilon") or {}).get("procedures") or []:
        if entry["id"] != "witness":
            found[str(entry["on"])] = part(entry.get("epsilon"), "value")
    return {on: bound for on, bound in found.items() if bound is not None}
