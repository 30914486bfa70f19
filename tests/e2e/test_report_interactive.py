"""What the page does beyond being read: charts that answer, tables that sort and filter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from audit.report.scripts import content_hash
from tests.e2e.browsing import Opened, needs_browser, opened
from tests.e2e.pages import CELLS, SORTED, page_of

pytestmark = needs_browser


def live(shown: Opened, section: str, number: int = 0) -> Any:
    """One chart of a section, as a Vega view."""
    return shown.page.locator(f"#{section} .live").nth(number)


def test_every_chart_becomes_a_vega_view_under_the_policy(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive", hostile=True)) as shown:
        shown.awaken()
        assert shown.events == []
        charts = shown.page.eval_on_selector_all(
            ".panel",
            """panels => panels.map(panel => {
              const live = panel.querySelector(".live"), svg = live.querySelector("svg.chart");
              const texts = of => [...of.querySelectorAll("text")].map(t => t.textContent);
              return { view: typeof live.vegaView.signal, role: svg.getAttribute("role"),
                named: svg.getAttribute("aria-labelledby").split(" ").every(id =>
                  document.getElementById(id).textContent),
                drawn: texts(panel.querySelector("svg.chart")).join("|"),
                live: texts(svg).filter(t => t).join("|") };
            })""",
        )
        assert len(charts) > 15
        for chart in charts:
            assert chart["view"] == "function"
            assert chart["role"] == "img"
            assert chart["named"]
            assert chart["live"] == chart["drawn"]


def test_control_expressions_that_need_eval_would_be_stopped(browser: Any, tmp_path: Path) -> None:
    """The policy does forbid eval: without Vega's interpreter no chart becomes interactive."""
    html = page_of("interactive")
    (script,) = re.findall(
        r'<script>("use strict";\n// What the page.*?)</script>', html, re.DOTALL
    )
    changed = script.replace("ast: true", "ast: false")
    html = html.replace(script, changed).replace(content_hash(script), content_hash(changed))
    with opened(browser, tmp_path, html) as shown:
        shown.page.locator("#memorization").scroll_into_view_if_needed()
        shown.page.wait_for_timeout(1500)
        assert any("unsafe-eval" in e for e in shown.events)
        assert shown.page.locator(".is-live").count() == 0
        assert shown.page.locator(".panel > svg.chart:visible").count() > 5


