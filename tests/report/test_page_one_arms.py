"""Page one of several private arms: one sheet, a row per arm, every number that of a finding."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import pandas as pd
import pytest

from audit.report.frames import rows_of
from audit.report.model_card import render_model_card
from audit.report.render import render_html
from audit.report.words import number
from tests.report.synthetic import Run, make

EPSILONS = (1.0, 2.0, 8.0)


@pytest.fixture(scope="module")
def three() -> Run:
    return make(seed=4, epsilons=EPSILONS, hostile=False)


def rows(table: dict[str, Any]) -> dict[str, dict[str, str]]:
    labels = [column["label"] for column in table["columns"]]
    return {row[0]: dict(zip(labels, row, strict=True)) for row in table["rows"]}


def test_a_single_private_arm_has_paragraphs_and_cards(quiet: Run) -> None:
    page = quiet.document()["page_one"]
    assert page["arms"] is page["losses"] is None
    assert page["who_loses"]
    assert any(card["id"].startswith("claim-") for card in page["cards"])


def test_what_each_arm_claims_is_computed_from_its_epsilon_and_delta(three: Run) -> None:
    page = three.document()["page_one"]
    found = rows(page["arms"])
    assert list(found) == ["standard training", *(f"private training, ε = {e:g}" for e in EPSILONS)]
    assert set(list(found["standard training"].values())[1:5]) == {"–"}
    delta = three.run["arms"]["dp-2"]["delta"]
    for epsilon in EPSILONS:
        row = found[f"private training, ε = {epsilon:g}"]
        assert float(row["Factor at most (e^ε)"].replace(",", "")) == pytest.approx(
            math.exp(epsilon), rel=5e-3
        )
        most = min(
            0.01 * math.exp(epsilon) + delta, 1 - math.exp(-epsilon) * (1 - delta - 0.01)
        )  # both sides of the definition
        shown = re.fullmatch(r"(?:over )?([\d.]+) %", row["From 1 % right to at most"])
        assert shown is not None
        above = row["From 1 % right to at most"].startswith("over")
        assert float(shown[1]) == pytest.approx(100 * most, abs=0.1 if above else 0.06)
    assert len(page["claimed"]) == 1
    assert "For each of 3 private ways of training: taking" in page["claimed"][0]


def test_what_each_arm_costs_is_that_of_the_findings(three: Run) -> None:
    doc = three.document()
    by_id = {f["id"]: f for f in doc["findings"]}
    lost = rows(doc["page_one"]["losses"])
    for epsilon in EPSILONS:
        row = lost[f"private training, ε = {epsilon:g}"]
        overall = by_id[f"loss-dp-{epsilon:g}"]
        assert number(100 * overall["value"], 1) in row["Accuracy loss, overall"]
        trend = by_id[f"trend-loss_dp-{epsilon:g}-style within class"]
        # The finding's slope is per doubling, the page's per halving.
        cell = row["Loss of rare subgroups"]
        assert cell.startswith(f"● Shown, they lose more: {number(-100 * trend['value'], 2)} (")
        assert f"({number(-100 * trend['high'], 2)} to" in cell
        equal = by_id[f"disparity-dp-{epsilon:g}-style within class"]
        assert number(100 * equal["value"], 1) in row["Subgroups lose unequally"]
    assert doc["page_one"]["who_loses"] == []


def test_rare_subgroups_that_lose_less_are_said_to(three: Run) -> None:
    run = copy.deepcopy(three)
    for trend in run.summary["trends"]:
        trend["slope"] = {"value": 0.02, "low": 0.01, "high": 0.03, "n": 40}
        trend["slope_at_equal_difficulty"] = {"value": 0.01, "low": -0.01, "high": 0.03, "n": 40}
    for row in rows(run.document()["page_one"]["losses"]).values():
        assert row["Loss of rare subgroups"] == (
            "● Shown, they lose less: −2.00 (−3.00 to −1.00); equally hard: −1.00 (−3.00 to 1.00)"
        )


def test_an_attacker_who_was_not_tried_on_an_arm_is_not_said_to_have_been(three: Run) -> None:
    run = copy.deepcopy(three)
    assert "was tried on each." in " ".join(run.document()["page_one"]["tested"])
    del run.summary["arms"]["dp-8"]["exposure"]
    said = " ".join(run.document()["page_one"]["tested"])
    assert "was tried on each." not in said
    assert "was tried on standard training, private training (ε = 1) and private" in said


def test_what_was_measured_is_that_of_the_summary(three: Run) -> None:
    run = copy.deepcopy(three)
    for i, result in enumerate(run.summary["arms"].values()):
        result["mem_share_above_0.25"]["value"] = 0.101 + i / 100
        result["accuracy_test"]["value"] = 0.901 + i / 100
        result["exposure"]["balanced_accuracy"]["value"] = 0.601 + i / 100
    del run.summary["arms"]["dp-8"]["exposure"]
    table = run.document()["page_one"]["arms"]
    assert [[row[0], *row[5:]] for row in table["rows"]] == [
        ["standard training", "10.1 %", "60.1 %", "90.1 %"],
        ["private training, ε = 1", "11.1 %", "61.1 %", "91.1 %"],
        ["private training, ε = 2", "12.1 %", "62.1 %", "92.1 %"],
        ["private training, ε = 8", "13.1 %", "–", "93.1 %"],
    ]


def test_arms_of_one_verdict_share_a_line_of_the_headline(three: Run) -> None:
    run = copy.deepcopy(three)
    for arm, power in (("dp-1", 0.999), ("dp-2", 0.94)):
        run.summary["arms"][arm]["test"]["power"] = power
    lines = run.document()["page_one"]["headline"]
    [line] = [words for words in lines if "No violation" in words]
    assert "the privacy claims of private training (ε = 1)" in line
    assert re.search(r"with (.*) probability, respectively\.$", line)
    run.summary["arms"]["dp-2"]["test"]["power"] = 0.999
    run.summary["arms"]["dp-8"]["test"]["power"] = 0.999
    [line] = [w for w in run.document()["page_one"]["headline"] if "No violation" in w]
    assert line.endswith("with over 99 % probability.")


def test_a_violation_keeps_its_line_and_its_card() -> None:
    page = make(seed=2, epsilons=(1.0, 4.0), verdict="violates").document()["page_one"]
    assert any("is violated" in line or "are violated" in line for line in page["headline"])
    failed = [card for card in page["cards"] if card["fails"]]
    assert any(card["id"].startswith("claim-") for card in failed)
    assert any("Violation shown" in cell for row in page["arms"]["rows"] for cell in row)


def test_without_a_standard_arm_nothing_is_said_to_be_lost(three: Run) -> None:
    run = copy.deepcopy(three)
    del run.run["arms"]["standard"], run.summary["arms"]["standard"]
    run.summary |= {"trends": [], "disparity": []}
    private = [rows_of(run.examples, "arm", arm) for arm in run.summary["arms"]]
    run.examples = pd.concat(private, ignore_index=True)
    gone = [c for c in run.subgroups if "standard" in c or "loss" in c or "multiplicity" in c]
    run.subgroups = run.subgroups.drop(columns=gone)
    doc = run.document()
    assert doc["page_one"]["losses"] is None
    assert "No accuracy loss was estimated in this run." in render_html(doc, static=True)


def test_what_a_public_report_withholds_is_not_on_the_page(three: Run) -> None:
    run = copy.deepcopy(three)
    for trend in run.summary["trends"]:
        trend |= {"withheld": ["slope"], "falling": True, "slope": None}
    for entry in run.summary["disparity"]:
        entry |= {"withheld": ["worst_subgroup"], "worst_subgroup": None}
    for row in rows(run.document()["page_one"]["losses"]).values():
        cell = row["Loss of rare subgroups"]
        assert cell == "● Shown, they lose more (numbers withheld)"
        worst = row["Subgroups lose unequally"]
        assert worst == "● Shown: a subgroup that this profile withholds"


def test_the_model_card_has_the_tables(three: Run) -> None:
    card = render_model_card(three.document())
    assert "| Way of training | Factor at most" in card
    assert "| Way of training | Accuracy loss, overall |" in card
