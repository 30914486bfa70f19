"""Every rule of a policy: met, not met, could not tell; and what must never pass."""

from __future__ import annotations

import math
from typing import Any

import pytest

from audit.errors import BadInput
from audit.report.policy_check import as_json, counts
from audit.report.policy_result import MET, NOT_MET, OPEN, exit_code, gravest
from tests.report.judging import (
    ARM,
    Change,
    Json,
    arm,
    drop,
    finding,
    judged,
    loss,
    only,
    plain_report,
    put,
)
from tests.report.run_directory import report
from tests.report.synthetic import HOSTILE, Run, make


@pytest.fixture(scope="module")
def base() -> Json:
    return plain_report()


# What a change to the report makes of a rule: (policy, change, outcome).
CLAIM: list[tuple[str, Change, str]] = [
    ('verdict = "consistent"', lambda r: put(r, "claim-dp-2", "consistent"), MET),
    ('verdict = "consistent"', lambda r: put(r, "claim-dp-2", "could_not_tell"), OPEN),
    ('verdict = "consistent"', lambda r: put(r, "claim-dp-2", "violates", fails=True), NOT_MET),
    # The curve behind the claim is refuted: a failed claim, whatever its verdict is called.
    ('verdict = "consistent"', lambda r: put(r, "claim-dp-2", "could_not_tell", fails=True),
     NOT_MET),
    ('verdict = "not_violated"', lambda r: put(r, "claim-dp-2", "consistent"), MET),
    ('verdict = "not_violated"', lambda r: put(r, "claim-dp-2", "could_not_tell"), MET),
    ('verdict = "not_violated"', lambda r: put(r, "claim-dp-2", "could_not_tell", fails=True),
     NOT_MET),
    ('verdict = "not_violated"', lambda r: put(r, "claim-dp-2", "violates", fails=True), NOT_MET),
    ('canaries = "consistent"', lambda r: put(r, "canaries-dp-2", "consistent"), MET),
    ('canaries = "consistent"', lambda r: put(r, "canaries-dp-2", "violates", fails=True), NOT_MET),
    ('canaries = "consistent"', lambda r: put(r, "canaries-dp-2", "could_not_tell"), OPEN),
    ('canaries = "not_violated"', lambda r: put(r, "canaries-dp-2", "could_not_tell"), MET),
    ('canaries = "consistent"', lambda r: drop(r, "canaries-dp-2"), OPEN),
    ('canaries = "not_violated"', lambda r: drop(r, "canaries-dp-2"), OPEN),
    ("epsilon_at_most = 2", lambda r: None, MET),
    ("epsilon_at_most = 1.9", lambda r: None, NOT_MET),
    ("epsilon_at_most = 2", lambda r: arm(r).update(epsilon=None), OPEN),
    ("epsilon_at_most = 2", lambda r: arm(r).pop("epsilon"), OPEN),
    ("delta_at_most = 0.01", lambda r: None, MET),
    ("delta_at_most = 0.0001", lambda r: None, NOT_MET),
    ("delta_at_most = 0.01", lambda r: arm(r).pop("delta"), OPEN),
    ("delta_below_one_over_n = true", lambda r: None, MET),
    ("delta_below_one_over_n = true", lambda r: arm(r).update(delta=1 / 1297), NOT_MET),
    ("delta_below_one_over_n = true", lambda r: arm(r).update(delta=None), OPEN),
    ("delta_below_one_over_n = true", lambda r: r["source"]["data"].update(n=None), OPEN),
    ("delta_below_one_over_n = true", lambda r: r["source"]["data"].update(n=0), OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "change", "outcome"), CLAIM)
def test_rules_about_claims(base: Json, rule: str, change: Change, outcome: str):
    result = only(f"[claim]\n{rule}", base, change)
    assert result.outcome == outcome, result.line
    assert result.arm == ARM


def test_a_violation_that_is_only_not_violated_says_so(base: Json):
    line = only('[claim]\nverdict = "not_violated"', base,
                lambda r: put(r, "claim-dp-2", "could_not_tell")).line  # fmt: skip
    assert "not violated, which is all that is asked. Could not tell" in line


