"""A document (plain JSON) → one HTML file: no scripts, nothing loaded, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from audit.report.charts import draw
from audit.report.document import document_json
from audit.resources import resource_dir

TEMPLATE, STYLE = "report.html.j2", "report.css"
PLANTED_STYLE = "planted.css"


def render_html(contents: Mapping[str, Any]) -> str:
    """The page for ``contents`` (``audit.report.document.document``), as one self-contained file.

    The same JSON gives the same bytes (with the same versions of Altair and vl-convert): no clock,
    no counters. Everything is escaped; the only markup let through is the style sheet, which the
    page's policy allows by its hash, and the rebuilt SVGs (``audit.report.svg``).
    """
    templates = resource_dir("templates")
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (templates / STYLE).read_text(encoding="utf-8")
    if contents["planted"] is not None:
        # On every printed page, above and below.
        style += (templates / PLANTED_STYLE).read_text(encoding="utf-8")
    return environment.get_template(TEMPLATE).render(
        doc=contents,
        style=Markup(style),
        style_hash=_content_hash(style),
        sha256=hashlib.sha256(document_json(contents).encode()).hexdigest(),
        draw=lambda chart: Markup(draw(chart)),
    )


def _content_hash(style: str) -> str:
    """The hash by which a Content-Security-Policy names an inline style sheet."""
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
