"""`audit report --verify`: every figure again from the shards, and one bit is enough to fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from audit.report.document import document_json
from audit.store import read_json
from audit.verifying import verify
from audit.verifying_manifest import manifest_checks
from tests.e2e.command import assert_refused, audit
from tests.e2e.conftest import SMALL


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    (folder / "small.toml").write_text(SMALL)
    done = audit("run", "--config", "small.toml", "--out", "r", cwd=folder)
    assert done.code == 3, done
    return folder / "r"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "r"))


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_an_untouched_run_verifies(run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    done = audit("report", "r", "--verify", cwd=run.parent)
    assert done.code == 0, done
    assert "figures made again: none differs" in done.out
    assert "FAILS" not in done.out
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


def test_reports_of_both_profiles_verify_and_each_fails_by_itself(run: Path) -> None:
    done = audit("report", "r", "--profile", "public", cwd=run.parent)
    assert done.code in {0, 3}, done
    found = verify(run)
    assert found.holds, found
    contents = read_json(run / "report-public.json")
    contents["results"]["arms"]["standard"]["accuracy_test"]["value"] = 0.9999
    (run / "report-public.json").write_text(document_json(contents), encoding="utf-8")
    failed = verify(run)
    assert [d.where for d in failed.differ] == ["results.arms.standard.accuracy_test.value"]
    assert failed.figures == found.figures


def test_figures_of_a_calibration_are_not_said_to_be_made_again(run: Path) -> None:
    before = verify(run)
    assert before.unchecked == 0
    done = audit("calibrate", "r", "--trials", "20", cwd=run.parent)
    assert done.code == 0, done
    assert audit("report", "r", cwd=run.parent).code in {0, 3}
    after = verify(run)
    assert after.holds, after
    assert after.unchecked > 0
    assert [c.what for c in after.checks if c.holds is None] == ["results/calibration.json"]
    assert (before.exit_code, after.exit_code) == (0, 3)


@pytest.mark.parametrize("where", [0.02, 0.4, 0.9])
def test_one_bit_in_a_shard_and_it_says_which_figures_fail(run: Path, where: float) -> None:
    shard = run / "shards" / "standard" / "2-3.safetensors"
    flip(shard, int(8 * shard.stat().st_size * where))
    done = audit("report", "r", "--verify", cwd=run.parent)
    assert done.code == 1, done
    assert "standard/2-3" in done.out
    assert "rest on damaged shards" in done.out
    assert "3. Memorization against what ε allows, table “Estimates per arm" in done.out
    assert "Traceback" not in done.err


def test_a_changed_answer_changes_the_figures_it_enters(run: Path) -> None:
    """All answers of one shard turned over: figures of its arm come out otherwise."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = run / "shards" / "standard" / "0-1.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    arrays["train_correct"] = ~arrays["train_correct"]
    save_file(arrays, path, metadata=metadata)
    found = verify(run)
    assert not found.holds
    places = [d.where for d in found.differ]
    assert "results.arms.standard.mem_mean.value" in places
    assert "results.arms.dp-2.mem_mean.value" not in places
    # What differs rests on the shard, and more does than differs.
    assert set(places) <= set(found.rest_on["report.json"]) | set(places)
    assert len(found.rest_on["report.json"]) > 100


def test_a_missing_shard_and_an_unreadable_one(run: Path) -> None:
    (run / "shards" / "dp-2" / "0-1.safetensors").unlink()
    (run / "shards" / "standard" / "4-5.safetensors").write_bytes(b"\x80\x04pickle")
    found = verify(run)
    [shards] = [c for c in found.checks if c.what == "shards"]
    assert shards.holds is False
    assert {"dp-2/0-1", "standard/4-5"} <= set(shards.seen.replace(",", "").split())
    assert found.differ


def test_an_arm_without_a_whole_shard_is_one_line(run: Path) -> None:
    shutil.rmtree(run / "shards" / "dp-2")
    assert_refused(
        audit("report", "r", "--verify", cwd=run.parent), "no shard of arm dp-2 is whole"
    )


