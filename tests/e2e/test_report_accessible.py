"""No serious accessibility violation (axe-core), and contrast that is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.browsing import needs_browser, opened
from tests.e2e.pages import MODES, page_of

pytestmark = needs_browser

SERIOUS = ("serious", "critical")


def violations(page: Any) -> list[str]:
    """Serious and critical ones: rule and the elements it is about."""
    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {[node['html'][:200] for node in v['nodes'][:3]]}"
        for v in found
        if v["impact"] in SERIOUS
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, tmp_path: Path, scheme: str, mode: str) -> None:
    with opened(browser, tmp_path, page_of(mode), color_scheme=scheme) as shown:
        if mode == "interactive":
            shown.awaken()
            shown.page.locator("#exposed .live").first.focus()
            shown.page.keyboard.press("ArrowRight")
            shown.page.locator(".sort").first.click()
        assert violations(shown.page) == []


def test_control_axe_sees_what_is_serious(browser: Any, tmp_path: Path) -> None:
    spoiled = page_of("static").replace('scope="row"', 'role="oops"').replace(' lang="en"', "")
    with opened(browser, tmp_path, spoiled) as shown:
        assert any(v.startswith("html-has-lang") for v in violations(shown.page))


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
  const texts = 'p, li, th, td, h1, h2, h3, caption, figcaption, a, .verdict, .number, button';
  for (const e of document.querySelectorAll(texts))
    found.push(ratio(getComputedStyle(e).color, behind(e)));
  for (const t of document.querySelectorAll('svg.chart text')) {
    // A halo is paper on paper, under the label that is read.
    if (getComputedStyle(t).stroke !== 'none') continue;
    found.push(ratio(getComputedStyle(t).fill, behind(t)));
  }
  return Math.min(...found);
}"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_enough_contrast(browser: Any, tmp_path: Path, scheme: str, mode: str) -> None:
    """WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1, the text of the charts included."""
    with opened(browser, tmp_path, page_of(mode), color_scheme=scheme) as shown:
        if mode == "interactive":
            shown.awaken()
        assert shown.page.evaluate(_CONTRAST) >= 4.5
        paper = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
