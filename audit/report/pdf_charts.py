"""The page's inline charts, made ready for WeasyPrint."""

from __future__ import annotations

import base64
import unicodedata
import xml.etree.ElementTree as ET

import vl_convert

_SVG = "{http://www.w3.org/2000/svg}"
_FONT = "Liberation Sans, Arial, DejaVu Sans, sans-serif"
# Pixels per unit of a chart of 360 units, which is 88 mm wide: 300 per inch.
_PIXELS = 3.0


def prepare_charts(root: ET.Element) -> None:
    """Names and types of the charts in the parsed page ``root``, names of pictures in it.

    WeasyPrint takes a chart's title for the text that stands for it (/Alt), so the description
    joins it, and the page's style does not reach into the chart. A chart alone in its figure has
    its caption beside it. WeasyPrint sets a chart's text letter by letter, which garbles scripts
    that are joined or written from right to left: such a chart becomes a picture.
    """
    for parent in root.iter():
        for picture in parent.findall("img"):
            # Where the words stand beside it, a screen needs no other text for it; a page does.
            picture.set("alt", picture.get("alt") or _text(parent))
    for figure in root.iter("figure"):
        if len(list(figure.iter(f"{_SVG}svg"))) == 1:
            figure.set("class", "one")
    for parent in list(root.iter()):
        for i, svg in enumerate(parent):
            if svg.tag != f"{_SVG}svg":
                continue
            named = [e for tag in ("title", "desc") for e in svg.findall(f"{_SVG}{tag}")]
            words = ". ".join(map(_text, named))
            svg.set("font-family", _FONT)
            if any(_is_shaped(_text(e)) for e in svg.iter(f"{_SVG}text")):
                parent[i] = _picture(svg, words)
            else:
                named[0].text = words


def _picture(svg: ET.Element, words: str) -> ET.Element:
    png = vl_convert.svg_to_png(ET.tostring(svg, encoding="unicode"), scale=_PIXELS)
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    picture = ET.Element("img", {"class": "chart", "src": source, "alt": words})
    picture.tail = svg.tail
    return picture


def _is_shaped(text: str) -> bool:
    """Whether letters of ``text`` change with their neighbours or run from right to left."""
    return any(
        unicodedata.bidirectional(c) in {"R", "AL", "AN"} or unicodedata.category(c)[0] == "M"
        for c in text
    )


def _text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())
