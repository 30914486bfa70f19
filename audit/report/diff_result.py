"""The shape of a change between two reports. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from audit.report.words import Json

Section = Literal["about", "claims", "verdicts", "numbers", "subgroups", "fields"]
Kind = Literal["worse", "gone", "new", "better", "changed"]

TITLES: dict[Section, str] = {
    "about": "What the reports are about",
    "claims": "Claims",
    "verdicts": "Verdicts",
    "numbers": "Numbers",
    "subgroups": "Subgroups",
    "fields": "Attested fields",
}
SECTIONS = tuple(TITLES)
_KINDS: tuple[Kind, ...] = ("worse", "gone", "new", "better", "changed")


@dataclass(frozen=True)
class Change:
    """One change. ``what``, ``old``, ``new``, ``note`` are fit to be shown; None: there is none.

    ``numbers``: of a difference of estimates, for programs.
    """

    section: Section
    what: str
    kind: Kind
    old: str | None = None
    new: str | None = None
    note: str = ""
    numbers: Json | None = None

    @property
    def rank(self) -> int:
        """0 for the gravest kind."""
        return _KINDS.index(self.kind)

    def to_json(self) -> Json:
        """As plain JSON."""
        return dict(vars(self))


def sided(worse: bool) -> Kind:
    """*worse* or *better*."""
    return "worse" if worse else "better"
