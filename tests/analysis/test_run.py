"""The analysis needs names, claims and outputs alone: no plan, no mechanism, no second arm."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from audit.accounting import PrivacyCurve
from audit.analysis import AnalysedArm, ArmOutputs, Coins, analyse
from audit.claims import Claim, make_claim
from audit.data.dataset import Dataset, Grouping

K, N, N_TEST = 60, 40, 30
MEMORIZED = 7


def claim(epsilon: float, curve: PrivacyCurve | None = None) -> Claim:
    return make_claim(epsilon, 1e-3, design="poisson", source="claimed by a test", curve=curve)


def data() -> Dataset:
    codes = np.arange(N, dtype=np.int32) % 2
    grouping = Grouping("site", "column", ("north", "south"), codes, codes[:N_TEST])
    return Dataset(
        name="made up",
        x_train=np.zeros((N, 1), np.float32),
        y_train=codes.astype(np.int64),
        x_test=np.zeros((N_TEST, 1), np.float32),
        y_test=codes[:N_TEST].astype(np.int64),
        class_names=("a", "b"),
        feature_names=("x",),
        input_shape=(1,),
        groupings=(grouping,),
        source="a test",
        licence="none",
    )


def outputs(*, memorizes: bool, right: float = 0.9) -> ArmOutputs:
    """Models that are right by chance alone, but know one example only from having seen it."""
    rng = np.random.default_rng(0)
    membership = rng.random((K, N)) < 0.5
    correct = rng.random((K, N)) < right
    if memorizes:
        correct[:, MEMORIZED] = membership[:, MEMORIZED]
    return ArmOutputs(membership, correct, rng.random((K, N_TEST)) < right)


def test_a_standard_arm_alone_is_held_against_the_epsilon_asked_about():
    found = analyse(
        [AnalysedArm("standard")],
        claim(0.5),
        data(),
        {"standard": outputs(memorizes=True)},
        coins=Coins("poisson", 0.7),
        seed=0,
    )
    arm = found.summary["arms"]["standard"]
    assert arm["verdict"] == "violates"
    assert arm["witnesses"] == [MEMORIZED]
    assert arm["test"]["epsilon"] == 0.5
    assert {"epsilon", "delta", "loss"}.isdisjoint(arm)
    assert found.summary["disparity"] == []
    assert {t["outcome"] for t in found.summary["trends"]} == {"mem_standard"}
    assert not [c for c in found.subgroups if c.startswith("loss")]
    assert np.isnan(found.examples["tradeoff_bound"].to_numpy()).all()
    assert not np.isnan(found.examples["bound"].to_numpy()).any()


def test_a_claim_without_a_curve_is_tested_as_epsilon_and_delta():
    arms = [AnalysedArm("standard"), AnalysedArm("dp-0.5", claim(0.5))]
    both = {"standard": outputs(memorizes=True), "dp-0.5": outputs(memorizes=False, right=0.8)}
    found = analyse(arms, claim(0.5), data(), both, coins=Coins("poisson", 0.7), seed=0)
    standard, private = (found.summary["arms"][a.name] for a in arms)
    assert (standard["n_refuted"], private["n_refuted"]) == (1, 0)
    assert (private["epsilon"], private["delta"]) == (0.5, 1e-3)
    assert "noise_multiplier" not in private
    for arm in (standard, private):
        assert arm["above_bound"]["tradeoff_cap"] is None
        assert arm["above_bound"]["above_tradeoff_significant"] is None
    difference = both["standard"].test_correct.mean() - both["dp-0.5"].test_correct.mean()
    assert private["loss"]["value"] == pytest.approx(difference)
    assert "loss_dp-0.5" in found.subgroups


def test_a_private_arm_alone_has_no_loss_and_a_trend_of_its_own_memorization():
    found = analyse(
        [AnalysedArm("dp-2", claim(2.0), {"steps": 10})],
        claim(2.0),
        data(),
        {"dp-2": outputs(memorizes=False)},
        coins=Coins("poisson", 0.7),
        seed=0,
    )
    assert "loss" not in found.summary["arms"]["dp-2"]
    assert found.summary["arms"]["dp-2"]["steps"] == 10
    assert {t["outcome"] for t in found.summary["trends"]} == {"mem_dp-2"}
    assert {"accuracy_dp-2", "mem_dp-2"} <= set(found.subgroups)


def test_a_planted_curve_that_is_too_strict_is_refuted_beside_a_claim_that_is_not():
    """The curve is what tells a bare claim from an accounted one: without it nothing is beyond."""
    strict = PrivacyCurve(np.array([0.0, 0.1]), np.array([0.01, 0.001]))
    found = analyse(
        [AnalysedArm("dp-8", claim(8.0, strict))],
        claim(8.0),
        data(),
        {"dp-8": outputs(memorizes=True)},
        coins=Coins("poisson", 0.7),
        seed=0,
    )
    arm = found.summary["arms"]["dp-8"]
    assert arm["n_refuted"] == 0
    assert arm["above_bound"]["above_tradeoff_significant"] == 1


def test_exposure_of_an_example_that_leaks_is_in_every_table():
    rng = np.random.default_rng(1)
    plain = outputs(memorizes=True)
    margin = rng.normal(size=(K, N))
    margin[:, MEMORIZED] += 8 * plain.membership[:, MEMORIZED]
    margin[3] = np.nan
    brought = replace(
        plain,
        train_margin=margin.astype(np.float16),
        test_margin=rng.normal(size=(K, N_TEST)).astype(np.float16),
    )
    found = analyse(
        [AnalysedArm("standard")],
        claim(0.5),
        data(),
        {"standard": brought},
        coins=Coins("poisson", 0.7),
        seed=0,
    )
    exposure = found.examples["exposure"].to_numpy()
    assert exposure.argmax() == MEMORIZED
    assert exposure[MEMORIZED] > 0.95
    arm = found.summary["arms"]["standard"]["exposure"]
    assert arm["n_undefined"] >= N
    assert arm["auc"]["n"] == K - 1
    assert (
        arm["attacks"]["global_threshold"]["n_in"] + arm["attacks"]["global_threshold"]["n_out"]
        == (K - 1) * N
    )
    assert "exposure_standard" in {t["outcome"] for t in found.summary["trends"]}
    assert not np.isnan(found.subgroups["exposure_standard"].to_numpy()).all()
    json.dumps(found.summary, allow_nan=False)


def test_labels_alone_give_no_exposure_and_say_why():
    nothing = np.full((K, N), np.nan, dtype=np.float16)
    brought = replace(outputs(memorizes=True), train_margin=nothing)
    found = analyse(
        [AnalysedArm("standard")],
        claim(0.5),
        data(),
        {"standard": brought},
        coins=Coins("poisson", 0.7),
        seed=0,
    )
    exposure = found.summary["arms"]["standard"]["exposure"]
    assert exposure["attack"] is None
    assert "labels only" in exposure["why_not"]
    assert np.isnan(found.examples["exposure"].to_numpy()).all()
