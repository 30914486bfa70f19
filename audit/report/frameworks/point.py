"""A point of a framework, and where this report answers it."""

from __future__ import annotations

from dataclasses import dataclass

OUTSIDE = "outside this audit"


@dataclass(frozen=True)
class Point:
    """One point: its number, what it asks (a paraphrase), and what answers it here.

    ``sections``: by id, those with numbers or facts of the tool. ``fields``: by id, what only
    people can state. ``beyond``: the part of the point that no report of this kind answers; a
    point that nothing here answers is outside altogether.
    """

    point: str
    asks: str
    sections: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    beyond: str = ""

    @property
    def left_open(self) -> str:
        """What stays open however much is stated; empty where the point can be answered."""
        return self.beyond if self.sections or self.fields else self.beyond or OUTSIDE


@dataclass(frozen=True)
class Framework:
    """``ident``: the anchor of its table. ``note``: how its points are numbered here."""

    name: str
    ident: str
    points: tuple[Point, ...]
    note: str
