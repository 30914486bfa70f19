"""A document (plain JSON) → one PDF/UA-1 file, by way of its static page and WeasyPrint.

The same JSON gives the same bytes (with the same versions of WeasyPrint and the same fonts): the
dates are the run's, the file's identifier is the hash of the JSON, nothing is loaded from anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from audit.errors import BadInput
from audit.report.document import document_json
from audit.report.pdf_charts import prepare_charts
from audit.report.pdf_tables import lay_out_tables
from audit.report.pdf_tags import complete_tags
from audit.report.render import PLANTED_STYLE, render_html
from audit.resources import resource_dir

PDF_STYLE = "pdf.css"
# What the pages may ask for: pictures that are part of the page itself.
_INSIDE = "data:image/png;base64,"
# The libraries that WeasyPrint opens (its text/ffi.py), by Debian's names; they bring GLib,
# HarfBuzz and fontconfig with them.
LIBRARIES = "apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
FONTS = "apt install fonts-liberation fonts-dejavu-core"
_MORE_FONTS = "for other scripts fonts-noto-core and fonts-noto-cjk"
_MOST_CHARACTERS = 12
_NAMING = ("h2", "h3", "caption")
# Answers on page one with more characters than this stand below each other.
_SIDE_BY_SIDE = 3000


def render_pdf(contents: Mapping[str, Any]) -> bytes:
    """The report of ``contents`` (``audit.report.document.document``) as a tagged PDF on A4 pages.

    Source of what the tags have to be: ISO 14289-1:2014 (PDF/UA-1).

    Raises:
        BadInput: WeasyPrint or a library that it needs is not installed; no font is, or none that
            can show one of the report's characters.
    """
    weasyprint = _weasyprint()
    refused: list[str] = []
    page = weasyprint.HTML(
        string=render_html(contents, static=True), url_fetcher=_only_inside(refused)
    )
    root = page.etree_element
    _describe(root, contents)
    _arrange(root)
    prepare_charts(root)
    lay_out_tables(root)
    titles = _titles(root)
    missing: set[int] = set()

    def finish(document: Any, pdf: Any) -> None:
        for font in document.fonts.values():
            missing.update(font.missing)
        complete_tags(pdf, titles)

    digest = hashlib.sha256(document_json(contents).encode()).hexdigest()
    written = page.write_pdf(
        pdf_variant="pdf/ua-1", pdf_identifier=digest.encode(), finisher=finish
    )
    if refused:
        raise RuntimeError(f"the report's page asks for {refused[0][:200]!r}")
    if missing:
        raise _cannot_show(missing)
    return written


def _weasyprint() -> ModuleType:
    """WeasyPrint, imported where it is used; it has no fonts to offer but those of the machine."""
    try:
        # Where a library is missing it prints a banner before it raises; where fonts are, it warns.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import weasyprint
            from weasyprint.text import ffi as libraries
    except ImportError as problem:
        raise BadInput(
            "format", "pdf", f"needs a package that is not installed ({problem})",
            f"pip install 'longtail-audit[pdf]', and on Debian {LIBRARIES}",
        ) from None  # fmt: skip
    except OSError as problem:
        raise BadInput(
            "format", "pdf", f"needs a library that cannot be opened ({problem})",
            f"On Debian: {LIBRARIES}",
        ) from None  # fmt: skip
    # Pango without a font ends the process with a segmentation fault.
    fontconfig: Any = libraries.fontconfig
    found = libraries.ffi.gc(fontconfig.FcInitLoadConfigAndFonts(), fontconfig.FcConfigDestroy)
    if fontconfig.FcConfigGetFonts(found, fontconfig.FcSetSystem).nfont == 0:
        raise BadInput(
            "format", "pdf", "needs fonts, and fontconfig finds none on this machine",
            f"On Debian: {FONTS}",
        )  # fmt: skip
    return weasyprint


def _cannot_show(missing: set[int]) -> BadInput:
    named = ", ".join(f"{chr(c)} (U+{c:04X})" for c in sorted(missing)[:_MOST_CHARACTERS])
    more = ", …" if len(missing) > _MOST_CHARACTERS else ""
    return BadInput(
        "format", "pdf",
        f"no font of this machine has {named}{more}, and boxes would stand in the report",
        f"Install a font that has them (on Debian: {FONTS}; {_MORE_FONTS}), or use --format html",
    )  # fmt: skip


def _only_inside(refused: list[str]) -> Any:
    """A fetcher that knows only pictures in the page itself; what else is asked for is ``refused``.

    WeasyPrint would go on without what it does not get.
    """
    from weasyprint.urls import URLFetcher

    class OnlyInside(URLFetcher):
        def fetch(self, url: str, headers: Any = None) -> Any:
            if not url.startswith(_INSIDE):
                refused.append(url)
                raise ValueError("nothing is loaded from outside the page")
            return super().fetch(url, headers)

    return OnlyInside(allowed_protocols=("data",), allow_redirects=False)


def _describe(root: ET.Element, contents: Mapping[str, Any]) -> None:
    """Author and dates as metadata (no clock but the run's), and the style of the pages."""
    tool, source = contents["tool"], contents["source"]
    head = next(root.iter("head"))
    for screen in head.findall("style"):
        head.remove(screen)
    named = {
        "author": " ".join(str(tool[k]) for k in ("name", "version") if tool.get(k)),
        "description": f"Audit report, {contents['profile']} profile",
        "dcterms.created": source.get("finished"),
        "dcterms.modified": source.get("finished"),
    }
    for name, value in named.items():
        if value:
            ET.SubElement(head, "meta", {"name": name, "content": str(value)})
    templates = resource_dir("templates")
    styles = [PDF_STYLE] if contents["planted"] is None else [PDF_STYLE, PLANTED_STYLE]
    css = "\n".join((templates / style).read_text(encoding="utf-8") for style in styles)
    ET.SubElement(head, "style").text = css


def _arrange(root: ET.Element) -> None:
    """What the style sheet cannot do: long answers, numbers of pages, lists of items only."""
    for questions in root.iterfind(".//div[@class='questions']"):
        if len(_text(questions)) > _SIDE_BY_SIDE:
            questions.set("class", "questions long")
    for entry in root.iterfind(".//nav//li"):
        for link in entry.findall("a"):
            # Beside the link, not in it: text generated in a link would be a link in a link.
            target = {"class": "page", "data-section": link.get("href", "")}
            ET.SubElement(entry, "span", target)
    for entries in root.iterfind(".//div/dl[div]"):
        # A list may have nothing but items below it; pairs in boxes become lines of text.
        entries.tag = "div"
        entries.set("class", "pairs")
        for pair in entries:
            pair.tag = "p"
            for part in pair:
                part.tag, kind = "span", {"dt": "term", "dd": "value"}.get(part.tag, "")
                part.set("class", f"{kind} {part.get('class', '')}".strip())
    for tag in ("ul", "ol", "dl"):
        for entries in root.iter(tag):
            # White space between items that stand side by side would be content of the list.
            entries.text = None
            for entry in entries:
                entry.tail = None


def _titles(root: ET.Element) -> dict[str, str]:
    """What stands at each anchor, which is what a link to it is called: a heading, a caption."""
    found = {}
    for place in root.iter():
        named = place if place.tag in _NAMING else None
        for tag in _NAMING:
            named = place.find(tag) if named is None else named
        if place.get("id") and named is not None:
            found[place.get("id", "")] = _text(named)
    return found


def _text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())
