"""Controls in the report: beside the arms of the audit, never among what is judged."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from audit.report.charts import specification
from audit.report.document import document
from audit.report.frames import records, rows_of
from audit.report.inputs import ReportOptions
from tests.report.synthetic import Run, make


@pytest.fixture(scope="module")
def run() -> Run:
    return make(seed=4, epsilons=(2.0, 8.0), hostile=False, controls=True)


@pytest.fixture(scope="module")
def contents(run: Run) -> dict[str, Any]:
    return run.document(full_subgroups=True)


def blocks_of(contents: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands under the heading of controls."""
    section = next(s for s in contents["sections"] if s["id"] == "subgroups")
    words = [b.get("words") for b in section["blocks"]]
    start = words.index("Other limits on memorization, and controls")
    return section["blocks"][start:]


def test_page_one_and_the_findings_are_those_of_the_run_without_controls(run: Run):
    without = copy.deepcopy(run)
    del without.summary["controls"]
    bare, full = without.document(), run.document()
    assert bare["page_one"] == full["page_one"]
    assert bare["findings"] == full["findings"]
    assert bare["results"]["arms"] == full["results"]["arms"]
    changed = [
        new["id"]
        for old, new in zip(bare["sections"], full["sections"], strict=True)
        if old != new and _without_chart_numbers(old) != _without_chart_numbers(new)
    ]
    assert changed == ["subgroups"]


def _without_chart_numbers(section: dict[str, Any]) -> dict[str, Any]:
    section = copy.deepcopy(section)
    for block in section["blocks"]:
        for chart in block.get("charts", []):
            del chart["id"]
    return section


def test_each_arm_stands_in_the_table_with_its_numbers(contents: dict[str, Any]):
    whole = next(b for b in blocks_of(contents) if b.get("caption") == "Each arm as a whole")
    assert [row[0] for row in whole["rows"]] == [
        "standard training",
        "private training, ε = 2",
        "private training, ε = 8",
        "clipping alone",
        "noise alone (that of ε = 2)",
        "90 % of the weights pruned",
        "20 % of the labels at random",
    ]
    assert whole["rows"][0][2] == "–"
    assert whole["rows"][3][2] == "3.0 points (2.0 to 4.0)"


def test_losses_are_drawn_beside_the_strictest_private_arm_where_ten_can_be_counted(
    run: Run, contents: dict[str, Any]
):
    figure = next(b for b in blocks_of(contents) if b["type"] == "figure")
    data = figure["charts"][0]["data"]
    assert data["arms"] == [
        "private training, ε = 2",
        "clipping alone",
        "noise alone (that of ε = 2)",
        "90 % of the weights pruned",
    ]
    assert all(group["n_test"] >= 10 for group in data["groups"])
    bins = records(rows_of(run.subgroups, "grouping", "style within class: frequency"))
    assert len(figure["table"]["rows"]) == len(bins)
    empty = [row for row in figure["table"]["rows"] if row[3] == "0"]
    assert all(cell == "not estimable" for row in empty for cell in row[4:])
    row = next(row for row in bins[::-1] if row["n_test"] >= 10)
    drawn = [r for r in data["rows"] if r["name"] == row["subgroup"]]
    assert [r["loss"] for r in drawn] == pytest.approx(
        [100 * row[f"loss_{a}"] for a in ("dp-2", "clip-only", "noise-only-2", "pruned-90")]
    )


def test_every_grouping_is_broken_down_for_each_control(run: Run, contents: dict[str, Any]):
    captions = [b["caption"] for b in blocks_of(contents) if b["type"] == "table"]
    for label in ("clipping alone", "20 % of the labels at random"):
        for grouping in ("style within class", "class"):
            said = f"Subgroups by “{grouping}”, {label}, largest loss first"
            assert captions.count(said) == 1
    short = blocks_of(run.document())
    assert not [b for b in short if str(b.get("caption", "")).startswith("Subgroups by")]


def test_a_public_report_has_them_as_wholes_and_says_no_small_subgroup(run: Run):
    public = document(run.inputs(), ReportOptions(profile="public"))
    for result in public["results"]["controls"].values():
        assert result["witnesses"] is None
        assert not {"trends", "disparity", "fairlearn"} & set(result)
    figures = [b for b in blocks_of(public) if b["type"] == "figure"]
    assert all(int(row[3].replace(",", "")) >= 10 for f in figures for row in f["table"]["rows"])


def test_without_groupings_the_arms_stand_as_wholes(run: Run):
    bare = copy.deepcopy(run)
    bare.subgroups = bare.subgroups.head(0)
    bare.run["data"]["groupings"] = []
    for key in ("trends", "disparity", "fairlearn", "longtail"):
        bare.summary[key] = []
    found = blocks_of(bare.document())
    assert [b["caption"] for b in found if b["type"] == "table"] == ["Each arm as a whole"]


def test_a_loss_that_cannot_be_estimated_is_said_and_not_drawn(run: Run):
    holes = copy.deepcopy(run)
    binned = holes.subgroups["kind"] == "frequency"
    holes.subgroups.loc[binned, "loss_clip-only"] = np.nan
    figure = next(b for b in blocks_of(holes.document()) if b["type"] == "figure")
    assert {row[5] for row in figure["table"]["rows"]} == {"not estimable"}
    assert "clipping alone" not in {r["arm"] for r in figure["charts"][0]["data"]["rows"]}


def test_no_two_arms_of_the_picture_look_alike(contents: dict[str, Any]):
    figure = next(b for b in blocks_of(contents) if b["type"] == "figure")
    picture = copy.deepcopy(figure["charts"][0])
    arms = picture["data"]["arms"]
    more = [f"{name}, again" for name in arms]
    picture["data"]["rows"] += [
        {**row, "arm": f"{row['arm']}, again"} for row in picture["data"]["rows"]
    ]
    picture["data"]["arms"] = arms + more
    spec = specification(picture)
    scale = next(
        layer["encoding"]["shape"]["scale"]
        for layer in spec["layer"]
        if "shape" in layer["encoding"]
    )
    assert scale["domain"] == arms + more
    assert len(set(scale["range"])) == len(scale["domain"])
