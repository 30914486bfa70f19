"""Two contents of ``report.json`` held against each other, figure by figure, places in words. PURE.

A figure is anything a reader may rely on: each cell of each table, each sentence, each number of
``results``, each value behind a chart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit.report.words import finite, name

# Sums in another order (other BLAS kernels) change the last digits of a double.
# Where terms cancel, what is left of them has the size of their last digits.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-14
_ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """A figure that is stated otherwise than it was computed; ``where`` is its place in words."""

    where: str
    stated: str
    computed: str


def differences(stated: Mapping[str, Any], computed: Mapping[str, Any]) -> list[Difference]:
    """Every figure in which the two differ, in the order of the page."""
    found = _differences(figures(stated), figures(computed))
    # Places in words leave out what names them (ids); where they find nothing, every leaf is asked.
    return found or _differences(dict(_leaves("", stated)), dict(_leaves("", computed)))


def json_differences(stated: Mapping[str, Any], computed: Mapping[str, Any]) -> list[Difference]:
    """Every leaf of two JSON objects in which they differ, by its path."""
    return _differences(dict(_leaves("", stated)), dict(_leaves("", computed)))


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    return [
        Difference(place, _shown(first, place), _shown(second, place))
        for place in dict.fromkeys([*first, *second])
        if not _same(first.get(place, _ABSENT), second.get(place, _ABSENT))
    ]


def figures(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure of ``contents`` by its place in words."""
    found: dict[str, Any] = {}
    for place, value in _walk(contents):
        unique, again = place, 1
        while unique in found:
            again += 1
            unique = f"{place} ({again})"
        found[unique] = value
    return found


def _walk(contents: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    page = contents.get("page_one") or {}
    tables = [page[key] for key in ("arms", "losses") if isinstance(page.get(key), Mapping)]
    yield from _leaves("page one", {k: v for k, v in page.items() if v not in tables})
    for table in tables:
        yield from _table("page one", table)
    titles = [f"{s.get('number')}. {s.get('title')}" for s in contents.get("sections") or []]
    yield "order of the sections", "; ".join(titles)
    for section in contents.get("sections") or []:
        title = f"{section.get('number')}. {section.get('title')}"
        for block in section.get("blocks") or []:
            yield from _block(title, block)
    rest = {k: v for k, v in contents.items() if k not in {"page_one", "sections"}}
    yield from _leaves("", rest)


def _block(place: str, block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if block.get("type") == "table":
        yield from _table(place, block)
        return
    if block.get("type") == "figure":
        for chart in block.get("charts") or []:
            # The number of a chart moves with every other chart; what it shows is the figure.
            shown = {k: v for k, v in chart.items() if k != "id"}
            yield from _leaves(f"{place}, chart “{name(chart.get('title'))}”", shown)
        yield f"{place}, caption", block.get("caption")
        yield from _table(place, block.get("table") or {})
        return
    kind = str(block.get("caption") or block.get("framework") or block.get("type"))
    yield from _leaves(f"{place}, {name(kind)}", {k: v for k, v in block.items() if k != "type"})


def _table(place: str, block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    place = f"{place}, table “{name(block.get('caption'))}”"
    columns = block.get("columns") or []
    labels = [str(column.get("label")) for column in columns]
    rows = block.get("rows") or []
    yield f"{place}, caption", block.get("caption")
    yield f"{place}, columns", "; ".join(f"{c.get('label')} ({c.get('kind')})" for c in columns)
    yield f"{place}, order of the rows", "; ".join(str(row[0]) for row in rows if row)
    yield f"{place}, number of rows", len(rows)
    for row in rows:
        head = name(row[0]) if row else ""
        yield f"{place}, row “{head}”, number of cells", len(row)
        for label, cell in zip(labels, row, strict=False):
            yield f"{place}, row “{head}”, column “{name(label)}”", cell
    yield f"{place}, note", block.get("note")


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{place}.{name(key)}" if place else name(key), inner)
        if not value:
            yield place, "(none)"
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(f"{place}[{i}]", inner)
        if not value:
            yield place, "(none)"
    else:
        yield place, value


def _same(a: Any, b: Any) -> bool:
    if finite(a) and finite(b):
        return math.isclose(a, b, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return type(a) is type(b) and a == b


def _shown(figures: Mapping[str, Any], place: str) -> str:
    return name(figures[place], 120) if place in figures else _ABSENT
