"""Outputs of models trained elsewhere: the same estimates, whatever was brought and left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from audit.analysis import ArmOutputs
from audit.analysis.arms import estimate_arm
from audit.brought import ArmFiles, Request
from audit.claims import make_claim
from audit.elsewhere import estimate
from audit.errors import BadInput
from audit.pipeline import RunOutcome
from audit.stored_outputs import read_outputs
from tests.data.helpers import write_csv

K, N, N_TEST = 90, 40, 25
MEMORIZED = 3
EVIL = "</script><script>alert(1)</script>"


class Silent:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def stage(self, text: str) -> None:
        self.told.append(text)

    def plan(self, plan: Any, done: dict[str, int]) -> None:
        raise AssertionError(f"nothing is planned here: {plan}, {done}")

    def progress(self, models_done: dict[str, float]) -> None:
        raise AssertionError(f"nothing is trained here: {models_done}")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Standard models that memorize one example, private ones that memorize none, and tables."""
    rng = np.random.default_rng(0)
    inside = rng.random((K, N)) < 0.6
    private, standard = (rng.random((K, N)) < share for share in (0.8, 0.95))
    standard[:, MEMORIZED] = inside[:, MEMORIZED]
    arrays = {
        "membership": inside,
        "private": private,
        "standard": standard,
        "private_test": rng.random((K, N_TEST)) < 0.8,
        "standard_test": rng.random((K, N_TEST)) < 0.9,
        "margin": np.where(private, 2.0, -2.0),
        "margin_test": np.zeros((K, N_TEST)),
    }
    for name, values in arrays.items():
        np.save(tmp_path / f"{name}.npy", values)
    for side, rows in (("train", N), ("test", N_TEST)):
        groups = [(EVIL, "b", "{{7*7}}")[k % 3] for k in range(rows)]
        write_csv(tmp_path / f"{side}.csv", {"g": groups, "y": [k % 2 for k in range(rows)]})
    return tmp_path


def request(files: Path, **changes: Any) -> Request:
    base = Request(
        membership=files / "membership.npy",
        arm=ArmFiles(files / "private.npy", files / "private_test.npy"),
        baseline=ArmFiles(files / "standard.npy", files / "standard_test.npy"),
        epsilon=0.5,
        delta=1e-3,
    )
    return replace(base, **changes)


def done(asked: Request, out: Path) -> RunOutcome:
    return estimate(asked, out, command_line="audit estimate", listener=Silent())


def test_two_arms_have_losses_and_each_its_verdict(files: Path, tmp_path: Path):
    tables = {"train_table": files / "train.csv", "test_table": files / "test.csv"}
    asked = request(files, **tables, label="y", subgroups=("g", "g×class"))
    outcome = done(asked, tmp_path / "out")
    arms = outcome.summary["arms"]
    assert arms["standard"]["witnesses"] == [MEMORIZED]
    assert arms["dp-0.5"]["n_refuted"] == 0
    difference = (
        np.load(files / "standard_test.npy").mean() - np.load(files / "private_test.npy").mean()
    )
    assert arms["dp-0.5"]["loss"]["value"] == pytest.approx(difference)
    groups = pd.read_parquet(tmp_path / "out/results/subgroups.parquet")
    assert set(groups["grouping"]) >= {"g", "g×y"}
    assert EVIL in set(groups["subgroup"])
    page = outcome.report.read_text()
    assert EVIL not in page
    assert "&lt;/script&gt;" in page
    assert "{{7*7}}" in page


def test_the_estimates_are_those_of_the_arrays(files: Path, tmp_path: Path):
    """The same functions on the user's arrays, without files in between, give the same numbers."""
    outcome = done(request(files), tmp_path / "out")
    arrays = {key: np.load(files / f"{key}.npy") for key in ("membership", "private")}
    direct = estimate_arm(
        ArmOutputs(arrays["membership"], arrays["private"], np.load(files / "private_test.npy")),
        make_claim(0.5, 1e-3, design="poisson", source="here"),
    )
    rows = pd.read_parquet(tmp_path / "out/results/examples.parquet")
    rows = rows[rows["arm"] == "dp-0.5"]
    np.testing.assert_array_equal(rows["mem"], direct.memorization.mem)
    power = outcome.summary["arms"]["dp-0.5"]["test"]["power"]
    assert power == pytest.approx(direct.test.power)


