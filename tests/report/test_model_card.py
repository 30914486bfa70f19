"""The model card: Mitchell's sections, NOT STATED, numbers with intervals, data as text only."""

from __future__ import annotations

import copy
import hashlib
import json
import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from audit.errors import BadInput
from audit.report.document import document, document_json
from audit.report.formats import FORMATS, file_name, render
from audit.report.markdown import escaped, table
from audit.report.model_card import FRONT_MATTER, NOT_STATED, render_model_card
from tests.report.synthetic import HOSTILE, Run

SECTIONS = [
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
    "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
]  # fmt: skip
# Each tries to become something else than text.
ATTACKS = [
    *(text for text in HOSTILE if text),
    "[x](javascript:alert(1))", "![x](https://example.org/x.png)", "<javascript:alert(1)>",
    "https://example.org/a?b=c&d", "www.example.org", "example.org", "//example.org", "a@b.org",
    "mailto:a@b.org", "[ref]: https://example.org", "a | b", "a \\| b", "a\\", "`code`", "``` x",
    "# heading", "title\n=====", "title\n---", "---", "- item", "+ item", "1. item", "1) item",
    "*a* __b__ ~~c~~", "&lt;b&gt; &copy; &#124;", "$x^2$", "    indented", "> quote", "\\[x\\](y)",
    '=HYPERLINK("https://example.org")', "<!-- comment -->", "a  \nb", "| a |\n| --- |", "{{ 7 }}",
]  # fmt: skip
PLAIN = {"text", "softbreak", "text_special"}


def parsed(markdown: str) -> list[Token]:
    """As GitHub reads it: tables, strikethrough, bare links; raw HTML let through."""
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": True})
    return reader.parse(markdown.removeprefix(FRONT_MATTER))


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or []]


def shown(tokens: list[Token]) -> str:
    return "".join(t.content for t in inline(tokens))


def card(run: Run, **statements: str) -> str:
    return render_model_card(document(run.inputs(statements=statements)))


@pytest.mark.parametrize("attack", ATTACKS)
def test_any_text_stays_the_text_it_is(attack: str) -> None:
    for around in ("", "x", "x "):
        text = " ".join((around + attack).split())
        tokens = parsed(escaped(text))
        assert [t.type for t in tokens] == ["paragraph_open", "inline", "paragraph_close"]
        assert {t.type for t in inline(tokens)} <= PLAIN
        # Control and direction-changing characters are spelled out.
        if text.isprintable():
            assert shown(tokens) == text


@pytest.mark.parametrize("attack", ATTACKS)
def test_any_text_stays_in_its_cell(attack: str) -> None:
    tokens = parsed(table([attack, "b"], [[attack, "1"], ["2", attack], [attack, attack]]))
    assert tokens[0].type == "table_open"
    assert tokens[-1].type == "table_close"
    assert [t.type for t in tokens].count("tr_open") == 4
    assert [t.type for t in tokens].count("td_open") == 6
    assert {t.type for t in inline(tokens)} <= PLAIN


def test_a_table_refuses_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="has 1 cells, expected 2"):
        table(["a", "b"], [["1"]])


def test_the_sections_of_mitchell_in_order(quiet: Run) -> None:
    found = re.findall(r"^## (.*)$", card(quiet), re.MULTILINE)
    assert found[: len(SECTIONS)] == SECTIONS


def test_what_nobody_stated_is_not_stated_and_what_somebody_did_is_there(quiet: Run) -> None:
    empty = card(quiet)
    assert f"**Risks:** {NOT_STATED}" in empty
    stated = card(quiet, **{"governance.risks": "That a *rare* group\nis sorted last."})
    assert "**Risks:** That a \\*rare\\* group\n\n  is sorted last." in stated
    assert stated.count(NOT_STATED) == empty.count(NOT_STATED) - 1


def test_every_field_of_the_card_is_in_the_catalogue() -> None:
    from audit.report import model_card

    fields = pytest.importorskip("audit.report.fields").FIELDS
    asked = {
        ident
        for value in vars(model_card).values()
        if isinstance(value, tuple) and value and isinstance(value[0], tuple)
        for ident, _ in value
        if "." in ident
    }
    assert len(asked) > 25
    assert asked <= {field.id for field in fields}