def test_an_edited_report_fails_with_the_figure_it_changed(run: Path) -> None:
    contents = read_json(run / "report.json")
    contents["results"]["arms"]["standard"]["accuracy_test"]["value"] = 0.9999
    (run / "report.json").write_text(document_json(contents), encoding="utf-8")
    done = audit("report", "r", "--verify", cwd=run.parent)
    assert done.code == 1
    assert "results.arms.standard.accuracy_test.value: 0.9999 stated" in done.out
    assert "report.html" in done.out  # it does not carry the hash of this report.json


def test_edited_tables_and_an_edited_claim_fail(run: Path) -> None:
    import pandas as pd

    table = run / "results" / "subgroups.parquet"
    frame = pd.read_parquet(table)
    frame.loc[0, "accuracy_standard"] = 0.5
    frame.to_parquet(table)
    manifest = read_json(run / "run.json")
    manifest["arms"]["dp-2"]["noise_multiplier"] /= 2
    (run / "run.json").write_text(json.dumps(manifest))
    found = {c.what: c for c in verify(run).checks}
    assert found["files of results/"].holds is False
    assert "subgroups.parquet" in found["files of results/"].seen
    assert found["ε of dp-2 by PRV"].holds is False


def test_a_claim_that_was_made_harmless_and_a_summary_that_was_edited_fail(run: Path) -> None:
    manifest = read_json(run / "run.json")
    facts = manifest["arms"]["dp-2"]
    facts["in_out_epsilon"] = 7.5
    facts["privacy_curve"]["delta"] = [max(d, 0.9) for d in facts["privacy_curve"]["delta"]]
    facts["clip_norm"] = 0.001
    (run / "run.json").write_text(json.dumps(manifest))
    summary = read_json(run / "results" / "summary.json")
    summary["arms"]["dp-2"]["loss"]["value"] = 0.001
    (run / "results" / "summary.json").write_text(json.dumps(summary))
    failed = {c.what for c in verify(run).checks if c.holds is False}
    assert {"claim of dp-2", "privacy curve of dp-2", "plan", "files of results/"} <= failed


def test_models_arms_and_subsets_that_are_not_those_of_the_configuration_fail(run: Path) -> None:
    manifest = read_json(run / "run.json")
    whole = json.dumps(manifest)
    manifest["plan"]["models"] = 10
    for key in [k for k in manifest["shards"] if k.endswith("/10-11")]:
        del manifest["shards"][key]
    (run / "run.json").write_text(json.dumps(manifest))
    assert {c.what: c.holds for c in manifest_checks(run, manifest)}["plan"] is False
    manifest = json.loads(whole)
    del manifest["shards"]["standard/2-3"]
    assert {c.what: c.holds for c in manifest_checks(run, manifest)}["models"] is False
    manifest = json.loads(whole)
    manifest["seed"] = 1
    found = {c.what: c.holds for c in manifest_checks(run, manifest)}
    assert (found["plan"], found["subsets"]) == (False, False)
    assert all(c.holds for c in manifest_checks(run, json.loads(whole)))


def test_files_without_their_data_and_of_another_profile_fail(run: Path) -> None:
    (run / "report-public.html").write_text("<h1>nobody loses anything</h1>")
    found = verify(run)
    assert not found.holds
    assert [c.what for c in found.checks if c.holds is False] == ["report-public.html"]
    shutil.copy(run / "report.json", run / "report-public.json")
    assert_refused(
        audit("report", "r", "--verify", cwd=run.parent), "profile = 'internal'", "is not public"
    )


def test_other_labels_fail(run: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path = run / "labels.safetensors"
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    arrays["group_0_test"] = np.roll(arrays["group_0_test"], 1)
    save_file(arrays, path, metadata=metadata)
    found = verify(run)
    assert found.checks[1].holds is False
    assert any("results.subgroups" in d.where for d in found.differ)


def test_bad_labels_and_no_report_are_one_line(run: Path) -> None:
    (run / "labels.safetensors").write_bytes(b"not a safetensors file")
    assert_refused(audit("report", "r", "--verify", cwd=run.parent), "labels.safetensors")
    (run / "report.json").unlink()
    assert_refused(audit("report", "r", "--verify", cwd=run.parent), "no report.json")