def test_anybody_can_recompute_from_the_shards(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("audit.elsewhere._SHARD_CELLS", 40 * N)
    arm = ArmFiles(
        *(files / f"{n}.npy" for n in ("private", "private_test", "margin", "margin_test"))
    )
    np.save(files / "margin_test.npy", np.where(np.load(files / "private_test.npy"), 1.0, -1.0))
    outcome = done(request(files, arm=arm), tmp_path / "out")
    assert sorted(outcome.manifest["shards"]) == [
        "dp-0.5/0-39", "dp-0.5/40-79", "dp-0.5/80-89",
        "standard/0-39", "standard/40-79", "standard/80-89",
    ]  # fmt: skip
    back = read_outputs(tmp_path / "out", outcome.manifest, "dp-0.5")
    np.testing.assert_array_equal(back.membership, np.load(files / "membership.npy"))
    np.testing.assert_array_equal(back.train_correct, np.load(files / "private.npy"))
    np.testing.assert_array_equal(back.test_correct, np.load(files / "private_test.npy"))
    shard = load_file(tmp_path / "out/shards/dp-0.5/40-79.safetensors")
    np.testing.assert_array_equal(shard["train_margin"], np.load(files / "margin.npy")[40:80])
    assert "train_margin" not in load_file(tmp_path / "out/shards/standard/0-39.safetensors")


def test_margins_give_exposure_and_change_no_other_number(files: Path, tmp_path: Path):
    """Planted: margins that any attack on them would see (size 30 for members, 0.1 for others)."""
    own = ArmFiles(files / "private.npy", files / "private_test.npy")
    inside, right = np.load(files / "membership.npy"), np.load(files / "private.npy")
    size = np.where(inside, 30.0, 0.1)
    np.save(files / "telling.npy", np.where(right, size, -size))
    pages = []
    for name, arm in (("without", own), ("with", replace(own, margins=files / "telling.npy"))):
        outcome = done(request(files, arm=arm), tmp_path / name)
        pages.append(outcome.report.read_text())
    one, other = (
        pd.read_parquet(tmp_path / name / "results/examples.parquet")
        for name in ("without", "with")
    )
    assert one.exposure.isna().all()
    assert other.exposure.min() > 0.95
    pd.testing.assert_frame_equal(one.drop(columns="exposure"), other.drop(columns="exposure"))
    without, with_margins = (
        json.loads((tmp_path / name / "results/summary.json").read_text())["arms"]["dp-0.5"]
        for name in ("without", "with")
    )
    assert without["exposure"]["attack"] is None
    assert "no margins" in without["exposure"]["why_not"]
    found = with_margins["exposure"]
    assert found["auc"]["value"] > 0.95
    assert "test examples" in found["not_run"]["rmia_online"]
    said = "attack exposure was computed from them"
    assert [said in page for page in pages] == [False, True]


def test_the_manifest_says_where_everything_came_from(files: Path, tmp_path: Path):
    manifest = done(request(files, claimed_by="JAX Privacy\n0.4"), tmp_path / "out").manifest
    stored = json.loads((tmp_path / "out/run.json").read_text())
    assert stored["origin"]["arrays"]["train-correct"]["shape"] == [K, N]
    assert set(stored["origin"]["arrays"]) == {
        "membership", "train-correct", "test-correct",
        "baseline-train-correct", "baseline-test-correct",
    }  # fmt: skip
    claim = manifest["arms"]["dp-0.5"]
    assert claim["claimed_by"].startswith("JAX Privacy\\n0.4 (so stated by the user")
    assert "noise_multiplier" not in claim
    assert manifest["engine"]["standard"]["name"] == "elsewhere"


def test_the_same_inputs_again_change_nothing(files: Path, tmp_path: Path):
    results = [tmp_path / "out" / "results" / name for name in ("examples.parquet", "summary.json")]
    done(request(files), tmp_path / "out")
    before = [path.read_bytes() for path in results]
    shard = tmp_path / "out/shards/standard/0-89.safetensors"
    shard.write_bytes(b"damaged")
    done(request(files), tmp_path / "out")
    assert [path.read_bytes() for path in results] == before
    assert shard.stat().st_size > 100


def test_other_inputs_are_refused_by_name(files: Path, tmp_path: Path):
    done(request(files), tmp_path / "out")
    before = (tmp_path / "out/results/summary.json").read_bytes()
    other = np.load(files / "private.npy")
    other[0, 0] ^= True
    np.save(files / "other.npy", other)
    for change, field in (
        ({"epsilon": 1.0}, "epsilon = 1.0"),
        ({"delta": 1e-4}, "delta = 0.0001"),
        ({"p": 0.6}, "inclusion_probability = 0.6"),
        ({"arm": ArmFiles(files / "other.npy", files / "private_test.npy")}, "^train_correct = "),
    ):
        with pytest.raises(BadInput, match=f"{field}.*differs from"):
            done(request(files, **change), tmp_path / "out")
    assert (tmp_path / "out/results/summary.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(files: Path):
    with pytest.raises(BadInput, match="is not empty and not a run directory"):
        done(request(files), files)


def test_without_test_outputs_nothing_is_made_up(files: Path, tmp_path: Path):
    tables = {"train_table": files / "train.csv", "subgroups": ("g",)}
    arm, baseline = ArmFiles(files / "private.npy"), ArmFiles(files / "standard.npy")
    outcome = done(request(files, arm=arm, baseline=baseline, **tables), tmp_path / "out")
    private = outcome.summary["arms"]["dp-0.5"]
    assert private["accuracy_test"]["value"] is None
    assert private["loss"]["value"] is None
    assert outcome.summary["disparity"] == []
    assert {t["outcome"] for t in outcome.summary["trends"]} == {"mem_standard"}
    page = outcome.report.read_text()
    assert "Test accuracy and influence on test examples: not estimated (no test outputs)." in page
    assert "there are no test outputs" in page
    assert "Influence was not estimated: there are no test outputs." in page
    rows = pd.read_parquet(tmp_path / "out/results/subgroups.parquet")
    assert np.isnan(rows["loss_dp-0.5"].to_numpy()).all()
    assert not np.isnan(rows["mem_standard"].to_numpy()).any()


def test_a_private_arm_alone(files: Path, tmp_path: Path):
    outcome = done(request(files, baseline=ArmFiles()), tmp_path / "out")
    assert list(outcome.summary["arms"]) == ["dp-0.5"]
    assert "there are no standard models to compare with" in outcome.report.read_text()
    assert "no groups were given" in outcome.report.read_text()


def test_standard_models_alone(files: Path, tmp_path: Path):
    arm = ArmFiles(files / "standard.npy")
    asked = request(files, arm=arm, baseline=ArmFiles(), claims=False)
    outcome = done(asked, tmp_path / "out")
    assert outcome.exit_code == 0
    assert outcome.summary["arms"]["standard"]["witnesses"] == [MEMORIZED]
    assert not any(f["id"].startswith("claim-") for f in outcome.summary["findings"])


def test_a_fixed_design_is_tested_as_a_swap(files: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    inside = np.array([rng.permutation(N) < 24 for _ in range(K)])
    np.save(files / "membership.npy", inside)
    with pytest.raises(BadInput, match="Use --inclusion fixed"):
        done(request(files), tmp_path / "out")
    outcome = done(request(files, design="fixed"), tmp_path / "out")
    test = outcome.summary["arms"]["dp-0.5"]["test"]
    assert test["epsilon"] == 1.0
    assert test["delta"] == pytest.approx((1 + np.exp(0.5)) * 1e-3)


def test_a_violated_claim_fails(files: Path, tmp_path: Path):
    """Planted: the arrays of the standard models, with a claim."""
    outcome = done(
        request(files, arm=ArmFiles(files / "standard.npy"), baseline=ArmFiles()), tmp_path / "out"
    )
    assert outcome.exit_code == 1
    assert outcome.summary["arms"]["dp-0.5"]["witnesses"] == [MEMORIZED]


def test_pure_privacy_has_a_delta_of_zero(files: Path, tmp_path: Path):
    outcome = done(request(files, delta=0.0, baseline=ArmFiles()), tmp_path / "out")
    assert outcome.summary["arms"]["dp-0.5"]["delta"] == 0.0
    assert {f["id"]: f["verdict"] for f in outcome.summary["findings"]}["delta-dp-0.5"] == "holds"


def test_a_delta_of_one_over_n_is_a_finding_that_fails(files: Path, tmp_path: Path):
    outcome = done(request(files, delta=0.1, baseline=ArmFiles()), tmp_path / "out")
    assert outcome.exit_code == 1


@pytest.mark.parametrize(("models", "n"), [(1, 20), (20, 1), (1, 1), (2, 2)])
def test_the_smallest_arrays(tmp_path: Path, models: int, n: int):
    rng = np.random.default_rng(1)
    np.save(tmp_path / "m.npy", rng.random((models, n)) < 0.5)
    np.save(tmp_path / "c.npy", ~np.load(tmp_path / "m.npy"))
    asked = Request(tmp_path / "m.npy", ArmFiles(tmp_path / "c.npy"), epsilon=2.0)
    if n == 1:
        with pytest.raises(BadInput, match=r"delta = None.*has no default for a single example"):
            done(asked, tmp_path / "out")
    outcome = done(replace(asked, delta=1e-3), tmp_path / "out")
    if models == 1:
        assert outcome.exit_code == 3
        assert outcome.summary["arms"]["dp-2"]["mem_undefined"] == n


def test_examples_in_every_model_or_in_none_stay_with_their_counts(files: Path, tmp_path: Path):
    inside = np.load(files / "membership.npy")
    inside[:, 5], inside[:, 6] = True, False
    np.save(files / "membership.npy", inside)
    outcome = done(request(files), tmp_path / "out")
    assert outcome.summary["arms"]["dp-0.5"]["mem_undefined"] == 2
    rows = pd.read_parquet(tmp_path / "out/results/examples.parquet").query("arm == 'dp-0.5'")
    assert len(rows) == N
    assert list(rows.loc[rows["mem"].isna(), "n_in"]) == [K, 0]
    said = " ".join(outcome.manifest["data"]["warnings"])
    assert "2 of 40 training examples are in every model or in none" in said


def test_doubtful_arrays_are_said_but_not_refused(files: Path, tmp_path: Path):
    inside = np.load(files / "membership.npy")
    inside[70] = inside[2]
    np.save(files / "membership.npy", inside)
    warnings = done(request(files), tmp_path / "out").manifest["data"]["warnings"]
    assert any("models 2 and 70 have the same training set" in w for w in warnings)
    assert any("more models (90) than training examples (40)" in w for w in warnings)


def test_the_membership_saved_twice_is_said_whatever_its_type(files: Path, tmp_path: Path):
    """As another type it is another file; as the same file it is refused."""
    np.save(files / "copy.npy", np.load(files / "membership.npy").astype(np.float32))
    for name, said in (("copy", True), ("private", False)):
        asked = request(files, arm=ArmFiles(files / f"{name}.npy"), baseline=ArmFiles())
        warnings = done(asked, tmp_path / name).manifest["data"]["warnings"]
        assert any("train-correct equals membership" in w for w in warnings) == said


def test_halves_of_a_pair_are_refused(files: Path, tmp_path: Path):
    path = files / "private.npy"
    test = files / "private_test.npy"
    for change, rule in (
        ({"arm": ArmFiles()}, "train-correct.*is missing"),
        ({"arm": ArmFiles(None, test)}, "test-correct.*without --train-correct"),
        ({"arm": ArmFiles(path, None, None, test)}, "test-margins.*without --test-correct"),
        ({"arm": ArmFiles(path)}, "test-correct.*is missing"),
        ({"baseline": ArmFiles(files / "standard.npy")}, "baseline-test-correct.*is missing"),
        ({"baseline": ArmFiles(None, test)}, "baseline-test-correct.*without --baseline-train"),
        ({"baseline": ArmFiles(path, test)}, "baseline-train-correct.*same content"),
        ({"claims": False}, "baseline-train-correct.*second standard arm"),
        ({"claims": False, "claimed_by": "x"}, "claimed-by"),
        ({"epsilon": float("nan")}, "epsilon = nan"),
        ({"epsilon": 0.0}, "epsilon = 0.0"),
        ({"delta": 1.0}, "delta = 1.0"),
        ({"p": 0.9}, "p = 0.9.*is not the share"),
    ):
        with pytest.raises(BadInput, match=rule):
            done(request(files, **change), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inside", [True, False])
def test_subsets_that_are_none_are_refused(files: Path, tmp_path: Path, inside: bool):
    np.save(files / "membership.npy", np.full((K, N), inside))
    with pytest.raises(BadInput, match=r"membership = .*leaves nothing to compare"):
        done(request(files), tmp_path / "r")
    assert not (tmp_path / "r").exists()
