"""What changed between two reports: found, directed, and judged against noise."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audit.errors import BadInput
from audit.report.diff import Difference, diff, headline, paired_arms
from audit.report.diff_numbers import compared
from audit.report.diff_result import Change
from audit.report.diff_words import markdown, text_lines
from tests.report.run_directory import report
from tests.report.synthetic import HOSTILE, Run, make

Json = dict[str, Any]
Edit = Callable[[Json], object]


@pytest.fixture(scope="module")
def base() -> Json:
    return report(make(seed=1, hostile=False))


def changed(contents: Json, edit: Edit) -> Json:
    other = copy.deepcopy(contents)
    edit(other)
    return other


def only(found: Difference) -> Change:
    assert len(found.changes) == 1, found.changes
    return found.changes[0]


def arm(contents: Json, name: str = "dp-2") -> Json:
    return contents["results"]["arms"][name]


def finding(contents: Json, ident: str) -> Json:
    return next(f for f in contents["findings"] if f["id"] == ident)


def set_verdict(ident: str, verdict: str, *, fails: bool = False, value: Any = None) -> Edit:
    def edit(contents: Json) -> None:
        undecided = verdict in ("could_not_tell", "inconclusive", "too_few_groups") and not fails
        found = {"verdict": verdict, "fails": fails, "inconclusive": undecided, "value": value}
        finding(contents, ident).update(found)

    return edit


def drop(ident: str) -> Edit:
    return lambda r: r.update(findings=[f for f in r["findings"] if f["id"] != ident])


def both_ways(old: Json, new: Json) -> tuple[Difference, Difference]:
    found = diff(old, new), diff(new, old)
    for each in found:
        json.dumps(each.to_json(), allow_nan=False)
        assert markdown(each)
        assert all("\n" not in line for line in text_lines(each))
    return found


def test_identical_reports_are_one_line(base: Json):
    found = diff(base, copy.deepcopy(base))
    assert found.identical
    assert text_lines(found) == ["Nothing changed: the two reports are identical."]
    assert found.exit_code == 0
    assert json.loads(json.dumps(found.to_json()))["changes"] == []


def test_reports_that_differ_in_what_is_not_compared_say_where(base: Json):
    other = changed(base, lambda r: r["source"].update(finished="2027-01-01T00:00:00Z"))
    lines = text_lines(diff(base, other))
    assert len(lines) == 1
    assert "Nothing that is compared changed; the reports differ in source" in lines[0]


ABOUT: list[tuple[Edit, str, str, str]] = [
    (lambda r: r["source"]["data"].update(n=1300), "training examples", "1297", "1300"),
    (lambda r: r["source"]["data"].update(name=HOSTILE[0]), "data", "digits", HOSTILE[0]),
    (lambda r: r["source"].update(seed=7), "seed", "0", "7"),
    (lambda r: r["source"].update(config_sha256="0" * 64), "configuration (SHA-256)",
     "ab" * 32, "0" * 64),
    (lambda r: r["source"]["model"].update(name="cnn"), "model", "mlp, 64-64-10, ReLU",
     "cnn, 64-64-10, ReLU"),
    (lambda r: r["source"]["versions"].update(torch="9"), "version of torch", "2.9.1", "9"),
    (lambda r: r["source"]["engine"]["dp-2"].update(name="opacus"), "engine of dp-2",
     "ensemble", "opacus"),
    (lambda r: r["tool"].update(version="9"), "tool", "longtail-audit 0.1.0", "longtail-audit 9"),
    (lambda r: r["results"].update(models=400), "models per arm", "200", "400"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "what", "old", "new"), ABOUT)
def test_what_the_reports_are_about(base: Json, edit: Edit, what: str, old: str, new: str):
    there, back = both_ways(base, changed(base, edit))
    assert (only(there).what, only(there).old, only(there).new) == (what, old, new)
    assert (only(back).old, only(back).new) == (new, old)
    assert there.exit_code == back.exit_code == 0


def test_other_data_are_said_to_be_other(base: Json):
    found = diff(base, changed(base, lambda r: r["source"]["data"].update(fingerprint="ef" * 32)))
    assert any("the data are other ones" in note for note in found.notes)
    assert any("found inside classes are not compared" in note for note in found.notes)


# What a change makes of a finding, and what the change back makes of it.
VERDICTS: list[tuple[str, tuple[str, bool], tuple[str, bool], str, str]] = [
    ("claim-dp-2", ("consistent", False), ("could_not_tell", False), "worse", "better"),
    ("claim-dp-2", ("consistent", False), ("violates", True), "worse", "better"),
    ("claim-dp-2", ("could_not_tell", False), ("could_not_tell", True), "worse", "better"),
    ("claim-dp-2", ("violates", True), ("could_not_tell", True), "changed", "changed"),
    ("largest-memorization-dp-2", ("holds", False), ("fails", True), "worse", "better"),
    ("delta-dp-2", ("holds", False), ("fails", True), "worse", "better"),
    ("cross-check-standard", ("holds", False), ("inconclusive", False), "worse", "better"),
    ("self-check-dp-2", ("inconclusive", False), ("fails", True), "worse", "better"),
    ("disparity-dp-2-class", ("equivalent", False), ("inconclusive", False), "worse", "better"),
    ("disparity-dp-2-class", ("inconclusive", False), ("shown", False), "worse", "better"),
    ("disparity-dp-2-class", ("inconclusive", False), ("too_few_groups", False), "changed",
     "changed"),
    ("trend-loss_dp-2-style within class", ("inconclusive", False), ("shown", False), "worse",
     "better"),
    ("exposure-dp-2", ("inconclusive", False), ("shown", False), "worse", "better"),
    # What standard training does is no claim: it only informs.
    ("exposure-standard", ("inconclusive", False), ("shown", False), "changed", "changed"),
    ("forbidden-standard", ("consistent", False), ("violates", False), "changed", "changed"),
    ("trend-mem_standard-class", ("inconclusive", False), ("shown", False), "changed", "changed"),
]  # fmt: skip


@pytest.mark.parametrize(("ident", "before", "after", "there", "back"), VERDICTS)
def test_verdicts_have_a_direction(
    base: Json, ident: str, before: Any, after: Any, there: str, back: str
):
    old = changed(base, set_verdict(ident, before[0], fails=before[1]))
    new = changed(base, set_verdict(ident, after[0], fails=after[1]))
    found = both_ways(old, new)
    assert [only(each).what for each in found] == [ident, ident]
    assert [only(each).kind for each in found] == [there, back]
    assert [each.exit_code for each in found] == [int(there == "worse"), int(back == "worse")]


def test_a_loss_shown_is_worse_and_a_gain_shown_is_better(base: Json):
    old = changed(base, set_verdict("loss-dp-2", "inconclusive", value=0.0))
    cost = changed(base, set_verdict("loss-dp-2", "shown", value=0.02))
    gain = changed(base, set_verdict("loss-dp-2", "shown", value=-0.02))
    assert only(diff(old, cost)).kind == "worse"
    assert only(diff(old, gain)).kind == "better"
    # The same word, and worse all the same.
    assert (only(diff(gain, cost)).kind, only(diff(gain, cost)).new) == ("worse", "Shown")


def test_findings_that_are_new_and_gone(base: Json):
    without = changed(base, drop("claim-dp-2"))
    # The arm is still there: its claim is withdrawn, and no longer tested.
    there = {c.what: c.kind for c in diff(base, without).changes}
    assert there == {"claim-dp-2": "worse", "claim of dp-2": "worse"}
    assert {c.kind for c in diff(without, base).changes} == {"new"}
    unchecked = changed(base, drop("cross-check-dp-2"))
    there, back = both_ways(base, unchecked)
    assert (only(there).kind, only(back).kind) == ("worse", "new")
    # Nor is what was measured of a grouping that is still there.
    fewer = changed(base, drop("disparity-dp-2-class"))
    there, back = both_ways(base, fewer)
    assert (only(there).kind, only(back).kind) == ("worse", "new")

    def diverged(contents: Json) -> None:
        contents["findings"].append(
            {**finding(contents, "self-check-dp-2"), "id": "diverged-dp-2", "verdict": "fails",
             "fails": True}
        )  # fmt: skip

    there, back = both_ways(base, changed(base, diverged))
    assert (only(there).kind, only(back).kind) == ("worse", "better")
    failing = changed(base, set_verdict("claim-dp-2", "violates", fails=True))
    assert any(c.kind == "worse" for c in diff(without, failing).changes if c.what == "claim-dp-2")


def test_findings_whose_shortened_names_are_the_same_are_all_compared(base: Json):
    def twice(contents: Json, verdict: str) -> None:
        second = {**finding(contents, "disparity-dp-2-class"), "verdict": verdict}
        contents["findings"].append(second)

    old, new = (changed(base, lambda r, v=v: twice(r, v)) for v in ("equivalent", "shown"))
    assert only(diff(old, new)).kind == "worse"


def test_claims(base: Json):
    there, back = both_ways(base, changed(base, lambda r: arm(r).update(epsilon=4.0)))
    assert (only(there).what, only(there).old, only(there).new) == ("ε of dp-2", "2", "4")
    assert (only(there).kind, only(back).kind) == ("worse", "better")
    there, back = both_ways(base, changed(base, lambda r: arm(r).update(delta=1e-5)))
    assert (only(there).kind, only(back).kind) == ("better", "worse")
    there, back = both_ways(base, changed(base, lambda r: arm(r).pop("epsilon")))
    assert (only(there).kind, only(back).kind) == ("worse", "better")
    native = diff(base, changed(base, lambda r: arm(r).update(noise_multiplier=0.9)))
    assert (only(native).kind, only(native).new) == ("changed", "0.9")


def test_the_one_private_arm_is_compared_under_its_other_name():
    old = report(make(seed=1, hostile=False))
    new = report(make(seed=1, hostile=False, epsilons=(4.0,)))
    assert paired_arms(old, new) == {"standard": "standard", "dp-4": "dp-2"}
    found = diff(old, new)
    assert "dp-4 is compared with dp-2" in found.notes[0]
    kinds = {c.what: c.kind for c in found.changes}
    assert kinds["ε of dp-4"] == "worse"
    assert not any(c.kind in ("new", "gone") for c in found.changes)
    several = report(make(seed=1, hostile=False, epsilons=(4.0, 8.0)))
    assert paired_arms(old, several) == {"standard": "standard"}
    assert {c.what for c in diff(old, several).changes if c.section == "claims"} == {
        "claim of dp-4", "claim of dp-8", "claim of dp-2",
    }  # fmt: skip


def estimate(value: float | None, half: float | None = 0.01) -> Json:
    if value is None or half is None:
        return {"value": value, "low": None, "high": None, "n": 200}
    return {"value": value, "low": value - half, "high": value + half, "n": 200}


NUMBERS: list[tuple[str, Json, Json, str, str, str]] = [
    ("loss", estimate(0.02), estimate(0.05), "worse", "better", "beyond noise"),
    ("loss", estimate(0.02), estimate(0.03), "changed", "changed", "within noise"),
    ("loss", estimate(0.02), estimate(0.05, None), "changed", "changed", "no interval"),
    ("loss", estimate(0.02), estimate(None), "gone", "new", ""),
    ("accuracy_test", estimate(0.9), estimate(0.8), "worse", "better", "beyond noise"),
    ("mem_mean", estimate(0.01), estimate(0.1), "worse", "better", "beyond noise"),
    ("mem_max", estimate(0.1, 0.05), estimate(0.3, 0.05), "changed", "changed", "no interval"),
]


@pytest.mark.parametrize(("key", "was", "now", "there", "back", "judged"), NUMBERS)
def test_numbers_of_private_arms(
    base: Json, key: str, was: Json, now: Json, there: str, back: str, judged: str
):
    old, new = (changed(base, lambda r, e=e: arm(r).update({key: e})) for e in (was, now))
    found = both_ways(old, new)
    assert [only(each).kind for each in found] == [there, back]
    assert judged in only(found[0]).note


def test_numbers_of_standard_training_only_inform(base: Json):
    new = changed(base, lambda r: arm(r, "standard").update(accuracy_test=estimate(0.5)))
    assert only(diff(base, new)).kind == "changed"
    assert "beyond noise" in only(diff(base, new)).note


def test_attacks_and_certified_bounds(base: Json):
    new = changed(base, lambda r: arm(r)["exposure"].update(balanced_accuracy=estimate(0.9)))
    assert only(diff(base, new)).kind == "worse"
    other = changed(base, lambda r: arm(r)["exposure"].update(attack="rmia_online"))
    assert only(diff(base, other)).what == "attack on dp-2"
    bound = {"value": 1.3, "low": 1.3, "high": None, "n": 200}
    certified = changed(base, lambda r: arm(r).update(epsilon_certified=bound))
    change = only(diff(base, certified))
    assert (change.kind, change.new) == ("changed", "at least 1.30")


def test_a_difference_is_judged_validly_however_the_runs_depend_on_each_other():
    """False alarms of "beyond noise" where nothing changed: independent, alike, and opposed."""
    rng, trials, error = np.random.default_rng(5), 4000, 0.01
    for correlation, most in ((0.0, 0.01), (0.9, 0.0001), (-1.0, 0.055)):
        cov = error**2 * np.array([[1, correlation], [correlation, 1]])
        pairs = rng.multivariate_normal([0.1, 0.1], cov, size=trials)
        half = 1.96 * error
        alarms = sum(
            bool(c and c[0].numbers and c[0].numbers["beyond_noise"])
            for a, b in pairs.tolist()
            if (c := compared("numbers", "x", estimate(a, half), estimate(b, half), "points", 1))
        )
        # 0.6 % where they are independent; the nominal 5 % only where they are opposed.
        assert alarms / trials <= most + 2 * math.sqrt(max(most, 1e-4) / trials)
        if correlation == 0:
            assert alarms > 0


def subgroups(contents: Json, grouping: str = "class") -> list[Json]:
    return [r for r in contents["results"]["subgroups"] if r["grouping"] == grouping]


def test_subgroups_that_appear_are_gone_or_change_size(base: Json):
    def edit(contents: Json) -> None:
        rows = contents["results"]["subgroups"]
        gone = subgroups(contents)[2]
        rows.remove(gone)
        rows.append({**gone, "subgroup": HOSTILE[0]})
        subgroups(contents)[0]["n_train"] += 5

    there, back = both_ways(base, changed(base, edit))
    assert [(c.kind, c.what) for c in there.changes] == [
        ("gone", "“class 2” of “class”"),
        ("new", f"“{HOSTILE[0]}” of “class”"),
        ("changed", "“class 0” of “class”"),
    ]
    assert [c.kind for c in back.changes] == ["gone", "new", "changed"]
    fewer = changed(
        base, lambda r: r["results"].update(
            subgroups=[x for x in r["results"]["subgroups"] if x["grouping"] != "class"])
    )  # fmt: skip
    there, back = both_ways(base, fewer)
    assert (only(there).what, only(there).kind) == ("grouping “class”", "gone")
    assert (only(back).kind, only(back).new) == ("new", "10 subgroups")


def test_losses_of_subgroups_beyond_noise_for_all_of_them_at_once(base: Json):
    def moved(by: float) -> Edit:
        def edit(contents: Json) -> None:
            row = max(subgroups(contents), key=lambda r: r["n_test"])
            for end in ("", "_low", "_high"):
                row[f"loss_dp-2{end}"] += by

        return edit

    row = max(subgroups(base), key=lambda r: r["n_test"])
    width = row["loss_dp-2_high"] - row["loss_dp-2_low"]
    there, back = both_ways(base, changed(base, moved(2 * width)))
    assert (only(there).kind, only(back).kind) == ("worse", "better")
    assert any("1 changed beyond noise and 0 within it" in note for note in there.notes)
    # Beyond the two intervals, but not beyond those that hold for all ten subgroups.
    little = diff(base, changed(base, moved(1.05 * width)))
    assert not little.changes
    assert any("0 changed beyond noise and 1 within it" in note for note in little.notes)


def test_a_public_and_an_internal_report_are_compared_without_numbers(base: Json):
    def edit(contents: Json) -> None:
        contents["profile"] = "public"
        arm(contents).update(loss=estimate(0.5), epsilon=8.0)
        contents["results"]["subgroups"] = []

    found = diff(base, changed(base, edit))
    assert any("numbers and subgroups are not compared" in note for note in found.notes)
    assert {c.section for c in found.changes} == {"about", "claims"}


def test_reports_of_two_schema_versions_say_so(base: Json):
    found = diff(base, {**base, "schema_version": base["schema_version"] + 1})
    assert any("only one of them holds is not compared" in note for note in found.notes)


def test_attested_fields(base: Json):
    def state(**texts: str) -> Edit:
        return lambda r: r["attestation"].update(
            statements={k.replace("_", ".", 1): v for k, v in texts.items()}
        )

    old = changed(base, state(claim_unit="a person", claim_trust="us", system_purpose=" "))
    new = changed(base, state(claim_unit="a row", claim_release=HOSTILE[0]))
    found = {c.what: (c.kind, c.note) for c in diff(old, new).changes}
    assert found == {
        "claim.trust": ("worse", "withdrawn"),
        "claim.release": ("new", "newly stated"),
        "claim.unit": ("changed", ""),
    }
    assert diff(old, new).exit_code == 1


def test_what_is_no_evidence_is_not_compared(base: Json):
    with pytest.raises(BadInput, match="not complete"):
        diff(base, {**base, "incomplete": True})
    with pytest.raises(BadInput, match="no_noise"):
        diff({**base, "planted": {"mark": "PLANTED BUG no_noise"}}, base)


def test_the_gravest_comes_first(base: Json):
    def edit(contents: Json) -> None:
        arm(contents).update(noise_multiplier=3.0, epsilon=1.0, delta=0.1)
        contents["source"]["seed"] = 9

    found = diff(base, changed(base, edit))
    assert [c.what for c in found.changes] == [
        "seed", "δ of dp-2", "ε of dp-2", "noise multiplier of dp-2",
    ]  # fmt: skip
    lines = text_lines(found)
    assert lines[2] == headline(found) == "4 changes, 1 of them for the worse."
    assert lines[3].strip().startswith("worse: δ of dp-2")


def test_hostile_names_add_no_markup_and_no_line(hostile: Run, base: Json):
    other = report(hostile, lambda run: run.run["data"].update(name="[x](https://evil.example)|"))
    for found in both_ways(report(hostile), other) + both_ways(base, other):
        page = markdown(found)
        assert "<script" not in page
        assert "https://evil" not in page
        rows = [line for line in page.splitlines() if line.startswith("|")]
        assert all(line.replace("\\|", "").count("|") == 6 for line in rows)
        for line in text_lines(found):
            assert line.isprintable()


def test_a_claim_that_vanishes_is_worse_unless_one_as_strict_is_there() -> None:
    def reported(*epsilons: float) -> Json:
        return report(make(seed=1, hostile=False, epsilons=epsilons))

    one, two, weaker = reported(1.0), reported(1.0, 2.0), reported(4.0, 8.0)
    assert diff(one, weaker).exit_code == 1
    assert diff(two, weaker).exit_code == 1
    # dp-2 is gone, but what dp-1 claims forbids more.
    gone = [c for c in diff(two, one).changes if c.what == "claim of dp-2"]
    assert [c.kind for c in gone] == ["gone"]
    [lost] = [c for c in diff(two, reported(2.0)).changes if c.what == "claim of dp-1"]
    assert lost.kind == "worse"
