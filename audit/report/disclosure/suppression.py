"""Which subgroups the public profile withholds, so that no small count can be deduced. PURE.

Primary: a subgroup with few training or test examples. Secondary: further ones, the smallest that
help, until every withheld count is protected against subtraction (``attack``) in both tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int

from audit.report.disclosure.attack import Attack, Mask, secret
from audit.report.disclosure.relations import (
    Counts,
    Groups,
    closing_a_cycle,
    groups_of,
    relations,
)

FEWEST = 10
"""The public profile shows no group of fewer training or test examples."""


def withheld(
    subgroups: pd.DataFrame, examples: pd.DataFrame, fewest: int = FEWEST
) -> Mapping[str, tuple[str, ...]]:
    """Names of the subgroups to withhold, by grouping; groupings with none are absent.

    ``subgroups``, ``examples``: the tables of results/ (docs/run-directory.md).
    """
    groups = groups_of(subgroups, examples)
    if groups.table.empty:
        return {}
    mask = suppress(groups, fewest)
    names = groups.table["subgroup"].to_numpy()
    found = {g: tuple(map(str, names[r[mask[r]]])) for g in groups.groupings
             if len(r := groups.rows(g))}  # fmt: skip
    return {grouping: names for grouping, names in found.items() if names}


def open_counts(
    subgroups: pd.DataFrame, examples: pd.DataFrame, gone: Mapping[str, Sequence[str]]
) -> Mapping[str, int]:
    """By grouping of ``gone``, how many of its withheld counts the equations leave open.

    Of training or of test examples, whichever are fewer, as if all other groupings were published.
    """
    groups = groups_of(subgroups, examples)
    names, found = groups.table["subgroup"].to_numpy(), {}
    for column in ("n_train", "n_test"):
        counts = groups.table[column].to_numpy(np.int64)
        known = relations(groups, counts)
        for grouping, hidden in gone.items():
            rows = [r for r in groups.rows(grouping) if names[r] in hidden and counts[r] > 0]
            rank = np.linalg.matrix_rank(known.coefficients[:, rows]) if rows else 0
            left = len(rows) - int(rank)
            found[grouping] = min(left, found.get(grouping, left))
    return found


def suppress(groups: Groups, fewest: int = FEWEST) -> Mask:
    """The rows of ``groups.table`` to withhold.

    A subgroup is withheld from both tables if one of them requires it. Where nothing is left to
    withhold beside a count (a whole data set of fewer than ``fewest``), it stays as it is: nothing
    of its grouping is then published.
    """
    n_train, n_test = (groups.table[c].to_numpy(np.int64) for c in ("n_train", "n_test"))
    needed = primary(n_train, n_test, fewest) | closing_a_cycle(groups)
    mask, size = needed.copy(), n_train + n_test
    if not mask.any():
        return mask
    known = [Attack.on(relations(groups, counts), counts) for counts in (n_train, n_test)]
    while asked := _lone(known, mask, size, fewest) or _deducible(known, mask, size, fewest):
        mask[asked] = True
    largest_first = sorted(np.flatnonzero(mask & ~needed).tolist(), key=lambda row: -size[row])
    for row in largest_first:
        mask = _without(known, mask, row, size, fewest)
    return mask


def _without(known: list[Attack], mask: Mask, row: int, size: Counts, fewest: int) -> Mask:
    """``mask`` without ``row``, if later ones protect without it all that it was withheld for."""
    fewer = mask.copy()
    fewer[row] = False
    if _lone(known, fewer, size, fewest):
        return mask
    again = [attack.begun_again(mask, row) for attack in known]
    for attack, trial in zip(known, again, strict=True):
        before = None
        for cell in trial.exposed(fewer, fewest):
            before = set(attack.exposed(mask, fewest)) if before is None else before
            if cell not in before:
                return mask
    known[:] = again
    return fewer


def primary(n_train: Counts, n_test: Counts, fewest: int = FEWEST) -> Mask:
    """Too small to be shown. No test examples at all is no count of anyone, and is shown: readers
    have to know why such a subgroup has no accuracy."""
    return (n_train < fewest) | ((n_test > 0) & (n_test < fewest))


def _lone(known: list[Attack], mask: Mask, size: Counts, fewest: int) -> list[int]:
    """The published subgroup that best joins withheld sums of one subgroup, or too small ones.

    The smallest; one that joins several sums at once counts as that many times smaller.
    """
    helped: dict[int, int] = {}
    for attack in known:
        for beside in _asking(attack, mask, fewest):
            for row in beside:
                helped[row] = helped.get(row, 0) + 1
    if not helped:
        return []
    return [min(helped, key=lambda row: (size[row] / helped[row], size[row], row))]


def _asking(attack: Attack, mask: Mask, fewest: int) -> list[frozenset[int]]:
    """For each withheld sum of one subgroup, or too small a sum, the subgroups that could join it.

    An equation about the same withheld subgroups that others could join as well (the total, beside
    that of a margin) asks for nothing more.
    """
    table, counts = attack.relations, attack.counts
    hidden = secret(counts, mask)
    unknown = table.coefficients[:, hidden]
    one_sided = ~((unknown > 0).any(axis=1) & (unknown < 0).any(axis=1))
    members = (unknown != 0).sum(axis=1)
    small = np.abs(unknown @ counts[hidden]) < fewest
    asking: dict[bytes, list[frozenset[int]]] = {}
    for equation in np.flatnonzero(one_sided & ((members == 1) | ((members > 1) & small))):
        side = table.coefficients[equation] * np.sign(unknown[equation].sum())
        published = ~mask & (counts > 0)
        # Of its own grouping; of the other one where nothing is left of it.
        beside = np.flatnonzero(published & (side > 0))
        beside = beside if len(beside) else np.flatnonzero(published & (side < 0))
        beside = frozenset(beside.tolist())
        asking.setdefault((unknown[equation] != 0).tobytes(), []).append(beside)
    return [
        beside
        for group in asking.values()
        for beside in group
        if not any(other < beside for other in group)
    ]


def _beside(attack: Attack, mask: Mask, equations: Int[np.ndarray, " _"] | list[int]) -> list[int]:
    """Published subgroups with examples in any of ``equations``."""
    within = (attack.relations.coefficients[equations] != 0).any(axis=0)
    return np.flatnonzero(within & ~mask & (attack.counts > 0)).tolist()


def _deducible(known: list[Attack], mask: Mask, size: Counts, fewest: int) -> list[int]:
    """A published subgroup, the smallest, beside each count that can be deduced too well."""
    chosen: list[int] = []
    for attack in known:
        for cell in attack.exposed(mask, fewest):
            for equations in _growing(attack, mask, cell):
                beside = _beside(attack, mask, equations)
                if beside:
                    if not set(beside) & set(chosen):
                        chosen.append(min(beside, key=lambda row: (size[row], row)))
                    break
    return chosen


def _growing(attack: Attack, mask: Mask, cell: int) -> Iterator[Int[np.ndarray, " equations"]]:
    """The equations that ``cell`` is in, then those of the other secret counts in these, …"""
    touches = attack.relations.coefficients != 0
    hidden = secret(attack.counts, mask)
    cells = np.arange(len(mask)) == cell
    while True:
        equations = touches[:, cells].any(axis=1)
        yield np.flatnonzero(equations)
        grown = hidden & touches[equations].any(axis=0)
        if (grown == cells).all():
            return
        cells = grown
