"""An SVG made safe to put into a page: rebuilt from an allow-list, nothing carried over unseen."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

_ELEMENTS = frozenset(
    {"svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clipPath"}
)
# Drawing attributes only: no style (the page's policy forbids it), no href, no event handlers, no
# class. Inner aria labels are left out too: the whole image has one name, its table the numbers.
_ATTRIBUTES = frozenset({
    "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "transform", "fill",
    "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity",
    "stroke-miterlimit",
    "stroke-linecap", "opacity", "text-anchor", "font-size", "font-weight", "font-style",
})  # fmt: skip
# Set on a group, these are those of its children that have none of their own.
_INHERITED = (
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity",
    "stroke-linecap", "text-anchor", "font-size", "font-weight", "font-style",
)  # fmt: skip
_DEFAULTS = {"x2": "0", "y2": "0", "opacity": "1", "stroke-width": "1", "font-weight": "normal"}
_CLIP = re.compile(r"url\(#([A-Za-z0-9_-]+)\)")
_NUMBER = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_GEOMETRY = frozenset({"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r"})
# The policy of the values of every allowed attribute but clip-path: no reference to anything.
_REFERENCE = re.compile(r"url|:|/|\\|expression", re.IGNORECASE)


def inline_svg(svg: str, *, ident: str, title: str, description: str) -> str:
    """``svg`` (from vl-convert) rebuilt for inlining, named for screen readers.

    ``ident``: prefix of all ids, unique in the page. ``title`` and ``description`` become the
    image's accessible name and description. The same input gives the same output: ids that the
    renderer numbers across calls are numbered anew. Raises ``xml.etree.ElementTree.ParseError`` if
    ``svg`` is not well formed.
    """
    source = ET.fromstring(svg)
    clips = {
        old.get("id", ""): f"{ident}-c{i}"
        for i, old in enumerate(source.iter(_qualified("clipPath")))
    }
    root = ET.Element("svg", {
        "class": "chart", "viewBox": source.get("viewBox", ""), "width": source.get("width", ""),
        "height": source.get("height", ""), "role": "img",
        "aria-labelledby": f"{ident}-title {ident}-description",
    })  # fmt: skip
    ET.SubElement(root, "title", {"id": f"{ident}-title"}).text = title
    ET.SubElement(root, "desc", {"id": f"{ident}-description"}).text = description
    _copy_children(source, root, clips)
    _share(root)
    _dissolve(root)
    # Text has its own > escaped.
    return ET.tostring(root, encoding="unicode").replace(" />", "/>")


def _qualified(tag: str) -> str:
    return f"{{http://www.w3.org/2000/svg}}{tag}"


def _copy_children(source: ET.Element, target: ET.Element, clips: dict[str, str]) -> None:
    for child in source:
        tag = child.tag.rpartition("}")[2] if isinstance(child.tag, str) else ""
        if tag not in _ELEMENTS or _is_invisible(child, tag):
            continue
        attributes = _attributes(child, clips)
        if tag == "clipPath":
            attributes["id"] = clips[child.get("id", "")]
        copy = ET.SubElement(target, tag, attributes)
        if tag in {"text", "tspan"}:
            copy.text = child.text
        _copy_children(child, copy, clips)
        if tag in {"g", "defs"} and not len(copy):
            target.remove(copy)


def _share(group: ET.Element) -> None:
    """What all children of a group are drawn with is said once, on the group, and inherited."""
    children = list(group)
    for child in children:
        _share(child)
    if group.tag != "g" or len(children) < 2:
        return
    for key in _INHERITED:
        values = {child.get(key) for child in children}
        if len(values) == 1 and (value := values.pop()) is not None:
            group.set(key, value)
            for child in children:
                del child.attrib[key]


def _dissolve(parent: ET.Element) -> None:
    """Groups that say nothing give way to their children."""
    for child in list(parent):
        _dissolve(child)
        if child.tag == "g" and not child.attrib:
            place = list(parent).index(child)
            parent.remove(child)
            for i, inner in enumerate(child):
                parent.insert(place + i, inner)


def _is_invisible(element: ET.Element, tag: str) -> bool:
    if element.get("display") == "none":
        return True
    painted = element.get("stroke") or element.get("fill")
    background = element.get("class") in {"background", "foreground"} and not painted
    return (tag == "path" and not element.get("d")) or background


def _attributes(element: ET.Element, clips: dict[str, str]) -> dict[str, str]:
    kept = {}
    for key, value in element.attrib.items():
        if key not in _ATTRIBUTES or _DEFAULTS.get(key) == value or _REFERENCE.search(value):
            continue
        kept[key] = _NUMBER.sub(_rounded, value) if key in _GEOMETRY else value
    if kept.get("transform") == "translate(0,0)":
        del kept["transform"]
    clip = _CLIP.fullmatch(element.get("clip-path", ""))
    if clip and clip[1] in clips:
        kept["clip-path"] = f"url(#{clips[clip[1]]})"
    return kept


def _rounded(match: re.Match[str]) -> str:
    text = f"{float(match[0]):.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
