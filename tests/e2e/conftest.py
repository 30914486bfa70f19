"""Whole runs of the command, and the browser that looks at what they made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api

from tests.e2e.browsing import CHROMIUM, FLAGS
from tests.e2e.command import Finished, audit_process

SMALL = """
data = "digits"
models = 12
cohort_size = 2
clusters_per_class = 2
[standard]
epochs = 4
[dp]
epochs = 4
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the tests of a module (Playwright runs once at a time in a process); each
    opens its page in a profile of its own."""
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def small_config(tmp_path: Path) -> Path:
    """A config of six short cohorts per arm: seconds, yet every step of the way."""
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def default_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """`audit run --epsilon 2`, as the README says, once for all tests that look at it."""
    folder = tmp_path_factory.mktemp("default")
    done = audit_process("run", "--epsilon", "2", cwd=folder)
    runs = list((folder / "runs").iterdir())
    assert len(runs) == 1, done
    return runs[0], done
