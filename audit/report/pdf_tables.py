"""Widths of columns for the pages: counted, where measuring every word would take half a minute."""

from __future__ import annotations

import math
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

# Characters of a table's text (7.5 pt) on a line of an upright page (182 mm); those of the gap
# between two columns; how much wider a bold one is.
LINE = 122.0
GAP = 2.0
BOLD = 1.12
# A longer word or number (with its interval) may be broken, a longer text does not make its column
# wider still, and no more do the longest tenth of its cells.
LONGEST_WORD = 12.0
LONGEST_NUMBER = 22.0
LONGEST_TEXT = 700.0
ORDINARY = 0.9
# Numbers are broken without need where texts fill this share of a line.
TEXTS = 0.6
# pdf.css: the size of smaller type (table.small), the width of a page laid across (.across).
SMALLER = 0.88
ACROSS = 269 / 182
# A table of texts with this many lines' worth of columns is set in smaller type.
CROWDED = 4.0
NARROWEST = 0.4
# A table of so many lines is not broken across pages.
FEW_LINES = 24


@dataclass(frozen=True)
class Layout:
    """Each column's share of the table, the table's of the line, and what it takes to fit.

    ``lines``: about how many lines its rows take.
    """

    shares: list[float]
    width: float
    small: bool
    across: bool
    lines: int


def lay_out_tables(root: ET.Element) -> None:
    """Gives every table in the parsed page ``root`` fixed widths of its columns.

    Tables have no spans and stand in a box of their own, with their note after it. Those that do
    not fit an upright page go on one laid across, with their note; those of few rows stay whole.
    """
    for parent in list(root.iter()):
        children = list(parent)
        for i, box in enumerate(children):
            table = box.find("table")
            if table is None or not _lay_out(table):
                continue
            _add_class(box, "across")
            for after in children[i + 1 : i + 2]:
                if after.tag == "p" and "note" in after.get("class", ""):
                    _add_class(after, "across")


def _lay_out(table: ET.Element) -> bool:
    """Sets the widths of one table; whether it needs a page laid across."""
    first, *others = table.iter("tr")
    head = [_text(cell) for cell in first]
    body = [[_text(cell) for cell in row] for row in others]
    numbers = [i > 0 and "text" not in cell.get("class", "") for i, cell in enumerate(first)]
    found = layout(head, body, numbers)
    table.set("style", f"table-layout: fixed; width: {100 * found.width:.1f}%")
    if found.small:
        _add_class(table, "small")
    if found.lines <= FEW_LINES:
        _add_class(table, "whole")
    columns = ET.Element("colgroup")
    for share in found.shares:
        ET.SubElement(columns, "col", {"style": f"width: {100 * share:.2f}%"})
    table.insert(sum(child.tag == "caption" for child in table), columns)
    return found.across


def layout(head: Sequence[str], body: Sequence[Sequence[str]], numbers: Sequence[bool]) -> Layout:
    """The widths of a table's columns, from the texts of its cells.

    The rule is that of automatic layout in CSS 2.1, section 17.5.2.2, with characters counted in
    the place of widths measured. ``numbers``: whether a column has numbers; they and the names of
    rows are broken only where they must be or where texts need several lines anyway.

    Raises ``ValueError`` if a row has another number of cells than there are columns.
    """
    cells = list(zip(*body, strict=True)) if body else [()] * len(head)
    columns = list(zip(head, cells, numbers, strict=True))
    usual = [_usual(column) for _, column, _ in columns]
    ordinary = [max(u, BOLD * _width(title)) for u, title in zip(usual, head, strict=True)]
    words = [_widest_word(title, column) for title, column, _ in columns]
    unbroken = [max(word, min(LONGEST_NUMBER, u)) for word, u in zip(words, usual, strict=True)]
    least = [GAP + word for word in words]
    texts = sum(o for o, number in zip(ordinary, numbers, strict=True) if not number)
    if texts < TEXTS * LINE:
        kept = [u if number else w for w, u, number in zip(words, unbroken, numbers, strict=True)]
        for wanted in ([*unbroken[:1], *kept[1:]], kept):
            if _total(wanted) <= LINE / SMALLER:
                least = [GAP + w for w in wanted]
                break
    most = [max(low, GAP + o) for low, o in zip(least, ordinary, strict=True)]
    across = sum(least) > LINE / SMALLER
    line = LINE * (ACROSS if across else 1)
    crowded = sum(least) > line or sum(most) > CROWDED * line
    small = crowded or (sum(most) > line and (texts < TEXTS * LINE or sum(most) <= line / SMALLER))
    if small:
        line /= SMALLER
    shares, width = _shared(least, most, line)
    room = [max(1.0, share * width * line - GAP) for share in shares]
    lines = sum(
        max(math.ceil(_width(text) / r) for text, r in zip(row, room, strict=True))
        for row in [head, *body]
    )
    return Layout(shares, width, small, across, lines)


def _shared(least: list[float], most: list[float], line: float) -> tuple[list[float], float]:
    """Each column's share of the table, and the table's of the line."""
    if sum(most) <= line:
        return [m / sum(most) for m in most], max(NARROWEST, sum(most) / line)
    if sum(least) >= line:
        return [m / sum(least) for m in least], 1.0
    spare = (line - sum(least)) / (sum(most) - sum(least))
    return [(low + spare * (high - low)) / line for low, high in zip(least, most, strict=True)], 1.0


def _total(widths: Sequence[float]) -> float:
    return sum(widths) + GAP * len(widths)


def _usual(column: Sequence[str]) -> float:
    """The width that all but the longest cells need."""
    texts = sorted(map(_width, column))
    return min(LONGEST_TEXT, texts[math.ceil(ORDINARY * len(texts)) - 1]) if texts else 0.0


def _widest_word(title: str, column: Sequence[str]) -> float:
    widths = [_width(word) for text in column for word in text.split()]
    widths += [BOLD * _width(word) for word in title.split()]
    return min(LONGEST_WORD, max(widths, default=0.0))


def _width(text: str) -> float:
    """Characters of ``text``; one of an East Asian script counts twice, a combining one not."""
    return float(
        sum(
            0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
            for c in text
        )
    )


def _text(cell: ET.Element) -> str:
    return " ".join("".join(cell.itertext()).split())


def _add_class(element: ET.Element, name: str) -> None:
    element.set("class", f"{element.get('class', '')} {name}".strip())
