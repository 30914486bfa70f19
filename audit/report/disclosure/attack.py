"""What can be deduced of withheld counts from those that are published. PURE.

The attacker knows every published count exactly (it is also rounded in print), every equation of
``relations``, which subgroups have no examples, and that counts are whole numbers and not
negative. What he can deduce of a withheld count is then the interval of its values over all tables
that fit (Willenborg & de Waal 2001, §5; exact, by integer programming).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from audit.report.disclosure.relations import Counts, Relations

Mask = Bool[np.ndarray, " subgroups"]

# Arithmetic modulo a prime decides whether rows are dependent; products stay below 2⁶³.
_PRIME = 2**31 - 1
# HiGHS meets constraints to within 1e-7.
_WHOLE = 1e-5


def secret(counts: Counts, withheld: Mask) -> Mask:
    """Which counts an attacker does not know: the withheld ones that are not 0."""
    return withheld & (counts > 0)


@dataclass(frozen=True)
class Attack:
    """One table under attack. ``low``, ``high``: values that each count was seen to have in some
    table that fits what is published; they only widen as more is withheld."""

    relations: Relations
    counts: Counts
    low: Counts
    high: Counts

    @classmethod
    def on(cls, relations: Relations, counts: Counts) -> Attack:
        return cls(relations, counts, counts.copy(), counts.copy())

    def exposed(self, withheld: Mask, fewest: int) -> Iterator[int]:
        """Withheld subgroups whose count can be deduced too well: that is not ``protected``.

        ``withheld`` must hold all that was withheld when this attack was asked before.
        """
        for part in _parts(self.relations, self.counts, secret(self.counts, withheld)):
            for goal in _goals(len(part.cells)):
                if self._protected(fewest)[part.cells].all():
                    break
                self._widen(part, goal)
            for cell, goal in zip(part.cells, np.eye(len(part.cells)), strict=True):
                for direction in (1, -1):
                    if not self._protected(fewest)[cell]:
                        self._widen(part, direction * goal)
                if not self._protected(fewest)[cell]:
                    yield int(cell)

    def begun_again(self, withheld: Mask, cell: int) -> Attack:
        """The same attack with nothing known of the counts that hang together with ``cell``: to
        ask what follows if it were published after all."""
        low, high = self.low.copy(), self.high.copy()
        for part in _parts(self.relations, self.counts, secret(self.counts, withheld)):
            if cell in part.cells:
                low[part.cells] = high[part.cells] = self.counts[part.cells]
        return Attack(self.relations, self.counts, low, high)

    def deduced(self, withheld: Mask) -> tuple[Counts, Counts]:
        """The least and the largest value of every count; one point where it is published."""
        for part in _parts(self.relations, self.counts, secret(self.counts, withheld)):
            for goal in np.eye(len(part.cells)):
                self._widen(part, goal)
                self._widen(part, -goal)
        return self.low, self.high

    def _protected(self, fewest: int) -> Mask:
        """Values below and above the true one, at least ``fewest`` from end to end, and room for a
        group of ``fewest``."""
        around = (self.low < self.counts) & (self.counts < self.high)
        return around & (self.high - self.low >= fewest) & (self.high >= fewest)

    def _widen(self, part: _Part, goal: Float64[np.ndarray, " cells"]) -> None:
        for table in part.extremes(goal):
            self.low[part.cells] = np.minimum(self.low[part.cells], table)
            self.high[part.cells] = np.maximum(self.high[part.cells], table)


def _goals(cells: int) -> Iterator[Float64[np.ndarray, " cells"]]:
    """Directions that move many counts at once, any two of them apart in one: bits of indices."""
    for bit in range(cells.bit_length()):
        signs = 1.0 - 2.0 * (np.arange(1, cells + 1) >> bit & 1)
        yield signs
        yield -signs


@dataclass(frozen=True)
class _Part:
    """Unknown counts that hang together: ``left`` · counts[cells] = ``right``."""

    cells: Int[np.ndarray, " cells"]
    left: Int[np.ndarray, "equations cells"]
    right: Int[np.ndarray, " equations"]
    most: int

    def extremes(self, goal: Float64[np.ndarray, " cells"]) -> Iterator[Counts]:
        """Tables that fit, among them one in which goal · counts is as large as it can be."""
        if len(self.left) == 1 and len(self.cells) > 1 and (self.left == self.left[0, 0]).all():
            # One sum of several counts: each lies between 0 and the sum.
            yield np.zeros_like(self.cells)
            yield np.full_like(self.cells, abs(self.right[0]))
            return
        found = self._solved(goal, whole=False)
        if np.abs(found - np.rint(found)).max() > _WHOLE:
            # Most of these systems are networks, whose corners are whole numbers; this one is not.
            found = self._solved(goal, whole=True)
        yield np.rint(found).astype(np.int64)

    def _solved(self, goal: Float64[np.ndarray, " cells"], *, whole: bool) -> np.ndarray:
        found = milp(
            -goal,
            constraints=LinearConstraint(
                self.left.astype(float),
                self.right,  # pyright: ignore[reportArgumentType]  (scipy takes arrays)
                self.right,  # pyright: ignore[reportArgumentType]
            ),
            integrality=np.full(len(self.cells), int(whole)),
            bounds=Bounds(0, self.most),
        )
        if not found.success:
            raise RuntimeError(f"the counts of subgroups contradict each other: {found.message}")
        return found.x


def _parts(relations: Relations, counts: Counts, hidden: Mask) -> Iterator[_Part]:
    cells = np.flatnonzero(hidden)
    if not len(cells):
        return
    left = relations.coefficients[:, cells]
    known = relations.coefficients[:, ~hidden] @ counts[~hidden]
    both = np.unique(np.column_stack([left, relations.totals - known]), axis=0)
    left, right = both[:, :-1], both[:, -1]
    kept = _independent(left)
    left, right = left[kept], right[kept]
    joined = csr_array(np.block([
        [np.zeros((len(cells),) * 2, dtype=np.int8), (left != 0).T],
        [left != 0, np.zeros((len(left),) * 2, dtype=np.int8)],
    ]))  # fmt: skip
    _, label = connected_components(joined, directed=False)
    for part in np.unique(label[: len(cells)]):
        own, equations = label[: len(cells)] == part, label[len(cells) :] == part
        most = int(counts[cells].sum() + np.abs(relations.totals).max())
        yield _Part(cells[own], left[equations][:, own], right[equations], most)


def _independent(rows: Int[np.ndarray, "equations cells"]) -> Int[np.ndarray, " kept"]:
    """Rows of which none follows from others, the shortest first: sums of others fall away, and
    what does not hang together comes apart."""
    order = np.argsort((rows != 0).sum(axis=1), kind="stable")
    basis: list[tuple[int, np.ndarray]] = []
    kept = []
    for i in order:
        row = rows[i] % _PRIME
        for pivot, other in basis:
            if row[pivot]:
                row = (row - row[pivot] * other) % _PRIME
        if row.any():
            pivot = int(np.flatnonzero(row)[0])
            basis.append((pivot, row * pow(int(row[pivot]), -1, _PRIME) % _PRIME))
            kept.append(i)
    return np.array(kept, dtype=np.int64)
