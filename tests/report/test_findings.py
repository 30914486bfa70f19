"""Numbers → verdicts: every verdict is reached, no other is."""

from __future__ import annotations

import re

import numpy as np
import pytest

from audit.errors import EXIT_FINDING_FAILS, EXIT_INCONCLUSIVE, EXIT_OK
from audit.estimates.dp_test import dp_verdict
from audit.estimates.memorization import mem_max, memorization
from audit.report.console import summary_lines
from audit.report.findings import exit_code, findings
from audit.report.verdicts import LABELS, finding, label
from tests.report.helpers import as_fixed, changed, found
from tests.report.synthetic import Run, e, make

BANNED = re.compile(r"\b(safe(ly)?|anonym\w+|proven|guarantee\w*|pass(es|ed)?|secure)\b", re.I)


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


@pytest.mark.parametrize(
    ("epsilon", "expected"), [(2.0, "more than a million models"), (8.0, "no number of models")]
)
def test_no_number_of_models_is_said_only_where_an_outright_example_obeys(
    epsilon: float, expected: str
) -> None:
    run = make(seed=2, verdict="could_not_tell")
    run.summary["arms"]["dp-2"]["test"] |= {"models_needed": None, "epsilon": epsilon}
    assert expected in found(run)["claim-dp-2"]["statement"]


def test_one_model_is_no_test_at_all(quiet: Run) -> None:
    run = changed(quiet)
    run.summary["models"] = 1
    for arm in run.summary["arms"].values():
        arm["verdict"], arm["n_refuted"] = "could_not_tell", 0
        arm["test"] |= {"power": None, "models_needed": None, "hypotheses": 0, "smallest_p": None}
    for ident in ("claim-dp-2", "forbidden-standard"):
        statement = found(run)[ident]["statement"]
        assert "with 1 model no example is both in and out, so nothing could" in statement
        assert "unknown" not in statement
        assert "million" not in statement
        assert "no number" not in statement


@pytest.mark.parametrize("verdict", ["consistent", "could_not_tell"])
@pytest.mark.parametrize(
    ("beyond", "words"), [(1, "1 training example lies beyond"), (7, "7 training examples lie")]
)
def test_a_refuted_privacy_curve_refutes_the_claims_ground(
    verdict: str, beyond: int, words: str
) -> None:
    run = make(seed=2, verdict=verdict)
    run.summary["arms"]["dp-2"]["above_bound"]["above_tradeoff_significant"] = beyond
    claim = found(run)["claim-dp-2"]
    assert claim["verdict"] == "could_not_tell"
    assert (claim["fails"], claim["inconclusive"]) == (True, False)
    assert words in claim["statement"]
    assert "refuted by its own privacy curve" in claim["statement"]
    assert "no example was found" not in claim["statement"]
    assert claim["statement"].index("refuted") < (claim["statement"] + "power").index("power")
    assert label(claim) == {"words": "Mechanism refuted", "sign": "✕", "tone": "bad"}
    assert words in found(run)["largest-memorization-dp-2"]["statement"]
    assert exit_code([claim]) == EXIT_FINDING_FAILS


def test_both_families_of_tests_are_stated(quiet: Run) -> None:
    assert "a second Holm family at 5 %" in found(quiet)["claim-dp-2"]["method"]


def test_one_refuting_example_is_singular() -> None:
    run = make(seed=2, verdict="violates")
    for arm in run.summary["arms"].values():
        arm |= {"n_refuted": 1, "witnesses": [17]}
    claim, standard = (found(run)[i]["statement"] for i in ("claim-dp-2", "forbidden-standard"))
    assert "1 training example differs between the models that saw it" in claim
    assert "1 training example (for instance number 17)" in standard


