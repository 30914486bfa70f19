"""Lower bounds of the dependencies against recorded advisories (golden/advisories.toml)."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

_ROOT = Path(__file__).parent.parent
_ADVISORIES = tomllib.loads((_ROOT / "tests/golden/advisories.toml").read_text())["advisory"]


def bounds() -> dict[str, Version]:
    """The lowest version that pyproject.toml admits, by package."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        listed += extra
    lowest: dict[str, Version] = {}
    for text in listed:
        wanted = Requirement(text)
        floors = [Version(s.version) for s in wanted.specifier if s.operator in (">=", "==")]
        if floors:
            lowest[wanted.name] = min(max(floors), lowest.get(wanted.name, max(floors)))
    return lowest


@pytest.mark.parametrize("advisory", _ADVISORIES, ids=lambda one: one["id"])
def test_no_bound_admits_a_version_with_a_known_hole(advisory: dict[str, str]):
    package = advisory["package"]
    assert package in bounds(), f"{package} is no dependency any more: drop {advisory['id']}"
    if not advisory.get("reached", True):
        assert advisory["about"]
        return
    assert bounds()[package] >= Version(advisory["fixed"])
    try:
        installed = Version(version(package))
    except PackageNotFoundError:
        return
    assert installed >= Version(advisory["fixed"])


def test_every_runtime_dependency_has_a_lower_bound():
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        assert Requirement(text).name in bounds(), text
