"""JUnit XML: what a CI system reads, whatever the names are."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from audit.report.junit import junit_xml
from audit.report.policy_result import MET, NOT_MET, OPEN, Outcome, Result
from tests.report.synthetic import HOSTILE

RESULTS = [
    Result("claim.verdict", MET, "consistent", "dp-2"),
    Result("claim.epsilon_at_most", NOT_MET, "ε = 8 is above 4", "dp-2"),
    Result("accuracy.worst_group_loss_at_most", OPEN, "2 test examples", "dp-2", "sex×race"),
]


def parsed(results: list[Result], title: str = "a title") -> ET.Element:
    return ET.fromstring(junit_xml(results, title))


def test_failures_and_errors_are_counted_where_ci_looks():
    root = parsed(RESULTS)
    assert root.tag == "testsuites"
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "1", "skipped": "0",
    }  # fmt: skip
    suites = root.findall("testsuite")
    assert [s.get("name") for s in suites] == ["audit.claim", "audit.accuracy"]
    assert [s.get("failures") for s in suites] == ["1", "0"]
    assert [s.get("errors") for s in suites] == ["0", "1"]
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "not met: ε = 8 is above 4"
    assert failure.text == "claim.epsilon_at_most [dp-2]: ε = 8 is above 4"
    # A skipped test is shown as green: what could not be told must not be.
    error = root.find(".//error")
    assert error is not None
    assert error.get("type") == "could not tell"
    assert root.find(".//skipped") is None
    met = next(c for c in root.iter("testcase") if c.get("name") == "claim.verdict [dp-2]")
    assert met.find("failure") is None
    assert met.find("error") is None


def test_the_same_results_give_the_same_bytes():
    assert junit_xml(RESULTS, "t") == junit_xml(RESULTS, "t")
    assert junit_xml([], "t").startswith(b"<?xml")


def test_hostile_names_are_text():
    results = [Result("claim.verdict", NOT_MET, text, "dp-2", text) for text in HOSTILE]
    root = parsed(results, HOSTILE[0])
    assert len(root.findall(".//testcase")) == len(HOSTILE)
    assert root.find(".//script") is None
    failure = root.find(".//failure")
    assert failure is not None
    assert failure.get("message") == f"not met: {HOSTILE[0]}"


@given(
    text=st.text(st.characters(), max_size=30),
    arm=st.text(st.characters(), max_size=10),
    outcome=st.sampled_from([MET, NOT_MET, OPEN]),
)
def test_any_text_is_well_formed_xml(text: str, arm: str, outcome: Outcome):
    """Also control characters, which XML forbids, and halves of surrogate pairs."""
    root = parsed([Result("claim.verdict", outcome, text, arm, text)], text + "\ud800\x00\ufffe")
    assert root.get("tests") == "1"