def procedures(
    contents: Json, *, canaries: float | None, twice: bool = True, witness: float = 0.0,
    models_power: float | None = None, copies: int = 1, refutes: bool | None = False,
) -> None:  # fmt: skip
    def bound(value: float | None) -> Json | None:
        return None if value is None else {"value": value, "low": value, "high": None, "n": 200}

    arm(contents)["empirical_epsilon"] = {
        "procedures": [
            {"id": "witness", "on": "training examples", "epsilon": bound(witness),
             "refutes_claim": False},
            {"id": "canaries", "on": "gradient canaries", "epsilon": bound(canaries),
             "copies": copies, "would_refute_twice": twice, "refutes_claim": refutes},
        ]
    }  # fmt: skip
    contents["results"]["power"] = {
        "epsilon": [{"procedure": "witness bound", "rows": [
            {"models": 100, "epsilon": 99.0}, {"models": 200, "epsilon": models_power}]}]
    }  # fmt: skip


def swap(contents: Json, epsilon: float = 4.0) -> None:
    arm(contents)["test"]["epsilon"] = epsilon


CERTIFIED: list[tuple[float, Change, str]] = [
    # Canaries that would have refuted the claim at twice its ε could have certified more.
    (2.0, lambda r: procedures(r, canaries=1.3), MET),
    (1.2, lambda r: procedures(r, canaries=1.3), NOT_MET),
    # Above the claim nobody knows what they could have certified …
    (3.0, lambda r: procedures(r, canaries=1.3), OPEN),
    # … unless one memorized example would have been certified that high by so many models.
    (3.0, lambda r: procedures(r, canaries=1.3, models_power=3.1), MET),
    (3.0, lambda r: procedures(r, canaries=1.3, models_power=2.9), OPEN),
    (2.0, lambda r: procedures(r, canaries=1.3, twice=False), OPEN),
    (2.0, lambda r: procedures(r, canaries=None), OPEN),
    (2.0, lambda r: procedures(r, canaries=0.1, witness=2.5), NOT_MET),
    # Copies certify at another δ; other neighbours than the claim's say nothing of it.
    (2.0, lambda r: procedures(r, canaries=9.0, copies=10), OPEN),
    (2.0, lambda r: procedures(r, canaries=9.0, refutes=None), OPEN),
    (2.0, lambda r: arm(r).update(empirical_epsilon=None), OPEN),
    (2.0, lambda r: arm(r).update(test=None), OPEN),
    (0.0, lambda r: procedures(r, canaries=0.0, twice=False), OPEN),
    # Subsets of fixed size: single examples certify twice the ε of one example.
    (2.0, lambda r: (swap(r), procedures(r, canaries=0.5, witness=3.9)), MET),
    (2.0, lambda r: (swap(r), procedures(r, canaries=0.5, witness=4.1)), NOT_MET),
    (2.5, lambda r: (swap(r), procedures(r, canaries=0.5, witness=6.0, models_power=9.0)), OPEN),
]


@pytest.mark.parametrize(("most", "change", "outcome"), CERTIFIED)
def test_certified_epsilon(base: Json, most: float, change: Change, outcome: str):
    result = only(f"[claim]\ncertified_epsilon_at_most = {most}", base, change)
    assert result.outcome == outcome, result.line


def test_a_claim_refuted_by_the_stronger_test_certifies_what_it_refuted(base: Json):
    def change(contents: Json) -> None:
        procedures(contents, canaries=0.1, witness=1.2)
        put(contents, "claim-dp-2", "violates", fails=True)
        finding(contents, "claim-dp-2")["value"] = 2.0

    assert only("[claim]\ncertified_epsilon_at_most = 1.5", base, change).outcome == NOT_MET


def attacks(**found: tuple[float, float, float] | None) -> Change:
    def change(contents: Json) -> None:
        rates = {
            name: None if e is None else dict(zip(("value", "low", "high"), e, strict=True), n=200)
            for name, e in found.items()
        }
        arm(contents)["exposure"]["attacks"] = {
            name: dict.fromkeys(("auc", "balanced_accuracy", "tpr_at_0.01"), e)
            for name, e in rates.items()
        }

    return change