def test_marks_are_read_by_keyboard(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        shown.awaken()
        page, chart = shown.page, live(shown, "exposed")
        chart.focus()
        tip = page.locator(".tip")
        assert not tip.is_visible()
        page.keyboard.press("ArrowRight")
        first = tip.inner_text()
        assert re.match(r"class \d · style \d\ntraining examples: \d+\ntest examples: \d+\n", first)
        assert re.search(r"attack right without privacy: \d\d\.\d % \(.* to .*\)", first)
        assert re.search(r"accuracy loss \(points\): −?\d+\.\d \(.* to .*\)", first)
        assert page.inner_text("[role=status]") == first.replace("\n", ", ")
        page.keyboard.press("ArrowRight")
        assert tip.inner_text() != first
        page.keyboard.press("Home")
        assert tip.inner_text() == first
        page.keyboard.press("Escape")
        assert not tip.is_visible()
        page.keyboard.press("End")
        assert tip.is_visible()
        page.keyboard.press("Tab")
        assert not tip.is_visible()


def test_every_kind_of_chart_answers(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive", hostile=True)) as shown:
        shown.awaken()
        for chart in shown.page.locator(".live").all():
            chart.focus()
            shown.page.keyboard.press("Home")
            assert ": " in shown.page.locator(".tip").inner_text(), chart.inner_html()


def test_hostile_names_are_text_in_tips(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive", hostile=True)) as shown:
        shown.awaken()
        said = set()
        chart = live(shown, "exposed")
        chart.focus()
        for _ in range(12):
            shown.page.keyboard.press("ArrowRight")
            said.add(shown.page.inner_text(".tip").split("\n")[0])
        assert "</script><script>alert(1)</script>" in said
        assert '"><img src=x onerror=alert(2)>' in said
        assert "datum.loss' + alert(4) + '" in said
        assert "\\u202egnirts desrever" in said
        assert shown.page.locator(".tip *:not(div)").count() == 0
        wide = shown.page.locator(".tip").bounding_box()["width"]
        assert wide <= 330
        assert shown.events == []


def test_pointing_near_a_mark_is_enough_and_leaving_hides(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        shown.awaken()
        page, chart = shown.page, live(shown, "exposed")
        chart.scroll_into_view_if_needed()
        at = chart.evaluate(
            """chart => { const mark = [...chart.querySelectorAll("path")].find(p =>
                 p.__data__?.tooltip && !p.closest(".role-legend"));
               const box = mark.getBoundingClientRect(); return [box.x + 4, box.y + 4]; }"""
        )
        page.mouse.move(at[0] + 3, at[1] + 3)
        assert "training examples" in page.inner_text(".tip")
        page.mouse.move(2, 2)
        assert not page.locator(".tip").is_visible()


def test_a_legend_is_clicked_to_dim_the_rest(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        shown.awaken()
        chart = live(shown, "exposed")
        dimmed = chart.locator("path[opacity='0.15']")
        assert dimmed.count() == 0
        chart.locator("text", has_text="rarest third").click(force=True)
        shown.page.wait_for_function(
            "() => document.querySelector('#exposed path[opacity=\"0.15\"]')"
        )
        assert dimmed.count() > 3


def test_the_legend_is_stepped_through_by_keyboard(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        shown.awaken()
        page, chart = shown.page, live(shown, "exposed")
        dimmed = chart.locator("path[opacity='0.15']")
        entries = chart.locator(".role-legend-label text").all_text_contents()
        assert len(entries) > 1
        chart.focus()
        for entry in entries:
            page.keyboard.press("l")
            assert page.inner_text("[role=status]") == f"only {entry}"
            page.wait_for_function(
                "() => document.querySelector('#exposed path[opacity=\"0.15\"]')"
            )
            assert dimmed.count() > 3
        page.keyboard.press("L")
        assert page.inner_text("[role=status]") == "all shown"
        page.wait_for_function("() => !document.querySelector('#exposed path[opacity=\"0.15\"]')")


def test_a_wheel_over_a_chart_scrolls_the_page(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        shown.awaken()
        chart = live(shown, "exposed")
        chart.scroll_into_view_if_needed()
        chart.hover()
        before = shown.page.evaluate("scrollY")
        shown.page.mouse.wheel(0, 300)
        shown.page.wait_for_function(f"() => scrollY > {before}")


def cells(table: Any, column: int) -> list[str]:
    """A column's cells as shown, top to bottom."""
    shown = table.locator(f"tbody tr:visible > :nth-child({column})").all_inner_texts()
    return [text.replace("\u00a0", " ") for text in shown]


def test_tables_sort_by_keyboard_numbers_by_value_undefined_last(
    browser: Any, tmp_path: Path
) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        table = shown.page.get_by_role("table", name="Numbers")
        head = table.get_by_role("columnheader", name="Number")
        head.get_by_role("button").focus()
        shown.page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert cells(table, 2) == list(SORTED)
        shown.page.keyboard.press("Space")
        assert head.get_attribute("aria-sort") == "descending"
        assert cells(table, 2) == [*SORTED[9::-1], "not estimable (n=0)", "–"]
        shown.page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") is None
        assert cells(table, 2) == list(CELLS)
        # As text, and one column at a time.
        head.get_by_role("button").click()
        words = table.get_by_role("columnheader", name="Text")
        words.get_by_role("button").click()
        assert cells(table, 3) == [f"text {i}" for i in range(12)]
        assert table.locator("[aria-sort]").count() == 1
        assert shown.events == []


def test_long_tables_filter_by_keyboard_and_count(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        page, table = shown.page, shown.page.get_by_role("table", name="Numbers")
        field = table.get_by_role("searchbox", name="Filter the table “Numbers”")
        field.focus()
        page.keyboard.type("NOT estimable")
        assert cells(table, 1) == ["row 1"]
        assert table.locator("output").inner_text() == "1 of 12 rows"
        page.keyboard.press("Control+a")
        page.keyboard.type("12.5 % (1.0 to")
        assert cells(table, 1) == ["row 0"]
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        assert len(cells(table, 1)) == 12
        assert table.locator("output").inner_text() == "12 rows"
        assert shown.events == []


def test_short_tables_have_no_filter_and_names_stay(browser: Any, tmp_path: Path) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        page = shown.page
        for table in page.locator("table").all():
            rows = table.locator("tbody tr").count()
            assert table.locator("input").count() == (rows >= 12)
            assert table.locator("thead button").count() == (
                table.locator("thead th").count() if rows >= 3 else 0
            )
        assert page.get_by_role("table", name="Numbers", exact=True).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_live_charts_wear_the_colours_of_the_drawn_ones(
    browser: Any, tmp_path: Path, scheme: str
) -> None:
    with opened(browser, tmp_path, page_of("interactive"), color_scheme=scheme) as shown:
        shown.awaken()
        seen = """svgs => svgs.flatMap(svg => [...svg.querySelectorAll("path, line, text")]
          .map(element => getComputedStyle(element).fill))"""
        drawn = set(shown.page.eval_on_selector_all(".panel > svg.chart", seen))
        now = set(shown.page.eval_on_selector_all(".live svg.chart", seen))
        # Vega draws empty backgrounds too; nothing has a colour that the drawn charts lack.
        assert now - {"rgb(0, 0, 0)", "rgba(0, 0, 0, 0)"} <= drawn