@pytest.mark.parametrize(("bound", "stated"), [(1.83, 2.0), (3.41, 3.41), (None, 2.0)])
def test_a_violated_claim_certifies_no_less_than_what_it_refutes(
    bound: float | None, stated: float
) -> None:
    run = make(seed=2, verdict="violates")
    run.summary["arms"]["dp-2"]["epsilon_certified"] |= {"value": bound, "low": bound}
    claim = found(run)["claim-dp-2"]
    assert f"ε of at least {stated:.2f}" in claim["statement"]
    assert (claim["value"], claim["low"]) == (stated, stated)
    assert ("ε certified by single examples", f"{stated:.2f}") in summary_lines(
        run.summary, run.run
    )


def test_what_is_not_refuted_certifies_only_its_own_bound(quiet: Run) -> None:
    assert found(quiet)["claim-dp-2"]["value"] == 0.0


@pytest.mark.parametrize("verdict", ["consistent", "violates", "could_not_tell"])
def test_under_fixed_inclusion_claim_and_swap_are_told_apart(verdict: str) -> None:
    run = as_fixed(make(seed=2, verdict=verdict))
    tested = "ε = 2 (tested as ε = 4, δ = 0.0032 between in and out, a swap)"
    claim, standard = found(run)["claim-dp-2"], found(run)["forbidden-standard"]
    assert f"claim of {tested}" in claim["statement"]
    assert f"A claim of {tested} would have forbidden" in standard["statement"]
    for entry in (claim, standard):
        assert "ε between in and out" in entry["method"]
    if verdict == "violates":
        assert "certify ε between in and out of at least 4.00" in claim["statement"]
    labels = [name for name, _ in summary_lines(run.summary, run.run) if "certified" in name]
    assert set(labels) == {"ε between in and out certified by single examples"}


def test_the_standard_arm_is_held_against_the_strictest_claim() -> None:
    run = as_fixed(make(seed=2, epsilons=(8.0, 2.0)))
    assert "A claim of ε = 2 (tested as" in found(run)["forbidden-standard"]["statement"]


def test_diverged_models_answer_nothing() -> None:
    run = make(seed=2, verdict="consistent")
    assert not [i for i in found(run) if i.startswith("diverged")]
    for arm in run.summary["arms"].values():
        arm |= {"diverged": 3}
    private, standard = found(run)["diverged-dp-2"], found(run)["diverged-standard"]
    assert "3 of 200 models of private training ended" in private["statement"]
    assert "reveal who was in" in private["statement"]
    assert (private["verdict"], private["fails"]) == ("fails", True)
    assert (standard["verdict"], standard["fails"]) == ("inconclusive", False)
    claim = found(run)["claim-dp-2"]
    assert (claim["verdict"], claim["inconclusive"]) == ("could_not_tell", True)
    assert "3 of 200 models ended with non-finite parameters" in claim["statement"]
    assert "no example was found" not in claim["statement"]
    assert found(run)["largest-memorization-dp-2"]["verdict"] == "inconclusive"


def test_divergence_is_counted_from_the_shards_where_the_summary_lacks_it(quiet: Run) -> None:
    run = changed(quiet)
    run.run["shards"] = {
        "dp-2/0-24": {"diverged": 2}, "dp-2/25-49": {"diverged": 1}, "dp-20/0-24": {"diverged": 9},
    }  # fmt: skip
    assert found(run)["diverged-dp-2"]["value"] == 3
    assert "diverged-standard" not in found(run)


