"""For every test: shapes and types are checked, and cohorts train in its process."""

import os
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported: at the sizes of tests a second thread costs more than it gains, and on a
# busy machine threads that wait for each other cost many times that.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.checking import check_calls

check_calls("audit")

# In this order, before all others: each is minutes in one piece, and the last to begin is waited
# for.
LONGEST = (
    *("e2e/test_tutorial.py", "training/test_ray.py", "e2e/test_faults.py", "e2e/test_ray.py"),
    *("e2e/test_verify.py", "e2e/test_documented_commands.py", "e2e/test_notebook.py"),
    *("e2e/test_resume.py", "e2e/test_hostile.py", "e2e/test_controls.py", "test_elsewhere.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the order of tests within a file stays."""
    here = Path(__file__).parent
    place = {here / name: k for k, name in enumerate(LONGEST)}
    if gone := [path for path in place if not path.exists()]:
        raise pytest.UsageError(f"LONGEST names {gone[0]}, which is not there")
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session", autouse=True)
def _train_here() -> Iterator[None]:
    """One worker, which is this process: of the seconds that a small run takes in worker processes
    most are their imports. What they give bit for bit, and how they end, is tested with them."""
    with pytest.MonkeyPatch.context() as patch:
        _with_cores(patch, 1)
        yield


@pytest.fixture
def worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cohorts train in two worker processes, as in a user's run on two cores."""
    _with_cores(monkeypatch, 2)


def _with_cores(patch: pytest.MonkeyPatch, number: int) -> None:
    # What trains, and what the manifest says of it.
    for module in ("missing_cohorts", "manifest_entries", "resolve"):
        patch.setattr(f"audit.{module}.cores", lambda: number)
