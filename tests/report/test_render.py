"""The page: one file, strict policy, escaped, accessible tables, the same bytes each time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from audit.report.console import summary_lines
from audit.report.document import document_json
from audit.report.render import render_html
from tests.report.synthetic import Run, make
from tests.report.test_document import strings

LIMIT_BYTES = 250_000
# With every subgroup of every grouping, which nobody gets who does not ask for it.
LIMIT_IN_FULL = 300_000


class Page(HTMLParser):
    """Tags with their attributes, ids, and the text of the summary."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.summary: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside |= dict(attrs).get("id") == "summary"

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "section"

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self.summary.append(data.strip())


def test_the_same_json_gives_the_same_bytes(hostile: Run, hostile_page: str) -> None:
    again = json.loads(document_json(hostile.document(full_subgroups=True)))
    assert render_html(again) == hostile_page


def test_the_footer_carries_the_hash_of_the_json(quiet: Run, quiet_page: str) -> None:
    digest = hashlib.sha256(document_json(quiet.document()).encode()).hexdigest()
    assert digest in quiet_page.rpartition("<footer>")[2]


def test_the_policy_allows_the_style_sheet_by_its_hash_and_nothing_else(quiet_page: str) -> None:
    style = re.search(r"<style>(.*?)</style>", quiet_page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert f'content="{policy}"' in quiet_page
    assert "unsafe" not in policy


def test_nothing_active_and_nothing_loaded(hostile_page: str) -> None:
    page = Page(hostile_page)
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "img", "iframe", "object", "embed", "link", "form", "base"})
    for tag, attributes in page.tags:
        assert not any(a.startswith("on") or a == "style" for a in attributes), tag
        assert attributes.get("href", "#").startswith("#")  # pyright: ignore[reportOptionalMemberAccess]
        assert "src" not in attributes
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in hostile_page
    assert "49" not in re.findall(r"\{\{ ?7\*7 ?\}\}|49(?=\{% raw)", hostile_page)


def test_ids_are_unique_and_every_reference_is_met(hostile_page: str) -> None:
    page = Page(hostile_page)
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for reference in (attributes.get("aria-labelledby") or "").split():
            assert reference in ids
        if attributes.get("href"):
            assert (attributes["href"] or "")[1:] in ids


def test_each_chart_is_named_and_has_a_table_beside_it(quiet_page: str) -> None:
    figures = re.findall(r'<div class="beside.*?</figure>.*?</table>', quiet_page, re.DOTALL)
    assert len(figures) >= 5
    assert sum(f.count('role="img"') for f in figures) == quiet_page.count('role="img"')
    for figure in figures:
        assert figure.count("<figcaption>") == 1
        assert figure.count("<caption>") == 1


def test_tables_are_tables(quiet_page: str) -> None:
    page = Page(quiet_page)
    names = [tag for tag, _ in page.tags]
    assert names.count("table") == names.count("caption") == names.count("thead")
    assert all(a.get("scope") in {"col", "row"} for tag, a in page.tags if tag == "th")


def test_the_template_adds_no_number_to_the_summary(quiet: Run, quiet_page: str) -> None:
    said = " ".join(strings(quiet.document()["page_one"]))
    # And the number of the page itself.
    known = {*re.findall(r"\d[\d,.]*", said), "1."}
    shown = re.findall(r"\d[\d,.]*", " ".join(Page(quiet_page).summary))
    assert len(shown) > 40
    assert set(shown) <= known


def test_headings_do_not_skip_a_level(quiet_page: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(quiet_page).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_sizes(quiet_page: str, hostile_page: str) -> None:
    assert len(quiet_page.encode()) < LIMIT_BYTES
    assert len(hostile_page.encode()) < LIMIT_IN_FULL


def test_a_large_run_is_rendered_in_time() -> None:
    run = make(seed=6, n=60_000, n_test=10_000, models=300, hostile=False)
    # Seconds of this process: what else the machine does is not the report's fault.
    start = time.process_time()
    page = render_html(run.document())
    assert time.process_time() - start < 5.0
    assert len(page.encode()) < LIMIT_BYTES


@pytest.mark.parametrize("verdict", ["violates", "could_not_tell"])
def test_an_incomplete_run_says_so(verdict: str) -> None:
    run = make(seed=7, verdict=verdict, n=300, styles=9, hostile=False)
    run.run["status"] = "training"
    page = render_html(run.document())
    assert "This run is not complete" in page


def test_console_lines(quiet: Run) -> None:
    lines = summary_lines(quiet.summary, quiet.run)
    assert lines[5:] == [
        ("private training, ε = 2", "Consistent"),
        ("test accuracy", "94.7 % (94.1 to 95.3)"),
        ("memorized ≥ 0.25", "0.0 % (−0.4 to 0.4)"),
        ("largest memorization", "0.171 (0.081 to 0.241)"),
        ("ε certified by single examples", "0.00"),
    ]
    assert lines[0] == ("standard training", "Violates (no claim made)")
