"""Templates and configurations are found in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

import audit
from audit.errors import AuditError
from audit.report.render import STYLE, TEMPLATE
from audit.resources import resource_dir


def test_this_installation_has_its_templates() -> None:
    folder = resource_dir("templates")
    assert (folder / TEMPLATE).is_file()
    assert (folder / STYLE).is_file()


@pytest.mark.parametrize("kind", ["templates", "configs"])
def test_checkout(tmp_path: Path, kind: str) -> None:
    place = tmp_path / {"templates": "reports/templates", "configs": "configs"}[kind]
    place.mkdir(parents=True)
    (tmp_path / "audit").mkdir()
    assert resource_dir(kind, package=tmp_path / "audit") == place  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", ["templates", "configs"])
def test_wheel_comes_first(tmp_path: Path, kind: str) -> None:
    inside = tmp_path / "audit" / f"_{kind}"
    inside.mkdir(parents=True)
    (tmp_path / "configs").mkdir()  # a stranger's folder beside the installed package
    assert resource_dir(kind, package=tmp_path / "audit") == inside  # pyright: ignore[reportArgumentType]


def test_a_damaged_installation_is_one_line_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="Install the package again") as caught:
        resource_dir("templates", package=tmp_path / "audit")
    assert "\n" not in str(caught.value)


def test_the_wheel_is_told_to_carry_both_folders() -> None:
    project = Path(audit.__file__).resolve().parents[1] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("not a checkout: pyproject.toml is not beside the package")
    text = project.read_text(encoding="utf-8")
    assert '"reports/templates" = "audit/_templates"' in text
    assert '"configs" = "audit/_configs"' in text
