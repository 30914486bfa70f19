"""The public report as a whole: two runs that differ in secrets alone give the same report."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.errors import BadInput
from audit.report.disclosure import profile
from audit.report.disclosure.profile import public
from audit.report.disclosure.relations import groups_of
from audit.report.disclosure.suppression import FEWEST, primary
from audit.report.document import document, document_json
from audit.report.findings import findings
from audit.report.inputs import ReportOptions
from audit.report.model_card import render_model_card
from audit.report.render import render_html
from audit.report.schema import check_report
from tests.report.disclosure.runs import KINDS, OTHER, SECRET, joint, make
from tests.report.disclosure.tables import groups, named
from tests.report.disclosure.test_suppression import leaks
from tests.report.helpers import changed, standard_only
from tests.report.synthetic import Run
from tests.report.test_document import strings, tables
from tests.report.test_findings import BANNED

WITHHELD = {
    "ward": ["Threave", "Sevenoaks"], "sex×race": ["m × o", "m × b", "f × o", "f × b"],
}  # fmt: skip


def report(run: Run, *, full: bool = True) -> dict[str, Any]:
    return document(run.inputs(), ReportOptions(profile="public", full_subgroups=full))


@pytest.fixture(scope="module")
def secret() -> Run:
    return make(SECRET)


@pytest.fixture(scope="module")
def shown(secret: Run) -> dict[str, Any]:
    return report(secret)


@pytest.mark.parametrize("full", [True, False])
def test_two_runs_that_differ_in_secrets_alone_give_the_same_report(
    secret: Run, full: bool
) -> None:
    """Whatever is withheld cannot be told from the report, by subtraction or otherwise."""
    other = make(OTHER)
    inside = [document_json(run.document(full_subgroups=full)) for run in (secret, other)]
    assert inside[0] != inside[1]
    first, second = (report(run, full=full) for run in (secret, other))
    assert first == second
    assert render_html(first) == render_html(second)


def test_the_comparison_catches_a_suppression_without_partners(
    secret: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: only what is small itself is withheld; the rest of its row gives it away."""

    def small_alone(subgroups: pd.DataFrame, examples: pd.DataFrame) -> dict[str, tuple[str, ...]]:
        found = groups_of(subgroups, examples)
        n_train, n_test = (found.table[c].to_numpy(np.int64) for c in ("n_train", "n_test"))
        return {g: tuple(names) for g, names in named(found, primary(n_train, n_test)).items()}

    monkeypatch.setattr(profile, "withheld", small_alone)
    assert report(secret)["results"]["subgroups"] != report(make(OTHER))["results"]["subgroups"]


def test_what_is_withheld_and_that_no_count_follows_over_all_margins(shown: dict[str, Any]) -> None:
    """Against every table of joint cells that fits the published counts, known exactly."""
    assert shown["results"]["withheld"] == WITHHELD
    for part in joint(SECRET):
        kinds = {g: k for g, k in KINDS.items() if set(g.split("×")) <= set(part.columns)}
        found = groups(part, kinds)
        table = found.table
        published = {(r["grouping"], r["subgroup"]) for r in shown["results"]["subgroups"]}
        mask = np.array([(g, s) not in published for g, s in
                         zip(table["grouping"], table["subgroup"], strict=True)])  # fmt: skip
        assert 0 < mask.sum() < len(mask)
        assert leaks(part, found, mask, FEWEST) == []


def test_every_withheld_subgroup_is_named_in_its_tables_with_nothing_beside_it(
    shown: dict[str, Any], secret: Run
) -> None:
    names = {n for names in WITHHELD.values() for n in names}
    listed = 0
    for caption, rows in tables(shown).items():
        for row in rows:
            if row[0] in names:
                assert set(row[1:]) == {"withheld"}, caption
                listed += 1
    assert listed >= 4 * len(names)
    main = tables(report(secret, full=False))
    found = main["Subgroups by “sex×race”, private training, ε = 2, largest loss first"]
    assert [row[0] for row in found][-4:] == WITHHELD["sex×race"]
    # Elsewhere the names stand in the list of what is withheld alone.
    allowed = names | {"; ".join(n) for n in WITHHELD.values()}
    for text in strings(shown):
        assert text in allowed or not re.search(r"Threave|Sevenoaks|× [ob]\b", text), text