def test_a_violation_stands_whatever_diverged() -> None:
    run = make(seed=2, verdict="violates")
    run.summary["arms"]["dp-2"]["diverged"] = 3
    assert found(run)["claim-dp-2"]["verdict"] == "violates"


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
    ("largest", "significant", "power", "verdict"),
    [
        ((0.17, 0.08, 0.24), 0, 0.8, "holds"),
        ((0.17, 0.08, 0.24), 0, 0.1, "holds"),  # the largest estimate itself is under the cap
        ((0.26, 0.18, 0.33), 0, 0.8, "holds"),  # above the cap of .217, its interval reaches under
        ((0.26, 0.18, 0.33), 0, 0.79, "inconclusive"),
        ((0.26, 0.18, 0.33), 0, None, "inconclusive"),
        ((1.0, 0.01, 1.0), 0, 0.0, "inconclusive"),  # 20 models: an interval of nearly everything
        ((0.40, 0.30, 0.50), 0, 0.99, "inconclusive"),  # interval and exact test disagree
        ((0.40, 0.30, 0.50), 2, 0.8, "fails"),
        ((None, None, None), 0, None, "inconclusive"),
    ],
)
def test_largest_memorization(
    quiet: Run,
    largest: tuple[float | None, ...],
    significant: int,
    power: float | None,
    verdict: str,
) -> None:
    run = changed(quiet)
    arm = run.summary["arms"]["dp-2"]
    arm["test"]["power"] = power
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
    run.summary["arms"]["dp-2"]["n_refuted"] = 1
    assert found(run)["largest-memorization-dp-2"]["fails"]


def test_twenty_models_with_hundreds_memorized_do_not_hold() -> None:
    """300 of 1,297 examples are always right when seen and never otherwise; 20 models see it."""
    models, n, memorized = 20, 1297, 300
    rng = np.random.default_rng(5)
    member = rng.random((models, n)) < 0.7
    correct = np.ones((models, n), dtype=bool)
    correct[:, :memorized] = member[:, :memorized]
    mem = memorization(member, correct)
    delta = n**-1.1
    test = dp_verdict(
        mem.n_in, mem.correct_in, mem.n_out, mem.correct_out, epsilon=2.0, delta=delta
    )
    largest = mem_max(mem)
    assert (test.n_refuted, largest.value) == (0, 1.0)  # nothing can be refuted with 20 models
    assert largest.low < 0.7618
    run = make(seed=2, verdict="could_not_tell", models=models)
    arm = run.summary["arms"]["dp-2"]
    arm["mem_max"] = largest.to_json()
    arm["test"] |= {"power": test.power, "models_needed": test.models_needed}
    arm["above_bound"]["tradeoff_cap"] = None
    assert found(run)["largest-memorization-dp-2"]["verdict"] == "inconclusive"


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
def test_a_clearest_excess_that_may_be_chance_is_said_to(
    quiet: Run, p: float | None, chance: bool
) -> None:
    run = changed(quiet)
    run.summary["disparity"][0]["worst_p_adjusted"] = p
    statement = found(run)["disparity-dp-2-style within class"]["statement"]
    assert ("it may be chance" in statement) is chance


def test_the_largest_loss_is_named_with_its_n_where_it_is_not_the_clearest_excess(
    quiet: Run,
) -> None:
    run = changed(quiet)
    entry = run.summary["disparity"][0]
    statement = found(run)["disparity-dp-2-style within class"]["statement"]
    assert "(1 test example): 41.0 points (95 % interval no interval)" not in statement
    assert "(1 test example): 41.0 points (no interval)" in statement
    assert "picked it among 49 of 50 subgroups" in statement
    entry["largest_subgroup"] = entry["worst_subgroup"]
    assert "largest loss" not in found(run)["disparity-dp-2-style within class"]["statement"]


def test_a_test_of_equal_losses_states_its_null(quiet: Run) -> None:
    method = found(quiet)["disparity-dp-2-style within class"]["method"]
    assert "null: the loss of an example does not depend on its subgroup" in method
    assert "1,999 random relabellings" in method


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
    fields |= {"verdict", "method", "fails", "inconclusive", "needed"}
    entries = findings(hostile.summary, hostile.run)
    assert len({f["id"] for f in entries}) == len(entries)
    for entry in entries:
        assert set(entry) == fields
        assert entry["verdict"] in LABELS


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="verdict = 'fine'"):
        finding("x", "?", "!", "fine", "none")
