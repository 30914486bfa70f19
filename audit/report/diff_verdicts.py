"""Changes of verdicts: better, worse, new, gone. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from audit.report.diff_result import Change, Kind
from audit.report.reading import claiming_arms
from audit.report.verdicts import label
from audit.report.words import Json, name

# Findings about a privacy claim or a check: fails > undecided > anything else.
_TESTED = ("claim-", "canaries-", "largest-memorization-", "delta-", "self-check-", "cross-check-")
_DIVERGED = "diverged-"
# Findings about a difference: shown > undecided > equivalent.
_LOSS, _EXPOSURE, _DISPARITY, _TREND = "loss-", "exposure-", "disparity-", "trend-"
_OUTCOMES = ("loss", "mem", "exposure")
_LONGEST = 300


def verdict_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], arms: dict[str, str]
) -> Iterator[Change]:
    """Every finding whose verdict changed, that is new, or that is gone.

    ``arms``: the old arm that each new one is compared with.
    """
    renamed = {before: now for now, before in arms.items()}
    before = _by_id(old, renamed)
    now = _by_id(new, {})
    private = set(claiming_arms(new))
    for ident, found in now.items():
        was = before.get(ident)
        if was is None:
            # Diverged models are a finding only where there are some.
            failed = found["fails"] or ident.startswith(_DIVERGED)
            yield _change(ident, "worse" if failed else "new", None, found)
            continue
        # The same word may be worse: a loss shown where a gain was.
        kind = _direction(ident, was, found, private)
        if kind != "changed" or _decided(was) != _decided(found):
            yield _change(ident, kind, was, found)
    for ident, was in before.items():
        if ident not in now:
            yield _gone(ident, was, new)


def _gone(ident: str, was: Json, new: Mapping[str, Any]) -> Change:
    """What is no longer measured, of an arm and a grouping that are still there, is a loss of
    evidence: not to measure must not be a way past a gate."""
    if ident.startswith(_DIVERGED):
        return _change(ident, "better", was, None)
    arms = list(new["results"]["arms"])
    of_arm = {f"{test}{arm}" for test in (*_TESTED, _LOSS, _EXPOSURE) for arm in arms}
    groupings = {name(row["grouping"]) for row in new["results"].get("subgroups") or []}
    of_grouping = {
        f"{start}{arm}-{grouping}"
        for start in (_DISPARITY, *(f"{_TREND}{outcome}_" for outcome in _OUTCOMES))
        for arm in arms
        for grouping in groupings
    }
    still = ident in of_arm | of_grouping
    return _change(ident, "worse" if still else "gone", was, None)


def _change(ident: str, kind: Kind, was: Json | None, found: Json | None) -> Change:
    shown = [None if f is None else label(f)["words"] for f in (was, found)]
    note = "not in the new report" if found is None else name(found["statement"], _LONGEST)
    return Change("verdicts", name(ident), kind, old=shown[0], new=shown[1], note=note)


def _decided(found: Mapping[str, Any]) -> tuple[Any, ...]:
    return found["verdict"], found["fails"], found["inconclusive"]


def _direction(
    ident: str, was: Mapping[str, Any], found: Mapping[str, Any], private: set[str]
) -> Kind:
    """Whether a verdict is better or worse; of findings that only inform, neither."""
    if ident.startswith((*_TESTED, _DIVERGED)):
        ranks = [_test_rank(f) for f in (was, found)]
    elif ident.startswith((_LOSS, _DISPARITY, f"{_TREND}loss_")) or (
        ident.startswith(_EXPOSURE) and ident.removeprefix(_EXPOSURE) in private
    ):
        ranks = [_difference_rank(ident, f) for f in (was, found)]
    else:
        return "changed"
    if ranks[0] == ranks[1]:
        return "changed"
    return "worse" if ranks[1] > ranks[0] else "better"


def _test_rank(found: Mapping[str, Any]) -> int:
    return 2 if found["fails"] else 1 if found["inconclusive"] else 0


def _difference_rank(ident: str, found: Mapping[str, Any]) -> int:
    if found["verdict"] == "shown":
        # An average loss below 0 is a gain.
        gained = ident.startswith(_LOSS) and (found.get("value") or 0.0) < 0
        return 0 if gained else 2
    return 0 if found["verdict"] == "equivalent" else 1


def _by_id(report: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Json]:
    """Findings by id, arms called as in the other report; ids that are there twice numbered.

    Long names of groupings are shortened in ids, so that two may share one.
    """
    found: dict[str, Json] = {}
    for finding in report["findings"]:
        ident = _renamed(finding["id"], renamed)
        unique, copy = ident, 2
        while unique in found:
            unique, copy = f"{ident} ({copy})", copy + 1
        found[unique] = finding
    return found


def _renamed(ident: str, renamed: Mapping[str, str]) -> str:
    for arm, other in renamed.items():
        if arm == other:
            continue
        for prefix in (*_TESTED, _DIVERGED, _LOSS, _EXPOSURE):
            if ident == f"{prefix}{arm}":
                return f"{prefix}{other}"
        starts = [_DISPARITY, *(f"{_TREND}{outcome}_" for outcome in ("loss", "mem", "exposure"))]
        for prefix in starts:
            if ident.startswith(f"{prefix}{arm}-"):
                return f"{prefix}{other}-{ident.removeprefix(f'{prefix}{arm}-')}"
    return ident
