"""Comparisons between subgroups in public: what could be solved for a withheld count is gone."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from audit.report.disclosure.comparisons import FEWEST_OPEN, comparisons
from audit.report.disclosure.suppression import open_counts
from tests.report.disclosure.tables import frames, uniform

PUBLISHED = pd.DataFrame({"grouping": ["g", "h"], "subgroup": ["b", "x"], "n_test": [40, 90]})


def made(summary: dict[str, Any], *, still_open: int = 1) -> dict[str, Any]:
    return comparisons(summary, {"g": ("a", "c")}, {"g": still_open}, PUBLISHED)


def trend(grouping: str, verdict: str = "shown") -> dict[str, Any]:
    return {"grouping": grouping, "outcome": "loss_dp", "arm": "dp", "verdict": verdict,
            "n_groups": 9, "slope": {"value": -0.1, "low": -0.2, "high": -0.05, "n": 9},
            "tau": 0.1, "level": {"value": 0.1}, "centre": 4.2, "added_later": 3}  # fmt: skip


def test_few_open_counts_leave_of_a_trend_its_verdict_and_direction() -> None:
    [found, other] = made({"trends": [trend("g"), trend("h")]})["trends"]
    assert found["falling"]
    assert set(found["withheld"]) == {"slope", "tau", "level", "centre", "added_later"}
    assert all(found[key] is None for key in found["withheld"])
    assert other == trend("h")
    [undecided] = made({"trends": [trend("g", "inconclusive")]})["trends"]
    assert "falling" not in undecided


# A trend's own spread and its slope at equal difficulty: equations beyond those that are counted.
EXTRA = ("tau", "slope_at_equal_difficulty", "p_value_at_equal_difficulty")


def test_many_open_counts_leave_the_numbers_but_no_mean_count() -> None:
    [found] = made({"trends": [trend("g")]}, still_open=FEWEST_OPEN)["trends"]
    assert found["slope"] == trend("g")["slope"]
    gone = {"level", "centre", "added_later", *EXTRA}
    assert set(found["withheld"]) == gone & set(trend("g"))


@pytest.mark.parametrize(
    ("worst", "gone"),
    [
        ("a", {"worst_subgroup", "worst_loss", "worst_p_adjusted", "largest_subgroup",
               "equivalent_within"}),
        ("b", {"largest_subgroup", "equivalent_within"}),
    ],
)  # fmt: skip
def test_the_worst_subgroup_is_named_where_it_is_published(worst: str, gone: set[str]) -> None:
    entry = {"grouping": "g", "arm": "dp", "verdict": "shown", "worst_subgroup": worst,
             "worst_loss": {"value": 0.2, "n": 43}, "worst_p_adjusted": 0.01,
             "largest_subgroup": "c", "equivalent_within": 0.07}  # fmt: skip
    [found] = made({"disparity": [entry]}, still_open=FEWEST_OPEN)["disparity"]
    assert set(found["withheld"]) == gone
    if worst == "b":
        assert found["worst_loss"]["n"] == 45


def rates(**by_group: float | None) -> dict[str, Any]:
    return {"grouping": "g", "arm": "dp", "metric": "accuracy", "difference": 9.0, "ratio": 9.0,
            "by_group": by_group}  # fmt: skip


def test_extremes_are_those_of_published_subgroups() -> None:
    [found] = made({"fairlearn": [rates(a=0.1, b=0.80004, c=0.2, d=0.9, e=None)]})["fairlearn"]
    assert found["by_group"] == {"b": 0.8, "d": 0.9, "e": None}
    assert (found["difference"], found["ratio"]) == (0.1, 0.889)
    assert "unanimous" not in found


def test_a_unanimous_subgroup_has_no_value_and_hides_the_extremes() -> None:
    """The extremes of the others would make subgroups look more equal than they are."""
    [found] = made({"fairlearn": [rates(b=0.8, d=1.0, e=0.9)]})["fairlearn"]
    assert found["by_group"] == {"b": 0.8, "d": None, "e": 0.9}
    assert found["unanimous"] == ["d"]
    assert found["withheld"] == ["difference", "ratio"]
    assert found["difference"] is found["ratio"] is None


def test_power_by_size_and_the_long_tail_are_of_groupings_shown_whole() -> None:
    rows = [{"grouping": g, "n_test": 43, "subgroup": "smallest", "rows": []} for g in ("g", "h")]
    tail = [{"grouping": g, "smallest": 12, "tau": 0.00123456} for g in ("g", "h")]
    found = made({"power": {"alpha": 0.05, "difference": rows, "equivalence": []},
                  "longtail": tail})  # fmt: skip
    assert [(e["grouping"], e["n_test"]) for e in found["power"]["difference"]] == [("h", 45)]
    assert found["power"]["alpha"] == 0.05
    # Where one subgroup is clearly the smallest, τ tells its size.
    assert found["longtail"] == [
        {"grouping": "h", "smallest": 10, "tau": None, "withheld": ["tau"]}
    ]


def test_what_a_run_does_not_have_is_not_made_up() -> None:
    assert made({}) == {}


def test_open_counts_are_withheld_counts_less_equations() -> None:
    table = {("m", "w"): 100, ("m", "o"): 12, ("m", "b"): 40, ("f", "w"): 80, ("f", "o"): 3,
             ("f", "b"): 30}  # fmt: skip
    crossed = {"sex": "column", "race": "column", "sex×race": "crossing"}
    gone = {"sex×race": ("f × b", "f × o", "m × b", "m × o")}
    assert open_counts(*frames(uniform(("sex", "race"), table), crossed), gone) == {"sex×race": 1}
    alone = {("a",): 3, ("b",): 4, ("c",): 5, ("d",): 40}
    found = open_counts(*frames(uniform("g", alone), {"g": "column"}), {"g": ("a", "b", "c")})
    assert found == {"g": 2}
