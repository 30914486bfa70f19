"""Where the files that ship with the package lie: templates and study configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from audit.errors import AuditError

Kind = Literal["templates", "configs"]

# In the wheel the folders lie inside the package (pyproject.toml, force-include); in an editable
# checkout at the top of the repository, where people look for them.
_IN_WHEEL: dict[Kind, str] = {"templates": "_templates", "configs": "_configs"}
_IN_CHECKOUT: dict[Kind, str] = {"templates": "reports/templates", "configs": "configs"}


def resource_dir(kind: Kind, *, package: Path | None = None) -> Path:
    """The folder that holds ``kind``; ``package`` is the folder of ``audit`` (for tests).

    Raises ``AuditError`` naming both places if neither is there: the installation is damaged.
    """
    package = Path(__file__).resolve().parent if package is None else package
    places = (package / _IN_WHEEL[kind], package.parent / _IN_CHECKOUT[kind])
    for place in places:
        if place.is_dir():
            return place
    raise AuditError(
        f"{kind} = missing: expected in {places[0]} (installed) or {places[1]} (checkout). "
        "Install the package again."
    )
