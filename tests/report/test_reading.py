"""``report.json`` as somebody hands it in: read whole, or refused in one line."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.errors import AuditError, BadInput
from audit.report.diff import diff
from audit.report.document import SCHEMA_VERSION, document_json
from audit.report.policy import parse_policy
from audit.report.policy_check import check
from audit.report.reading import claiming_arms, parse_report, refuse_unfinished
from tests.report.run_directory import report
from tests.report.synthetic import Run, make

EVERYTHING = """
[claim]
verdict = "consistent"
canaries = "consistent"
epsilon_at_most = 4
delta_at_most = 0.01
delta_below_one_over_n = true
certified_epsilon_at_most = 2
[accuracy]
loss_at_most = 0.03
worst_group_loss_at_most = 0.1
equivalence_margin = 0.05
[exposure]
auc_at_most = 0.6
balanced_accuracy_at_most = 0.6
tpr_at_1_percent_fpr_at_most = 0.05
[checks]
cross_check = true
self_check = true
no_failed_finding = true
[fields]
stated = ["claim.unit_of_privacy"]
"""


@pytest.fixture(scope="module")
def small() -> dict[str, Any]:
    return report(make(seed=3, n=200, n_test=60, styles=6))


def refused(text: str, *words: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_report(text, "r.json")
    said = str(error.value)
    assert "\n" not in said
    for word in words:
        assert word in said


def test_a_report_is_read_as_it_was_written(hostile: Run):
    contents = hostile.document()
    assert parse_report(document_json(contents), "r.json") == json.loads(document_json(contents))
    assert claiming_arms(report(hostile)) == ["dp-2"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Expecting value"),
        ("[1]", "schema"),
        ("{}", "schema"),
        ('{"schema": "audit-report"}', "schema_version"),
        ('{"schema": "audit-report", "schema_version": 1}', "schema_version"),
        ('{"schema": "audit-report", "schema_version": true}', "schema_version"),
        ('{"schema": "audit-report", "schema_version": 99}', "2 to"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "9" * 5000 + "}", "too large"),
        ('{"a": 1, "a": 2}', "there twice"),
        ("[" * 100_000, "too deep"),
        ('{"schema": "audit-report", "schema_version": 2, "x": ' + "[" * 200 + "]" * 200 + "}",
         "levels deep"),
    ],
)  # fmt: skip
def test_what_is_no_report_is_refused(text: str, word: str):
    refused(text, word)


def test_a_truncated_report_is_refused(small: dict[str, Any]):
    text = document_json(small)
    for cut in range(1, len(text), len(text) // 40):
        refused(text[:cut])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("findings",), {}),
        (("findings", 0, "verdict"), "passed"),
        (("findings", 0, "fails"), "no"),
        (("findings", 0, "value"), "0.1"),
        (("findings", 0, "statement"), None),
        (("results", "arms", "dp-2"), []),
        (("results", "arms", "dp-2", "epsilon"), "2"),
        (("results", "arms", "dp-2", "epsilon"), True),
        (("results", "arms", "dp-2", "loss"), 0.02),
        (("results", "arms", "dp-2", "exposure", "attacks"), [1]),
        (("results", "models"), 20.5),
        (("results", "subgroups", 0, "loss_dp-2"), []),
        (("results", "subgroups", 0, "grouping"), 3),
        (("results", "withheld"), {"sex": "all"}),
        (("attestation", "statements"), {"claim.unit_of_privacy": 3}),
        (("source", "data"), None),
        (("incomplete",), "no"),
        (("planted",), "no"),
    ],
)
def test_another_type_is_refused_by_its_place(
    small: dict[str, Any], path: tuple[str | int, ...], value: object
):
    changed = copy.deepcopy(small)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    refused(json.dumps(changed), str(path[0]))


def test_a_second_finding_of_the_same_name_cannot_hide_a_failed_one(small: dict[str, Any]):
    changed = copy.deepcopy(small)
    changed["findings"].append(changed["findings"][0])
    refused(json.dumps(changed), "claim-dp-2", "twice")


def test_older_versions_with_numbers_are_read(small: dict[str, Any]):
    for version in range(2, SCHEMA_VERSION + 1):
        text = json.dumps({**small, "schema_version": version})
        assert parse_report(text, "r.json")["schema_version"] == version


def test_planted_bugs_and_incomplete_runs_are_no_evidence(small: dict[str, Any]):
    refuse_unfinished(small, "r.json")
    with pytest.raises(BadInput, match="no_noise"):
        refuse_unfinished({**small, "planted": {"mark": "PLANTED BUG no_noise"}}, "r.json")
    with pytest.raises(BadInput, match="not complete"):
        refuse_unfinished({**small, "incomplete": True}, "r.json")


_PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(), st.text(max_size=20)
)
_VALUES = st.recursive(
    _PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        found += _places(inner, (*path, key))
    return found


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_stands_in_a_report_it_is_judged_or_refused(
    small: dict[str, Any], data: st.DataObject
):
    """Any value anywhere: never a traceback, from reading, checking or comparing."""
    places = [p for p in _places(small) if p]
    path = data.draw(st.sampled_from(places))
    changed = copy.deepcopy(small)
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        del inner[path[-1]]
    else:
        inner[path[-1]] = data.draw(_VALUES)
    said = ""
    try:
        read = parse_report(json.dumps(changed), "r.json")
        results = check(parse_policy(EVERYTHING, "p.toml"), read, "r.json")
        assert all("\n" not in result.line for result in results)
        for pair in ((small, read), (read, small)):
            json.dumps(diff(*pair).to_json(), allow_nan=False)
    except AuditError as error:
        said = str(error)
    assert "\n" not in said
