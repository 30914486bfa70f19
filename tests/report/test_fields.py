"""The fields of a compliance document: each is shown, stated or not; what the tool says of them."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from audit.report.document import document
from audit.report.field_blocks import not_stated, shown_statement, stated_block
from audit.report.fields import BY_ID, FIELDS, TABLES, has_words
from audit.report.known import NO_CLAIM
from audit.report.render import render_html
from tests.report.helpers import STREAMED, as_fixed, bare_claim, standard_only
from tests.report.synthetic import HOSTILE, Run, e, make
from tests.report.test_document import strings
from tests.report.test_findings import BANNED
from tests.report.test_render import Page

# Every question of report.md's list of fields that only a person can answer.
ASKED = [
    "claim.plain", "claim.unit_of_privacy", "claim.rows_per_person", "claim.protected",
    "claim.trust_model", "claim.released", "claim.data_accesses", "claim.composition",
    "claim.non_dp_releases", "accounting.pretraining", "accounting.random_source",
    "accounting.raw_data", "accounting.retention", "accounting.necessity", "fairness.groups",
    "data.source", "data.collected", "governance.system", "governance.purpose",
    "governance.version", "governance.provider", "governance.persons", "governance.why_epsilon",
    "governance.alternatives", "governance.cost", "governance.risks", "governance.mitigations",
    "governance.decision", "governance.limits", "signoff.name", "signoff.role", "signoff.date",
    "signoff.signature", "signoff.next_review",
]  # fmt: skip


def everything() -> dict[str, str]:
    """A statement for every field."""
    dates = {"signoff.date": "2026-04-01", "signoff.next_review": "2027-04-01"}
    return {f.id: dates.get(f.id, f"stated of {f.id}") for f in FIELDS}


def attested_rows(doc: dict[str, Any]) -> dict[str, str | None]:
    """Every attested row and every row of the sign-off, by label."""
    blocks = [b for s in doc["sections"] for b in s["blocks"] if b["type"] == "fields"]
    rows = [r for b in blocks for r in b["rows"] if r["source"] == "attested"]
    return {r["label"]: r["value"] for r in [*rows, *doc["page_one"]["signoff"]]}


def computed(run: Run, section: str, **more: Any) -> dict[str, str]:
    block = stated_block(section, run.inputs(**more))
    assert block is not None
    return {r["label"]: r["value"] for r in block["rows"] if r["source"] == "computed"}


def test_the_catalogue_asks_for_all_of_it_in_order() -> None:
    assert [f.id for f in FIELDS] == ASKED
    assert len({f.label for f in FIELDS}) == len(FIELDS)
    assert list(dict.fromkeys(f.table for f in FIELDS)) == list(TABLES)
    for field in FIELDS:
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", field.id)
        assert field.ask.endswith(("?", "."))
        assert field.example


@pytest.mark.parametrize("change", ["none", "fixed", "bare", "standard only"])
def test_every_field_is_shown_and_not_stated(quiet: Run, change: str) -> None:
    run = copy.deepcopy(quiet)
    changes = {"none": lambda r: r, "fixed": as_fixed, "standard only": standard_only,
               "bare": lambda r: bare_claim(r, "a library")}  # fmt: skip
    run = changes[change](run)
    doc = run.document()
    rows = attested_rows(doc)
    assert list(rows) == [f.label for f in sorted(FIELDS, key=_place)]
    assert set(rows.values()) == {None}
    page = render_html(doc, static=True)
    empty = len(re.findall(r'<td class="text"><strong class="not-stated">NOT STATED', page))
    signed = len(re.findall(r'<dd><strong class="not-stated">NOT STATED', page))
    assert empty + signed == len(FIELDS)
    assert not re.search(r"\b(nan|inf|None|NaN)\b", " ".join(strings(doc["sections"])))


def _place(field: Any) -> int:
    """Fields stand by section, and the sign-off on page one was appended last here."""
    order = ["claim", "subgroups", "provenance", "crosswalk", "summary"]
    return order.index(field.section)


def test_every_statement_is_shown_and_nothing_is_not_stated(quiet: Run) -> None:
    doc = document(quiet.inputs(statements=everything(), attestation_sha256="ab" * 32))
    rows = attested_rows(doc)
    assert rows == {f.label: everything()[f.id] for f in FIELDS}
    assert not not_stated(quiet.inputs(statements=everything()))
    assert doc["attestation"] == {
        "sha256": "ab" * 32, "statements": everything(), "asked": ASKED,
    }  # fmt: skip
    page = render_html(doc, static=True)
    for text in everything().values():
        assert f"<bdi>{text}</bdi>" in page
    assert doc["page_one"]["not_covered"][-1].startswith("Whether the 34 statements that only")


def test_page_one_counts_what_is_not_stated(quiet: Run) -> None:
    said = everything()
    kept = {k: said[k] for k in ("governance.purpose", "signoff.name", "data.source")}
    kept["governance.risks"] = " \n\u200b"
    page = document(quiet.inputs(statements=kept))["page_one"]
    assert page["not_covered"][-1].startswith("31 of 34 statements")
    assert page["signoff"][0] == {"label": "Name", "value": kept["signoff.name"]}
    assert page["signoff"][2] == {"label": "Date", "value": None}


def test_a_sign_off_before_the_run_was_finished_says_so(quiet: Run) -> None:
    for day, early in (("2026-03-01", True), ("2026-03-02", False), ("2026-03-03", False)):
        rows = document(quiet.inputs(statements={"signoff.date": day}))["page_one"]["signoff"]
        assert rows[2]["value"] == day + early * " (before this run was finished, 2026-03-02)"


ATTACKS = (*(h for h in HOSTILE if h), "=HYPERLINK(\"http://x\")", "@SUM(1)", "y" * 5000,
           "a\x00b", "one\u202etwo", "NOT STATED</bdi><bdi>")  # fmt: skip


@pytest.mark.parametrize("shift", range(0, len(ATTACKS), 6))
def test_hostile_statements_are_text(quiet: Run, quiet_page: str, shift: int) -> None:
    said = {f.id: ATTACKS[(i + shift) % len(ATTACKS)] for i, f in enumerate(FIELDS)}
    page = render_html(document(quiet.inputs(statements=said)), static=True)
    tags = {tag for tag, _ in Page(page).tags}
    assert tags <= {tag for tag, _ in Page(quiet_page).tags}
    for _, attributes in Page(page).tags:
        assert not any(a.startswith("on") or a == "src" for a in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    for forbidden in ("\x00", "\x1b", "\u202e"):
        assert forbidden not in page
    assert page.count("<bdi>" + "y" * 5000 + "</bdi>") == sum(
        t == "y" * 5000 for t in said.values()
    )


def test_a_statement_keeps_its_lines_and_spells_what_cannot_be_seen() -> None:
    assert shown_statement(" one\n\n two\tthree\u202e\n") == "one\n\n two\\tthree\\u202e"
    assert len(shown_statement("x" * 9000)) == 5000
    assert not has_words(" \u200b\t\n\u202e")
    assert has_words("–")
    # Hangul fillers, Braille without a dot, a joiner, a variation selector: no ink.
    assert not has_words("\u3164\u115f\u2800\u034f\ufe0f")


def test_words_of_the_fields_promise_nothing(quiet: Run) -> None:
    doc = document(quiet.inputs())
    said = [b for s in doc["sections"] for b in s["blocks"] if b["type"] in {"fields", "crosswalk"}]
    for text in strings([said, doc["page_one"]["signoff"]]):
        assert not BANNED.search(text), text


# What the tool says beside the questions: path in the inputs, planted value, section, row, words.
_TRACES: list[tuple[tuple[str, ...], Any, str, str, str]] = [
    (("run", "arms", "dp-2", "delta"), 0.001, "claim", "δ against 1/n",
     "WARNING: δ = 0.001 is 1.30"),
    (("run", "arms", "dp-2", "epsilon_rdp"), 2.3456, "claim", "To convert ε once more",
     "RDP 2.346"),
    (("run", "arms", "dp-2", "noise_multiplier"), 5.0, "claim", "To convert ε once more",
     "16: 0.717"),
    (("summary", "arms", "dp-2", "test", "epsilon"), 8.0, "claim",
     "Can the test of (ε, δ) fail at all?", "hardly: (ε, δ) allows memorization up to 0.7618"),
    (("run", "arms", "dp-2", "epsilon"), 3.0, "claim", "Rows per person in this run",
     "ε = 6, δ = "),
    (("run", "inclusion", "design"), "fixed", "claim",
     "Does the inclusion design match the neighbours?", "no: the claim is about adding"),
    (("run", "data", "fitted_on_train"), ["means <b>"], "claim", "Outside ε in this run",
     "means <b>"),
    (("run", "arms", "dp-2", "tuning"), "none at all", "claim", "Outside ε in this run",
     "none at all"),
    (("summary", "models"), 321, "claim", "Models made for this audit", "321 models each by"),
    (("run", "cross_check", "dp-2", "stream"), {"passed": True}, "claim",
     "Sampling assumption of the accountant", "holds (the draws of the checked model agree)"),
    (("run", "cross_check", "dp-2", "stream"), {"passed": False}, "claim",
     "Sampling assumption of the accountant", "does not hold (the draws"),
    (("run", "arms", "dp-2", "clip_norm"), 0.25, "claim", "Clipping, normalisation, minibatch",
     "to norm 0.25"),
    (("run", "arms", "dp-2", "expected_batch_size"), 77.0, "claim",
     "Clipping, normalisation, minibatch", "planned size 77"),
    (("run", "engine", "dp-2", "why"),
     "x. 3 BatchNorm layers replaced by GroupNorm in every arm: y", "claim",
     "Layers that are not fit for DP-SGD", "3 BatchNorm layers replaced by GroupNorm"),
    (("run", "model", "name"), "pkg.mod:net", "claim", "Initial parameters in this run",
     "not known here: the user's own code"),
    (("run", "seed"), 4711, "claim", "Random source of this run", "the run's seed 4711"),
    (("run", "hardware", "device"), "cuda", "claim", "Random source of this run", "Philox"),
    (("run", "config_sha256"), "12" * 32, "memorization", "Fixed before the run?", "12" * 32),
    (("run", "created"), "2026-01-01T00:00:00Z", "memorization", "Fixed before the run?",
     "written on 2026-01-01"),
    (("run", "inclusion", "p"), 0.61, "memorization", "Models and subsets", "p = 0.61"),
    (("summary", "arms", "dp-2", "above_bound", "by_chance"), 12.3, "memorization",
     "Estimates above the bound", "0 above e^ε, by chance about 12"),
    (("summary", "arms", "dp-2", "above_bound", "tradeoff_by_chance"), 2.34, "memorization",
     "Estimates above the bound", "3 above the privacy curve, by chance about 2.3"),
    (("summary", "arms", "dp-2", "accuracy_test"), e(0.8123, 0.01), "subgroups",
     "Accuracy of both arms", "private training: 81.2 % (80.2 to 82.2)"),
    (("summary", "arms", "dp-2", "loss"), e(0.0371, 0.01), "subgroups", "Accuracy of both arms",
     "3.7 points (2.7 to 4.7)"),
    (("summary", "arms", "dp-2", "loss"), e(0.0371, 0.01), "crosswalk",
     "Cost measured in this run", "3.7 points (2.7 to 4.7) of test accuracy"),
    (("run", "data", "fingerprint"), "34" * 32, "provenance", "Data of this run", "34" * 32),
    (("run", "arms", "dp-2", "epsilon"), 3.0, "crosswalk", "ε in this run", "in this run: 3"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "planted", "section", "row", "words"), _TRACES)
def test_what_the_tool_says_traces_to_the_inputs(
    quiet: Run, path: tuple[str, ...], planted: Any, section: str, row: str, words: str
) -> None:
    run = copy.deepcopy(quiet)
    target: Any = {"run": run.run, "summary": run.summary}
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = planted
    assert words not in computed(quiet, section)[row]
    assert words in computed(run, section)[row]


def test_at_epsilon_eight_the_test_of_the_pair_cannot_fail() -> None:
    run = make(seed=1, epsilons=(2.0, 8.0), hostile=False)
    run.summary["arms"]["dp-8"]["above_bound"]["memorization_cap"] = 0.99933
    said = computed(run, "claim")["Can the test of (ε, δ) fail at all?"]
    small, large = said.splitlines()
    assert small.startswith(
        "private training (ε = 2): yes: (ε, δ) allows memorization up to 0.7618"
    )
    assert large.startswith(
        "private training (ε = 8): hardly: (ε, δ) allows memorization up to 0.9993"
    )


def test_the_smallest_detectable_excess_is_that_of_this_number_of_models(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    rows = [{"models": k, "excess": x} for k, x in ((100, None), (200, 0.41), (400, 0.2))]
    entry = {"arm": "dp-2", "bound": "e^ε", "p_out": 0.01, "rows": rows}
    run.summary["power"] = {"excess": [entry, {**entry, "p_out": 0.5}]}
    block = stated_block("memorization", run.inputs())
    assert block is not None
    said = {r["label"]: r["value"] for r in block["rows"]}["Smallest excess that would be found"]
    assert (
        said == "of an example right in 0.01 of cases without it, with 80 % power: +0.41 over e^ε"
    )
    run.summary["models"] = 100
    assert (
        "none, however large over e^ε"
        in computed(run, "memorization")["Smallest excess that would be found"]
    )


def test_the_gap_between_subgroups_before_and_after(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.summary["fairlearn"] = [
        {"grouping": "style within class", "metric": "accuracy", "arm": arm, "difference": gap}
        for arm, gap in (("standard", 0.281), ("dp-2", 0.35))
    ]
    said = computed(run, "subgroups")["Largest gap, without and with privacy"]
    assert "standard training: 28.1 points; private training: 35.0 points" in said
    assert said.endswith("privacy changes it by 6.9 points under private training")


def test_groups_left_out_are_counted(hostile: Run) -> None:
    groups = hostile.subgroups[hostile.subgroups["kind"] != "frequency"]
    said = computed(hostile, "subgroups")["Groups left out or not estimable"]
    assert said.startswith(f"{len(groups)} subgroups in all; {(groups.n_test == 0).sum()} without")
    kept = computed(hostile, "subgroups", withheld={"class": ("a", "b")})
    assert kept["Groups left out or not estimable"].endswith(
        "2 more are withheld from a public report"
    )


def test_what_nobody_here_saw_is_not_known(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.run["origin"] = {"arrays": {}, "tables": {}}
    rows = {**computed(run, "claim"), **computed(run, "memorization")}
    for label in ("Clipping, normalisation, minibatch", "Initial parameters in this run",
                  "Random source of this run", "Floating point"):  # fmt: skip
        assert rows[label].endswith("not known here: this tool did not train the models")
    assert "Early stopping: not known here" in rows["Outside ε in this run"]
    assert rows["Fixed before the run?"].startswith("not known here")
    learner = copy.deepcopy(quiet)
    learner.run["engine"]["dp-2"] = {"name": "estimator", "why": "", "trained_by": "lib 1"}
    said = computed(learner, "claim")
    assert said["Random source of this run"] == "not known here: lib 1 trains itself"
    assert "Early stopping: not known here" in said["Outside ε in this run"]


def test_a_claim_alone_cannot_be_converted(quiet: Run) -> None:
    run = bare_claim(copy.deepcopy(quiet), "a library")
    assert computed(run, "claim")["To convert ε once more"].startswith("not known")


def test_without_a_claim_that_is_said_once(quiet: Run) -> None:
    run = standard_only(copy.deepcopy(quiet))
    values = list(computed(run, "claim").values())
    assert values.count(NO_CLAIM) == 1


def test_the_streams_of_a_checked_model_are_read(quiet: Run) -> None:
    """A stream without a verdict is no agreement."""
    run = copy.deepcopy(quiet)
    run.run["cross_check"]["dp-2"] |= STREAMED
    assert "not tested on draws" in computed(run, "claim")["Sampling assumption of the accountant"]


def test_a_planted_bug_is_said_of_the_fields(quiet: Run) -> None:
    run = copy.deepcopy(quiet)
    run.run["plant"] = {"name": "no_noise", "what": "w", "where": "x", "breaks": "b"}
    block = stated_block("claim", run.inputs())
    assert block is not None
    assert block["note"].endswith("computed rows say what was planned.")


def test_ids_of_fields_name_themselves() -> None:
    for ident, field in BY_ID.items():
        assert f"{field.table}.{field.key}" == ident
