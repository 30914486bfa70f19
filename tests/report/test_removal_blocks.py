"""The removal experiment in the report."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from audit.report.document import document
from audit.report.inputs import ReportOptions
from tests.report.synthetic import Run, make


@pytest.fixture(scope="module")
def run() -> Run:
    return make(seed=4, hostile=False, removal=True)


def blocks_of(contents: dict[str, Any]) -> list[dict[str, Any]]:
    section = next(s for s in contents["sections"] if s["id"] == "longtail")
    words = [b.get("words") for b in section["blocks"]]
    return section["blocks"][words.index("What the memorized examples are worth") :]


def test_both_curves_start_at_nothing_and_the_table_has_their_numbers(run: Run):
    figures = [b for b in blocks_of(run.document()) if b["type"] == "figure"]
    assert len(figures) == 2  # on all test examples, and without near-duplicates
    points = figures[0]["charts"][0]["data"]["points"]
    memorized = [(p["removed"], p["value"]) for p in points if p["which"] == "memorized"]
    assert memorized == [(0, 0.0), (90, 0.011), (30, 0.002)]
    rows = figures[0]["table"]["rows"]
    assert rows[1][:3] == ["0.1", "90", "6.94 %"]
    assert rows[1][5:] == [
        "1.10 points (0.70 to 1.50)",
        "0.02 points (−0.08 to 0.12)",
        "1.08 points (0.68 to 1.48)",
    ]
    assert rows[3] == ["0.9", "0", "0.00 %", "–", "–", "–", "–", "–"]
    assert figures[1]["table"]["rows"][1][5].startswith("0.55 points")


def test_the_sentence_follows_the_interval(run: Run):
    said = blocks_of(run.document())[-1]["paragraphs"][0]
    assert "The memorized examples carry 0.13 to 0.93 points more" in said
    unsure = copy.deepcopy(run)
    for row in unsure.summary["removal"]["thresholds"][:2]:
        row["filtered"]["difference"]["low"] = -0.001
    said = blocks_of(unsure.document())[-1]["paragraphs"][0]
    assert "is not told from none" in said


def test_where_nothing_is_reached_nothing_is_drawn(run: Run):
    none = copy.deepcopy(run)
    for row in none.summary["removal"]["thresholds"]:
        row |= {"removed": 0, "all": None, "filtered": None}
    found = blocks_of(none.document())
    assert not [b for b in found if b["type"] in ("figure", "table")]
    assert "nothing was removed" in found[-1]["paragraphs"][0]


def test_what_was_not_asked_for_is_not_spoken_of(run: Run):
    plain = copy.deepcopy(run)
    plain.summary["removal"] |= {"near_duplicates": None, "weight_decay": None}
    found = blocks_of(plain.document())
    assert len([b for b in found if b["type"] == "figure"]) == 1
    text = " ".join(p for b in found for p in b.get("paragraphs", []))
    assert "weight decay" not in text
    assert "copy" not in text


def test_a_public_report_does_not_tell_how_many_are_memorized(run: Run):
    with_files = copy.deepcopy(run)
    with_files.run["removal"] = {"removed": {"0.1": 90}}
    with_files.run["shards"]["removal-mem-0.1/200-239"] = {"sha256": "ab" * 32, "seconds": 1.0}
    public = document(with_files.inputs(), ReportOptions(profile="public"))
    assert "removal" not in json.dumps(public)
    with pytest.raises(ValueError, match="not in list"):
        blocks_of(public)