EXPOSED: list[tuple[Change, str]] = [
    (attacks(lira_online=(0.55, 0.54, 0.56), global_threshold=(0.5, 0.49, 0.51)), MET),
    (attacks(lira_online=(0.55, 0.54, 0.56), global_threshold=(0.7, 0.69, 0.71)), NOT_MET),
    (attacks(lira_online=(0.55, 0.54, 0.56), global_threshold=(0.6, 0.58, 0.62)), OPEN),
    # Above at its own 95 %, not as one of five attacks.
    (attacks(a=(0.62, 0.603, 0.637), **dict.fromkeys("bcde", (0.5, 0.49, 0.51))), OPEN),
    (attacks(a=(0.62, 0.603, 0.637)), NOT_MET),
    (attacks(lira_online=(0.55, 0.54, 0.56), rmia_online=None), OPEN),
    (attacks(lira_online=(0.7, 0.69, 0.71), rmia_online=None), NOT_MET),
    (lambda r: arm(r)["exposure"].pop("attacks"), OPEN),
    (lambda r: arm(r).update(exposure={"attack": None, "why_not": "there are no margins"}), OPEN),
    (lambda r: arm(r).pop("exposure"), OPEN),
]


@pytest.mark.parametrize(("change", "outcome"), EXPOSED)
@pytest.mark.parametrize(
    "rule", ["auc_at_most", "balanced_accuracy_at_most", "tpr_at_1_percent_fpr_at_most"]
)
def test_exposure(base: Json, rule: str, change: Change, outcome: str):
    result = only(f"[exposure]\n{rule} = 0.6", base, change)
    assert result.outcome == outcome, result.line


CHECKS: list[tuple[str, Change, str]] = [
    *[(f"{kind}_check", lambda r, k=kind, v=v, f=f: put(r, f"{k}-check-dp-2", v, fails=f), outcome)
      for kind in ("cross", "self")
      for v, f, outcome in (("holds", False, MET), ("fails", True, NOT_MET),
                            ("inconclusive", False, OPEN))],
    ("self_check", lambda r: drop(r, "self-check-dp-2"), OPEN),
    ("cross_check", lambda r: drop(r, "cross-check-dp-2"), OPEN),
    ("cross_check", lambda r: (drop(r, "cross-check-dp-2"),
                               r["source"]["engine"]["dp-2"].update(name="opacus")), MET),
    ("cross_check", lambda r: (drop(r, "cross-check-dp-2"),
                               r["source"]["engine"]["dp-2"].update(name="estimator")), OPEN),
    ("cross_check", lambda r: (drop(r, "cross-check-dp-2"), r["source"].pop("engine")), OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "change", "outcome"), CHECKS)
def test_checks(base: Json, rule: str, change: Change, outcome: str):
    results = {r.arm: r for r in judged(f"[checks]\n{rule} = true", base, change)}
    assert set(results) == {"standard", "dp-2"}
    assert results["dp-2"].outcome == outcome
    assert results["standard"].outcome == MET


def test_no_failed_finding(base: Json):
    rule = "[checks]\nno_failed_finding = true"
    assert only(rule, base).outcome == MET
    failed = only(rule, base, lambda r: put(r, "diverged-dp-2", "fails", fails=True))
    assert failed.outcome == NOT_MET
    assert "diverged-dp-2" in failed.line
    assert only(rule, base, lambda r: r.update(findings=[])).outcome == OPEN


def test_fields(base: Json):
    def state(contents: Json) -> None:
        contents["attestation"] = {
            "asked": ["claim.unit_of_privacy", "claim.trust_model", "system.purpose"],
            "statements": {"claim.unit_of_privacy": "a person", "system.purpose": " \n"},
        }

    found = judged('[fields]\nstated = "all"', base, state)
    assert {r.subject: r.outcome for r in found} == {
        "claim.unit_of_privacy": MET, "claim.trust_model": NOT_MET, "system.purpose": NOT_MET,
    }  # fmt: skip
    assert "NOT STATED" in found[1].line
    one = only('[fields]\nstated = ["claim.unit_of_privacy"]', base, state)
    assert one.outcome == MET
    with pytest.raises(BadInput, match=r"Did you mean claim.trust_model\?"):
        judged('[fields]\nstated = ["claim.trust_modle"]', base, state)

    # A report that does not say what it asks for.
    def without(contents: Json) -> None:
        del contents["attestation"]["asked"]

    assert only('[fields]\nstated = ["claim.x"]', base, without).outcome == NOT_MET
    with pytest.raises(BadInput, match="lists no fields"):
        judged('[fields]\nstated = "all"', base, without)


