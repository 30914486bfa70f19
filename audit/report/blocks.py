"""The parts a section is made of, as plain JSON: text, tables, figures."""

from __future__ import annotations

from collections.abc import Sequence

from audit.report.words import Json

TEXT, NUMBER = "text", "number"


def section(ident: str, title: str, blocks: Sequence[Json]) -> Json:
    """A section of the page; ``ident`` is its anchor."""
    return {"id": ident, "title": title, "blocks": list(blocks)}


def text(*paragraphs: str) -> Json:
    """Paragraphs; empty ones are left out."""
    return {"type": "text", "paragraphs": [p for p in paragraphs if p]}


def heading(words: str) -> Json:
    """A heading inside a section."""
    return {"type": "heading", "words": words}


def table(
    caption: str,
    columns: Sequence[tuple[str, str]],
    rows: Sequence[Sequence[str]],
    note: str = "",
) -> Json:
    """A table of formatted cells; ``columns`` are (label, TEXT | NUMBER).

    The first cell of each row is the row's header. Raises ``ValueError`` if a row has another
    number of cells than there are columns.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"row = {row!r}: has {len(row)} cells, expected {len(columns)}")
    return {
        "type": "table",
        "caption": caption,
        "columns": [{"label": label, "kind": kind} for label, kind in columns],
        "rows": [list(row) for row in rows],
        "note": note,
    }


def chart(kind: str, title: str, description: str, data: Json, colour: str) -> Json:
    """A chart (``audit.report.charts``); ``title`` and ``description`` name it for screen readers.

    Its ``id`` is set when the document is put together (``chart-1``, ``chart-2``, …).
    """
    return {
        "kind": kind, "title": title, "description": description, "colour": colour, "data": data,
    }  # fmt: skip


def figure(charts: Sequence[Json], caption: str, numbers: Json, wide: bool = False) -> Json:
    """One or more charts, their caption, and the table with the same numbers beside them.

    ``wide``: the table has many columns and goes below the charts instead.
    """
    return {
        "type": "figure",
        "charts": list(charts),
        "caption": caption,
        "table": numbers,
        "wide": wide,
    }
