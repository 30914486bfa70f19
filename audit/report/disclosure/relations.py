"""What everyone knows about the counts of subgroups: which of them add up to which others. PURE.

Every grouping divides the same examples, so its counts add up to the total. Two groupings that
share something (a crossing and its columns, a style and its class, two crossings of a common
column) add up to the same within each part they share. All of these are equations

    Σ counts of some subgroups of A = Σ counts of some subgroups of B,

one for each connected component of the graph that joins a subgroup of A with a subgroup of B
wherever an example is in both. Joint cells of groupings are no unknowns of their own: as long as
no crossings close a cycle (``closing_a_cycle``), every table that satisfies these equations has
joint cells to go with it (Vorob'ev 1962; for two columns: any two margins with the same total fit
together), so that joint cells say nothing more about a count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

CROSS = "×"
_CROSSING = "crossing"
Counts = Int[np.ndarray, " subgroups"]


@dataclass(frozen=True)
class Relations:
    """Linear equations among the counts of one table (of training or of test examples).

    ``coefficients``: −1, 0 or 1. ``totals``: what each equation adds up to; not 0 only where a
    grouping adds up to all examples.
    """

    coefficients: Int[np.ndarray, "equations subgroups"]
    totals: Int[np.ndarray, " equations"]


@dataclass(frozen=True)
class Groups:
    """The subgroups of all groupings, by row: where each is, and which examples are in it.

    ``table`` has ``grouping``, ``kind``, ``subgroup``, ``n_train`` and ``n_test``; ``codes``, by
    grouping, the row of each training example's subgroup (−1: in none of them).
    """

    table: pd.DataFrame
    codes: Mapping[str, Int[np.ndarray, " n"]]

    @property
    def groupings(self) -> list[str]:
        return [str(g) for g in self.table["grouping"].unique()]

    def rows(self, grouping: str) -> Int[np.ndarray, " rows"]:
        return np.flatnonzero(self.table["grouping"].to_numpy() == grouping)


def groups_of(subgroups: pd.DataFrame, examples: pd.DataFrame) -> Groups:
    """From the tables of results/: ``examples`` has a column per grouping (of each arm the same).

    Frequency bins are no groupings: they are sums of another one's subgroups.
    """
    keep = subgroups["kind"].to_numpy() != "frequency"
    table = subgroups.loc[keep].reset_index(drop=True)
    one_arm = examples.loc[(examples["arm"] == examples["arm"].iloc[0]).to_numpy()]
    groups = Groups(table, {})
    codes = {}
    for grouping in groups.groupings:
        if grouping in one_arm:
            rows = groups.rows(grouping)
            named = pd.Series(rows, index=table["subgroup"].to_numpy()[rows])
            codes[grouping] = one_arm[grouping].map(named).fillna(-1).to_numpy(dtype=np.int64)
    return Groups(table, codes)


def relations(groups: Groups, counts: Counts) -> Relations:
    """Every equation that holds among ``counts``, of training or of test examples."""
    size = len(groups.table)
    found: list[np.ndarray] = []
    totals: list[int] = []
    names = groups.groupings
    for i, one in enumerate(names):
        rows = groups.rows(one)
        found.append(_indicator(rows, size))
        totals.append(int(counts[rows].sum()))
        for other in names[i + 1 :]:
            sums = _shared(groups, one, other, counts)
            found += sums
            totals += [0] * len(sums)
    coefficients = np.array(found, dtype=np.int64).reshape(len(found), size)
    return Relations(coefficients, np.array(totals, dtype=np.int64))


def _indicator(rows: Int[np.ndarray, " rows"], size: int) -> Int[np.ndarray, " subgroups"]:
    line = np.zeros(size, dtype=np.int64)
    line[rows] = 1
    return line


def _shared(
    groups: Groups, one: str, other: str, counts: Counts
) -> list[Int[np.ndarray, " subgroups"]]:
    """The equations between two groupings, but for that of the total, which both have anyway.

    The graph is of training examples. Where the sums of some components differ (test examples that
    lie across), the parts they share are larger for these counts: they are put together. Groupings
    whose totals differ (tables that somebody changed) then have no equation about that part.
    """
    size, left, right = len(groups.table), groups.rows(one), groups.rows(other)
    edges = np.concatenate([_seen_together(groups, one, other), _named(groups, one, other)])
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(size, size))
    _, part = connected_components(graph, directed=False)
    sign = _indicator(left, size) - _indicator(right, size)
    differ = np.bincount(part, weights=sign * counts, minlength=part.max() + 1) != 0
    part = np.where(differ[part], part.max() + 1, part)
    parts = np.unique(part[sign != 0])
    if len(parts) == 1:
        return []
    lines = (np.where(part == p, sign, 0) for p in parts)
    return [line for line in lines if line @ counts == 0]


def _seen_together(groups: Groups, one: str, other: str) -> Int[np.ndarray, "edges 2"]:
    """Pairs of subgroups (rows of the table) that have a training example in common."""
    if one not in groups.codes or other not in groups.codes:
        return np.empty((0, 2), dtype=np.int64)
    size, a, b = len(groups.table), groups.codes[one], groups.codes[other]
    pairs = np.unique((a * size + b)[(a >= 0) & (b >= 0)])
    return np.stack(np.divmod(pairs, size), axis=1)


def _named(groups: Groups, one: str, other: str) -> Int[np.ndarray, "edges 2"]:
    """Pairs that agree in every column the two groupings share, by their names: "Male × White".

    For subgroups without training examples, of which the examples do not tell what they lie in.
    """
    kinds = groups.table["kind"].to_numpy()
    columns = [_columns(kinds[groups.rows(g)[0]], g) for g in (one, other)]
    both = [c for c in columns[0] if c in columns[1]]
    unseen = set(np.flatnonzero(groups.table["n_train"].to_numpy() == 0).tolist())
    if not both or not unseen:
        return np.empty((0, 2), dtype=np.int64)
    levels = [_levels(groups, g, c) for g, c in zip((one, other), columns, strict=True)]
    pairs = [(a, b) for a in levels[0] for b in levels[1] if a in unseen or b in unseen]
    agree = [(a, b) for a, b in pairs if all(levels[0][a][c] == levels[1][b][c] for c in both)]
    return np.array(agree, dtype=np.int64).reshape(-1, 2)


def _columns(kind: object, grouping: str) -> list[str]:
    return grouping.split(CROSS) if kind == _CROSSING else [grouping]


def _levels(groups: Groups, grouping: str, columns: Sequence[str]) -> dict[int, dict[str, str]]:
    """The level of each column, by row; rows whose names do not tell are left out."""
    found, names = {}, groups.table["subgroup"].to_numpy()
    for row in groups.rows(grouping).tolist():
        name = str(names[row])
        parts = name.split(f" {CROSS} ") if len(columns) > 1 else [name]
        if len(parts) == len(columns):
            found[row] = dict(zip(columns, parts, strict=True))
    return found


def closing_a_cycle(groups: Groups) -> Bool[np.ndarray, " subgroups"]:
    """Subgroups of crossings that close a cycle: of a×b, b×c and a×c those of the last.

    Within a cycle the equations do not say everything about the counts, so the public profile
    publishes no more crossings than close none.
    """
    table, kept = groups.table, []
    closing = np.zeros(len(table), dtype=bool)
    for grouping in groups.groupings:
        rows = groups.rows(grouping)
        edge = frozenset(_columns(table["kind"].to_numpy()[rows[0]], grouping))
        if _acyclic([*kept, edge]):
            kept.append(edge)
        else:
            closing[rows] = True
    return closing


def _acyclic(edges: Sequence[frozenset[str]]) -> bool:
    """Whether a hypergraph is acyclic: Graham's reduction (1979) leaves at most one empty edge."""
    left = [set(edge) for edge in dict.fromkeys(edges)]
    while True:
        shared = {v for edge in left for v in edge if sum(v in other for other in left) > 1}
        smaller = [edge & shared for edge in left]
        kept = [
            edge
            for i, edge in enumerate(smaller)
            if not any(edge < other or (edge == other and j < i) for j, other in enumerate(smaller))
        ]
        if len(kept) <= 1:
            return True
        if kept == left:
            return False
        left = kept
