"""The document: all numbers of the inputs arrive, undefined ones are said, nothing is made up."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from audit.errors import BadInput
from audit.report.blocks import NUMBER, TEXT, table
from audit.report.document import document_json
from audit.report.findings import exit_code
from audit.report.frames import rows_of
from audit.report.planted import refuse_planted
from audit.report.render import render_html
from audit.report.subgroup_section import main_grouping
from tests.report.helpers import bare_claim, standard_only
from tests.report.synthetic import HOSTILE, Run, e, make
from tests.report.test_findings import BANNED


def tables(doc: dict[str, Any]) -> dict[str, list[list[str]]]:
    blocks = [b for s in doc["sections"] for b in s["blocks"]]
    found = [b if b["type"] == "table" else b["table"] for b in blocks
             if b["type"] in {"table", "figure"}]  # fmt: skip
    return {t["caption"]: t["rows"] for t in found}


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for k, v in value.items() if k not in {"id", "verdict"} for s in strings(v)]
    return [s for v in value for s in strings(v)] if isinstance(value, list) else []


def test_it_is_plain_json_and_the_same_each_time(hostile: Run) -> None:
    first, second = (document_json(hostile.document(full_subgroups=True)) for _ in range(2))
    assert first == second
    assert document_json(json.loads(first)) == first


def test_the_inputs_are_left_as_they_were(quiet: Run) -> None:
    before = copy.deepcopy(quiet)
    quiet.document()
    assert quiet.run == before.run
    assert quiet.summary == before.summary
    assert quiet.subgroups.equals(before.subgroups)


# Where page one takes each number from: path in the inputs, planted value, how it must then read.
_TRACES: list[tuple[tuple[str, ...], Any, str]] = [
    (("summary", "models"), 321, "We trained 321 models"),
    (("run", "data", "n"), 4321, "the 4,321 training examples"),
    (("run", "data", "n_test"), 765, "on 765 new examples"),
    (("run", "inclusion", "p"), 0.61, "about 61 %"),
    (("run", "arms", "dp-2", "epsilon"), 3.0, "factor of 20.1 at most (ε = 3"),
    (("run", "arms", "dp-2", "delta"), 0.0002, "slack of 0.020 %"),
    (("summary", "arms", "dp-2", "accuracy_test"), e(0.8123, 0.01), "private training 81.2 %"),
    (("summary", "arms", "standard", "mem_share_above_0.25"), e(0.0712, 0.01), "7.1 %"),
    (("summary", "arms", "dp-2", "loss"), e(0.0371, 0.01), "costs 3.7 points"),
    (("summary", "arms", "dp-2", "loss"), e(0.0371, 0.01), "2.7 to 4.7 points"),
    (("summary", "arms", "dp-2", "test", "power"), 0.874, "87 % probability"),
    (("summary", "arms", "standard", "n_refuted"), 29, "29 training examples"),
    (("summary", "arms", "standard", "witnesses"), [3, 9], "numbers 3 and 9"),
    (("summary", "trends", "0", "slope"), e(-0.0317, 0.01), "changes by 3.17 points"),
    (("summary", "trends", "0", "n_groups"), 47, "Among 47 of 51 subgroups"),
    (("summary", "disparity", "0", "worst_loss"), e(0.1234, 0.01), "loses 12.3 points"),
    (("summary", "disparity", "0", "worst_minus_rest"), e(0.1111, 0.01), "11.1 points more"),
    (("summary", "disparity", "0", "largest_loss"), e(0.777, 0.01, 1), "(1 test example): 77.7"),
    (("summary", "disparity", "0", "worst_p_adjusted"), 0.0247, "p = 0.025 corrected"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "planted", "expected"), _TRACES)
def test_every_number_of_page_one_traces_to_the_inputs(
    quiet: Run, path: tuple[str, ...], planted: Any, expected: str
) -> None:
    run = copy.deepcopy(quiet)
    target: Any = {"run": run.run, "summary": run.summary}
    for key in path[:-1]:
        target = target[int(key)] if isinstance(target, list) else target[key]
    target[path[-1]] = planted
    before = " ".join(strings(quiet.document()["page_one"]))
    after = " ".join(strings(run.document()["page_one"]))
    assert expected not in before
    assert expected in after


def test_the_worked_example_is_what_both_directions_allow(quiet: Run) -> None:
    """At ε = 2, δ = 1297^−1.1 and p_out = .01: e²·.01 + δ = .0743 (method §4)."""
    assert any("7.4 % of cases after" in s for s in quiet.document()["page_one"]["claimed"])
    large = make(seed=1, epsilons=(8.0,), hostile=False).document()["page_one"]["claimed"][0]
    assert "factor of 2,981" in large
    assert "so large an ε limits single examples little" in large


def test_no_subgroup_is_dropped_and_undefined_is_said(hostile: Run) -> None:
    doc = hostile.document(full_subgroups=True)
    rows = [
        r for caption, t in tables(doc).items() if caption.startswith("Subgroups by") for r in t
    ]
    assert len(rows) == len(hostile.subgroups)
    empty = [r for r in rows if r[3].startswith("0")]
    assert len(empty) == int((hostile.subgroups.n_test == 0).sum()) > 0
    for row in empty:
        assert row[4:7] == ["not estimable (n=0)"] * 3
    assert all("†" in r[3] for r in rows if int(r[3].split()[0].replace(",", "")) < 10)


def test_the_default_shows_the_main_grouping_in_full(quiet: Run, hostile: Run) -> None:
    assert main_grouping(quiet.subgroups) == "style within class"
    assert main_grouping(hostile.subgroups) == HOSTILE[0]
    shown = tables(quiet.document())
    by_style = [t for c, t in shown.items() if c.startswith("Subgroups by “style within class”")]
    assert [len(t) for t in by_style] == [50]
    assert not any(c.startswith("Subgroups by “class”") for c in shown)


def test_a_long_grouping_is_cut_to_the_worst_and_says_so() -> None:
    doc = make(seed=4, styles=90, n=3000, hostile=False).document()
    block = next(b for s in doc["sections"] for b in s["blocks"] if b["type"] == "figure"
                 and b["table"]["caption"].startswith("Subgroups by"))  # fmt: skip
    assert len(block["table"]["rows"]) == 12
    assert "78 further subgroups" in block["table"]["note"]


def test_crossings_come_before_columns_before_found_subpopulations(quiet: Run) -> None:
    frame = quiet.subgroups.assign(kind=quiet.subgroups["kind"].replace({"class": "crossing"}))
    assert main_grouping(frame) == "class"
    assert main_grouping(frame[frame["kind"] == "frequency"]) is None  # pyright: ignore[reportArgumentType]


ORDER = [
    ("2", "claim"), ("3", "memorization"), ("4", "exposure"), ("5", "subgroups"), ("6", "exposed"),
    ("7", "influence"), ("8", "longtail"), ("9", "provenance"), ("10", "crosswalk"),
]  # fmt: skip


def section_texts(doc: dict[str, Any], ident: str) -> str:
    return " ".join(strings(next(s for s in doc["sections"] if s["id"] == ident)))


def test_all_sections_are_there_in_order_whatever_the_run_lacks(quiet: Run) -> None:
    bare = standard_only(copy.deepcopy(quiet))
    bare.subgroups = bare.subgroups.iloc[:0]
    for run in (quiet, bare):
        found = [(s["number"], s["id"]) for s in run.document()["sections"]]
        assert found == [*ORDER, ("A", "findings")]


def test_missing_parts_say_why_and_are_named(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.run["cross_check"] = {}
    run.run["status"] = "training"
    run.summary |= {"trends": [], "disparity": [], "fairlearn": []}
    for arm in run.summary["arms"].values():
        arm["influence"] = None
    doc = run.document()
    assert doc["incomplete"]
    assert "Influence was not estimated" in section_texts(doc, "influence")
    assert any(
        "not checked against the reference loop" in s for s in doc["page_one"]["not_covered"]
    )


def test_a_run_without_privacy_claims_none(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    doc = standard_only(run).document()
    page = doc["page_one"]
    assert "No arm of this run makes a privacy claim" in page["headline"][0]
    assert "held against ε = 2 all the same" in page["claimed"][0]
    assert page["tested"][0].startswith("We trained 200 models by standard training, each on")
    assert page["who_loses"] == []
    assert "not estimated (there are no private models to compare with)." in " ".join(
        page["not_covered"]
    )
    assert [c["id"] for c in page["cards"]] == ["forbidden-standard"]
    assert "finding none in the private models" not in " ".join(strings(doc))
    assert "No arm of this run makes a privacy claim" in section_texts(doc, "claim")
    assert "there are no private models to compare with" in section_texts(doc, "exposed")
    shown = tables(doc)
    rows = shown["Subgroups by “style within class”, standard training, most memorized first"]
    assert len(rows) == 50
    assert [r[4] for r in rows if r[3] == "0"] == ["not estimable (n=0)"]
    assert exit_code(doc["findings"]) == 0
    assert "loss" not in {f["id"].split("-")[0] for f in doc["findings"]}
    render_html(doc)


def test_a_claim_of_epsilon_and_delta_alone(quiet: Run) -> None:
    """No mechanism, no curve: nothing of either is shown as if it were known."""
    run = bare_claim(copy.deepcopy(quiet), "claimed by <b>library</b> 3.1")
    doc = run.document()
    claim = next(s for s in doc["sections"] if s["id"] == "claim")
    (facts,) = (b for b in claim["blocks"] if b["type"] == "table")
    cells = dict(facts["rows"])
    assert cells["Where the claim comes from"] == "claimed by <b>library</b> 3.1"
    assert "only (ε, δ) is stated" in facts["note"]
    assert {"Accountant", "Noise multiplier", "Clipping norm"}.isdisjoint(cells)
    said = " ".join(strings([doc["sections"], doc["page_one"]]))
    assert not re.search(r"\b(trade-off cap|accountant's|solid line)\b", said)
    assert not re.search(r"\b(nan|inf|None|NaN)\b", said)
    test = tables(doc)["The exact test of the claim"]
    assert ["Point estimates above e^ε / above the trade-off curve", *["0 / no curve"] * 2] in test
    (largest,) = (f for f in doc["findings"] if f["id"] == "largest-memorization-dp-2")
    assert (largest["verdict"], largest["threshold"]) == ("holds", 0.7618)
    assert "curve behind it not being known" in largest["method"]
    assert "<b>library</b>" not in render_html(doc)


def test_a_claim_alone_can_be_violated() -> None:
    run = bare_claim(make(seed=3, verdict="violates", hostile=False), "claimed by the user")
    doc = run.document()
    assert doc["page_one"]["headline"][0] == "The privacy claim of private training is violated."
    assert exit_code(doc["findings"]) == 1


def test_private_arms_without_a_standard_arm(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    del run.run["arms"]["standard"], run.summary["arms"]["standard"]
    run.summary |= {"trends": [], "disparity": []}
    run.examples = rows_of(run.examples, "arm", "dp-2")
    gone = [c for c in run.subgroups if "standard" in c or "loss" in c or "multiplicity" in c]
    run.subgroups = run.subgroups.drop(columns=gone)
    doc = run.document()
    assert "not estimated (there are no standard models to compare with)." in " ".join(
        doc["page_one"]["not_covered"]
    )
    assert "Subgroups by “style within class”, private training, ε = 2, most memorized first" in (
        tables(doc)
    )
    assert "loss-dp-2" not in {f["id"] for f in doc["findings"]}
    render_html(doc)


def test_a_failed_check_stands_on_page_one(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.run["cross_check"]["dp-2"]["passed"] = False
    page = run.document()["page_one"]
    assert "1 check of this run failed" in " ".join(page["headline"])
    assert any(c["id"] == "cross-check-dp-2" for c in page["cards"])


def test_the_cross_check_line(quiet: Run) -> None:
    rows = tables(quiet.document())["Live cross-check of the training engine"]
    assert rows[1][1] == "checked against Opacus 1.6.0 (GradSampleModule, DPOptimizer) in this run"


def test_what_was_fitted_on_the_training_data_is_named(quiet: Run) -> None:
    text = " ".join(quiet.document()["page_one"]["not_covered"])
    assert "k-means centres of the styles" in text
    assert "the grouping “style within class”" in text


def test_no_training_record_and_no_single_example_is_drawn(quiet: Run) -> None:
    doc = quiet.document()
    drawn = [c for s in doc["sections"] for b in s["blocks"] for c in b.get("charts", [])]
    cells = [c for c in drawn if c["kind"] == "plane"]
    assert cells
    for chart in cells:
        assert len(chart["data"]["cells"]) <= 400
    assert "example" not in {k for c in drawn for k in c["data"]}


@pytest.mark.parametrize("verdict", ["consistent", "violates", "could_not_tell"])
def test_no_word_promises(verdict: str) -> None:
    doc = make(seed=3, verdict=verdict, hostile=False).document(full_subgroups=True)
    said = " ".join(strings(doc))
    assert not BANNED.search(said), BANNED.search(said)


def test_numbers_of_the_paragraphs_are_finite(hostile: Run) -> None:
    said = " ".join(strings(hostile.document(full_subgroups=True)))
    assert not re.search(r"\b(nan|inf|None|NaN)\b", said)


def test_a_table_with_a_short_row_is_refused() -> None:
    with pytest.raises(ValueError, match="has 1 cells, expected 2"):
        table("t", [("a", TEXT), ("b", NUMBER)], [["1"]])


def planted_run() -> Run:
    run = make(seed=1, hostile=False)
    bug = {"name": "no_noise", "what": "w", "where": "</title><script>", "breaks": "b"}
    run.run["plant"] = bug
    return run


def test_a_planted_bug_is_on_the_title_the_first_page_every_page_and_the_end() -> None:
    run = planted_run()
    doc = run.document()
    assert doc["title"].startswith("PLANTED BUG no_noise. ")
    page = render_html(doc)
    assert page.count("PLANTED BUG no_noise") >= 5
    assert "wrong on purpose" in page.split("<header>")[0]
    assert page.index("wrong on purpose") < page.index("On one page")
    assert "</title><script>" not in page
    style = page.split("<style>")[1].split("</style>")[0]
    for place in ("@top-center", "@bottom-left"):
        assert f'{place} {{ content: "PLANTED BUG' in style


def test_a_page_of_a_run_as_it_should_be_knows_nothing_of_plants(quiet_page: str) -> None:
    assert "PLANTED" not in quiet_page


def test_no_document_of_compliance_is_made_of_a_planted_run() -> None:
    with pytest.raises(BadInput, match=r"plant = 'no_noise': .*no evidence of compliance"):
        refuse_planted(planted_run().run)
    refuse_planted(make(seed=1, hostile=False).run)


def test_canaries_that_refute_a_claim_make_the_headline(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    entry = {
        "id": "canaries", "procedure": "pooled one-run audit (f-DP)", "source": "a paper",
        "on": "gradient canaries", "threat": "white box: every step", "score": "likelihood ratio",
        "assumes": None, "copies": 1, "planted": 1000, "claimed": [2.0, 4e-4],
        "epsilon": {"value": 7.0, "low": 7.0, "high": None, "n": 200},
        "epsilon_any": {"value": 6.0, "low": 6.0, "high": None, "n": 200},
        "coins": 200_000, "guesses": 2500, "correct": 2500, "alpha": 0.05,
        "refutes_claim": True, "why_not": None,
    }  # fmt: skip
    for arm, result in run.summary["arms"].items():
        if run.run["arms"][arm]["kind"] == "dp":
            found = {"delta": 4e-4, "headline": "canaries", "procedures": [entry]}
            result["empirical_epsilon"] = found
    page = run.document()
    assert "is violated: planted canaries refute it." in " ".join(page["page_one"]["headline"])
    card = next(c for c in page["page_one"]["cards"] if c["id"].startswith("canaries-"))
    assert card["verdict"] == "violates"
    assert card["fails"]
