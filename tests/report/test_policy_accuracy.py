"""Rules about accuracy: average loss, the worst group, equivalence."""

from __future__ import annotations

import pytest

from audit.estimates.limits import unseen_share
from audit.report.policy_result import MET, NOT_MET, OPEN
from tests.report.judging import (
    Change,
    Json,
    arm,
    disparity,
    group,
    judged,
    loss,
    only,
    plain_report,
)
from tests.report.synthetic import HOSTILE


@pytest.fixture(scope="module")
def base() -> Json:
    return plain_report()


LOSS: list[tuple[Change, str]] = [
    (lambda r: loss(r, 0.02, 0.005), MET),
    (lambda r: loss(r, -0.02, 0.005), MET),
    (lambda r: loss(r, 0.04, 0.005), NOT_MET),
    (lambda r: loss(r, 0.03, 0.005), OPEN),
    (lambda r: loss(r, 0.028, 0.001), OPEN),  # 500 test examples do not exclude 3 points
    (lambda r: loss(r, 0.02, None), OPEN),
    (lambda r: loss(r, None, None), OPEN),
    (lambda r: arm(r).pop("loss"), OPEN),
    (lambda r: arm(r).update(loss={}), OPEN),
    (lambda r: r["source"]["data"].update(n_test=0), OPEN),
    (lambda r: r["source"]["data"].update(n_test=None), OPEN),
    (lambda r: r["source"]["data"].pop("n_test"), OPEN),
]


@pytest.mark.parametrize(("change", "outcome"), LOSS)
def test_average_loss(base: Json, change: Change, outcome: str):
    result = only("[accuracy]\nloss_at_most = 0.03", base, change)
    assert result.outcome == outcome, result.line


def groups(*rows: Json) -> Change:
    return lambda r: r["results"].update(subgroups=list(rows))


