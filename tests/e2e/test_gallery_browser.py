"""Galleries in a real browser: pictures are drawn, hostile values run nothing, phones can read."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from audit.report.document import document
from audit.report.gallery import wanted
from audit.report.inputs import ReportOptions
from audit.report.render import render_html
from tests.e2e.browsing import needs_browser, opened
from tests.report.synthetic import HOSTILE, make

pytestmark = needs_browser


def page_with(png: str | None, cells: list[list[str]]) -> str:
    run = make(seed=1)
    run.examples["label"] = HOSTILE[0]
    chosen = wanted(run.inputs())
    one = {"png": png, "width": 96, "height": 96, "cells": cells, "label": HOSTILE[1]}
    gallery = {
        "how": "As they are.",
        "train": dict.fromkeys(chosen.train, one),
        "test": dict.fromkeys(chosen.test, one),
    }
    contents = document(run.inputs(gallery=gallery), ReportOptions(examples=True))
    return render_html(contents, static=True)


@pytest.fixture(scope="module")
def pictures() -> str:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((96, 96)).save(buffer, format="PNG")
    return page_with(base64.b64encode(buffer.getvalue()).decode(), [])


@pytest.fixture(scope="module")
def rows() -> str:
    cells = [[text, text] for text in (*HOSTILE, "=HYPERLINK(1)", "y" * 5000)]
    return page_with(None, cells)


def test_every_picture_is_drawn_under_the_policy(
    browser: Any, tmp_path: Path, pictures: str
) -> None:
    page, events = opened(browser, tmp_path, pictures)
    # A picture inside the page is announced as a request, and leaves the browser no more than it.
    assert [e for e in events if not e.startswith("request data:image/png;base64,")] == []
    drawn = page.evaluate(
        "[...document.querySelectorAll('.gallery img')].map(i => [i.complete, i.naturalWidth])"
    )
    assert len(drawn) == 16 + 16 + 16 + 2 * 12
    assert {tuple(each) for each in drawn} == {(True, 96)}
    page.context.close()


def test_a_picture_from_elsewhere_is_stopped(browser: Any, tmp_path: Path, pictures: str) -> None:
    """Control: the policy lets in what the page holds, and nothing else."""
    planted = '<img src="https://example.org/x.png" alt="">'
    page, events = opened(browser, tmp_path, pictures.replace("<footer>", f"{planted}<footer>"))
    assert any("Content Security Policy" in e for e in events)
    assert not any("request https" in e for e in events)
    page.context.close()


def test_hostile_rows_run_nothing(browser: Any, tmp_path: Path, rows: str) -> None:
    page, events = opened(browser, tmp_path, rows)
    assert events == []
    assert page.locator("script, img, iframe, [onerror], [onload]").count() == 0
    assert "</script><script>alert(1)</script>" in page.inner_text("#memorization .gallery")
    page.context.close()


@pytest.mark.parametrize("width", [320, 768, 1200])
@pytest.mark.parametrize("kind", ["pictures", "rows"])
def test_galleries_fit_the_screen(
    browser: Any, tmp_path: Path, request: pytest.FixtureRequest, width: int, kind: str
) -> None:
    html = request.getfixturevalue(kind)
    page, _ = opened(browser, tmp_path, html, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # No card lets its contents out, and none lies over another.
    outside = page.evaluate(
        """() => [...document.querySelectorAll('.gallery li')].filter(li => {
             const own = li.getBoundingClientRect();
             return [...li.querySelectorAll('*')].some(e =>
               e.getBoundingClientRect().right > own.right + 1 ||
               e.getBoundingClientRect().bottom > own.bottom + 1);
           }).length"""
    )
    assert outside == 0
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_captions_can_be_read(browser: Any, tmp_path: Path, rows: str, scheme: str) -> None:
    """WCAG 2.2, success criterion 1.4.3, on the cards' own ground."""
    page, _ = opened(browser, tmp_path, rows, color_scheme=scheme)
    pairs = page.evaluate(
        """() => [...document.querySelectorAll('.gallery li :is(h4, p, dt, dd)')].map(e =>
             [getComputedStyle(e).color, getComputedStyle(e.closest('li')).backgroundColor])"""
    )

    def light(colour: str) -> float:
        parts = [int(x) / 255 for x in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for text, ground in {tuple(pair) for pair in pairs}:
        low, high = sorted((light(text), light(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5
    page.context.close()
