"""Text and tables as Markdown (CommonMark with GitHub's tables): what is data stays text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from audit.report.words import name

# Longer than the longest statement (audit/report/fields.py) and the longest finding.
_LONGEST = 6000
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Characters that can open something anywhere in a line: emphasis, code, links, images, tables,
# mathematics, mentions, headings, strikethrough.
_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$@#^!]")
# What turns into a link without brackets: schemes, and names of hosts.
_COLON = re.compile(r":(?=[^\W\d]|/)")
_DOT = re.compile(r"(?<=\w)\.(?=[^\W\d])")
# What counts at the start of a line only: lists, rules, underlined headings.
_START = re.compile(r"^(?:[-+=]|(?P<number>\d+)(?=[.)](?:\s|$)))")


def escaped(text: object) -> str:
    """``text`` on one line, so that Markdown shows it as it is: no markup, no link, no HTML.

    Invisible and direction-changing characters are spelled out (``audit.report.words.name``).
    """
    line = " ".join(name(text, _LONGEST).split())
    line = "".join(_ENTITIES.get(c, c) for c in line)
    line = _SPECIAL.sub(r"\\\g<0>", line)
    line = _DOT.sub(r"\\.", _COLON.sub(r"\\:", line))
    return _START.sub(_escape_start, line)


def _escape_start(match: re.Match[str]) -> str:
    number = match["number"]
    return f"\\{match[0]}" if number is None else f"{number}\\"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of escaped cells.

    Raises ``ValueError`` if a row has another number of cells than ``head``.
    """
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"row = {row!r}: has {len(row)} cells, expected {len(head)}")
    lines = [_row(head), "|" + " --- |" * len(head), *map(_row, rows)]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def items(lines: Sequence[str]) -> str:
    """A list; ``lines`` are Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def labelled(label: str, text: str | None, missing: str) -> str:
    """An item of a list: "**Label:** text", the paragraphs of ``text`` below each other.

    ``missing`` (Markdown) stands where ``text`` is None.
    """
    if text is None:
        return f"**{escaped(label)}:** {missing}"
    paragraphs = [escaped(p) for p in text.splitlines() if p.strip()]
    return f"**{escaped(label)}:** " + "\n\n  ".join(paragraphs or [escaped("")])
