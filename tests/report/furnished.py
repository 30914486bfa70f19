"""A document with every kind of block in it, as hostile as wanted: what the page must bear."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from audit.report.blocks import crosswalk, section
from tests.report.synthetic import HOSTILE

LONG = "5,000 characters " + "wörter ohne Ende und " * 20 + "x" * 4560
FORMULA = '=HYPERLINK("https://example.org","click")'
QUIET = ("credit scoring of applicants", "every loan officer", "two rows at most", "2 years")


def furnished(contents: dict[str, Any], *, hostile: bool = True) -> dict[str, Any]:
    """``contents`` with a sign-off and a section of fields, a crosswalk and galleries.

    ``hostile``: every statement, title and cell that people or data fill in is an attack.
    """
    words: Sequence[str] = [*HOSTILE, LONG, FORMULA] if hostile else QUIET
    last = section("furnished", "Statements and examples", [
        _fields(words), _crosswalk(words), _images(words), _rows(words),
    ])  # fmt: skip
    last["number"] = "C"
    signoff = [
        {"label": "Name", "value": words[0]}, {"label": "Role", "value": None},
        {"label": "Date", "value": None}, {"label": "Signature", "value": None},
        {"label": "Next review", "value": words[-1][:80]},
    ]  # fmt: skip
    page_one = {**contents["page_one"], "signoff": signoff}
    return {**contents, "page_one": page_one, "sections": [*contents["sections"], last]}


def _fields(words: Sequence[str]) -> dict[str, Any]:
    stated = [(f"Statement {i}", value, "attested") for i, value in enumerate(words)]
    rows = [*stated, ("Retention of the raw data", None, "attested"), ("Seed", "0", "computed")]
    return {
        "type": "fields", "id": "fields-furnished", "caption": "What people attested",
        "rows": [dict(zip(("label", "value", "source"), row, strict=True)) for row in rows],
        "note": "Attested by a person; not verified by this tool.",
    }  # fmt: skip


def _crosswalk(words: Sequence[str]) -> dict[str, Any]:
    rows = [
        {"point": f"Annex IV, 2({i})", "asks": asks, "state": state, "missing": missing,
         "links": [{"href": "#summary", "words": "1"}, {"href": "#glossary", "words": "B"}]}
        for i, (asks, state, missing) in enumerate([
            ("purpose", "stated", []), ("oversight", "partly", ["Human oversight", words[0]]),
            ("retention", "not_stated", ["Retention of the raw data"]),
        ])
    ]  # fmt: skip
    return crosswalk("EU AI Act, Annex IV", "crosswalk-ai-act", rows, "Links lead to the section.")


def _images(words: Sequence[str]) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((28, 28)).save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()
    shown = {"words": "training example 28, labelled 4", "png": png, "width": 28, "height": 28,
             "cells": []}  # fmt: skip
    items = [
        {"title": title, "lines": [f"memorization 0.9{i} (0.8 to 1.0)"], "examples": [shown] * 2}
        for i, title in enumerate(words[:5])
    ]
    return _gallery("The most memorized examples", items)


def _rows(words: Sequence[str]) -> dict[str, Any]:
    cells = [[f"column {i}", value] for i, value in enumerate(words)]
    shown = {"words": "training example 3", "png": None, "width": None, "height": None,
             "cells": cells}  # fmt: skip
    return _gallery("Examples as rows", [{"title": "3", "lines": [], "examples": [shown]}])


def _gallery(caption: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "gallery", "caption": caption, "items": items, "note": "Only where asked for.",
            "wide": False}  # fmt: skip