def test_numbers_come_with_interval_and_n(quiet: Run) -> None:
    text = card(quiet)
    arm = quiet.summary["arms"]["dp-2"]["accuracy_test"]
    expected = f"{100 * arm['value']:.1f} % ({100 * arm['low']:.1f} to {100 * arm['high']:.1f})"
    row = next(line for line in text.splitlines() if line.startswith("| private") and "%" in line)
    assert expected in row
    assert row.endswith("| 200 |")
    for found in document(quiet.inputs())["findings"]:
        assert escaped(found["question"]) in text


def test_the_subgroups_that_lose_most_come_first_and_are_counted(quiet: Run) -> None:
    text = card(quiet)
    assert "By “class”, private training, ε = 2: all 10 subgroups, the largest loss first" in text
    start = text.index("By “style within class”, private training, ε = 2: 12 of 50 subgroups")
    rows = re.findall(r"^\| class .*\| (\S+) points.*$", text[start:], re.MULTILINE)[:12]
    losses = [float(row.replace("\u2212", "-")) for row in rows]
    assert len(losses) == 12
    assert losses == sorted(losses, reverse=True)


def test_undefined_numbers_are_named_with_their_count(quiet: Run) -> None:
    changed = copy.deepcopy(quiet)
    changed.summary["arms"]["dp-2"]["mem_max"] = {"value": None, "low": None, "high": None, "n": 0}
    assert "not estimable (n=0)" in card(changed)


def test_hostile_names_form_no_markup(hostile: Run) -> None:
    attack = "</td><script>alert(1)</script>\n# [x](javascript:alert(1)) | y | `z`\n\n---\n1. q"
    ids = ("governance.purpose", "governance.system", "signoff.signature", "data.source")
    contents = document(hostile.inputs(statements=dict.fromkeys(ids, attack)))
    contents["source"]["data"]["name"] = attack
    tokens = parsed(render_model_card(contents))
    kinds = {t.type for t in tokens} | {t.type for t in inline(tokens)}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "fence", "code_block"}
    assert not kinds & {"hr", "ordered_list_open", "blockquote_open", "s_open", "em_open"}
    # Code is the two hashes of the tool; headings are the card's own.
    codes = [t.content for t in inline(tokens) if t.type == "code_inline"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", code) for code in codes)
    levels = [t.tag for t in tokens if t.type == "heading_open"]
    assert levels.count("h1") == 1
    assert levels.count("h2") == len(SECTIONS) + 2
    assert "alert(1)" in shown(tokens)


def test_the_front_matter_has_nothing_from_the_data(hostile: Run) -> None:
    text = card(hostile, **{"governance.system": "x\n---\nlicense: mit"})
    assert text.startswith(FRONT_MATTER)
    assert text.count("\n---\n") == 1


def test_the_card_names_the_hash_of_the_json_and_is_the_same_each_time(quiet: Run) -> None:
    contents = quiet.document()
    text = render_model_card(contents)
    assert hashlib.sha256(render(contents, "json")).hexdigest() in text
    assert render_model_card(json.loads(document_json(contents))) == text


def test_a_planted_bug_gets_no_card(quiet: Run) -> None:
    bug = {"name": "no_noise", "what": "noise is left out", "where": "x.py", "breaks": "ε"}
    planted = copy.deepcopy(quiet)
    planted.run["plant"] = bug
    with pytest.raises(BadInput, match=r"PLANTED BUG no_noise.*no evidence of compliance"):
        card(planted)


def test_words_that_promise_are_not_the_cards_own(quiet: Run) -> None:
    words = set(re.findall(r"[a-z]+", card(quiet).lower()))
    assert not words & {"safe", "anonymous", "guaranteed", "guarantees", "passed", "proven"}


def test_an_incomplete_run_says_so(quiet: Run) -> None:
    changed = copy.deepcopy(quiet)
    changed.run["status"] = "training"
    assert "not complete" in card(changed)
    assert "not complete" not in card(quiet)


def test_every_form_has_a_name_and_bytes(quiet: Run) -> None:
    assert [file_name(form, "internal") for form in FORMATS] == [
        "report.html", "report.pdf", "report.json", "model-card.md",
    ]  # fmt: skip
    assert file_name("md", "public") == "model-card-public.md"
    contents = quiet.document()
    assert json.loads(render(contents, "json")) == contents
    assert render(contents, "md").decode() == render_model_card(contents)
    assert render(contents, "html").startswith(b"<!doctype html>")
    with pytest.raises(BadInput, match=r"format = 'docx': .*html, pdf, json, md"):
        render(contents, "docx")
