"""The page: one file, strict policy, escaped, accessible tables, the same bytes each time.

What it does in a browser is in ``tests/e2e/test_report_*.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from audit.report.console import summary_lines
from audit.report.document import document_json
from audit.report.render import forget_drawn, render_html
from audit.report.scripts import content_hash, inert_json, inline_script
from tests.report.furnished import QUIET, furnished
from tests.report.synthetic import Run, make
from tests.report.test_document import strings

LIMIT_BYTES = 250_000
# With every subgroup of every grouping, which nobody gets who does not ask for it.
LIMIT_IN_FULL = 300_000
LIVE_LIMIT_BYTES = 1_300_000


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
    forget_drawn()
    assert render_html(again, static=True) == hostile_page


def test_another_process_makes_the_same_bytes(
    hostile_live_page: str, hostile: Run, tmp_path: Path
) -> None:
    """No numbering that goes on between pages, no order of a set: with another hash seed too."""
    file = tmp_path / "report.json"
    file.write_text(document_json(hostile.document(full_subgroups=True)), encoding="utf-8")
    program = (
        "import hashlib, json, sys; from audit.report.render import render_html;"
        "page = render_html(json.load(open(sys.argv[1], encoding='utf-8')));"
        "print(hashlib.sha256(page.encode()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.stdout.strip() == hashlib.sha256(hostile_live_page.encode()).hexdigest()
    # And here, where charts were numbered before.
    forget_drawn()
    again = json.loads(file.read_text(encoding="utf-8"))
    assert render_html(again) == hostile_live_page


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


def test_with_scripts_the_policy_names_each_by_its_hash(hostile_live_page: str) -> None:
    policy = re.search(r'content="(default-src[^"]*)"', hostile_live_page)
    assert policy
    scripts = re.findall(r"<script>(.*?)</script>", hostile_live_page, re.DOTALL)
    assert len(scripts) == 2
    hashes = " ".join(f"'sha256-{content_hash(script)}'" for script in scripts)
    assert f"default-src 'none'; script-src {hashes}; style-src 'sha256-" in policy[1]
    assert policy[1].endswith("base-uri 'none'; form-action 'none'")
    assert not re.search("unsafe|img-src|http|data:", policy[1])


def test_images_are_allowed_only_where_a_gallery_shows_some(quiet: Run, quiet_page: str) -> None:
    assert "img-src" not in quiet_page
    page = render_html(furnished(quiet.document()), static=True)
    assert "; form-action 'none'; img-src data:\">" in page
    sources = {a["src"] for tag, a in Page(page).tags if tag == "img"}
    assert len(sources) == 1
    assert all((source or "").startswith("data:image/png;base64,iVBOR") for source in sources)


def test_specifications_are_inert_and_carry_names_in_data_only(hostile_live_page: str) -> None:
    found = re.findall(
        r'<script type="application/json">(.*?)</script>', hostile_live_page, re.DOTALL
    )
    assert len(found) == hostile_live_page.count('class="chart"')
    for text in found:
        assert not re.search("[<>&\u2028\u2029]", text)
        spec = json.loads(text)
        rows = json.dumps(spec.pop("datasets"), ensure_ascii=False)
        rest = json.dumps(spec, ensure_ascii=False)
        assert not re.search(r"script|alert|onerror|7\*7|https?:", rest)
        assert "</script>" not in text
        assert len(rows) > 10
    assert "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)" in " ".join(found)


def test_a_document_without_charts_carries_no_library(quiet: Run) -> None:
    contents = quiet.document()
    contents["sections"] = [s for s in contents["sections"] if s["id"] == "claim"]
    page = render_html(contents)
    assert page.count("<script>") == 1
    assert len(page.encode()) < LIMIT_BYTES


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


def test_only_text_that_cannot_end_a_script_is_inlined() -> None:
    assert inline_script("1 < 2") == "1 < 2"
    for text in ("a </SCRIPT b", "x <!-- y"):
        with pytest.raises(ValueError, match="end it early"):
            inline_script(text)
    hostile = {"</script><!--": "\u2028&<>\u2029"}
    assert json.loads(inert_json(hostile)) == hostile
    assert not set(inert_json(hostile)) & set("<>&\u2028\u2029")
    with pytest.raises(ValueError, match="Out of range"):
        inert_json({"x": float("nan")})


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


def test_sizes(quiet: Run, quiet_page: str, hostile_page: str) -> None:
    assert len(quiet_page.encode()) < LIMIT_BYTES
    assert len(hostile_page.encode()) < LIMIT_IN_FULL
    assert len(render_html(quiet.document()).encode()) < LIVE_LIMIT_BYTES


def test_a_large_run_is_rendered_in_time() -> None:
    """Processor time of all threads: what a machine needs that does nothing else."""
    run = make(seed=6, n=60_000, n_test=10_000, models=300, hostile=False)
    start = time.process_time()
    page = render_html(run.document())
    assert time.process_time() - start < 5.0
    assert len(page.encode()) < LIVE_LIMIT_BYTES


def test_every_kind_of_block_is_on_the_page(quiet: Run) -> None:
    contents = furnished(quiet.document(), hostile=False)
    contents["sections"] = contents["sections"][-1:]
    page = render_html(contents, static=True)
    assert page.count(">NOT STATED</strong>") == 6
    assert page.count('<dd><strong class="not-stated">') == 3
    for words in QUIET:
        assert words in page
    assert 'id="crosswalk-ai-act"' in page
    assert page.count("<h4>") == 5


def test_sections_wear_the_numbers_of_the_document(quiet: Run) -> None:
    page = render_html(furnished(quiet.document(), hostile=False), static=True)
    assert page.count('<span class="number">C.</span> Statements and examples') == 2
    assert page.count('<span class="number">1.</span> On one page') == 2


def test_printed_pages_carry_the_hash_of_the_json(quiet: Run, quiet_page: str) -> None:
    digest = hashlib.sha256(document_json(quiet.document()).encode()).hexdigest()
    assert f'@bottom-left {{ content: "SHA-256 {digest[:16]}…"' in quiet_page


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
