"""A difference between two reports as text and as Markdown. PURE."""

from __future__ import annotations

import re

from audit.report.diff import Difference, headline
from audit.report.diff_result import TITLES, Change
from audit.report.words import Json, name

_NOTHING = "–"
_WIDTH = 7


def text_lines(found: Difference) -> list[str]:
    """One line for each change, by section, the gravest first; one in all if nothing changed."""
    if not found.changes:
        return [headline(found)]
    lines = [f"old: {_called(found.old)}", f"new: {_called(found.new)}", headline(found)]
    lines += [f"  worse: {change.what}: {_arrow(change)}" for change in found.worse]
    for section, title in TITLES.items():
        changes = [change for change in found.changes if change.section == section]
        if changes:
            lines += ["", title, *(_line(change) for change in changes)]
    if found.notes:
        lines += ["", "How to read this", *(f"  {note}" for note in found.notes)]
    return lines


def markdown(found: Difference) -> str:
    """The same with a table per section; names from the data cannot add markup."""
    lines = ["# What changed", "", _escaped(headline(found))]
    if found.changes:
        lines += ["", f"- old: {_escaped(_called(found.old))}"]
        lines += [f"- new: {_escaped(_called(found.new))}"]
    if found.worse:
        lines += ["", "## For the worse", ""]
        lines += [f"- {_escaped(f'{change.what}: {_arrow(change)}')}" for change in found.worse]
    for section, title in TITLES.items():
        changes = [change for change in found.changes if change.section == section]
        if changes:
            lines += [
                "",
                f"## {title}",
                "",
                "| | what | old | new | note |",
                "|---|---|---|---|---|",
            ]
            lines += [_row(change) for change in changes]
    if found.notes and found.changes:
        lines += ["", "## How to read this", "", *(f"- {_escaped(note)}" for note in found.notes)]
    return "\n".join(lines) + "\n"


def _called(side: Json) -> str:
    digest = str(side["config_sha256"] or "not recorded")[:12]
    finished = side["finished"] or "not recorded"
    return f"{name(side['title'])}, finished {name(finished)}, configuration {name(digest)}"


def _line(change: Change) -> str:
    note = f" ({change.note})" if change.note else ""
    return f"  {change.kind:<{_WIDTH}}  {change.what}: {_arrow(change)}{note}"


def _arrow(change: Change) -> str:
    return f"{change.old or _NOTHING} → {change.new or _NOTHING}"


def _row(change: Change) -> str:
    cells = (change.kind, change.what, change.old, change.new, change.note)
    return "| " + " | ".join(_escaped(cell or _NOTHING) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """``text`` as Markdown that shows it: no link, no emphasis, no HTML, no new cell."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"([\\`*_{}\[\]()#+!|~$@])", r"\\\1", plain)
    # Addresses are made links without any markup; a zero-width character would hide in copies.
    return plain.replace("://", ":\\/\\/").replace("www.", "www\\.")