WORST: list[tuple[Change, str]] = [
    (groups(group("a", 100), group("b", 200)), MET),
    (groups(group("a", 100), group("b", 200, 0.3, 0.02)), NOT_MET),
    (groups(group("a", 100), group("b", 200, 0.1, 0.02)), OPEN),
    # One or two test examples, none, an unknown number, no interval, NaN written as null.
    *[(groups(group("a", 100), group("b", n)), OPEN) for n in (0, 1, 2, 9, None)],
    (groups(group("a", 100), group("b", 200, None)), OPEN),
    (groups(group("a", 100), group("b", 200, 0.01, None)), OPEN),
    (groups(group("a", 100), {**group("b", 200), "loss_dp-2": None}), OPEN),
    (groups(group("a", 100), group("b", 200, arm="dp-4")), OPEN),
    # A group that says nothing does not hide one that loses too much.
    (groups(group("a", 1, 0.0, 0.0), group("b", 200, 0.3, 0.02)), NOT_MET),
    # A narrow interval from few examples: 3.7/30 of the group may be lost unseen.
    (groups(group("a", 100), group("b", 30, 0.0, 0.001)), OPEN),
    (groups(group("a", 100), group("b", 40, 0.0, 0.001)), MET),
    # Above at its own 95 %, not at its share of it.
    (groups(*(group(str(i), 100, 0.0, 0.01) for i in range(30)), group("b", 40, 0.13, 0.028)),
     OPEN),
    (groups(group("b", 40, 0.13, 0.028)), NOT_MET),
    (groups(), OPEN),
    (lambda r: r["results"].pop("subgroups"), OPEN),
    (lambda r: r["results"].update(withheld={"site": ["d"]}), OPEN),
    (lambda r: r["results"].update(withheld={"site": ["a"]}, subgroups=[]), OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("change", "outcome"), WORST)
def test_worst_group(base: Json, change: Change, outcome: str):
    result = only("[accuracy]\nworst_group_loss_at_most = 0.10", base, change)
    assert result.outcome == outcome, result.line


def test_a_rule_that_is_not_met_names_the_groups_with_their_limits(base: Json):
    change = groups(group("fine", 100), group("poor", 200, 0.3, 0.02), group("tiny", 2))
    result = only("[accuracy]\nworst_group_loss_at_most = 0.10", base, change)
    assert result.subject == "site"
    assert "“poor” loses 30.0 points" in result.line
    assert "n = 200" in result.line
    assert "at most 10.0 points" in result.line
    assert "of 1 more it could not be told" in result.line
    assert result.value == 0.3
    assert result.low is not None
    assert 0.27 < result.low < 0.28
    assert [g["outcome"] for g in result.groups] == [MET, NOT_MET, OPEN]


def test_the_largest_upper_limit_is_what_few_examples_cannot_exclude(base: Json):
    result = only("[accuracy]\nworst_group_loss_at_most = 0.10", base,
                  groups(group("a", 1000), group("b", 40, 0.0, 0.001)))  # fmt: skip
    assert result.high == pytest.approx(unseen_share(40))


def test_smallest_group_is_the_policys(base: Json):
    rows = groups(group("a", 100), group("b", 12, 0.9, 0.05))
    rule = "[accuracy]\nworst_group_loss_at_most = 0.10\n"
    assert only(rule, base, rows).outcome == NOT_MET
    assert only(f"{rule}smallest_group = 13", base, rows).outcome == OPEN


def test_rounded_counts_of_a_public_report_decide_as_the_fewest_they_may_stand_for(base: Json):
    """15 may be 13, 10 is never fewer than 10; the number shown stays."""
    change = groups(group("a", 100), group("b", 15, 0.9, 0.05))

    def outcome(smallest: int, profile: str) -> str:
        rule = f"[accuracy]\nworst_group_loss_at_most = 0.10\nsmallest_group = {smallest}"
        result = only(rule, base | {"profile": profile}, change)
        assert [g["n_test"] for g in result.groups] == [100, 15]
        return result.outcome

    assert [outcome(n, "internal") for n in (13, 14, 15, 16)] == [NOT_MET, NOT_MET, NOT_MET, OPEN]
    assert [outcome(n, "public") for n in (13, 14, 15, 16)] == [NOT_MET, OPEN, OPEN, OPEN]
    rule = "[accuracy]\nworst_group_loss_at_most = 0.10"
    ten = groups(group("a", 100), group("b", 10, 0.9, 0.05))
    assert only(rule, base | {"profile": "public"}, ten).outcome == NOT_MET


def test_groupings_are_all_but_bins_of_frequency_or_those_named(base: Json):
    def change(contents: Json) -> None:
        bins = {**group("1/4", 100), "grouping": "site: frequency", "kind": "frequency"}
        other = {**group("x", 100), "grouping": HOSTILE[0]}
        contents["results"]["subgroups"] += [bins, other]

    rule = "[accuracy]\nworst_group_loss_at_most = 0.10\n"
    assert [r.subject for r in judged(rule, base, change)] == ["site", HOSTILE[0]]
    named = judged(f'{rule}groupings = ["site: frequency", "sight"]', base, change)
    assert [(r.subject, r.outcome) for r in named] == [("site: frequency", MET), ("sight", OPEN)]
    assert "no such grouping; it has “site”" in named[1].line


EQUIVALENT: list[tuple[float, Change, str]] = [
    (0.05, lambda r: None, MET),
    (0.03, lambda r: None, OPEN),
    (0.05, lambda r: r["results"].update(disparity=[disparity(equivalent_within=None)]), MET),
    (0.04, lambda r: r["results"].update(disparity=[disparity(equivalent_within=None)]), OPEN),
    (0.05, lambda r: r["results"].update(
        disparity=[disparity(equivalent_within=None, verdict="inconclusive")]), OPEN),
    # Different, and yet within the margin: both may be true.
    (0.05, lambda r: r["results"].update(disparity=[disparity(verdict="shown")]), MET),
    (0.05, lambda r: r["results"].update(disparity=[disparity(
        worst_minus_rest={"value": 0.2, "low": 0.15, "high": 0.25, "n": 100})]), NOT_MET),
    # At its own 95 % beyond the margin, not corrected for having been picked.
    (0.05, lambda r: r["results"].update(disparity=[disparity(
        equivalent_within=0.3, n_groups=50,
        worst_minus_rest={"value": 0.2, "low": 0.06, "high": 0.34, "n": 12})]), OPEN),
    (0.05, lambda r: r["results"]["subgroups"].append(group("d", 2)), OPEN),
    (0.05, lambda r: r["results"]["subgroups"].append(group("d", 0, None)), OPEN),
    (0.05, lambda r: r["results"].update(withheld={"site": ["d"]}), OPEN),
    (0.05, lambda r: r["results"].update(disparity=[]), OPEN),
    (0.05, lambda r: r["results"].pop("disparity"), OPEN),
    (0.05, lambda r: r["results"].update(disparity=[disparity(worst_minus_rest=None)]), MET),
    (0.05, lambda r: r["results"].update(subgroups=[]), OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("margin", "change", "outcome"), EQUIVALENT)
def test_equivalence(base: Json, margin: float, change: Change, outcome: str):
    result = only(f"[accuracy]\nequivalence_margin = {margin}", base, change)
    assert result.outcome == outcome, result.line
