"""Runs and pages made once for the whole folder: drawing charts is what takes time."""

from __future__ import annotations

import pytest

from audit.report.render import render_html
from tests.report.synthetic import Run, make


@pytest.fixture(scope="session")
def quiet() -> Run:
    """A run with ordinary names, whose private arm is consistent."""
    return make(seed=1, hostile=False)


@pytest.fixture(scope="session")
def hostile() -> Run:
    """A run whose main grouping and its subgroups are named by an attacker."""
    return make(seed=1)


@pytest.fixture(scope="session")
def quiet_page(quiet: Run) -> str:
    """The default report without scripts."""
    return render_html(quiet.document(), static=True)


@pytest.fixture(scope="session")
def hostile_page(hostile: Run) -> str:
    return render_html(hostile.document(full_subgroups=True), static=True)


@pytest.fixture(scope="session")
def hostile_live_page(hostile: Run) -> str:
    """The same with scripts, as it is written by default."""
    return render_html(hostile.document(full_subgroups=True))
