"""An opened run: frames that say what the files say, what every model did, and calm HTML."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import audit
from tests.api.conftest import HOSTILE
from tests.reference import naive_memorization


def test_frames_are_the_files(finished: audit.Run):
    run = audit.load(finished.path)
    for name in ("examples", "influence", "subgroups"):
        stored = pd.read_parquet(finished.path / "results" / f"{name}.parquet")
        pd.testing.assert_frame_equal(getattr(run, name), stored)
    summary = json.loads((finished.path / "results" / "summary.json").read_text())
    assert run.summary_json == summary
    assert run.verdicts == {arm: found["verdict"] for arm, found in summary["arms"].items()}
    assert run.findings["statement"].tolist() == [f["statement"] for f in summary["findings"]]
    assert run.report.read_text().startswith("<!doctype html>")
    for row in run.summary.to_dict("records"):
        stored = summary["arms"][row["arm"]][row["quantity"]]
        assert row["n"] == stored["n"]
        assert stored["value"] == pytest.approx(row["value"])
        assert np.isnan(row["high"]) == (stored["high"] is None)
    quantities = set(run.summary.loc[run.summary["arm"] == "dp-2", "quantity"])
    assert {"accuracy_test", "mem_mean", "mem_max", "epsilon_certified", "loss"} <= quantities


def test_a_run_can_be_named_or_is_the_newest(
    finished: audit.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(finished.path, tmp_path / "runs" / "one")
    monkeypatch.chdir(tmp_path)
    assert audit.load().path == Path("runs/one")
    # Another test may have given the run again since this fixture was read.
    assert audit.load("runs/one").manifest == audit.load(finished.path).manifest


def test_outputs_recompute_the_examples(finished: audit.Run):
    outputs = finished.outputs("dp-2")
    mem = naive_memorization.memorization(outputs.membership, outputs.train_correct)
    rows = finished.examples[finished.examples["arm"] == "dp-2"]
    np.testing.assert_allclose(rows["mem"], mem)
    found = audit.memorization(outputs.membership, outputs.train_correct)
    np.testing.assert_array_equal(rows["mem_low"], found.low)
    standard = finished.outputs("standard")
    np.testing.assert_array_equal(standard.membership, outputs.membership)
    assert outputs.test_correct.shape == outputs.test_margin.shape == (6, 60)
    # log(p/(1 − p)) of the label: right, with two classes, where it is positive.
    clear = np.abs(outputs.train_margin) > 1e-3
    agree = (outputs.train_margin > 0) == outputs.train_correct
    assert clear.sum() > 900
    assert bool(np.all(agree[clear]))


def test_margins_that_a_shard_does_not_have_are_refused(
    finished: audit.Run, monkeypatch: pytest.MonkeyPatch
):
    bare = SimpleNamespace(train_margin=None, test_margin=None)
    monkeypatch.setattr("audit.api.loaded.read_shards", lambda *_: [bare])
    with pytest.raises(audit.BadInput, match="has no test_margin"):
        _ = finished.outputs("dp-2").test_margin
    monkeypatch.setattr("audit.api.loaded.read_shards", lambda *_: [])
    with pytest.raises(audit.BadInput, match="no shards of dp-2"):
        _ = finished.outputs("dp-2").membership


def test_groups_keep_their_rows_and_their_names(finished: audit.Run):
    sites = finished.subgroups[finished.subgroups["grouping"] == "site"]
    assert sites["subgroup"].tolist() == [HOSTILE, "b", "(not recorded)"]
    assert int(np.asarray(sites["n_train"]).sum()) == 180
    # Groupings named like columns of the table stay beside them.
    assert {"group mem", "group arm", "mem", "arm", "site×mem", "label"} <= set(finished.examples)
    labels = list(finished.examples["label"])
    assert list(finished.examples["group mem"]) == labels


def test_what_is_not_there_is_refused(finished: audit.Run, tmp_path: Path):
    with pytest.raises(audit.BadInput, match="dp-2"):
        finished.outputs("dp-3")
    with pytest.raises(audit.BadInput, match="grouping"):
        finished.charts_by("sit")
    with pytest.raises(audit.BadInput, match="trend"):
        finished.charts["trends"]
    shutil.copytree(finished.path, tmp_path / "r")
    next((tmp_path / "r" / "shards" / "standard").iterdir()).write_bytes(b"damage")
    with pytest.raises(audit.AuditError, match="damaged"):
        _ = audit.load(tmp_path / "r").outputs("standard").membership
    (tmp_path / "r" / "results" / "summary.json").write_text("{")
    with pytest.raises(audit.BadInput, match="JSON"):
        audit.load(tmp_path / "r")


def test_a_run_says_what_it_is(finished: audit.Run):
    text, html = repr(finished), finished._repr_html_()
    for shown in (text, html):
        assert "6 models per arm, 180 training and 60 test examples" in shown
        assert "Could not tell" in shown
        assert "private training, ε = 2" in shown
    assert "<script" not in html
    assert "&lt;/script&gt;" in html
