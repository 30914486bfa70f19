"""What a reader reads, form by form: no word that promises, no number of the template's own."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from audit.report.document import document, document_json
from audit.report.inputs import ReportOptions
from audit.report.model_card import render_model_card
from audit.report.render import render_html
from tests.report.helpers import bare_claim, standard_only
from tests.report.synthetic import make
from tests.report.test_findings import BANNED

REPORTS = (
    *("violates", "could_not_tell", "three arms", "standard only", "claim alone", "public"),
    *("controls and removal", "public controls"),
)


@cache
def report(kind: str) -> dict[str, Any]:
    """A report of one kind, with ordinary names and statements."""
    verdict = kind if kind in {"violates", "could_not_tell"} else "consistent"
    epsilons = (1.0, 2.0, 8.0) if kind == "three arms" else (2.0,)
    more = {"controls": "controls" in kind, "removal": "removal" in kind}
    run = make(seed=3, verdict=verdict, epsilons=epsilons, hostile=False, **more)
    if kind == "standard only":
        run = standard_only(copy.deepcopy(run))
    if kind == "claim alone":
        run = bare_claim(copy.deepcopy(run), "stated by a library")
    options = ReportOptions(
        profile="public" if kind.startswith("public") else "internal",
        full_subgroups=not kind.startswith("public"),
    )
    return document(run.inputs(), options)


@cache
def page(kind: str) -> str:
    return render_html(report(kind), static=True)


class Shown(HTMLParser):
    """The text nodes of a page, those of its pictures apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.drawn: list[str] = []
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"style", "script", "svg"}:
            self._inside.append(tag)
        self.words += [v or "" for k, v in attrs if k in {"aria-label", "alt"}]

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not data.strip() or {"style", "script"} & set(self._inside):
            return
        (self.drawn if self._inside else self.words).append(data.replace("\u00a0", " ").strip())


@pytest.mark.parametrize("kind", REPORTS)
def test_no_word_that_a_reader_reads_promises(kind: str) -> None:
    shown = Shown(page(kind))
    assert len(shown.words) > 500
    assert len(shown.drawn) > 50
    for words in (*shown.words, *shown.drawn):
        assert not BANNED.search(words), words
    for line in render_model_card(report(kind)).splitlines():
        assert not BANNED.search(line), line


def test_the_control_a_promise_is_found() -> None:
    contents = copy.deepcopy(report("violates"))
    contents["page_one"]["headline"][0] = "This model is safe."
    words = Shown(render_html(contents, static=True)).words
    assert [w for w in words if BANNED.search(w)] == ["This model is safe."]


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:[,.]\d+)*(?:e[−-]?\d+)?", text))


def said(value: Any) -> list[str]:
    """Every string and number of a JSON value, as written; keys too (arms are named by them)."""
    if isinstance(value, dict):
        return [s for k, v in value.items() for s in (str(k), *said(v))]
    if isinstance(value, list):
        return [s for v in value for s in said(v)]
    return [] if value is None else [str(value)]


@pytest.mark.parametrize("kind", REPORTS)
def test_every_number_on_the_page_stands_in_report_json(kind: str) -> None:
    """A page may not compute: what it shows is what was written, letter by letter."""
    text = document_json(report(kind))
    known = numbers(" ".join(said(json.loads(text))))
    shown = Shown(page(kind)).words
    # Page one, and the hash of the whole file at its end.
    own = {"1"} | numbers(shown[-1]) | numbers(shown[-2])
    found = numbers(" ".join(shown))
    assert len(found) > 200
    assert found - known - own == set()
