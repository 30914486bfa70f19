"""The page in a real browser: nothing runs that should not, nothing loads, it fits any width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browsing import needs_browser, opened
from tests.e2e.pages import MODES, first_page_of, page_of, page_of_four_arms

# A4 and Letter less the margins of the style sheet's @page, at 96 units to the inch.
PAPERS = {"A4": (688, 1001), "Letter": (710, 935)}

pytestmark = needs_browser


@pytest.mark.parametrize("mode", MODES)
def test_hostile_names_run_nothing_and_load_nothing(
    browser: Any, tmp_path: Path, mode: str
) -> None:
    with opened(browser, tmp_path, page_of(mode, hostile=True)) as shown:
        if mode == "interactive":
            shown.awaken()
        assert shown.events == []
        page = shown.page
        assert page.locator("iframe, object, embed, link, [onerror], [onload]").count() == 0
        assert page.locator("img:not(.example img)").count() == 0
        own = page.locator("script:not([type='application/json'])").count()
        assert own == (2 if mode == "interactive" else 0)
        for section in ("#subgroups", "#furnished"):
            assert "</script><script>alert(1)</script>" in page.inner_text(section)
        assert '=HYPERLINK("https://example.org","click")' in page.inner_text("#furnished")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "planted",
    [
        "<script>alert(1)</script>",
        "<img src=https://example.org/x onerror=alert(2)>",
        '<p style="color:red">x</p>',
        "<style>p { color: red }</style>",
        '<link rel="stylesheet" href="https://example.org/x.css">',
    ],
)
def test_the_policy_stops_and_reports_what_escaping_would_miss(
    browser: Any, tmp_path: Path, planted: str, mode: str
) -> None:
    """Control: were a name ever written as markup, the page's policy blocks it, and we see it."""
    html = page_of(mode).replace("<footer>", f"{planted}<footer>")
    with opened(browser, tmp_path, html) as shown:
        assert any("Content Security Policy" in e for e in shown.events)
        assert not any(e.startswith(("dialog", "request")) for e in shown.events)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("width", [320, 768, 1200])
def test_the_page_never_scrolls_sideways(
    browser: Any, tmp_path: Path, width: int, mode: str
) -> None:
    size = {"width": width, "height": 800}
    with opened(browser, tmp_path, page_of(mode, hostile=True), viewport=size) as shown:
        if mode == "interactive":
            shown.awaken()
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        smallest = shown.page.evaluate(
            """() => Math.min(...[...document.querySelectorAll('svg.chart text')]
                 .filter(t => t.checkVisibility()).map(t => { const m = t.getScreenCTM();
                   return parseFloat(getComputedStyle(t).fontSize) * Math.hypot(m.a, m.b); }))"""
        )
        assert smallest >= 7.99


_TEXTS = """() => [...document.querySelectorAll(
  "h1, h2, h3, h4, main p:not(.offscreen), li, th, td, dt, dd, figcaption, svg.chart:not(.marks)")]
  .map(element => element.textContent)"""


def test_without_javascript_nothing_is_missing_but_interaction(
    browser: Any, tmp_path: Path
) -> None:
    html = page_of("interactive", hostile=True)
    with opened(browser, tmp_path, html, java_script_enabled=False) as shown:
        assert shown.events == []
        plain = shown.page.evaluate(_TEXTS)
        drawn = shown.page.locator("svg.chart:visible").count()
        assert shown.page.locator("button, input, output, .live").count() == 0
    with opened(browser, tmp_path, html) as shown:
        shown.awaken()
        assert shown.page.evaluate(_TEXTS) == plain
        assert shown.page.locator("svg.chart:visible").count() == drawn > 10
    with opened(browser, tmp_path, page_of("static", hostile=True)) as shown:
        assert shown.page.evaluate(_TEXTS) == plain


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("epsilons", [(2.0,), (1.0, 2.0, 4.0, 8.0)])
def test_the_summary_and_its_signatures_fit_one_printed_page(
    browser: Any, tmp_path: Path, epsilons: tuple[float, ...], paper: str, mode: str
) -> None:
    width, height = PAPERS[paper]
    size = {"width": width, "height": height}
    page = first_page_of(mode, epsilons)
    with opened(browser, tmp_path, page, viewport=size) as shown:
        shown.page.emulate_media(media="print")
        bottom = "document.getElementById('summary').getBoundingClientRect().bottom"
        assert shown.page.locator(".sign-off .not-stated").count() == 3
        assert shown.page.evaluate(bottom) <= height


@pytest.mark.parametrize("mode", MODES)
def test_it_prints(browser: Any, tmp_path: Path, mode: str) -> None:
    with opened(browser, tmp_path, page_of(mode)) as shown:
        if mode == "interactive":
            shown.awaken()
        for paper in PAPERS:
            printed = shown.page.pdf(format=paper)
            assert printed.startswith(b"%PDF")
            assert 5 <= printed.count(b"/Type /Page\n") <= 30


def test_paper_has_the_drawn_pictures_every_row_and_no_controls(
    browser: Any, tmp_path: Path
) -> None:
    with opened(browser, tmp_path, page_of("interactive")) as shown:
        shown.awaken()
        page = shown.page
        page.locator(".controls input").first.fill("nothing has these words")
        rows = page.locator("tbody tr").count()
        assert page.locator("tbody tr:visible").count() < rows
        page.emulate_media(media="print")
        assert page.locator("tbody tr:visible").count() == rows
        assert page.locator(".controls:visible, .live:visible").count() == 0
        charts = page.locator(".panel").count()
        assert page.locator(".panel > svg.chart:visible").count() == charts
        # Chromium repeats a table's heads on every page only if no button is in them.
        boxes = page.eval_on_selector_all(
            ".sort", "all => all.map(b => getComputedStyle(b).display)"
        )
        assert set(boxes) == {"contents"}


@pytest.mark.parametrize("hostile", [False, True])
def test_nothing_is_wider_than_the_paper(browser: Any, tmp_path: Path, hostile: bool) -> None:
    """Of a page that is, the browser makes every letter smaller, or cuts it off."""
    for html in [page_of("static", hostile=True)] if hostile else [page_of_four_arms()]:
        width, height = PAPERS["A4"]
        size = {"width": width, "height": height}
        with opened(browser, tmp_path, html, viewport=size) as shown:
            shown.page.emulate_media(media="print")
            assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
