"""What PDF/UA-1 asks for and WeasyPrint leaves out of the structure it writes.

These functions change the objects of pydyf just before they are written (WeasyPrint's
``finisher``). Sources: ISO 14289-1:2014, 7.5 (tables), 7.8 (headers and footers), 7.18.5 (links);
ISO 32000-1:2008, 14.7.2 and 14.8. WeasyPrint's issues 1836 and 2508.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def complete_tags(pdf: Any, titles: Mapping[str, str]) -> None:
    """Scopes of header cells, an index of their names, headers and footers as artifacts, links.

    ``titles``: what a link to an anchor of the page is called.
    """
    objects = [o for o in pdf.objects if isinstance(o, dict)]
    elements = [o for o in objects if o.get("Type") == "/StructElem"]
    tree = next(o for o in objects if o.get("Type") == "/StructTreeRoot")
    _tables(pdf, elements)
    _name_index(tree, elements)
    _margins(pdf, tree, elements)
    for annotation in objects:
        if annotation.get("Subtype") == "/Link" and "Dest" in annotation:
            _link(annotation, titles)


def _at(pdf: Any, reference: bytes) -> Any:
    """The object that ``reference`` ("12 0 R") names."""
    return pdf.objects[int(reference.split()[0])]


def _tables(pdf: Any, elements: list[Any]) -> None:
    """A header cell says what it heads; a caption outside a table is a paragraph."""
    for element in elements:
        if element["S"] == "/TH" and "A" in element:
            part = _at(pdf, _at(pdf, element["P"])["P"])
            element["A"]["Scope"] = "/Column" if part["S"] == "/THead" else "/Row"
        if element["S"] == "/Caption" and _at(pdf, element["P"])["S"] != "/Table":
            element["S"] = "/P"


def _name_index(tree: Any, elements: list[Any]) -> None:
    """The index of named elements, which the cells' lists of headers refer to."""
    import pydyf

    named = {e["ID"].data: e for e in elements if "ID" in e}
    if named:
        pairs = [part for key in sorted(named) for part in (key, named[key].reference)]
        limits = pydyf.Array([min(named), max(named)])
        leaf = pydyf.Dictionary({"Limits": limits, "Names": pydyf.Array(pairs)})
        tree["IDTree"] = pydyf.Dictionary({"Kids": pydyf.Array([leaf])})


def _margins(pdf: Any, tree: Any, elements: list[Any]) -> None:
    """Page numbers and running titles: marked as artifacts, and out of the structure.

    WeasyPrint marks them as content whose elements name the document as their parent, but are not
    among its children.
    """
    import pydyf

    document = _at(pdf, tree["K"][0])
    children = set(document["K"])
    strays = [e for e in elements if e["P"] == document.reference and e.reference not in children]
    marked: dict[bytes, set[int]] = {}
    for stray in strays:
        for element in _below(pdf, stray):
            numbers = {k for k in element["K"] if isinstance(k, int)}
            marked.setdefault(element["Pg"], set()).update(numbers)
            element.clear()
    parents = _at(pdf, tree["ParentTree"])["Nums"]
    for page_reference, numbers in marked.items():
        page = _at(pdf, page_reference)
        of_page = parents[2 * page["StructParents"] + 1]
        for number in numbers:
            of_page[number] = "null"
        content = _at(pdf, page["Contents"]).stream
        for i, part in enumerate(content):
            if isinstance(part, dict) and part.get("MCID") in numbers:
                content[i - 1 : i + 1] = ["/Artifact", pydyf.Dictionary({"Type": "/Pagination"})]


def _below(pdf: Any, element: Any) -> Iterator[Any]:
    """``element`` and all elements below it."""
    below = [_at(pdf, kid) for kid in element["K"] if isinstance(kid, bytes)]
    for kid in below:
        yield from _below(pdf, kid)
    yield element


def _link(annotation: Any, titles: Mapping[str, str]) -> None:
    """A link is called by the heading that it leads to, not by its anchor."""
    import pydyf

    anchor = annotation["Dest"].string
    if anchor in titles:
        annotation["Contents"] = pydyf.String(titles[anchor])
