"""A reader of what a PDF says of itself: its tags, its marked content, its fonts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pypdf import PdfReader
from pypdf.generic import ContentStream, DictionaryObject, IndirectObject

# Operators that put something on the page (ISO 32000-1, annex A).
_PAINT = frozenset(
    {
        b"S",
        b"s",
        b"f",
        b"F",
        b"f*",
        b"B",
        b"B*",
        b"b",
        b"b*",
        b"sh",
        b"Do",
        b"Tj",
        b"TJ",
        b"'",
        b'"',
    }
)


@dataclass
class Element:
    """One element of the structure tree."""

    tag: str
    raw: Any
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)

    @property
    def within(self) -> str:
        """The tag of the element around it."""
        return self.parent.tag if self.parent else ""

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            yield from child.walk()

    def attribute(self, key: str) -> Any:
        return (self.raw.get("/A") or {}).get(key)


def opened(content: bytes) -> PdfReader:
    return PdfReader(io.BytesIO(content), strict=True)


def structure(reader: PdfReader) -> Element:
    """The structure tree, from its document element on."""
    root: Any = reader.root_object
    return _element(root["/StructTreeRoot"]["/K"][0].get_object(), None)


def _element(raw: DictionaryObject, parent: Element | None) -> Element:
    element = Element(str(raw["/S"]), raw, parent)
    kids = raw.get("/K", [])
    for kid in kids if isinstance(kids, list) else [kids]:
        found = kid.get_object() if isinstance(kid, IndirectObject) else kid
        if isinstance(found, DictionaryObject) and "/S" in found:
            element.children.append(_element(found, element))
    return element


def painted_outside_marks(reader: PdfReader) -> list[str]:
    """Operators that paint outside marked content, by page."""
    found = []
    for number, page in enumerate(reader.pages, start=1):
        depth = 0
        for _, operator in ContentStream(page.get_contents(), reader).operations:
            depth += (operator in {b"BMC", b"BDC"}) - (operator == b"EMC")
            if operator in _PAINT and not depth:
                found.append(f"page {number}: {operator.decode()}")
    return found


def artifacts(reader: PdfReader) -> list[int]:
    """Per page, how many parts are marked as headers and footers."""
    return [
        sum(
            operator == b"BDC" and operands[0] == "/Artifact" and "/Type" in operands[1]
            for operands, operator in ContentStream(page.get_contents(), reader).operations
        )
        for page in reader.pages
    ]


def fonts(reader: PdfReader) -> list[DictionaryObject]:
    """The descriptors of all fonts that pages use."""
    found = {}
    for page in reader.pages:
        resources: Any = page["/Resources"]
        for font in resources["/Font"].values():
            inner = font.get_object()
            for part in inner.get("/DescendantFonts", [inner]):
                descriptor = part.get_object()["/FontDescriptor"].get_object()
                found[descriptor["/FontName"]] = descriptor
    return list(found.values())


def text(reader: PdfReader) -> str:
    """All text of all pages, spaces as they are."""
    return "\n".join(page.extract_text() for page in reader.pages)
