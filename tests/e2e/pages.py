"""The pages that browser tests look at, each rendered once: drawing charts is what takes time."""

from __future__ import annotations

from functools import cache
from typing import Any

from audit.report.blocks import NUMBER, TEXT, table
from audit.report.render import render_html
from tests.report.furnished import furnished
from tests.report.synthetic import make

MODES = ("static", "interactive")
CELLS = (
    "12.5 % (1.0 to 99.0)", "not estimable (n=0)", "−1,297", "< 0.0001", "0.0001", "1e−08", "–",
    "1,000", "at least 12.5", "−0.5 (−3.0 to 2.0)", "under 1 %", "1 %",
)  # fmt: skip
SORTED = (
    "−1,297", "−0.5 (−3.0 to 2.0)", "1e−08", "< 0.0001", "0.0001", "under 1 %", "1 %",
    "12.5 % (1.0 to 99.0)",
    "at least 12.5", "1,000", "not estimable (n=0)", "–",
)  # fmt: skip


@cache
def _document(*, hostile: bool) -> dict[str, Any]:
    run = make(seed=1, hostile=hostile, epsilons=(2.0, 8.0) if hostile else (2.0,))
    contents = furnished(run.document(full_subgroups=hostile), hostile=hostile)
    rows = [[f"row {i}", cell, f"text {11 - i}"] for i, cell in enumerate(CELLS)]
    numbers = table("Numbers", [("Row", TEXT), ("Number", NUMBER), ("Text", TEXT)], rows)
    contents["sections"][-1]["blocks"].append(numbers)
    return contents


@cache
def first_page_of(mode: str, epsilons: tuple[float, ...]) -> str:
    """The first page of a report on private arms of these ε, and the second section."""
    contents = furnished(make(seed=1, hostile=False, epsilons=epsilons).document(), hostile=False)
    return render_html(contents | {"sections": contents["sections"][:1]}, static=mode == "static")


@cache
def page_of_four_arms() -> str:
    """The whole page of four private arms, without scripts."""
    run = make(seed=1, hostile=False, epsilons=(1.0, 2.0, 4.0, 8.0))
    return render_html(run.document(), static=True)


@cache
def page_of(mode: str, *, hostile: bool = False) -> str:
    """A furnished page; ``hostile``: every name and statement in it is an attack."""
    return render_html(_document(hostile=hostile), static=mode == "static")
