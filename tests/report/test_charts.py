"""What the charts show, as specifications: ranges, labels, tips, and names kept out of code."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.report import chart_data, charts
from audit.report.chart_labels import MOST_NAMED, placed
from audit.report.chart_parts import cut, decades, tip, window
from audit.report.frames import rows_of
from audit.report.frontier_section import frontier_blocks
from tests.report.synthetic import HOSTILE, Run, make


def charts_of(contents: dict[str, Any]) -> list[dict[str, Any]]:
    return [c for s in contents["sections"] for b in s["blocks"] for c in b.get("charts", [])]


@pytest.fixture(scope="module")
def all_charts() -> list[dict[str, Any]]:
    """Of a hostile run with two ε, controls and a removal experiment: every kind of chart."""
    run = make(seed=1, epsilons=(2.0, 8.0), controls=True, removal=True)
    drawn = charts_of(run.document(full_subgroups=True))
    more = {
        "certified": {"points": [
            {"row": 0, "label": HOSTILE[0], "epsilon": 0.4, "claimed": 2.0, "private": True},
            {"row": 1, "label": "standard", "epsilon": 3.0, "claimed": None, "private": False},
        ]},
        "power": {"models": 200, "points": [
            {"models": k, "memorization": 1 / k**0.2, "bound": b}
            for k in (100, 200, 400) for b in ("e^ε", "trade-off")
        ]},
        # Drawn by `audit theory`.
        "longtail": {"rows": [
            {"low": 0.5, "unseen": 0.3, "once": 0.15, "more": 0.05},
            {"low": 1.0, "unseen": 0.1, "once": 0.2, "more": 0.2},
        ]},
    }  # fmt: skip
    return drawn + [
        {"kind": kind, "title": "t", "description": "d", "colour": "#2b6ca3", "data": data}
        for kind, data in more.items()
    ]


def test_every_kind_is_among_them_and_each_has_marks_that_say_something(
    all_charts: list[dict[str, Any]],
) -> None:
    assert {c["kind"] for c in all_charts} == set(charts._KINDS)
    for chart in all_charts:
        spec = charts.specification(chart)
        rows = [row for rows in spec["datasets"].values() for row in rows]
        said = [row["tip"] for row in rows if "tip" in row]
        assert said, chart["kind"]
        assert all(": " in words for words in said)


def test_names_stand_in_rows_only_and_rows_hold_what_is_drawn_once(
    all_charts: list[dict[str, Any]],
) -> None:
    for chart in all_charts:
        spec = charts.specification(chart)
        sets = spec.pop("datasets")
        assert len({json.dumps(rows) for rows in sets.values()}) == len(sets)
        assert {layer["data"]["name"] for layer in spec["layer"]} == set(sets)
        assert all(sets.values())
        outside = json.dumps(spec, ensure_ascii=False)
        assert not re.search("script|alert|7\\*7|https?:|style within|class 0", outside)
        for layer in spec["layer"]:
            fields = set(charts._fields(layer["encoding"]))
            assert all(set(row) <= fields for row in sets[layer["data"]["name"]])
        json.dumps(sets, allow_nan=False)


def test_a_window_shows_all_estimates_and_nine_of_ten_intervals() -> None:
    values = np.linspace(-2, 10, 20)
    rows = [{"v": float(v), "a": float(v - 3), "b": float(v + 3)} for v in values]
    rows[7] |= {"a": -100.0, "b": 100.0}
    shown = window(rows, "v", "a", "b")
    inside = [r for r in rows if shown[0] <= r["a"] and r["b"] <= shown[1]]
    assert shown[0] <= -2
    assert 10 <= shown[1] < 20
    assert len(inside) >= 16
    ends = cut(rows, "a", "b", shown)
    assert (ends[7]["a"], ends[7]["b"]) == shown
    assert (ends[7]["cut_low"], ends[7]["cut_high"]) == (True, True)
    assert sum(r["cut_low"] for r in ends) <= 2


def test_a_window_without_intervals_and_one_with_the_origin_only() -> None:
    rows = [{"v": 5.0, "a": None, "b": None}]
    assert window(rows, "v", "a", "b") == (0.0, 5.0)
    assert window([], "v", "a", "b", origin=0.5) == (0.5, 0.5)
    assert cut(rows, "a", "b", (0.0, 5.0)) == []


def test_short_intervals_are_never_cut() -> None:
    rows = [{"v": 0.0, "a": -1.0, "b": 1.0}] * 3 + [{"v": 0.1, "a": -3.0, "b": 3.5}]
    assert window(rows, "v", "a", "b", room=4.0) == (-3.0, 3.5)


def test_decades() -> None:
    assert decades(1e-4, 1.0) == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert decades(2e-3, 1.0) == [1e-2, 1e-1, 1.0]


def test_a_tip_is_a_name_and_lines() -> None:
    assert tip("a", ("n", "3")) == "a\nn: 3"


POINT = st.fixed_dictionaries({
    "name": st.text("abc ×·", min_size=1, max_size=60),
    "x": st.floats(50, 100), "loss": st.floats(-20, 80),
})  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(POINT, max_size=40))
def test_names_beside_points_never_touch_each_other_or_leave_the_chart(
    points: list[dict[str, Any]],
) -> None:
    xs, ys, width, height = (50.0, 100.0), (-20.0, 80.0), 300.0, 230.0
    labels = placed(points, xs, ys, width, height)
    assert len(labels) <= MOST_NAMED
    boxes = []
    for label in labels:
        x = width * (label.x - xs[0]) / 50
        y = height * (ys[1] - label.loss) / 100
        size = 5.3 * len(label.name)
        left = x + 7 if label.align == "left" else x - 7 - size
        boxes.append((left, y - 6, left + size, y + 6))
    assert all(b[0] >= 0 and b[2] <= width for b in boxes)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_the_most_exposed_who_lose_most_are_named() -> None:
    points = [{"name": "out", "x": 90.0, "loss": 50.0}, {"name": "in", "x": 51.0, "loss": 1.0}]
    names = [label.name for label in placed(points, (50.0, 95.0), (-5.0, 60.0), 300.0, 230.0)]
    assert names[0] == "out"
    assert placed([], (50.0, 95.0), (-5.0, 60.0), 300.0, 230.0) == []


def exposure_of(run: Run, *, attacked: bool) -> dict[str, Any]:
    groups = rows_of(run.subgroups, "grouping", "style within class").copy()
    if not attacked:
        groups["exposure_standard"] = np.nan
    data = chart_data.exposed_and_paying(groups, "dp-2", "standard")
    return {"kind": "exposure", "title": "t", "description": "d", "colour": "#2b6ca3",
            "data": {**data, "losses": [-1.0, 12.0]}}  # fmt: skip


def test_who_is_exposed_is_measured_by_the_attack_or_says_that_none_was_run(quiet: Run) -> None:
    titles = {
        True: "attack right without privacy (%; a coin: 50 %)",
        False: "mean memorization without privacy (no attack was run)",
    }
    for attacked, title in titles.items():
        text = json.dumps(charts.specification(exposure_of(quiet, attacked=attacked)),
                          ensure_ascii=False)  # fmt: skip
        assert title in text
        assert ("attack right" in text) is attacked
    points = exposure_of(quiet, attacked=True)["data"]["points"]
    groups = rows_of(quiet.subgroups, "grouping", "style within class").set_index("subgroup")
    for p in points:
        row = groups.loc[p["name"]]
        assert p["x"] == row["exposure_standard"]
        assert p["x_low"] == row["exposure_standard_low"]
        assert p["loss"] == pytest.approx(100 * row["loss_dp-2"])
        assert p["n_train"] == row["n_train"]


def test_charts_side_by_side_share_their_axis_of_losses() -> None:
    run = make(seed=2, hostile=False, epsilons=(2.0, 8.0))
    drawn = [c for c in charts_of(run.document()) if c["kind"] == "exposure"]
    assert len(drawn) == 2
    domains = set()
    for chart in drawn:
        # Without intervals, which may differ, the range is that of all losses.
        for p in chart["data"]["points"]:
            p |= {"low": None, "high": None}
        text = json.dumps(charts.specification(chart))
        domains |= set(re.findall(r'"loss", "scale": (\{"domain": \[[^]]*\])', text))
    assert len(domains) == 1


def test_cells_without_counts_are_named_by_their_class(quiet: Run) -> None:
    (chart,) = [c for c in charts_of(quiet.document()) if c["kind"] == "plane"][:1]
    chart["data"]["cells"] = [{"x": 0.5, "y": 0.55, "level": 2}]
    text = json.dumps(charts.specification(chart), ensure_ascii=False)
    assert "10–99 training examples\\np_in: 0.55 to 0.60\\np_out: 0.50 to 0.55" in text


def test_the_frontier_has_a_point_per_epsilon_in_order_and_its_reference() -> None:
    run = make(seed=3, hostile=False, epsilons=(8.0, 2.0, 4.0))
    heading, figure = frontier_blocks(run.run, run.summary, run.subgroups, {})
    assert heading["type"] == "heading"
    for chart in figure["charts"]:
        assert [p["epsilon"] for p in chart["data"]["points"]] == [2.0, 4.0, 8.0]
        assert chart["data"]["standard"]["value"] is not None
        charts.specification(chart)
