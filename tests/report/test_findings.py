"""Numbers → verdicts: every verdict is reached, no other is."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from audit.errors import EXIT_FINDING_FAILS, EXIT_INCONCLUSIVE, EXIT_OK
from audit.report.findings import exit_code, findings
from audit.report.verdicts import LABELS, finding, label
from tests.report.synthetic import Run, e, make

BANNED = re.compile(r"\b(safe(ly)?|anonym\w+|proven|guarantee\w*|pass(es|ed)?|secure)\b", re.I)


def found(run: Run) -> dict[str, dict[str, Any]]:
    return {f["id"]: f for f in findings(run.summary, run.run)}


def changed(run: Run) -> Run:
    return copy.deepcopy(run)


@pytest.mark.parametrize(
    ("verdict", "code", "fails", "inconclusive"),
    [
        ("consistent", EXIT_OK, False, False),
        ("violates", EXIT_FINDING_FAILS, True, False),
        ("could_not_tell", EXIT_INCONCLUSIVE, False, True),
    ],
)
def test_claim(verdict: str, code: int, fails: bool, inconclusive: bool) -> None:
    run = make(seed=2, verdict=verdict)
    claim = found(run)["claim-dp-2"]
    assert claim["verdict"] == verdict
    assert (claim["fails"], claim["inconclusive"]) == (fails, inconclusive)
    assert claim["threshold"] == 2.0
    assert exit_code(findings(run.summary, run.run)) == code


def test_could_not_tell_says_power_and_models_needed() -> None:
    run = make(seed=2, verdict="could_not_tell")
    statement = found(run)["claim-dp-2"]["statement"]
    assert "12 % power" in statement
    assert "about 190 models are needed" in statement
    run.summary["arms"]["dp-2"]["test"]["models_needed"] = None
    assert "no feasible number" in found(run)["claim-dp-2"]["statement"]


def test_violation_outweighs_a_claim_that_could_not_be_decided() -> None:
    run = make(seed=2, verdict="could_not_tell", epsilons=(2.0, 8.0))
    run.summary["arms"]["dp-8"]["verdict"] = "violates"
    assert exit_code(findings(run.summary, run.run)) == EXIT_FINDING_FAILS


def test_the_standard_arm_violates_without_failing(quiet: Run) -> None:
    forbidden = found(quiet)["forbidden-standard"]
    assert forbidden["verdict"] == "violates"
    assert not forbidden["fails"]
    assert "17, 240, 377, 401 and 555" in forbidden["statement"]
    assert label(forbidden)["words"] == "Violates (no claim made)"
    assert label(found(make(seed=2, verdict="violates"))["claim-dp-2"])["tone"] == "bad"


def test_an_undecided_standard_arm_does_not_change_the_exit_code(quiet: Run) -> None:
    run = changed(quiet)
    run.summary["arms"]["standard"]["verdict"] = "could_not_tell"
    assert found(run)["forbidden-standard"]["inconclusive"]
    assert exit_code(findings(run.summary, run.run)) == EXIT_OK


@pytest.mark.parametrize(
    ("largest", "significant", "verdict"),
    [
        ((0.17, 0.08, 0.24), 0, "holds"),
        ((0.26, 0.18, 0.33), 0, "holds"),  # above the cap of .217, but its interval reaches under
        ((0.40, 0.30, 0.50), 0, "inconclusive"),  # the largest of many: no verdict by itself
        ((0.40, 0.30, 0.50), 2, "fails"),
        ((None, None, None), 0, "inconclusive"),
    ],
)
def test_largest_memorization(
    quiet: Run, largest: tuple[float | None, ...], significant: int, verdict: str
) -> None:
    run = changed(quiet)
    arm = run.summary["arms"]["dp-2"]
    arm["mem_max"] = dict(zip(("value", "low", "high"), largest, strict=True)) | {"n": 200}
    arm["above_bound"]["above_tradeoff_significant"] = significant
    result = found(run)["largest-memorization-dp-2"]
    assert result["verdict"] == verdict
    assert result["fails"] is (verdict == "fails")
    assert result["threshold"] == pytest.approx(0.217)


def test_largest_memorization_without_a_curve_uses_the_plain_bound(quiet: Run) -> None:
    run = changed(quiet)
    run.summary["arms"]["dp-2"]["above_bound"]["tradeoff_cap"] = None
    assert found(run)["largest-memorization-dp-2"]["threshold"] == pytest.approx(0.7618)


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
    run.run["cross_check"] = {}
    assert not [i for i in found(run) if i.startswith("cross-check")]


@pytest.mark.parametrize(("delta", "holds"), [(3.8e-4, True), (1 / 1297, False), (0.01, False)])
def test_delta(quiet: Run, delta: float, holds: bool) -> None:
    run = changed(quiet)
    run.run["arms"]["dp-2"]["delta"] = delta
    result = found(run)["delta-dp-2"]
    assert result["verdict"] == ("holds" if holds else "fails")
    assert result["fails"] is not holds


@pytest.mark.parametrize(
    ("loss", "verdict", "word"),
    [
        ((0.02, 0.01), "shown", "costs"),
        ((-0.02, 0.01), "shown", "gains"),
        ((0.005, 0.01), "inconclusive", "could also be none"),
        ((None, None), "inconclusive", "not be estimated"),
    ],
)
def test_loss(quiet: Run, loss: tuple[float | None, float | None], verdict: str, word: str) -> None:
    run = changed(quiet)
    run.summary["arms"]["dp-2"]["loss"] = e(*loss)
    result = found(run)["loss-dp-2"]
    assert result["verdict"] == verdict
    assert word in result["statement"]


@pytest.mark.parametrize(
    ("verdict", "slope", "words"),
    [
        ("shown", -0.01, "Rare subgroups lose more than common ones"),
        ("shown", 0.01, "Rare subgroups lose less than common ones"),
        ("equivalent", -0.0001, "No trend"),
        ("inconclusive", -0.01, "could not be decided"),
        ("too_few_groups", -0.01, "Too few groups"),
        ("shown", None, "could be estimated"),
    ],
)
def test_trend(quiet: Run, verdict: str, slope: float | None, words: str) -> None:
    run = changed(quiet)
    trend = run.summary["trends"][0]
    trend |= {"verdict": verdict, "slope": e(slope, 0.004)}
    result = found(run)["trend-loss_dp-2-style within class"]
    assert words in result["statement"]
    assert result["inconclusive"] is (
        verdict in {"inconclusive", "too_few_groups"} or slope is None
    )
    assert not result["fails"]


def test_a_trend_says_what_remains_at_equal_difficulty(quiet: Run) -> None:
    run = changed(quiet)
    run.summary["trends"][0]["slope_at_equal_difficulty"] = e(-0.0264, 0.0373)
    run.summary["trends"][0]["p_value_at_equal_difficulty"] = 0.159
    statement = found(run)["trend-loss_dp-2-style within class"]["statement"]
    assert (
        "equal difficulty −2.64 points, 95 % interval −6.37 to 1.09 points, p = 0.16" in statement
    )


@pytest.mark.parametrize(("p", "chance"), [(0.003, False), (0.46, True), (None, True)])
def test_the_hardest_hit_group_is_not_said_to_stand_out_by_chance(
    quiet: Run, p: float | None, chance: bool
) -> None:
    run = changed(quiet)
    run.summary["disparity"][0]["worst_p_holm"] = p
    statement = found(run)["disparity-dp-2-style within class"]["statement"]
    assert ("by itself it may be chance" in statement) is chance


def test_equal_losses_are_never_claimed_from_a_missing_number(quiet: Run) -> None:
    run = changed(quiet)
    run.summary["disparity"][0] |= {"verdict": "equivalent", "worst_subgroup": None}
    assert found(run)["disparity-dp-2-style within class"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("verdict", ["consistent", "violates", "could_not_tell"])
def test_no_word_promises(verdict: str) -> None:
    run = make(seed=3, verdict=verdict, hostile=False, epsilons=(2.0, 8.0))
    for entry in found(run).values():
        for text in (entry["question"], entry["statement"], entry["method"]):
            assert not BANNED.search(text), text


def test_every_finding_has_every_field(hostile: Run) -> None:
    fields = {"id", "question", "statement", "value", "low", "high", "n", "threshold"}
    fields |= {"verdict", "method", "fails", "inconclusive"}
    entries = findings(hostile.summary, hostile.run)
    assert len({f["id"] for f in entries}) == len(entries)
    for entry in entries:
        assert set(entry) == fields
        assert entry["verdict"] in LABELS


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="verdict = 'fine'"):
        finding("x", "?", "!", "fine", "none")
