"""A document (plain JSON) → one HTML file: nothing loaded, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from audit.report.charts import specification, svg
from audit.report.document import document_json
from audit.report.scripts import bundle, content_hash, inert_json, inline_script
from audit.report.words import Json
from audit.resources import resource_dir

TEMPLATE, STYLE, SCRIPT = "report.html.j2", "report.css", "report.js"
PLANTED_STYLE = "planted.css"
# Where no line must break: inside "ε = 2", "p = 0.01", "< 0.1" and "98.5 %"; in a label or a cell
# inside "(96.6 to 100.0)" too.
_NUMBER = r"\b\w = \S+|< \d|\d %"
_IN_PROSE = re.compile(_NUMBER)
_WHOLE = re.compile(rf"{_NUMBER}|\([^()]{{1,24}}\)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# A longer word than any of the report's own: a name from the data, which may break anywhere.
_LONG_WORD = 22


def render_html(contents: Mapping[str, Any], *, static: bool = False) -> str:
    """The page for ``contents`` (``audit.report.document.document``), as one self-contained file.

    By default charts answer to the pointer and the keyboard, and tables can be sorted and
    filtered; without JavaScript the same page shows the same. ``static`` leaves every script out.

    The same JSON gives the same bytes (with the same versions of Altair and vl-convert): no clock,
    no counters. Everything is escaped; the only markup let through is the style sheet and the two
    scripts, which the page's policy allows by their hashes, and the rebuilt SVGs
    (``audit.report.svg``).
    """
    templates = resource_dir("templates")
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["tied"] = _tied
    environment.filters["knit"] = _knit
    environment.tests["unbroken"] = _unbroken
    sha256 = hashlib.sha256(document_json(contents).encode()).hexdigest()
    style = _style(contents, templates, sha256)
    scripts = [] if static else _scripts(contents, templates)
    return environment.get_template(TEMPLATE).render(
        doc=contents,
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        policy=Markup(_policy(contents, style, scripts)),
        sha256=sha256,
        draw=lambda chart: _drawn(chart, static=static),
    )


def _style(contents: Mapping[str, Any], templates: Path, sha256: str) -> str:
    """The style sheet; every printed page carries the hash of what it was made from."""
    style = _compact((templates / STYLE).read_text(encoding="utf-8"))
    if contents["planted"] is not None:
        # On every printed page, above and below.
        return style + _compact((templates / PLANTED_STYLE).read_text(encoding="utf-8"))
    margin = f'"SHA-256 {sha256[:16]}…"; font: 8pt Arial, sans-serif; color: #59626f;'
    return f"{style}@page {{ @bottom-left {{ content: {margin} }} }}\n"


def _compact(style: str) -> str:
    """A style sheet without comments and indentation, which are for who edits it."""
    lines = (line.strip() for line in _COMMENT.sub("", style).splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def _scripts(contents: Mapping[str, Any], templates: Path) -> list[str]:
    """The library that draws charts, where there are any, and the page's own script."""
    own = inline_script((templates / SCRIPT).read_text(encoding="utf-8"))
    return [bundle(), own] if any(_blocks(contents, "figure", "charts")) else [own]


def _blocks(contents: Mapping[str, Any], kind: str, field: str) -> list[Json]:
    """What the blocks of one type hold in a field, in the order of the page."""
    blocks = [b for section in contents["sections"] for b in section["blocks"]]
    return [item for b in blocks if b["type"] == kind for item in b[field]]


def _policy(contents: Mapping[str, Any], style: str, scripts: list[str]) -> str:
    """The Content-Security-Policy: nothing but what is in the file, named by its hash."""
    shown = [e for item in _blocks(contents, "gallery", "items") for e in item["examples"]]
    hashes = " ".join(f"'sha256-{content_hash(script)}'" for script in scripts)
    return "; ".join(
        [
            "default-src 'none'",
            *([f"script-src {hashes}"] if scripts else []),
            f"style-src 'sha256-{content_hash(style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            *(["img-src data:"] if any(e["png"] for e in shown) else []),
        ]
    )


def _drawn(chart: Json, *, static: bool) -> Markup:
    """A chart as SVG, followed, unless the page is ``static``, by what it was drawn from."""
    picture, points = _picture_and_points(json.dumps(chart, sort_keys=True))
    if static:
        return Markup(picture)
    return Markup(f'{picture}<script type="application/json">{points}</script>')


def forget_drawn() -> None:
    """Draw every chart anew from here on: for who compares a page with what is drawn now."""
    _picture_and_points.cache_clear()


# Most of a page's time is its charts, and pages with scripts and without share theirs.
@lru_cache(maxsize=64)
def _picture_and_points(text: str) -> tuple[str, str]:
    chart = json.loads(text)
    spec = specification(chart)
    picture = svg(spec, ident=chart["id"], title=chart["title"], description=chart["description"])
    return picture, inert_json(spec)


def _unbroken(words: str) -> bool:
    """Whether some word is so long that a column has to break it."""
    return any(len(word) > _LONG_WORD for word in words.split())


def _tied(words: str) -> str:
    """A label or a cell that breaks only where a reader would."""
    return _WHOLE.sub(_unbreakable, words)


def _knit(words: str) -> str:
    """A sentence whose numbers stay with their units."""
    return _IN_PROSE.sub(_unbreakable, words)


def _unbreakable(found: re.Match[str]) -> str:
    return found[0].replace(" ", "\u00a0")
