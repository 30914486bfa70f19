"""What the charts show equals what a student would count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from audit.report import chart_data
from audit.report.frames import rows_of, values
from tests.report.synthetic import Run


def test_histogram_counts_by_hand() -> None:
    mem = np.array([-0.1, -0.05, 0.0, 0.04, 0.05, 0.15, 0.999, 1.0, np.nan])
    low, high = chart_data.histogram_range(mem)
    assert (low, high) == (-0.1, 1.0)
    drawn = chart_data.histogram(mem, low, high)
    counts = dict(zip(drawn["edges"][:-1], drawn["counts"], strict=True))
    assert {k: v for k, v in counts.items() if v} == {
        -0.1: 1, -0.05: 1, 0.0: 2, 0.05: 1, 0.15: 1, 0.95: 2,
    }  # fmt: skip
    assert drawn["undefined"] == 1


def test_histogram_of_nothing() -> None:
    mem = np.full(3, np.nan)
    assert chart_data.histogram_range(mem) == (0.0, 1.0)
    assert sum(chart_data.histogram(mem, 0.0, 1.0)["counts"]) == 0


def plane_rows(p_out: list[float], p_in: list[float], **columns: list[float]) -> pd.DataFrame:
    rows = pd.DataFrame({"p_out": p_out, "p_in": p_in, "bound": 1.0, "tradeoff_bound": np.nan})
    return rows.assign(**columns)


def test_plane_counts_every_known_example_once(quiet: Run) -> None:
    rows = rows_of(quiet.examples, "arm", "standard")
    drawn = chart_data.plane(rows)
    assert sum(c["count"] for c in drawn["cells"]) + drawn["undefined"] == len(rows)
    assert sum(b["n"] for b in chart_data.bands(rows)) + drawn["undefined"] == len(rows)


def test_plane_cells_by_hand() -> None:
    drawn = chart_data.plane(plane_rows([0.0, 0.04, 1.0, 0.15], [1.0, 0.99, 1.0, np.nan]))
    assert [(c["x"], c["y"], c["count"]) for c in drawn["cells"]] == [
        (0.0, 0.95, 2),
        (0.95, 0.95, 1),
    ]
    assert [c["level"] for c in drawn["cells"]] == [1, 0]
    assert drawn["undefined"] == 1
    assert drawn["bounds"]["tradeoff_bound"] == {"upper": [], "lower": []}


def test_the_lower_limit_is_the_upper_one_with_in_and_out_exchanged(quiet: Run) -> None:
    limits = chart_data.plane(rows_of(quiet.examples, "arm", "dp-2"))["bounds"]["tradeoff_bound"]
    upper = [(p["x"], p["y"]) for p in limits["upper"]]
    assert [(p["y"], p["x"]) for p in limits["lower"]] == upper
    assert all(y >= x - 1e-3 for x, y in upper)


def test_bands_count_above_by_hand() -> None:
    rows = plane_rows([0.05, 0.05, 0.5], [0.2, 0.9, 0.6], bound=[0.5, 0.5, 0.9],
                      tradeoff_bound=[0.1, 0.1, 0.7])  # fmt: skip
    first, second = chart_data.bands(rows)
    assert (first["n"], first["above_bound"], first["above_tradeoff"]) == (2, 1, 2)
    assert (second["from"], second["above_bound"], second["above_tradeoff"]) == (0.5, 0, 0)


def test_the_trend_line_is_the_fitted_one_and_its_band_that_of_least_squares() -> None:
    """With equal known errors and τ = 0 the band is the textbook one of a regression line."""
    rng = np.random.default_rng(5)
    n_train = rng.integers(4, 600, size=30)
    x = np.log2(n_train)
    loss = 0.2 - 0.02 * x + rng.normal(0, 0.01, 30)
    error = 0.01
    groups = pd.DataFrame({
        "subgroup": "s", "frequency": n_train / 5000, "n_train": n_train, "n_test": 10,
        "loss_dp-2": loss,
        "loss_dp-2_low": loss - 1.96 * error, "loss_dp-2_high": loss + 1.96 * error,
    })  # fmt: skip
    slope, intercept = np.polyfit(x, loss, 1)
    t = stats.t.ppf(0.975, 28)
    spread = ((x - x.mean()) ** 2).sum()
    half_slope = t * error / np.sqrt(spread)
    fit = {"slope": {"value": slope, "low": slope - half_slope, "high": slope + half_slope}}
    level, half_level = intercept + slope * x.mean(), t * error / np.sqrt(30)
    fit |= {"level": {"value": level, "low": level - half_level, "high": level + half_level}}
    fit |= {"centre": x.mean()}
    line = chart_data.loss_by_frequency(groups, "dp-2", fit)["line"]
    grid = np.log2([5000 * p["frequency"] for p in line])
    np.testing.assert_allclose([p["loss"] for p in line], 100 * (intercept + slope * grid))
    textbook = t * error * np.sqrt(1 / 30 + (grid - x.mean()) ** 2 / spread)
    half = np.array([p["high"] - p["low"] for p in line]) / 200
    np.testing.assert_allclose(half, textbook)


def test_a_loss_without_an_interval_is_drawn_without_one(quiet: Run) -> None:
    groups = rows_of(quiet.subgroups, "grouping", "style within class").copy()
    worst = values(groups, "loss_dp-2")
    row = int(np.nanargmax(worst))
    for limit in ("low", "high"):
        groups.iloc[row, groups.columns.get_loc(f"loss_dp-2_{limit}")] = np.nan  # pyright: ignore
    drawn = chart_data.loss_by_frequency(groups, "dp-2", quiet.summary["trends"][0])
    assert [p["low"] for p in drawn["points"]].count(None) == 1
    assert drawn["line"]
    assert chart_data.forest(groups, "dp-2", 12)["rows"][0]["high"] is None


def test_a_group_without_test_examples_is_counted_not_drawn(quiet: Run) -> None:
    groups = rows_of(quiet.subgroups, "grouping", "style within class")
    drawn = chart_data.loss_by_frequency(groups, "dp-2", None)
    assert drawn["left_out"] == int(np.isnan(values(groups, "loss_dp-2")).sum()) > 0
    assert len(drawn["points"]) + drawn["left_out"] == len(groups)
    assert drawn["line"] == []


def test_forest_shows_the_largest_losses_in_order(quiet: Run) -> None:
    groups = rows_of(quiet.subgroups, "grouping", "style within class")
    losses = [r["loss"] for r in chart_data.forest(groups, "dp-2", 12)["rows"]]
    known = values(groups, "loss_dp-2")
    expected = np.sort(known[~np.isnan(known)])[::-1][:12]
    assert losses == pytest.approx(100 * expected)


def test_exposed_and_paying_marks_the_rarest_third(quiet: Run) -> None:
    groups = rows_of(quiet.subgroups, "grouping", "style within class")
    points = chart_data.exposed_and_paying(groups, "dp-2", "standard")["points"]
    rare = sum(p["group"] == "rarest third" for p in points)
    assert len(points) / 3 <= rare <= len(points) / 2
