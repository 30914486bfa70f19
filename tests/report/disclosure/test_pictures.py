"""Binned pictures of the public profile: no bin of a few, nothing found by subtraction."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.report.disclosure.pictures import bands, histograms, merged, plane

_BINS = st.lists(st.sampled_from([0, 0, 1, 3, 9, 10, 40]), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=st.data(), arms=st.integers(1, 3))
def test_merged_bins_hold_none_or_enough_in_every_arm(data: st.DataObject, arms: int) -> None:
    first = data.draw(_BINS)
    rows = [first] + [
        data.draw(st.lists(st.sampled_from([0, 2, 10]), min_size=len(first), max_size=len(first)))
        for _ in range(arms - 1)
    ]
    counts = np.array(rows, dtype=np.int64)
    edges = merged(counts, 10)
    assert edges[0] == 0
    assert edges[-1] == len(first)
    assert edges == sorted(set(edges))
    sums = np.add.reduceat(counts, edges[:-1], axis=1)
    assert sums.sum() == counts.sum()
    if ((counts.sum(axis=1) == 0) | (counts.sum(axis=1) >= 10)).all():
        assert ((sums == 0) | (sums >= 10)).all()
    else:
        # Fewer than 10 in all: nothing can be merged with.
        assert len(edges) == 2 or ((sums == 0) | (sums >= 10) | (counts.sum(1) < 10)[:, None]).all()


def test_the_tail_of_a_histogram_is_merged_and_counts_are_rounded() -> None:
    mem = np.concatenate([np.full(57, 0.01), np.full(12, 0.32), [0.61, 0.74, 0.99, math.nan]])
    [found] = histograms([mem], 0.0, 1.0, 10)
    kept = [
        (a, b, n)
        for a, b, n in zip(found["edges"][:-1], found["edges"][1:], found["counts"], strict=True)
        if n
    ]
    assert kept == [(0.0, 0.05, 55), (0.3, 1.0, 15)]
    assert found["undefined"] == 1


def test_where_in_a_merged_bin_an_example_lies_cannot_be_seen() -> None:
    low, high = (
        histograms([np.append(np.repeat([0.01, 0.32], [57, 12]), x)], 0.0, 1.0, 10)
        for x in (0.5, 0.97)
    )
    assert low == high


def rows(p_out: list[float], p_in: list[float]) -> pd.DataFrame:
    x = np.array(p_out)
    return pd.DataFrame({
        "arm": "standard", "p_out": x, "p_in": p_in, "mem": np.array(p_in) - x,
        "bound": np.minimum(1, 3 * x + 0.1), "tradeoff_bound": np.minimum(1, 2 * x + 0.1),
    })  # fmt: skip


COMMON = ([0.9] * 30 + [0.42] * 12, [0.97] * 30 + [0.52] * 12)


def test_cells_of_a_few_are_left_out_and_others_told_as_classes() -> None:
    found = plane(rows(COMMON[0] + [0.1, 0.1, math.nan], COMMON[1] + [0.95, 0.3, 0.5]), 10)
    assert [{k: c[k] for k in ("x", "y")} for c in found["cells"]] == [
        {"x": 0.4, "y": 0.5}, {"x": 0.9, "y": 0.95},
    ]  # fmt: skip
    assert all(set(c) == {"x", "y", "level"} for c in found["cells"])
    assert found["undefined"] == 1
    assert found["left_out"] == 0  # two: rounded to a multiple of 5


def test_the_plane_is_the_same_wherever_a_lonely_example_lies() -> None:
    one, other = (plane(rows(COMMON[0] + [0.11], COMMON[1] + [p_in]), 10) for p_in in (0.95, 0.3))
    assert one == other
    # The limits begin at a cell's edge, not at the example's own p_out.
    assert one["bounds"]["bound"]["upper"][0]["x"] == 0.15


def test_bands_are_merged_and_name_no_extreme() -> None:
    found = bands(rows(COMMON[0] + [0.11], COMMON[1] + [1.0]), 10)
    assert [(b["from"], b["to"], b["n"]) for b in found] == [(0.0, 0.5, 15), (0.9, 1.0, 30)]
    for band in found:
        assert band["max"] is band["above_bound"] is band["above_tradeoff"] is None
