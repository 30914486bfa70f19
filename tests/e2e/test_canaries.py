"""Runs with canaries, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audit.manifest import read_manifest
from audit.shards import read_shards
from tests.e2e.command import assert_refused, audit

SMALL = ("--models", "20")


def _summary(run: Path) -> dict:
    return json.loads((run / "results/summary.json").read_text())


def _canaries(summary: dict, arm: str) -> dict | None:
    found = summary["arms"][arm]["empirical_epsilon"]["procedures"]
    return next((entry for entry in found if entry["id"] == "canaries"), None)


def test_gradient_canaries_are_the_default_and_certify_something(
    tmp_path: Path, small_config: Path
):
    done = audit("run", "--config", small_config, *SMALL, "--out", "r", cwd=tmp_path)
    assert done.code in (0, 3), done.err
    assert "ε certified on gradient canaries" in done.out
    manifest, summary = read_manifest(tmp_path / "r"), _summary(tmp_path / "r")
    count = manifest["canaries"]["count"]
    assert (manifest["canaries"]["kind"], manifest["canaries"]["arms"]) == ("gradient", ["dp-2"])
    assert manifest["cross_check"]["dp-2"]["verdict"] == "holds"
    entry = _canaries(summary, "dp-2")
    assert entry is not None
    assert entry["coins"] in (20 * count, 10 * count)
    assert entry["refutes_claim"] is False
    assert 0 < entry["epsilon"]["value"] < 2
    assert _canaries(summary, "standard") is None
    found = {f["id"]: f for f in summary["findings"]}
    assert found["canaries-dp-2"]["verdict"] in ("consistent", "could_not_tell")
    page = (tmp_path / "r/report.html").read_text()
    assert "What attacks certify: empirical ε" in page
    assert "gradient canaries" in page


@pytest.mark.parametrize("kind", ["mislabeled", "ood", "duplicates"])
def test_planted_examples_are_in_both_arms_and_in_no_accuracy(
    tmp_path: Path, small_config: Path, kind: str
):
    options = ("--canaries", "40", "--canary-kind", kind)
    done = audit("run", "--config", small_config, *SMALL, *options, "--out", "r", cwd=tmp_path)
    assert done.code in (0, 3), done.err
    manifest, summary = read_manifest(tmp_path / "r"), _summary(tmp_path / "r")
    coins = {}
    for arm in ("standard", "dp-2"):
        shards = list(read_shards(tmp_path / "r", manifest, arm))
        assert all(shard.train_correct.shape[1] == manifest["data"]["n"] for shard in shards)
        planted = [shard.canary_coins for shard in shards if shard.canary_coins is not None]
        assert len(planted) == len(shards)
        coins[arm] = np.concatenate(planted)
        entry = _canaries(summary, arm)
        assert entry is not None
        assert entry["copies"] == (4 if kind == "duplicates" else 1)
    assert np.array_equal(coins["standard"], coins["dp-2"])
    assert abs(coins["standard"].mean() - 0.5) < 0.1
    assert "counted in no accuracy" in (tmp_path / "r/report.html").read_text()


def test_no_canaries_where_none_are_asked_for(tmp_path: Path, small_config: Path):
    options = ("--canaries", "0", "--out", "r")
    done = audit("run", "--config", small_config, *SMALL, *options, cwd=tmp_path)
    assert done.code in (0, 3), done.err
    assert read_manifest(tmp_path / "r")["canaries"]["count"] == 0
    page = (tmp_path / "r/report.html").read_text()
    assert "No canaries were planted: none were asked for." in page


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--canaries", "1000000"), "must be at most"),
        (("--canaries", "100000", "--canary-kind", "ood"), "must be at most n"),
        (("--canary-kind", "yellow"), "canary_kind"),
        (("--canaries", "10", "--engine", "opacus"), "Opacus loop"),
        (("--canaries", "10", "--model", "sklearn.tree:DecisionTreeClassifier"), "themselves"),
    ],
)
def test_canaries_that_cannot_be_are_refused_in_one_line(
    tmp_path: Path, options: tuple[str, ...], words: str
):
    done = audit("run", *SMALL, *options, "--out", "r", cwd=tmp_path)
    assert_refused(done, words)
    assert not (tmp_path / "r").exists()