def test_no_number_of_an_example_no_path_and_no_quoted_text(shown: dict[str, Any]) -> None:
    forms = [document_json(shown), render_html(shown), render_model_card(shown)]
    gone = [*range(98761, 98782), "/srv", "/eve", "cohort-2019", "column id", "m.py"]
    for text in forms:
        assert not [word for word in gone if str(word) in text]
    data = dict(next(b for b in tables(shown).items() if b[0] == "Data")[1])
    assert data["Source"] == "patients.csv"
    assert data["Warnings"] == "1 warning about the data in the internal report"
    run = dict(tables(shown)["Run"])
    assert run["Command line"] == "not shown in this profile"
    test = {row[0]: row[1:] for row in tables(shown)["The exact test of the claim"]}
    assert test["Their numbers (at most ten)"] == ["withheld", "none"]
    assert not [caption for caption in tables(shown) if "strongest" in caption]
    assert "Single pairs are not shown" in " ".join(strings(shown))


def walk(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for k, v in value.items() for leaf in walk(v, f"{path}.{k}")]
    if isinstance(value, list):
        return [leaf for v in value for leaf in walk(v, f"{path}[]")]
    return [(path, value)]


def test_numbers_are_rounded_in_results_and_in_text(shown: dict[str, Any]) -> None:
    rows = shown["results"]["subgroups"]
    for path, value in walk(rows):
        if path in {"[].n_train", "[].n_test"}:
            assert value % 5 == 0
            assert value == 0 or value >= FEWEST
        elif isinstance(value, float) and not re.search(r"_p(_holm)?$", path):
            assert value == round(value, 3), path
    for arm in shown["results"]["arms"].values():
        for key in ("accuracy_test", "mem_mean", "loss"):
            for value in (arm.get(key) or {}).values():
                assert value is None or value == round(value, 3)
        assert round(arm["mem_max"]["value"] * 20) == pytest.approx(arm["mem_max"]["value"] * 20)
    by_sex = tables(shown)["Subgroups by “sex”, private training, ε = 2, largest loss first"]
    assert {row[1] for row in by_sex} == {"190", "160"}


def test_a_unanimous_rate_is_an_interval_without_a_value(shown: dict[str, Any]) -> None:
    ward = tables(shown)["Subgroups by “ward”, private training, ε = 2, largest loss first"]
    cells = {row[0]: row for row in ward}
    assert cells["Largs"][4] == "97.1 to 100.0 %"
    record = next(r for r in shown["results"]["subgroups"] if r["subgroup"] == "Largs")
    assert record["accuracy_standard"] is None
    assert record["accuracy_standard_low"] == 0.971


def test_extremes_over_subgroups_are_those_of_the_published_ones(shown: dict[str, Any]) -> None:
    ward = {e["metric"]: e for e in shown["results"]["fairlearn"] if e["grouping"] == "ward"}
    assert set(ward) == {"accuracy", "selection_rate", "demographic_parity_difference",
                         "demographic_parity_ratio"}  # fmt: skip
    rates = ward["accuracy"]["by_group"]
    assert set(rates) == {"Twelveheads", "Largs"}
    assert ward["accuracy"]["difference"] == round(max(rates.values()) - min(rates.values()), 3)
    assert ward["demographic_parity_ratio"]["value"] == ward["selection_rate"]["ratio"]


