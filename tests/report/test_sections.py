"""Sections on claim, memorization, provenance: both scales of ε, what is and is not shared."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from audit.report.claim_section import claim_section
from audit.report.longtail_section import longtail_section
from audit.report.memorization_section import memorization_section
from audit.report.provenance_section import provenance_section
from tests.report.helpers import STREAMED, as_fixed
from tests.report.synthetic import Run, make
from tests.report.test_document import strings

TEST, CHECK = "The exact test of the claim", "Live cross-check of the training engine"
STREAM = "Random streams of the checked models"


def tables(section: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    assert section is not None
    found = [b.get("table", b) for b in section["blocks"] if b["type"] in {"table", "figure"}]
    return {t["caption"]: t for t in found}


def exact_test(run: Run) -> dict[str, list[str]]:
    """Cells of the test's table by row, one per arm."""
    rows = tables(memorization_section(run.run, run.summary, run.examples, 1))[TEST]["rows"]
    return {row[0]: row[1:] for row in rows}


def row(cells: dict[str, list[str]], beginning: str) -> list[str]:
    return next(values for name, values in cells.items() if name.startswith(beginning))


def columns(table: dict[str, Any]) -> list[str]:
    return [c["label"] for c in table["columns"]]


def test_every_epsilon_between_in_and_out_is_labelled_under_fixed(quiet: Run) -> None:
    run = as_fixed(copy.deepcopy(quiet))
    cells = exact_test(run)
    assert cells["ε, δ tested, between in and out (a swap)"] == ["4, 0.0032"] * 2
    assert "ε between in and out certified by the worst example (lower bound, 95 %)" in cells
    claim = claim_section(run.run, run.summary)
    facts = {r[0]: r[1] for r in tables(claim)["Claim and accounting"]["rows"]}
    assert facts["ε claimed"] == "2"
    assert facts["ε, δ between “in” and “out” in this design"] == "4, 0.00316"
    assert facts["Most memorization e^ε allows any example, between in and out"] == "0.762"
    [curve] = [c for c in tables(claim) if c.startswith("Privacy curve")]
    assert curve.endswith("between in and out")
    assert "twice the ε claimed" in " ".join(
        strings(memorization_section(run.run, run.summary, run.examples, 1))
    )


def test_the_curve_shows_the_epsilon_that_it_is_about() -> None:
    run = make(seed=1, hostile=False)
    run.run["arms"]["dp-2"]["privacy_curve"]["epsilon"] = [i / 7 for i in range(33)]
    run = as_fixed(run)
    tested = tables(claim_section(run.run, run.summary))
    rows = next(t for c, t in tested.items() if c.startswith("Privacy curve"))["rows"]
    assert "4" in [r[0] for r in rows]


def test_nothing_is_labelled_so_where_add_and_remove_is_tested(quiet: Run) -> None:
    section = claim_section(quiet.run, quiet.summary)
    memorization = memorization_section(quiet.run, quiet.summary, quiet.examples, 1)
    said = " ".join([*strings(section), *strings(memorization)])
    assert "between in and out" not in said
    assert "ε certified by the worst example (lower bound, 95 %)" in exact_test(quiet)


def test_the_test_table_says_why_no_number_of_models_is_given(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    test = run.summary["arms"]["dp-2"]["test"]
    test["models_needed"] = None
    assert row(exact_test(run), "Models needed")[1] == "over a million"
    test["epsilon"] = 8.0
    assert row(exact_test(run), "Models needed")[1] == "no number of models"
    test["power"] = None
    assert row(exact_test(run), "Models needed")[1] == "nothing could be tested"
    assert row(exact_test(run), "Power to find")[1] == "nothing could be tested"


def test_the_table_certifies_no_less_than_the_verdict() -> None:
    run = make(seed=1, verdict="violates", hostile=False)
    run.summary["arms"]["dp-2"]["epsilon_certified"] |= {"value": 1.5, "low": 1.5}
    assert row(exact_test(run), "ε certified")[1] == "2.00"


def test_both_families_and_diverged_models_are_in_the_test_table(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    assert not any(name.startswith("Of these, diverged") for name in exact_test(run))
    run.summary["arms"]["dp-2"]["diverged"] = 4
    cells = exact_test(run)
    assert row(cells, "Of these, diverged") == ["0", "4"]
    assert row(cells, "Beyond the trade-off curve by more than chance, in either direction")
    section = memorization_section(run.run, run.summary, run.examples, 1)
    assert "Two families of tests" in tables(section)[TEST]["note"]


def test_old_cross_checks_show_no_empty_columns(quiet: Run) -> None:
    found = tables(provenance_section(quiet.run))
    assert "Single steps, relative difference" not in columns(found[CHECK])
    assert STREAM not in found


def test_streams_and_what_is_shared(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    for check in run.run["cross_check"].values():
        check |= copy.deepcopy(STREAMED)
    without = dict.fromkeys([k for k in STREAMED["stream"] if k.startswith("noise")])
    run.run["cross_check"]["standard"]["stream"] |= without
    found = tables(provenance_section(run.run))
    checked = found[CHECK]
    step = columns(checked).index("Single steps, relative difference")
    assert [r[step] for r in checked["rows"]] == ["2.5e−07"] * 2
    assert "Not an independent implementation of: membership; initial" in checked["note"]
    assert "by an independent" not in checked["note"]
    assert found[STREAM]["rows"] == [
        ["standard training", "−0.71", "0", "–", "–", "–"],
        ["private training, ε = 2", "−0.71", "0", "0.0012", "0.00021", "0.00034"],
    ]


def test_a_diverged_check_is_not_estimable_and_not_hidden(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.run["cross_check"]["dp-2"] |= {
        "parameters_relative_difference": None, "single_step_relative_difference": None,
        "self_relative_difference": None, "passed": False,
    }  # fmt: skip
    cells = tables(provenance_section(run.run))[CHECK]["rows"][1]
    assert cells[1].startswith("DIFFERS from")
    assert cells[4:6] == ["not estimable", "not estimable"]


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("opacus", "Private training, ε = 2: trained by Opacus itself, nothing to cross-check."),
        ("ensemble", "Private training, ε = 2: the engine was NOT CHECKED"),
    ],
)
def test_an_arm_without_a_cross_check(quiet: Run, engine: str, words: str) -> None:
    run = copy.deepcopy(quiet)
    del run.run["cross_check"]["dp-2"]
    run.run["engine"]["dp-2"]["name"] = engine
    assert words in " ".join(strings(provenance_section(run.run)))
    run.run["cross_check"] = {}
    section = provenance_section(run.run)
    assert words in " ".join(strings(section))
    assert CHECK not in tables(section)


def test_the_long_tail_has_the_price_within_a_claim_where_something_occurs_once() -> None:
    """One of the synthetic run's groupings has three singletons, the other none."""
    run = make(seed=1)
    section = longtail_section(run.run, run.summary, {})
    rows = tables(section)["Predicted and measured"]["rows"]
    within = [row for row in rows if row[0].startswith("Predicted price within the claim")]
    assert [row[1:] for row in within] == [["0.07 points", "1,297"]]
    said = " ".join(strings(section))
    assert "be memorized by 0.31 at most, so that at least 0.07 points are lost" in said
