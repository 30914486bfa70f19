"""The page in a real browser: hostile names run nothing, nothing is loaded, it fits a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api

from audit.report.render import render_html
from tests.report.synthetic import make

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# A4 less the margins of the style sheet's @page, at 96 units to the inch.
PRINT_WIDTH, PRINT_HEIGHT = 688, 994

# CI sets this: there a missing Chromium is a failure, not a skip.
REQUIRED = bool(os.environ.get("AUDIT_REQUIRE_BROWSER"))
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not REQUIRED, reason=f"{CHROMIUM} is not installed"
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def hostile_html() -> str:
    return render_html(make(seed=1, epsilons=(2.0, 8.0)).document(full_subgroups=True))


@pytest.fixture(scope="module")
def quiet_html() -> str:
    return render_html(make(seed=1, hostile=False).document())


def opened(browser: Any, tmp_path: Path, html: str, **context: Any) -> tuple[Any, list[str]]:
    """A fresh profile with the page open, and everything it did that a report must not do."""
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    page = browser.new_context(**context).new_page()
    events: list[str] = []
    blocked: list[tuple[str, str]] = []

    def on_dialog(dialog: Any) -> None:
        events.append(f"dialog {dialog.message}")
        dialog.dismiss()

    page.on("dialog", on_dialog)
    page.on("console", lambda message: events.append(f"console {message.text}"))
    page.on("pageerror", lambda error: events.append(f"error {error}"))
    page.on("request", lambda request: events.append(f"request {request.url}"))
    page.on("requestfailed", lambda request: blocked.append((request.url, request.failure)))
    page.goto(file.as_uri())
    page.wait_for_timeout(200)
    # What the policy stops is announced as a request, but never leaves the browser.
    stopped = {f"request {url}" for url, why in blocked if why == "csp"}
    events = [e for e in events if e not in {*stopped, f"request {file.as_uri()}"}]
    return page, events


def test_hostile_names_run_nothing_and_load_nothing(
    browser: Any, tmp_path: Path, hostile_html: str
) -> None:
    page, events = opened(browser, tmp_path, hostile_html)
    assert events == []
    assert page.locator("script, img, iframe, [onerror], [onload]").count() == 0
    assert "</script><script>alert(1)</script>" in page.inner_text("#subgroups")
    page.context.close()


@pytest.mark.parametrize(
    "planted",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(2)>",
        '<p style="color:red">x</p>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
    ],
)
def test_the_policy_stops_and_reports_what_escaping_would_miss(
    browser: Any, tmp_path: Path, quiet_html: str, planted: str
) -> None:
    """Control: were a name ever written as markup, the page's policy blocks it, and we see it."""
    page, events = opened(browser, tmp_path, quiet_html.replace("<footer>", f"{planted}<footer>"))
    assert any("Content Security Policy" in e for e in events)
    assert not any(e.startswith(("dialog", "request")) for e in events)
    page.context.close()


@pytest.mark.parametrize("width", [320, 768, 1200])
def test_the_page_never_scrolls_sideways(
    browser: Any, tmp_path: Path, hostile_html: str, width: int
) -> None:
    page, _ = opened(browser, tmp_path, hostile_html, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    smallest = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll('svg.chart text')].map(t =>
             parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a || 99))"""
    )
    assert smallest == 99 or smallest >= 8.0
    page.context.close()


_CONTRAST = """() => {
  const rgb = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const part = v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const light = c => { const [r, g, b] = rgb(c).map(part); return .2126*r + .7152*g + .0722*b; };
  const behind = e => { for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor; if (c !== 'rgba(0, 0, 0, 0)') return c; }
    return 'rgb(255, 255, 255)'; };
  const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + .05) / (y + .05); };
  const found = [];
  const texts = 'p, li, th, td, h1, h2, h3, caption, figcaption, a, .verdict';
  for (const e of document.querySelectorAll(texts))
    found.push(ratio(getComputedStyle(e).color, behind(e)));
  for (const t of document.querySelectorAll('svg.chart text'))
    found.push(ratio(getComputedStyle(t).fill, behind(t)));
  return Math.min(...found);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(
    browser: Any, tmp_path: Path, quiet_html: str, scheme: str
) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1, the text of the charts included."""
    page, _ = opened(browser, tmp_path, quiet_html, color_scheme=scheme)
    assert page.evaluate(_CONTRAST) >= 4.5
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    page.context.close()


def test_the_summary_fits_one_printed_page(browser: Any, tmp_path: Path, quiet_html: str) -> None:
    size = {"width": PRINT_WIDTH, "height": PRINT_HEIGHT}
    page, _ = opened(browser, tmp_path, quiet_html, viewport=size)
    page.emulate_media(media="print")
    bottom = page.evaluate("document.getElementById('summary').getBoundingClientRect().bottom")
    assert bottom <= PRINT_HEIGHT
    page.context.close()


def test_it_prints(browser: Any, tmp_path: Path, quiet_html: str) -> None:
    page, _ = opened(browser, tmp_path, quiet_html)
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert 5 <= printed.count(b"/Type /Page\n") <= 25
    page.context.close()
