"""Charts for notebooks: the report's own pictures, in which a name from the data runs nothing."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import audit
from audit.api.charts import charts_of
from audit.report.findings import findings
from audit.results import Results
from tests.e2e.browsing import CHROMIUM, FLAGS, REQUIRED
from tests.report.synthetic import make

KINDS = {"histogram", "plane", "certified", "power", "trend", "forest", "exposure", "roc"}


def hostile_run() -> audit.Run:
    """A run of which every name was chosen by an attacker."""
    made = make(seed=1)
    summary = {**made.summary, "findings": findings(made.summary, made.run)}
    results = Results(made.examples, made.influence, made.subgroups, summary)
    return audit.Run(Path("</script><b>"), made.run, results)


@pytest.fixture(scope="module")
def hostile() -> audit.Run:
    return hostile_run()


def paths(svg: str) -> list[str]:
    return re.findall(r' d="([^"]+)"', svg)


def test_charts_are_those_of_the_report(finished: audit.Run):
    page = finished.report.read_text(encoding="utf-8")
    of_report = re.findall(r"<svg class=.chart.*?</svg>", page, flags=re.S)
    assert len(of_report) == len(finished.charts) > 4
    for chart, drawn in zip(finished.charts, of_report, strict=True):
        assert paths(chart.svg) == paths(drawn)
        assert chart.title in page
    assert {chart.kind for chart in finished.charts} == KINDS


def test_charts_can_be_chosen(finished: audit.Run):
    charts = finished.charts
    assert [c.kind for c in charts["plane"]] == ["plane", "plane"]
    assert charts[0] is next(iter(charts))
    assert len(charts[1:3]) == 2
    by_class = finished.charts_by("class")
    assert by_class["forest"][0].data["of"] == 2
    assert finished.charts_by("site")["forest"][0].data["of"] == 3
    for grouping in ("site", "mem", "arm", "site×mem"):
        assert len(finished.charts_by(grouping)) == len(charts)


def test_a_notebook_gets_html_and_a_picture_without_anything_that_runs(hostile: audit.Run):
    chart = hostile.charts["forest"][0]
    bundle = chart._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/html", "image/svg+xml", "text/plain"}
    shown = [*bundle.values(), hostile.charts._repr_html_(), hostile._repr_html_(), chart.svg]
    for text in shown:
        assert not re.search(r"<(script|img|iframe|object|style|link)\b", text, flags=re.I)
        assert not re.search(r"<[^>]*\son\w+\s*=", text, flags=re.I)
    root = ET.fromstring(chart.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    names = "".join(t.text or "" for t in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "</script>" in names


def test_ids_differ_between_charts_and_are_the_same_each_time(hostile: audit.Run):
    html = hostile.charts._repr_html_()
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids)) > 10
    assert hostile_run().charts._repr_html_() == html


def test_results_that_cannot_be_drawn_are_named(hostile: audit.Run):
    broken = hostile.subgroups.drop(columns="loss_dp-2_low")
    results = Results(hostile.examples, hostile.influence, broken, hostile.summary_json)
    with pytest.raises(audit.BadInput, match="loss_dp-2_low"):
        _ = audit.Run(hostile.path, hostile.manifest, results).charts


def test_a_document_without_charts_has_none():
    nothing = charts_of({"sections": [{"blocks": [{"type": "text", "paragraphs": []}]}]})
    assert len(nothing) == 0
    assert nothing._repr_html_() == "<div></div>"


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists() and not REQUIRED, reason=f"{CHROMIUM} is not installed")
def test_in_a_browser_hostile_names_are_shown_and_run_nothing(hostile: audit.Run, tmp_path: Path):
    from playwright import sync_api

    page_of_notebook = hostile._repr_html_() + hostile.charts._repr_html_()
    (tmp_path / "cell.html").write_text(
        f"<!doctype html><meta charset=utf-8>{page_of_notebook}", encoding="utf-8"
    )
    events: list[str] = []

    def on_dialog(dialog: Any) -> None:
        events.append(dialog.message)
        dialog.dismiss()

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page()
        page.on("dialog", on_dialog)
        page.on("request", lambda request: events.append(request.url))
        page.goto((tmp_path / "cell.html").as_uri())
        sizes = page.eval_on_selector_all(
            "svg", "all => all.map(svg => svg.getBoundingClientRect().width)"
        )
        text = page.inner_text("body")
        browser.close()
    assert events == [(tmp_path / "cell.html").as_uri()]
    assert len(sizes) == len(hostile.charts)
    assert min(sizes) > 200
    assert "<script>alert(1)" in text
