"""A page in a real browser, and everything it did that a report must not do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

CHROMIUM = Path(shutil.which("chromium") or "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# CI sets this: there a missing Chromium is a failure, not a skip.
REQUIRED = bool(os.environ.get("AUDIT_REQUIRE_BROWSER"))
needs_browser = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and not REQUIRED, reason=f"{CHROMIUM} is not installed"
    ),
]


class Opened(NamedTuple):
    """An open page; ``events``: dialogs, messages, errors, requests and breaches of the policy."""

    page: Any
    events: list[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.context.close()

    def awaken(self) -> None:
        """Scroll past every chart and wait until each has become a Vega view."""
        self.page.evaluate(
            """async () => {
              for (const panel of document.querySelectorAll(".panel")) {
                panel.scrollIntoView({ block: "center" });
                await new Promise(requestAnimationFrame);
              }
            }"""
        )
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.panel')].every(p => p.matches('.is-live'))"
        )
        self.page.evaluate("scrollTo(0, 0)")


def opened(browser: Any, tmp_path: Path, html: str, **context: Any) -> Opened:
    """``html`` as a file, opened in a fresh profile, which is closed at the end of ``with``."""
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
    # What the policy stops is announced as a request, but never leaves the browser; an image that
    # is part of the page's text is announced too.
    stopped = {f"request {url}" for url, why in blocked if why == "csp"}
    known = {*stopped, f"request {file.as_uri()}"}
    events[:] = [e for e in events if e not in known and not e.startswith("request data:image/png")]
    return Opened(page, events)
