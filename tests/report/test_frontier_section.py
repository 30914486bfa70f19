"""The ε frontier: every panel's numbers are those of the run, and its table has them all."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from audit.report.frames import records, rows_of
from audit.report.frontier_section import frontier_blocks
from audit.report.words import estimate
from tests.report.synthetic import HOSTILE, Run, make
from tests.report.test_document import strings

EPSILONS = (8.0, 1.0, 2.0)
ORDER = ["dp-1", "dp-2", "dp-8"]


@pytest.fixture(scope="module")
def several() -> Run:
    return make(seed=4, hostile=False, epsilons=EPSILONS, n_test=2000)


def figure_of(run: Run) -> dict[str, Any]:
    _, figure = frontier_blocks(run.run, run.summary, run.subgroups, {})
    return figure


def panel(figure: dict[str, Any], title: str) -> dict[str, Any]:
    (found,) = [c for c in figure["charts"] if c["title"].startswith(title)]
    return found["data"]


@pytest.mark.parametrize("epsilons", [(2.0,), (2.0, 2.0)])
def test_one_epsilon_has_no_frontier(epsilons: tuple[float, ...]) -> None:
    run = make(seed=4, hostile=False, epsilons=epsilons)
    assert frontier_blocks(run.run, run.summary, run.subgroups, {}) == []


def test_panels_show_the_estimates_of_the_run(several: Run) -> None:
    figure, arms = figure_of(several), several.summary["arms"]
    named = {
        "Memorized by 0.25": "mem_share_above_0.25", "Largest memorization": "mem_max",
        "Test accuracy": "accuracy_test",
    }  # fmt: skip
    for title, key in named.items():
        data = panel(figure, title)
        for point, arm in zip(data["points"], ORDER, strict=True):
            assert {k: point[k] for k in ("value", "low", "high")} == {
                k: arms[arm][key][k] for k in ("value", "low", "high")
            }
        assert data["standard"]["value"] == arms["standard"][key]["value"]
    attack = panel(figure, "Attack right")
    assert attack["coin"] == 0.5
    assert [p["value"] for p in attack["points"]] == [
        arms[a]["exposure"]["balanced_accuracy"]["value"] for a in ORDER
    ]


def test_the_limit_is_the_strictest_cap_of_each_claim(several: Run) -> None:
    run = copy.deepcopy(several)
    run.summary["arms"]["dp-1"]["above_bound"] |= {"tradeoff_cap": None, "memorization_cap": 0.46}
    data = panel(figure_of(run), "Largest memorization")
    assert [p["limit"] for p in data["points"]] == [0.46, 0.217, 0.217]
    assert all(p["limit"] is None for p in panel(figure_of(run), "Test accuracy")["points"])


def test_the_rarest_bin_has_enough_test_examples(several: Run) -> None:
    run = copy.deepcopy(several)
    first = run.subgroups["kind"].tolist().index("frequency")
    tested = run.subgroups["n_test"].tolist()
    run.subgroups["n_test"] = [9 if i == first else n for i, n in enumerate(tested)]
    figure = figure_of(run)
    rarest = records(rows_of(run.subgroups, "kind", "frequency"))[1]
    data = panel(figure, "Accuracy of the rarest subgroups")
    assert [p["value"] for p in data["points"]] == [rarest[f"accuracy_{a}"] for a in ORDER]
    assert f"(n={rarest['n_test']})" in figure["caption"]


def test_the_subgroup_that_loses_most_is_picked_at_the_smallest_epsilon(several: Run) -> None:
    rows = [r for r in records(rows_of(several.subgroups, "grouping", "style within class"))
            if r["n_test"] >= 10]  # fmt: skip
    worst = max(rows, key=lambda r: r["loss_dp-1"])
    figure = figure_of(several)
    data = panel(figure, f"Accuracy of “{worst['subgroup']}”")
    assert [p["value"] for p in data["points"]] == [worst[f"accuracy_{a}"] for a in ORDER]
    assert "rather too large than too small" in figure["caption"]


def test_the_table_has_every_number_of_the_panels(several: Run) -> None:
    figure, arms = figure_of(several), several.summary["arms"]
    table = figure["table"]
    assert [c["label"] for c in table["columns"][1:]] == [c["title"] for c in figure["charts"]]
    assert [row[0] for row in table["rows"]] == [
        "private training, ε = 1", "private training, ε = 2", "private training, ε = 8",
        "standard training",
    ]  # fmt: skip
    assert table["rows"][0][1] == estimate(arms["dp-1"]["mem_share_above_0.25"], "percent")
    assert table["rows"][3][4] == estimate(arms["standard"]["accuracy_test"], "percent")


def test_what_was_not_run_has_no_panel(several: Run) -> None:
    run = copy.deepcopy(several)
    run.run["data"]["n_test"] = 0
    for result in run.summary["arms"].values():
        result["exposure"] = {"attack": None, "why_not": "no margins"}
    titles = [c["title"] for c in figure_of(run)["charts"]]
    assert titles == ["Memorized by 0.25 or more", "Largest memorization"]
    assert "coin" not in figure_of(run)["caption"]


def test_without_standard_models_there_is_no_reference(several: Run) -> None:
    run = copy.deepcopy(several)
    del run.summary["arms"]["standard"]
    figure = figure_of(run)
    assert all(c["data"]["standard"] is None for c in figure["charts"])
    assert len(figure["table"]["rows"]) == 3


def test_hostile_names_are_cleaned_and_stay_out_of_specifications() -> None:
    run = make(seed=4, epsilons=EPSILONS, n_test=2000)
    figure = figure_of(run)
    said = " ".join(strings(figure))
    assert HOSTILE[5] not in said
    assert "\u202e" not in said
    assert any(title.startswith("Accuracy of “") for title in
               (c["title"] for c in figure["charts"]))  # fmt: skip
    assert all("“" not in json.dumps(c["data"], ensure_ascii=False) for c in figure["charts"])
