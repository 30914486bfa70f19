"""`audit run --epsilon 2` on the embedded digits: what the README promises about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from audit import lira, load, roc
from tests.e2e.command import Finished, audit
from tests.reference import naive_lira


@pytest.fixture
def summary(default_run: tuple[Path, Finished]) -> dict[str, Any]:
    return json.loads((default_run[0] / "results" / "summary.json").read_text())


@pytest.fixture
def examples(default_run: tuple[Path, Finished]) -> pd.DataFrame:
    return pd.read_parquet(default_run[0] / "results" / "examples.parquet")


def test_it_succeeds_and_says_where_the_report_is(default_run: tuple[Path, Finished]):
    run, done = default_run
    assert done.code == 0, done
    assert "report.html" in done.out
    assert (run / "report.html").stat().st_size < 1_300_000


def test_the_run_directory_is_the_published_one(default_run: tuple[Path, Finished]):
    run, _ = default_run
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["plan"]["models"] == 200
    assert {cohort["arm"] for cohort in manifest["plan"]["cohorts"]} == {"standard", "dp-2"}
    for key in manifest["shards"]:
        assert (run / "shards" / f"{key}.safetensors").is_file()
    subgroups = pd.read_parquet(run / "results" / "subgroups.parquet")
    wanted = (
        "grouping subgroup n_train n_test frequency accuracy_standard accuracy_dp-2 loss_dp-2 "
        "loss_dp-2_low loss_dp-2_high mem_standard mem_dp-2 exposure_standard exposure_dp-2"
    )
    assert set(wanted.split()) <= set(subgroups.columns)
    influence = pd.read_parquet(run / "results" / "influence.parquet")
    wanted = "arm train_example test_example influence low high q_value mem"
    assert list(influence.columns) == wanted.split()
    assert not (run / ".scratch").exists()


def test_standard_training_is_accurate_and_memorizes(summary: dict[str, Any]):
    standard = summary["arms"]["standard"]
    assert summary["models"] == 200
    assert standard["accuracy_test"]["value"] >= 0.96
    assert 0.03 <= standard["mem_share_above_0.25"]["value"] <= 0.07
    for arm in summary["arms"].values():
        gap = arm["accuracy_included"]["value"] - arm["accuracy_excluded"]["value"]
        assert abs(arm["mem_mean"]["value"] - gap) <= 0.01


def test_standard_violates_and_dp_is_consistent(summary: dict[str, Any], examples: pd.DataFrame):
    standard, dp = summary["arms"]["standard"], summary["arms"]["dp-2"]
    assert standard["verdict"] == "violates"
    assert len(standard["witnesses"]) > 0
    rows = examples[examples.arm == "standard"].set_index("example")
    assert (rows.loc[standard["witnesses"], "verdict"] == "violates").all()
    assert (rows.loc[standard["witnesses"], "mem"] > 0.9).all()
    assert standard["epsilon_certified"]["low"] > 2
    assert dp["verdict"] == "consistent"
    assert dp["test"]["power"] >= 0.8
    assert dp["epsilon_certified"]["low"] < 2
    # The largest mem lies under the trade-off bound within its interval.
    assert dp["mem_max"]["low"] <= dp["above_bound"]["tradeoff_cap"]
    assert dp["above_bound"]["above_tradeoff_significant"] == 0
    assert dp["above_bound"]["tradeoff_cap"] < dp["above_bound"]["memorization_cap"]


def test_rare_subpopulations_lose_more_and_are_memorized_more(summary: dict[str, Any]):
    trends = {t["outcome"]: t for t in summary["trends"] if t["kind"] == "subpopulation"}
    for outcome in ("loss_dp-2", "mem_standard"):
        slope = trends[outcome]["slope"]
        assert slope["value"] < 0
        assert slope["high"] < 0
        assert trends[outcome]["p_value"] < 0.05
        assert trends[outcome]["n_groups"] >= 30


def test_the_live_cross_check_ran_and_passed(default_run: tuple[Path, Finished]):
    checks = json.loads((default_run[0] / "run.json").read_text())["cross_check"]
    assert set(checks) == {"standard", "dp-2"}
    for check in checks.values():
        assert check["passed"]
        assert check["parameters_relative_difference"] < 1e-5
        assert check["predictions_differing"] <= 1
    assert "Opacus" in checks["dp-2"]["against"]


@pytest.mark.parametrize("arm", ["standard", "dp-2"])
def test_ten_lines_of_numpy_from_the_shards_give_the_same_numbers(
    default_run: tuple[Path, Finished], examples: pd.DataFrame, arm: str
):
    n = int(examples["example"].to_numpy().max()) + 1
    counts = np.zeros((4, n))
    for path in (default_run[0] / "shards" / arm).iterdir():
        shard = load_file(path)
        inside, correct = (
            np.unpackbits(shard[name], axis=1, count=n, bitorder="little").astype(bool)
            for name in ("membership", "train_correct")
        )
        counts += [
            inside.sum(0),
            (inside & correct).sum(0),
            (~inside).sum(0),
            (~inside & correct).sum(0),
        ]
    p_in, p_out = counts[1] / counts[0], counts[3] / counts[2]
    rows = examples.loc[examples.arm == arm]
    np.testing.assert_array_equal(rows.example, np.arange(n))
    np.testing.assert_array_equal(rows.p_in, p_in)
    np.testing.assert_array_equal(rows.p_out, p_out)
    np.testing.assert_array_equal(rows.mem, p_in - p_out)


def test_arms_share_memberships(default_run: tuple[Path, Finished]):
    for path in (default_run[0] / "shards" / "standard").iterdir():
        other = default_run[0] / "shards" / "dp-2" / path.name
        np.testing.assert_array_equal(load_file(path)["membership"], load_file(other)["membership"])


def test_the_same_command_again_trains_nothing_and_changes_nothing(
    default_run: tuple[Path, Finished],
):
    run, _ = default_run
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in run.glob("shards/*/*")}
    results = {p.name: p.read_bytes() for p in (run / "results").iterdir()}
    page = (run / "report.html").read_bytes()
    done = audit("run", "--epsilon", "2", cwd=run.parent.parent)
    assert done.code == 0, done
    assert "400 trained before" in done.err
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in run.glob("shards/*/*")} == before
    assert {p.name: p.read_bytes() for p in (run / "results").iterdir()} == results
    assert len((run / "report.html").read_bytes()) == pytest.approx(len(page), rel=0.01)


def test_report_and_show_find_the_newest_run(default_run: tuple[Path, Finished]):
    run, _ = default_run
    folder = run.parent.parent
    short = (run / "report.html").stat().st_size
    done = audit("report", "--subgroups", cwd=folder)
    assert done.code == 0, done
    assert (run / "report.html").stat().st_size > short
    summary = json.loads((run / "results" / "summary.json").read_text())
    witness = summary["arms"]["standard"]["witnesses"][0]
    shown = audit("show", str(witness), cwd=folder)
    assert shown.code == 0
    assert "violates" in shown.out
    assert audit("report", cwd=folder).code == 0
    refused = audit("show", str(10**9), cwd=folder)
    assert refused.code == 2
    assert "must be a number from 0 to 1296" in refused.err


def test_rare_subpopulations_and_memorized_examples_are_more_exposed(
    summary: dict[str, Any], examples: pd.DataFrame
):
    standard, dp = (summary["arms"][a]["exposure"] for a in ("standard", "dp-2"))
    assert standard["auc"]["low"] > dp["auc"]["high"] > dp["auc"]["low"] > 0.5
    assert standard["tpr_at_0.01"]["low"] > 0.05 > dp["tpr_at_0.01"]["high"]
    assert set(standard["attacks"]) == set(dp["attacks"])
    trends = {t["outcome"]: t for t in summary["trends"] if t["kind"] == "subpopulation"}
    assert trends["exposure_standard"]["slope"]["high"] < 0
    rows = (examples["arm"] == "standard").to_numpy()
    mem, exposure = (examples[column].to_numpy()[rows] for column in ("mem", "exposure"))
    assert exposure[mem > 0.9].min() > 0.8
    assert abs(exposure[mem < 0.01].mean() - 0.55) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("online", "fixed", "median"),
    [(True, False, False), (False, False, False), (True, True, True)],
)
def test_attacks_on_digits_are_those_of_plain_loops(
    default_run: tuple[Path, Finished], online: bool, fixed: bool, median: bool
):
    outputs = load(default_run[0]).outputs("standard")
    margin, membership = outputs.train_margin, outputs.membership
    wanted = naive_lira.lira(margin, membership, online=online, fixed=fixed, median=median)
    scores = lira(
        margin,
        membership,
        online=online,
        variance="fixed" if fixed else "per-example",
        centre="median" if median else "mean",
    )
    np.testing.assert_allclose(scores, wanted, rtol=1e-5, atol=1e-5)
    found = roc(scores, membership)
    auc, tpr = naive_lira.auc_and_tpr(wanted, membership, 0.01)
    assert found.auc.value == pytest.approx(auc, abs=1e-6)
    assert found.tpr[0.01].value == pytest.approx(tpr, abs=1e-6)
