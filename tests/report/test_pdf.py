"""The PDF: the same bytes each time, tagged as PDF/UA-1 asks, nothing loaded, nothing lost."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from audit.errors import BadInput
from audit.report.blocks import gallery, heading
from audit.report.document import document, document_json
from audit.report.pdf import _weasyprint, render_pdf
from tests.report import pdf_structure as tagged
from tests.report.synthetic import HOSTILE, Run, make

REQUIRED = bool(os.environ.get("AUDIT_REQUIRE_PDF"))
# What an element may contain (ISO 32000-1, 14.8.4.3; as veraPDF tests clauses 7.2 and 7.5).
INSIDE = {
    "/Table": {"/Caption", "/THead", "/TBody", "/TFoot", "/TR"},
    "/THead": {"/TR"},
    "/TBody": {"/TR"},
    "/TR": {"/TH", "/TD"},
    "/L": {"/LI", "/L", "/Caption"},
    "/LI": {"/Lbl", "/LBody"},
}
PARENTS = {"/TR": {"/THead", "/TBody", "/Table"}, "/LI": {"/L"}, "/Caption": {"/Table"}}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
RENDER = (
    "import json, sys; from audit.report.pdf import render_pdf; "
    "sys.stdout.buffer.write(render_pdf(json.load(open(sys.argv[1]))))"
)


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """Where WeasyPrint or a library is missing these tests are skipped, but not in CI."""
    try:
        _weasyprint()
    except BadInput as problem:
        if REQUIRED:
            raise
        pytest.skip(str(problem))


@pytest.fixture(scope="module")
def contents() -> dict[str, Any]:
    """The report of a small run with hostile names and statements."""
    run = make(seed=1, n=600, n_test=250, styles=12, epsilons=(2.0, 8.0))
    statements = {"governance.purpose": HOSTILE[0], "governance.system": "x" * 5000}
    made = document(run.inputs(statements=statements))
    shown = [{"words": f"example {i}", "png": PIXEL, "width": 96, "height": 96} for i in range(2)]
    items = [
        {"title": "a pair", "lines": ["alike"], "examples": [x | {"cells": []} for x in shown]}
    ]
    made["sections"][-1]["blocks"] += [heading("Examples"), gallery("Two of them", items)]
    return made


@pytest.fixture(scope="module")
def written(contents: dict[str, Any]) -> bytes:
    return render_pdf(contents)


@pytest.fixture(scope="module")
def reader(written: bytes) -> PdfReader:
    return tagged.opened(written)


@pytest.fixture(scope="module")
def tree(reader: PdfReader) -> tagged.Element:
    return tagged.structure(reader)


@pytest.fixture(scope="module")
def words(reader: PdfReader) -> str:
    return squeezed(tagged.text(reader))


def squeezed(text: str) -> str:
    """Without white space, which a PDF has no record of."""
    return "".join(text.split())


def in_process(path: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    with out.open("wb") as stream:
        return subprocess.run(
            [sys.executable, "-c", RENDER, str(path)],
            env=os.environ | environment,
            stdout=stream,
            stderr=subprocess.PIPE,
            timeout=300,
            check=False,
        )


def test_another_process_gives_the_same_bytes(
    contents: dict[str, Any], written: bytes, tmp_path: Path
) -> None:
    """On another day, in another zone, with another order of sets."""
    path, out = tmp_path / "report.json", tmp_path / "report.pdf"
    path.write_text(document_json(contents))
    other = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1", "LANG": "C"}
    done = in_process(path, out, **other)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes() == written


def test_title_language_author_and_the_dates_of_the_run(
    contents: dict[str, Any], reader: PdfReader
) -> None:
    root: Any = reader.root_object
    assert root["/Lang"] == "en"
    assert (
        root["/ViewerPreferences"]["/DisplayDocTitle"] is True
        or str(root["/ViewerPreferences"]["/DisplayDocTitle"]).lower() == "true"
    )
    facts = reader.metadata
    assert facts is not None
    assert facts.title == contents["title"]
    assert facts.author == "longtail-audit 0.1.0"
    assert facts["/CreationDate"] == facts["/ModDate"] == "D:20260302090110Z"
    identifier: Any = reader.trailer["/ID"]
    digest = hashlib.sha256(document_json(contents).encode()).hexdigest()
    assert str(identifier[0]) == digest


def test_it_says_that_it_is_pdf_ua_and_is_tagged(reader: PdfReader) -> None:
    root: Any = reader.root_object
    assert str(root["/MarkInfo"]["/Marked"]).lower() == "true"
    xmp = root["/Metadata"].get_data().decode()
    assert 'pdfuaid:part="1"' in xmp
    assert "dc:title" in xmp
    assert all(page["/Tabs"] == "/S" for page in reader.pages)


def test_elements_stand_where_they_may(tree: tagged.Element) -> None:
    for element in tree.walk():
        if allowed := INSIDE.get(element.tag):
            assert {child.tag for child in element.children} <= allowed, element.tag
        if parents := PARENTS.get(element.tag):
            assert element.within in parents, element.tag


def test_headings_do_not_skip_a_level(tree: tagged.Element) -> None:
    levels = [int(e.tag[2]) for e in tree.walk() if re.fullmatch("/H[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_header_cells_say_what_they_head(reader: PdfReader, tree: tagged.Element) -> None:
    heads = [e for e in tree.walk() if e.tag == "/TH" and "/A" in e.raw]
    scopes = {(e.parent.within if e.parent else "", e.attribute("/Scope")) for e in heads}
    assert scopes == {("/THead", "/Column"), ("/TBody", "/Row")}
    root: Any = reader.root_object
    names = [str(n) for n in root["/StructTreeRoot"]["/IDTree"]["/Kids"][0]["/Names"][::2]]
    assert names == sorted(str(e.raw["/ID"]) for e in heads)
    cells = [e for e in tree.walk() if e.tag == "/TD" and "/A" in e.raw]
    assert all(set(e.attribute("/Headers")) <= set(names) for e in cells)
    assert all(len(e.attribute("/Headers")) == 2 for e in cells)


def test_each_table_has_rows_wherever_it_goes_on(tree: tagged.Element) -> None:
    for element in tree.walk():
        if element.tag == "/Table":
            body = [e for e in element.walk() if e.tag == "/TR" and e.within == "/TBody"]
            head = [e for e in element.walk() if e.tag == "/TR" and e.within == "/THead"]
            assert body
            assert len(head) == 1


def test_each_picture_has_a_text_that_stands_for_it(
    contents: dict[str, Any], tree: tagged.Element
) -> None:
    blocks = [b for s in contents["sections"] for b in s["blocks"]]
    charts = [c for b in blocks for c in b.get("charts", [])]
    texts = [str(e.raw["/Alt"]) for e in tree.walk() if e.tag == "/Figure"]
    expected = [f"{c['title']}. {c['description']}" for c in charts]
    # Of pictures beside their words, those words.
    expected += ["example 0", "example 1"]
    assert [squeezed(t) for t in texts] == [squeezed(t) for t in expected]


def test_a_script_that_is_joined_becomes_a_picture(reader: PdfReader, words: str) -> None:
    """WeasyPrint would set Arabic in a chart letter by letter, from left to right."""
    assert sum(len(page.images) for page in reader.pages) > 0
    # pypdf gives the forms of the letters as they were set; the name is in the table as text.
    assert any("\u0600" <= c <= "\u06ff" or "\ufb50" <= c <= "\ufeff" for c in words)


def test_nothing_is_painted_outside_the_tags_and_margins_are_artifacts(reader: PdfReader) -> None:
    assert tagged.painted_outside_marks(reader) == []
    found = tagged.artifacts(reader)
    assert found[0] >= 1
    assert all(count >= 3 for count in found[1:])


def test_links_are_called_by_what_they_lead_to(
    contents: dict[str, Any], reader: PdfReader, tree: tagged.Element
) -> None:
    notes = [n.get_object() for page in reader.pages for n in page.get("/Annots", [])]
    called = [str(n["/Contents"]) for n in notes]
    for section in contents["sections"]:
        assert any(name.endswith(section["title"]) for name in called)
    # Anchors have no spaces and no capitals; titles do.
    assert not [name for name in called if re.fullmatch(r"[a-z0-9._-]+", name)]
    assert not any(n.get("/A") for n in notes), "no link leads out of the file"
    assert not any(e.within == "/Link" for e in tree.walk() if e.tag == "/Link")


def test_every_font_is_in_the_file(reader: PdfReader) -> None:
    found = tagged.fonts(reader)
    assert found
    for descriptor in found:
        assert any(key in descriptor for key in ("/FontFile", "/FontFile2", "/FontFile3"))


def test_every_heading_and_sentence_of_the_report_is_there(
    contents: dict[str, Any], words: str
) -> None:
    for section in contents["sections"]:
        assert squeezed(section["title"]) in words
        for block in section["blocks"]:
            for paragraph in block.get("paragraphs", []):
                assert squeezed(paragraph) in words
    digest = hashlib.sha256(document_json(contents).encode()).hexdigest()
    assert digest in words
    assert squeezed("</script><script>alert(1)</script>") in words
    assert "\\u202egnirts" in words


def test_bookmarks_lead_to_the_sections(contents: dict[str, Any], reader: PdfReader) -> None:
    def titles(entries: list[Any]) -> Iterator[str]:
        for entry in entries:
            if isinstance(entry, list):
                yield from titles(entry)
            else:
                yield entry.title

    found = list(titles(reader.outline))
    for section in contents["sections"]:
        assert any(title.endswith(section["title"]) for title in found)


def test_pages_are_numbered_and_as_many_as_expected(reader: PdfReader) -> None:
    pages = len(reader.pages)
    assert 12 <= pages <= 45
    for number, page in enumerate(reader.pages, start=1):
        assert squeezed(f"{number} / {pages}") in squeezed(page.extract_text())
        assert {round(float(side)) for side in page.mediabox[2:]} == {595, 842}
    upright = [page.mediabox.height > page.mediabox.width for page in reader.pages]
    assert upright[0]
    assert upright[-1]


def test_statements_that_nobody_made_are_not_stated(quiet: Run) -> None:
    contents = document(quiet.inputs(statements={"governance.risks": HOSTILE[0]}))
    for section in contents["sections"]:
        section["blocks"] = [b for b in section["blocks"] if b["type"] == "fields"]
    rows = [r for s in contents["sections"] for b in s["blocks"] for r in b["rows"]]
    absent = [row for row in rows if row["value"] is None]
    text = squeezed(tagged.text(tagged.opened(render_pdf(contents))))
    assert len(absent) > 20
    for row in absent:
        assert squeezed(f"{row['label']} NOT STATED") in text
    assert squeezed(f"Risks {HOSTILE[0]}") in text


@pytest.mark.parametrize("epsilons", [(2.0,), (1.0, 2.0, 4.0, 8.0)])
def test_page_one_is_one_page(epsilons: tuple[float, ...]) -> None:
    made = make(seed=1, hostile=False, epsilons=epsilons).document()
    # What follows is long, and no part of it.
    found = tagged.opened(render_pdf(made | {"sections": made["sections"][-1:]}))
    first, second, *_ = (squeezed(page.extract_text()) for page in found.pages)
    assert squeezed("Next review") in first
    assert squeezed("What is not covered by this report?") in first
    assert "Contents" in first + second


def test_a_planted_bug_is_on_every_page(quiet: Run) -> None:
    bug = {"name": "no_noise", "what": "noise is left out", "where": "x.py", "breaks": "ε"}
    planted = copy.deepcopy(quiet)
    planted.run["plant"] = bug
    reader = tagged.opened(render_pdf(slim(planted.document())))
    mark = squeezed("PLANTED BUG: training is wrong on purpose")
    for page in reader.pages:
        assert squeezed(page.extract_text()).count(mark) >= 2


def slim(contents: dict[str, Any]) -> dict[str, Any]:
    """The same report with two sections of text alone: quick to set."""
    sections = contents["sections"][:2]
    for section in sections:
        section["blocks"] = [b for b in section["blocks"] if b["type"] == "text"]
    return contents | {"sections": sections}


def test_a_character_that_no_font_has_is_named_instead_of_a_box(quiet: Run) -> None:
    contents = slim(quiet.document())
    contents["sections"][0]["title"] = "A \U00012000 sign"  # cuneiform
    with pytest.raises(BadInput, match=r"format = 'pdf': no font .*\(U\+12000\).*boxes") as caught:
        render_pdf(contents)
    assert "\n" not in str(caught.value)


def test_a_machine_without_fonts_is_told_so(quiet: Run, tmp_path: Path) -> None:
    """Pango would end the process with a segmentation fault."""
    path, configuration = tmp_path / "report.json", tmp_path / "fonts.conf"
    path.write_text(document_json(slim(quiet.document())))
    configuration.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig></fontconfig>'
    )
    done = in_process(path, tmp_path / "out", FONTCONFIG_FILE=str(configuration))
    assert done.returncode == 1, done.stderr
    last = done.stderr.decode().strip().splitlines()[-1]
    assert "BadInput: format = 'pdf': needs fonts" in last
    assert "fonts-liberation" in last


def test_what_is_not_installed_is_named(quiet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = slim(quiet.document())
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(BadInput, match=r"pip install 'longtail-audit\[pdf\]'.*libpango-1.0-0"):
        render_pdf(contents)


def test_a_library_that_cannot_be_opened_is_named(
    quiet: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "weasyprint":
            print("-----\nWeasyPrint could not import some external libraries")
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *rest, **more)

    contents = slim(quiet.document())
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match=r"cannot load library 'libpango.*libharfbuzz-subset0"):
        render_pdf(contents)
    assert capsys.readouterr().out == ""


def test_nothing_is_loaded_from_anywhere(quiet: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if the page asked for it: that is an error, not a missing picture."""
    from audit.report import pdf

    contents = slim(quiet.document())
    render_pdf(contents)
    real = pdf.render_html
    for source in ("https://example.org/x.png", "file:///etc/hostname", "data:text/html,x"):
        asks = f'<img alt="x" src="{source}"></body>'

        def asking(contents: Any, a: str = asks, **how: Any) -> str:
            return real(contents, **how).replace("</body>", a)

        monkeypatch.setattr(pdf, "render_html", asking)
        with pytest.raises(RuntimeError, match="the report's page asks for"):
            render_pdf(contents)


def test_a_default_report_is_set_quickly(quiet: Run) -> None:
    """50 subgroups, in a process that has nothing loaded: about 10 s of processor time."""
    contents = quiet.document()
    render_pdf(slim(copy.deepcopy(contents)))
    start = time.process_time()
    reader = tagged.opened(render_pdf(contents))
    assert time.process_time() - start < 30
    assert 12 <= len(reader.pages) <= 40
    assert json.loads(document_json(contents)) == contents
