"""What can be deduced of withheld counts, by trying every table of joint cells.

For tiny tables only. It knows nothing of equations between groupings: it fills the joint cells with
every whole number that fits the published counts, and looks at what the withheld ones can be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Member = Sequence[int]
"""The subgroup of each joint cell, in one grouping."""


def possible_counts(
    joint: Sequence[int], groupings: Sequence[Member], published: Sequence[set[int]]
) -> list[list[set[int]]]:
    """Every value that each count can have, by grouping and subgroup.

    ``joint``: the true counts of the joint cells. ``published``: by grouping the subgroups whose
    count is published. The total is known, and so is which subgroups are empty.
    """
    true = [_sums(joint, member) for member in groupings]
    found: list[list[set[int]]] = [[set() for _ in sums] for sums in true]
    known = [
        {g: n for g, n in enumerate(sums) if g in shown or n == 0}
        for sums, shown in zip(true, published, strict=True)
    ]
    for table in _tables([], sum(joint), groupings, known, len(joint)):
        for values, member in zip(found, groupings, strict=True):
            for value, n in zip(values, _sums(table, member), strict=True):
                value.add(n)
    return found


def _sums(table: Sequence[int], member: Member) -> list[int]:
    sums = [0] * (max(member) + 1)
    for n, g in zip(table, member, strict=True):
        sums[g] += n
    return sums


def _tables(
    begun: list[int],
    left: int,
    groupings: Sequence[Member],
    known: Sequence[dict[int, int]],
    cells: int,
) -> Iterator[list[int]]:
    """All tables that begin with ``begun`` and fit; ``left`` examples are still to be placed."""
    if len(begun) == cells:
        if left == 0 and all(not any(k.values()) for k in known):
            yield begun
        return
    cell = len(begun)
    room = [k[m[cell]] for k, m in zip(known, groupings, strict=True) if m[cell] in k]
    for n in range(min([left, *room]) + 1):
        rest = [
            {g: v - (n if g == m[cell] else 0) for g, v in k.items()}
            for k, m in zip(known, groupings, strict=True)
        ]
        closed = all(
            v == 0 or any(m[later] == g for later in range(cell + 1, cells))
            for k, m in zip(rest, groupings, strict=True)
            for g, v in k.items()
        )
        if closed:
            yield from _tables([*begun, n], left - n, groupings, rest, cells)