def test_no_verdict_changes_and_nothing_withheld_reads_as_not_estimable(
    shown: dict[str, Any], secret: Run
) -> None:
    inside = {f["id"]: f for f in findings(secret.summary, secret.run)}
    assert [f["id"] for f in shown["findings"]] == list(inside)
    for found in shown["findings"]:
        for key in ("verdict", "fails", "inconclusive"):
            assert found[key] == inside[found["id"]][key]
    ward = next(f for f in shown["findings"] if f["id"] == "disparity-dp-2-ward")
    assert "clearest excess is that of a subgroup that this profile withholds" in ward["statement"]
    assert ward["withheld"]
    assert "internal report" in ward["needed"]
    row = next(r for r in tables(shown)["Findings"] if "“ward” lose equally" in r[0])
    assert row[3] == "withheld"
    trend = next(f for f in shown["findings"] if f["id"] == "trend-loss_dp-2-ward")
    assert trend["statement"].startswith("Rare subgroups lose more than common ones")
    assert trend["statement"].endswith("the numbers are withheld in this profile.")
    equal = tables(shown)["Do all subgroups lose equally? (losses in percentage points)"]
    cells = {r[0]: r for r in equal}
    assert set(cells["ward"][2:11]) == {"withheld"}
    assert cells["sex×race"][2] == "m × w"
    assert set(cells["sex×race"][6:11]) == {"withheld"}
    assert "withheld" not in cells["sex"]
    trends = {r[0]: r for r in tables(shown)["Trends with frequency"]}
    assert [*trends["ward"][3:6], trends["ward"][7]] == ["withheld"] * 4
    assert "withheld" not in trends["sex"]


def test_rounding_never_changes_a_verdict() -> None:
    """The difference is .0101 (too much), and would be .01 (allowed) to three decimals."""
    run = make(SECRET)
    standard = run.summary["arms"]["standard"]
    standard["mem_mean"] = {"value": 0.03012, "low": 0.0300, "high": 0.0302, "n": 200}
    standard["generalization_gap"] = {"value": 0.01996, "low": 0.0199, "high": 0.0200, "n": 200}
    found = {f["id"]: f for f in report(run)["findings"]}
    assert found["self-check-standard"]["verdict"] == "fails"
    shown = report(run)["results"]["arms"]["standard"]["mem_mean"]["value"]
    assert shown == 0.0301


def test_all_subgroups_withheld_is_said_everywhere() -> None:
    run = make(SECRET)
    small = run.subgroups["subgroup"].isin(["Threave", "Sevenoaks"])
    run.subgroups = pd.DataFrame(run.subgroups[small])
    shown = report(run)
    assert shown["results"]["subgroups"] == []
    said = {s["id"]: " ".join(strings(s)) for s in shown["sections"]}
    assert "Every subgroup of every grouping is withheld" in said["subgroups"]
    assert "Every subgroup is withheld" in said["exposed"]
    assert any("every one is withheld" in item for item in shown["page_one"]["not_covered"])
    render_html(shown)


def test_it_says_that_it_is_public_in_words_that_promise_nothing(
    shown: dict[str, Any], secret: Run
) -> None:
    page = shown["page_one"]
    assert "This is the public profile" in page["reveals"]
    assert "internal." not in page["reveals"]
    inside = set(strings(secret.document(full_subgroups=True)))
    assert not [text for text in strings(shown) if text not in inside and BANNED.search(text)]
    check_report(json.loads(document_json(shown)), "report.json")


def test_examples_are_refused(secret: Run) -> None:
    inputs = secret.inputs()
    with pytest.raises(BadInput, match="training record"):
        document(inputs, ReportOptions(profile="public", examples=True))
    with pytest.raises(BadInput, match="training record"):
        document(replace(inputs, gallery={"train": {}, "test": {}}), ReportOptions("public"))


def test_the_inputs_stay_as_they_are(secret: Run) -> None:
    before = make(SECRET)
    public(secret.inputs())
    assert secret.run == before.run
    assert secret.summary == before.summary
    assert secret.subgroups.equals(before.subgroups)
    assert secret.examples.equals(before.examples)


def test_the_internal_profile_is_not_touched(secret: Run) -> None:
    text = document_json(secret.document(full_subgroups=True))
    assert "98761" in text
    assert "/srv/eve/cohort-2019" in text
    assert "withheld" not in text.replace('"withheld":{}', "")


@pytest.mark.parametrize("single", ["epsilon", "standard"])
def test_hostile_names_and_runs_without_a_comparison_survive(single: str, hostile: Run) -> None:
    run = changed(hostile)
    if single == "standard":
        run = standard_only(run)
    shown = report(run)
    html = render_html(shown)
    assert "<script>alert" not in html
    assert shown["results"]["withheld"]
