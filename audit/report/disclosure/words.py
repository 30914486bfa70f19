"""What the public profile says in the place of what it withholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.blocks import TEXT, table
from audit.report.disclosure.suppression import FEWEST
from audit.report.words import Json, count, counted, name

WITHHELD = "withheld"
RULE = (
    f"fewer than {FEWEST} training examples, or 1 to {FEWEST - 1} test examples, or kept back so "
    "that no such count can be found by subtraction"
)
NOTE = f" Withheld in this profile: {RULE}."
REVEALS_PUBLIC = (
    "This is the public profile: it names no example, withholds subgroups of fewer than "
    f"{FEWEST} examples and others by which these could be found, and rounds. It is not "
    "differentially private: who knows much of the data can still learn something from it."
)

Withheld = Mapping[str, Sequence[str]]


def withheld_rows(withheld: Withheld, grouping: str, columns: int) -> list[list[str]]:
    """A row for each withheld subgroup of a grouping: its name, and "withheld" in every cell."""
    return [[name(g), *[WITHHELD] * (columns - 1)] for g in withheld.get(grouping, ())]


def withheld_note(withheld: Withheld, grouping: str) -> str:
    """The rule, where it applies; to be put at the end of a table's note."""
    return NOTE if withheld.get(grouping) else ""


def not_drawn(withheld: Withheld, grouping: str, also: str = "") -> str:
    """How many subgroups a picture lacks because they are withheld; to end a caption with."""
    n = len(withheld.get(grouping, ()))
    return f" Withheld and not drawn: {counted(n, 'subgroup')}{also}." if n else ""


def withheld_table(withheld: Withheld) -> Json:
    """How many subgroups of each grouping are withheld, and which."""
    rows = [
        [name(grouping), count(len(names)), "; ".join(name(n) for n in names)]
        for grouping, names in withheld.items()
    ]
    columns = [("Grouping", TEXT), ("Withheld", TEXT), ("Subgroups", TEXT)]
    return table("Subgroups withheld in this profile", columns, rows, f"{RULE.capitalize()}.")


def unless_withheld(entry: Mapping[str, Any], key: str, shown: str) -> str:
    """``shown``, or "withheld" where ``key`` was taken out of an entry of summary.json.

    Such an entry lists under ``withheld`` what was taken out: null alone would read as "not
    estimable".
    """
    return WITHHELD if key in entry.get("withheld", ()) else shown
