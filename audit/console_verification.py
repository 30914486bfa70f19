"""What ``audit report --verify`` prints: each check, and the figures that come out otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape

from audit.verifying import Verification

MOST_SHOWN = 40
_WORDS = {True: "holds", False: "FAILS", None: "not checked"}
_out = Console(highlight=False, soft_wrap=True)


def print_verification(found: Verification) -> None:
    """The checks, a line each; then which figures differ, and which rest on damaged shards."""
    width = max(len(check.what) for check in found.checks)
    for check in found.checks:
        _say(f"{check.what:<{width}}  {_WORDS[check.holds]:<11}  {check.seen}")
    if not found.differ:
        _say(f"{found.figures:,} figures made again: none differs")
    else:
        _say(f"{found.figures:,} figures made again: {len(found.differ):,} differ")
    if found.unchecked:
        _say(f"{found.unchecked:,} more are taken from results/calibration.json: not made again")
    if found.recorded:
        _say(
            f"{found.recorded:,} more are as run.json records them (cross-check, times, versions, "
            "hardware): nothing that is kept can make them again"
        )
    for each in found.differ[:MOST_SHOWN]:
        _say(f"  {each.where}: {each.stated} stated, {each.computed} computed")
    if len(found.differ) > MOST_SHOWN:
        _say(f"  … and {len(found.differ) - MOST_SHOWN:,} more")
    for report, places in found.rest_on.items():
        _say(
            f"{len(places):,} figures of {report} rest on damaged shards and cannot be relied on, "
            "whether they differ or not:"
        )
        for part, count in _by_part(places):
            _say(f"  {part}: {count:,}")
    if found.rest_on:
        _say("Give the command of the run again: it trains the damaged shards anew.")


def _by_part(places: Iterable[str]) -> list[tuple[str, int]]:
    """How many figures per table, chart or part of the file, in the order of the page."""
    parts = (
        place.partition(", row")[0].partition(".data")[0].partition("[")[0] for place in places
    )
    return list(Counter(parts).items())


def _say(text: str) -> None:
    _out.print(escape(text))
