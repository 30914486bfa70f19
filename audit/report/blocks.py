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


def heading(words: str, ident: str | None = None) -> Json:
    """A heading inside a section; ``ident`` is its anchor, where something links to it."""
    return {"type": "heading", "words": words, "id": ident}


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


def fields(
    caption: str, rows: Sequence[tuple[str, str | None, str]], note: str = "", *, ident: str
) -> Json:
    """Fields of a compliance document: (label, value, source); a value of None is NOT STATED.

    ``source``: "attested" by a person, or "computed" by the tool. ``ident``: the table's anchor.
    """
    return {
        "type": "fields",
        "id": ident,
        "caption": caption,
        "rows": [{"label": label, "value": v, "source": source} for label, v, source in rows],
        "note": note,
    }


def crosswalk(framework: str, ident: str, rows: Sequence[Json], note: str = "") -> Json:
    """The points of one framework and where this report answers them.

    Each row: ``point``, ``asks``, ``state`` ("stated" | "partly" | "not_stated"), ``links`` (list
    of ``href``, ``words``), ``missing`` (labels of the fields that nobody stated).
    """
    return {
        "type": "crosswalk", "framework": framework, "id": ident, "rows": list(rows), "note": note,
    }  # fmt: skip


def gallery(caption: str, items: Sequence[Json], note: str = "", wide: bool = False) -> Json:
    """Single examples, as images or rows (internal profile, only where asked for).

    Each item: ``title``, ``lines`` (what is said of it), ``examples`` (list of ``words``, ``png``:
    base64 or None, ``width``, ``height``, ``cells``: pairs of column and value). ``wide``: items of
    two examples beside each other.
    """
    return {
        "type": "gallery", "caption": caption, "items": list(items), "note": note, "wide": wide,
    }  # fmt: skip