EVERY_ARM_RULE = """
[claim]
verdict = "consistent"
epsilon_at_most = 4
certified_epsilon_at_most = 4
[accuracy]
loss_at_most = 0.1
worst_group_loss_at_most = 0.1
equivalence_margin = 0.1
[exposure]
auc_at_most = 0.7
"""


def test_a_run_without_private_arms_passes_no_rule_about_them(base: Json):
    results = judged(EVERY_ARM_RULE, base, lambda r: drop(r, "claim-dp-2"))
    assert [r.outcome for r in results] == [OPEN] * 7
    assert "no arm of this run claims anything" in results[0].line
    assert exit_code(results) == 3


def test_arms_are_those_of_the_policy():
    contents = report(make(seed=2, hostile=False, epsilons=(2.0, 8.0), n=300, styles=6))
    rule = "[claim]\nepsilon_at_most = 4\n"
    assert [r.outcome for r in judged(rule, contents)] == [MET, NOT_MET]
    assert [r.arm for r in judged(f'arms = ["dp-2"]\n{rule}', contents)] == ["dp-2"]
    missing = judged(f'arms = ["dp-2", "dp-3"]\n{rule}', contents)
    assert {r.arm: r.outcome for r in missing} == {"dp-2": MET, "dp-3": OPEN}
    checked = judged('arms = ["dp-2"]\n[checks]\nself_check = true', contents)
    assert {r.arm for r in checked} == {"standard", "dp-2"}


def test_exit_codes(base: Json):
    rules = "[claim]\nepsilon_at_most = 4\n[accuracy]\nloss_at_most = 0.03\n"
    assert exit_code(judged(rules, base, lambda r: loss(r, 0.01, 0.001))) == 0
    assert exit_code(judged(rules, base, lambda r: loss(r, None, None))) == 3
    assert exit_code(judged(rules, base, lambda r: loss(r, 0.2, 0.01))) == 1
    both = judged(rules, base, lambda r: (loss(r, None, None), arm(r).update(epsilon=9.0)))
    assert exit_code(both) == 1
    assert counts(both) == {NOT_MET: 1, OPEN: 1, MET: 0}
    assert gravest([]) == OPEN


def test_nothing_undefined_ever_passes(base: Json):
    """Every number of the report taken away at once: no rule about numbers is met."""

    def blank(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: blank(v) for k, v in value.items()}
        if isinstance(value, list):
            return [blank(v) for v in value]
        return None if isinstance(value, float) else value

    def change(contents: Json) -> None:
        results = contents["results"]
        models = results["models"]
        contents["results"] = {**blank(results), "models": models}
        drop(contents, "claim-dp-2")
        put(contents, "claim-dp-2", "could_not_tell")

    results = judged(EVERY_ARM_RULE, base, change)
    assert {r.outcome for r in results} == {OPEN}


def test_hostile_names_stay_on_their_line(hostile: Run):
    results = judged(EVERY_ARM_RULE, report(hostile))
    assert any(r.subject == HOSTILE[0] for r in results)
    for result in results:
        assert result.line.isprintable() or "\u200d" in result.line
        assert len(result.line) < 1500


def test_as_json_has_every_number(base: Json):
    results = judged(EVERY_ARM_RULE, base)
    written = as_json(results, base, "ab" * 32)
    assert written["schema"] == "audit-check"
    assert written["counts"] == counts(results)
    assert written["results"][0]["rule"] == "claim.verdict"
    assert not any(
        isinstance(v, float) and math.isnan(v) for r in results for v in vars(r).values()
    )
