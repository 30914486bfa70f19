"""Checks of the tool on itself: what holds, what fails, and what could not be decided."""

from __future__ import annotations

import pytest

from audit.errors import EXIT_FINDING_FAILS, EXIT_OK
from audit.report.findings import exit_code, findings
from tests.report.helpers import STREAMED, changed, found
from tests.report.synthetic import Run, e


@pytest.mark.parametrize(
    ("gap_off", "verdict"), [(0.0099, "holds"), (-0.0099, "holds"), (0.0101, "fails")]
)
def test_self_check(quiet: Run, gap_off: float, verdict: str) -> None:
    run = changed(quiet)
    arm = run.summary["arms"]["dp-2"]
    arm["generalization_gap"]["value"] = arm["mem_mean"]["value"] + gap_off
    result = found(run)["self-check-dp-2"]
    assert result["verdict"] == verdict
    assert exit_code([result]) == (EXIT_OK if verdict == "holds" else EXIT_FINDING_FAILS)


def test_self_check_of_few_models_is_not_failed_by_noise(quiet: Run) -> None:
    run = changed(quiet)
    arm = run.summary["arms"]["dp-2"]
    arm["generalization_gap"] = e(arm["mem_mean"]["value"] + 0.03, 0.04)
    assert found(run)["self-check-dp-2"]["verdict"] == "inconclusive"
    arm["generalization_gap"] = e(arm["mem_mean"]["value"] + 0.03, 0.004)
    assert found(run)["self-check-dp-2"]["verdict"] == "fails"


@pytest.mark.parametrize(("models", "verdict"), [(4, "inconclusive"), (5, "fails")])
def test_self_check_of_under_five_models_never_fails(quiet: Run, models: int, verdict: str) -> None:
    run = changed(quiet)
    run.summary["models"] = models
    arm = run.summary["arms"]["dp-2"]
    arm["generalization_gap"] = e(arm["mem_mean"]["value"] + 0.5, 0.0)
    assert found(run)["self-check-dp-2"]["verdict"] == verdict


def test_self_check_that_cannot_be_made_does_not_hold(quiet: Run) -> None:
    run = changed(quiet)
    run.summary["arms"]["dp-2"]["mem_mean"] = e(None)
    assert found(run)["self-check-dp-2"]["verdict"] == "inconclusive"


def test_cross_check(quiet: Run) -> None:
    run = changed(quiet)
    assert "Opacus 1.6.0" in found(run)["cross-check-dp-2"]["statement"]
    run.run["cross_check"]["dp-2"]["passed"] = False
    assert found(run)["cross-check-dp-2"]["fails"]
    assert exit_code(findings(run.summary, run.run)) == EXIT_FINDING_FAILS
    assert "a different model came out" in found(run)["cross-check-dp-2"]["statement"]


def test_a_cross_check_that_was_not_made_is_not_passed_over(quiet: Run) -> None:
    run = changed(quiet)
    del run.run["cross_check"]["dp-2"]
    missing = found(run)["cross-check-dp-2"]
    assert (missing["verdict"], missing["inconclusive"]) == ("inconclusive", True)
    assert found(run)["cross-check-standard"]["verdict"] == "holds"
    run.run["engine"]["dp-2"]["name"] = "opacus"
    assert "cross-check-dp-2" not in found(run)


@pytest.mark.parametrize(
    ("recorded", "passed", "verdict"),
    [
        ("holds", True, "holds"), ("inconclusive", False, "inconclusive"),
        ("inconclusive", True, "inconclusive"), ("fails", True, "fails"), ("holds", False, "fails"),
        (None, True, "holds"), (None, False, "fails"),
    ],
)  # fmt: skip
def test_a_recorded_verdict_of_the_cross_check(
    quiet: Run, recorded: str | None, passed: bool, verdict: str
) -> None:
    run = changed(quiet)
    run.run["cross_check"]["dp-2"] |= {"verdict": recorded, "passed": passed}
    result = found(run)["cross-check-dp-2"]
    assert result["verdict"] == verdict
    assert (result["fails"], result["inconclusive"]) == (
        verdict == "fails", verdict == "inconclusive"
    )  # fmt: skip
    assert ("the same model came out (" in result["statement"]) is (verdict == "holds")


def test_the_cross_check_says_what_is_shared_and_how_the_streams_are(quiet: Run) -> None:
    run = changed(quiet)
    before = found(run)["cross-check-dp-2"]["statement"]
    assert "streams" not in before
    assert "independent" not in before
    run.run["cross_check"]["dp-2"] |= STREAMED
    statement = found(run)["cross-check-dp-2"]["statement"]
    assert "of single steps from the same state 2.5e−07" in statement
    assert "Not an independent implementation of: membership; initial parameters." in statement
    assert "z = −0.71, 0 selected from outside the subset" in statement
    assert "size of the noise off by 0.12 %" in statement
    assert "successive steps 0.00021, correlation of the noise of two models 0.00034" in statement


def test_a_wrong_stream_is_not_called_a_different_model(quiet: Run) -> None:
    run = changed(quiet)
    check = run.run["cross_check"]["dp-2"]
    check |= STREAMED | {"passed": False}
    check["stream"] = {**check["stream"], "passed": False}
    statement = found(run)["cross-check-dp-2"]["statement"]
    assert "its random streams are not what the accountant assumes (" in statement
    check["single_step_relative_difference"] = 0.3
    statement = found(run)["cross-check-dp-2"]["statement"]
    assert "accountant assumes and a different model came out (" in statement
