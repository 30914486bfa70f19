"""The crosswalk: every point of every framework, each with a link that works or NOT STATED."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from audit.report.crosswalk_section import SECTIONS, crosswalk_section
from audit.report.document import document
from audit.report.fields import BY_ID
from audit.report.frameworks import FRAMEWORKS
from audit.report.frameworks.point import OUTSIDE
from audit.report.render import render_html
from tests.report.synthetic import Run
from tests.report.test_fields import everything
from tests.report.test_render import Page

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "crosswalk.json").read_text(encoding="utf-8")
)
HERE = ("claim", "memorization", "exposure", "subgroups", "exposed", "influence", "provenance")


def rows(run: Run, ids: tuple[str, ...] = HERE, **more: Any) -> dict[str, dict[str, Any]]:
    """Every row, by framework and point."""
    blocks = crosswalk_section(run.inputs(**more), ids)["blocks"]
    return {f"{b['id']} {r['point']}": r for b in blocks if b["type"] == "crosswalk"
            for r in b["rows"]}  # fmt: skip


def test_every_point_of_every_framework_is_there_in_order() -> None:
    assert [f.ident for f in FRAMEWORKS] == list(GOLDEN)
    for framework in FRAMEWORKS:
        assert [p.point for p in framework.points] == GOLDEN[framework.ident]["points"]
    assert len(GOLDEN["crosswalk-iso-42001"]["points"]) == 38
    assert len(GOLDEN["crosswalk-ai-act"]["points"]) == 23


def test_points_name_sections_and_fields_that_exist() -> None:
    for framework in FRAMEWORKS:
        for point in framework.points:
            assert set(point.sections) <= set(SECTIONS), point
            assert set(point.fields) <= set(BY_ID), point
            assert point.asks


@pytest.mark.parametrize("stated", [False, True])
def test_every_row_has_a_link_or_not_stated(quiet: Run, stated: bool) -> None:
    statements = everything() if stated else {}
    found = rows(quiet, statements=statements)
    assert len(found) == sum(len(g["points"]) for g in GOLDEN.values())
    for row in found.values():
        assert row["links"] or row["state"] == "not_stated"
        assert (row["state"] == "stated") == (not row["missing"])
        assert row["state"] != "not_stated" or not row["links"]
    states = {r["state"] for r in found.values()}
    assert states == {"stated", "partly", "not_stated"}


@pytest.mark.parametrize("stated", [False, True])
def test_every_link_leads_somewhere_on_the_page(quiet: Run, stated: bool) -> None:
    page = render_html(document(quiet.inputs(statements=everything() if stated else {})))
    tags = Page(page).tags
    ids = {a["id"] for _, a in tags if a.get("id")}
    links = [a["href"] or "" for tag, a in tags if tag == "a"]
    assert len(links) > (150 if stated else 70)
    assert {link[1:] for link in links} <= ids
    assert {
        f"fields-{s}" for s in ("claim", "crosswalk", "subgroups", "provenance", "summary")
    } <= ids


def test_a_row_says_what_is_missing_until_it_is_stated(quiet: Run) -> None:
    point = "crosswalk-gdpr 35(7)(b)"
    row = rows(quiet)[point]
    assert (row["state"], row["links"]) == ("not_stated", [])
    assert row["missing"] == ["Necessity of the collection", "Alternatives", "Why this ε"]
    one = rows(quiet, statements={"governance.alternatives": "none"})[point]
    assert one["state"] == "partly"
    assert one["links"] == [{"href": "#fields-crosswalk", "words": "Alternatives"}]
    assert one["missing"] == ["Necessity of the collection", "Why this ε"]
    whole = rows(quiet, statements=everything())[point]
    assert (whole["state"], whole["missing"]) == ("stated", [])


def test_what_no_audit_answers_stays_not_stated_however_much_is_stated(quiet: Run) -> None:
    found = rows(quiet, statements=everything())
    for point in ("crosswalk-ai-act 8", "crosswalk-iso-42001 A.2.2", "crosswalk-gdpr 35(9)"):
        assert found[point]["state"] == "not_stated"
        assert found[point]["missing"] == [OUTSIDE]
    assert found["crosswalk-ai-act 9"]["state"] == "partly"
    assert found["crosswalk-ai-act 9"]["missing"] == ["the monitoring plan"]


def test_a_section_that_the_run_lacks_is_missing(quiet: Run) -> None:
    some = tuple(s for s in HERE if s != "exposure")
    row = rows(quiet, some, statements=everything())["crosswalk-gdpr 35(7)(c)"]
    assert "Attacks (not in this run)" in row["missing"]
    assert "#exposure" not in {link["href"] for link in row["links"]}


def crosswalk_of(doc: dict[str, Any]) -> dict[str, Any]:
    return next(s for s in doc["sections"] if s["id"] == "crosswalk")


def test_the_section_says_what_it_is_and_lists_what_is_not_stated(quiet: Run) -> None:
    section = crosswalk_of(document(quiet.inputs()))
    words = " ".join(p for b in section["blocks"] if b["type"] == "text" for p in b["paragraphs"])
    assert "no legal assessment" in words
    assert "NOT STATED (34 fields): The claim in plain words; " in words
    for field in BY_ID.values():
        assert field.label in words
    done = crosswalk_of(document(quiet.inputs(statements=everything())))
    assert done["blocks"][1]["paragraphs"][0] == "Every field that people are asked for is stated."


def test_not_stated_is_red_in_the_rows(quiet: Run) -> None:
    page = render_html(document(quiet.inputs()))
    table = re.search(
        r'<table class="crosswalk" id="crosswalk-ai-act">.*?</table>', page, re.DOTALL
    )
    assert table
    for point in ("1(f)", "8"):
        row = re.search(rf'<tr><th scope="row">{re.escape(point)}</th>.*?</tr>', table[0])
        assert row
        assert '<strong class="not-stated">NOT STATED</strong>: outside this audit' in row[0]
