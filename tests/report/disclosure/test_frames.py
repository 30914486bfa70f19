"""The tables of results/ in public: rounded, without order, unanimous rates as intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from audit.report.disclosure.frames import examples, subgroups
from audit.report.disclosure.rounding import count, largest, outward
from tests.report.synthetic import make


def table(**columns: list) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    base = {
        "grouping": ["g"] * n, "kind": ["column"] * n, "subgroup": [f"s{i}" for i in range(n)],
        "n_train": [112] * n, "n_test": [33] * n, "frequency": [0.123456] * n,
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def test_counts_are_multiples_of_5_and_the_share_is_that_of_the_rounded_count() -> None:
    shown = subgroups(table(n_train=[10, 12, 13, 1234], n_test=[0, 10, 17, 23]), {}, 2000)
    assert shown["n_train"].tolist() == [10, 10, 15, 1235]
    assert shown["n_test"].tolist() == [0, 10, 15, 25]
    assert shown["frequency"].tolist() == [0.005, 0.005, 0.008, 0.618]
    assert all(count(n) >= 10 for n in range(10, 100))


def test_a_unanimous_rate_keeps_its_interval_and_gets_one_where_it_has_none() -> None:
    """Of 33 examples that are all alike, 3/33 others are the most that is compatible (95 %)."""
    shown = subgroups(
        table(
            accuracy_a=[1.0, 1.0, 0.99964, 0.0, 0.5, math.nan],
            accuracy_a_low=[0.9123, 1.0, 0.998, 0.0, 0.4, math.nan],
            accuracy_a_high=[1.0, 1.0, 1.0, 0.0, 0.6, math.nan],
            multiplicity_a=[0.0, 0.0, 0.0007, 0.0, 0.2, math.nan],
        ),
        {},
        2000,
    )
    assert np.isnan(shown["accuracy_a"].to_numpy()).tolist() == [True] * 4 + [False, True]
    assert shown["accuracy_a_low"].tolist()[:5] == [0.912, 0.909, 0.998, 0.0, 0.4]
    assert shown["accuracy_a_high"].tolist()[:5] == [1.0, 1.0, 1.0, 0.091, 0.6]
    assert np.isnan(shown["accuracy_a_low"].to_numpy()[5])
    assert np.isnan(shown["multiplicity_a"].to_numpy()).tolist() == [True] * 4 + [False, True]


def test_withheld_rows_go_and_so_do_the_bins_they_are_in() -> None:
    given = table(n_train=[50, 60, 70, 80])
    given["grouping"] = ["g", "g", "g: frequency", "h: frequency"]
    given["kind"] = ["column", "column", "frequency", "frequency"]
    shown = subgroups(given, {"g": ["s0"]}, 200)
    assert shown["subgroup"].tolist() == ["s1", "s3"]
    assert len(subgroups(given.iloc[:0], {}, 200)) == 0


def test_examples_lose_numbers_labels_subgroups_and_order() -> None:
    run = make(seed=3, n=200, hostile=False)
    shown = examples(run.examples)
    assert set(shown.columns) == {"arm", "p_in", "p_out", "mem", "bound", "tradeoff_bound"}
    mixed = run.examples.sample(frac=1, random_state=0)
    assert examples(mixed).equals(shown)


@pytest.mark.parametrize(
    ("x", "direction", "expected"),
    [(0.31, 1, 0.35), (0.31, -1, 0.3), (0.3, 1, 0.3), (-0.02, -1, -0.05)],
)  # fmt: skip
def test_limits_are_rounded_outward(x: float, direction: int, expected: float) -> None:
    assert outward(x, 0.05, direction) == expected


def test_the_largest_memorization_keeps_what_is_undefined() -> None:
    found = largest({"value": 0.2904, "low": None, "high": 0.4231, "n": 200}, 0.05)
    assert found == {"value": 0.3, "low": None, "high": 0.45, "n": 200}
