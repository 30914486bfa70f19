"""A run with a planted bug: marked wherever anyone looks, and never stopped by what it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import audit

SMALL = ("--models", "6", "--canaries", "50")


def test_a_planted_run_is_marked_everywhere_and_its_failed_check_is_a_finding(
    tmp_path: Path, small_config: Path
):
    command = ("run", "--config", str(small_config), *SMALL, "--out", "r")
    done = audit(*command, "--plant", "no_clipping", cwd=tmp_path)
    assert done.code == 1
    words = "PLANTED BUG no_clipping: this run's DP training is wrong on purpose"
    assert words in done.out
    assert words in done.err
    run = json.loads((tmp_path / "r/run.json").read_text())
    assert run["plant"]["name"] == "no_clipping"
    assert run["config"]["plant"] == "no_clipping"
    assert run["status"] == "complete"
    summary = json.loads((tmp_path / "r/results/summary.json").read_text())
    assert summary["plant"] == "no_clipping"
    checks = {f["id"]: f for f in summary["findings"] if f["id"].startswith("cross-check")}
    assert checks["cross-check-standard"]["verdict"] == "holds"
    assert checks["cross-check-dp-2"]["fails"]
    assert words in (tmp_path / "r/report.html").read_text().replace("&#39;", "'")
    assert "PLANTED BUG no_clipping" in audit("show", "r", "3", cwd=tmp_path).out
    again = audit(*command, cwd=tmp_path)
    assert again.code == 2
    assert "plant = None: differs from 'no_clipping'" in again.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plant", "nosuch"), "plant = 'nosuch': must be one of noise_for_mean"),
        (("--plant", "no_noise", "--engine", "opacus"), "ensemble engine alone"),
        (("--plant", "no_noise", "--model", "sklearn.svm:SVC"), "trains itself"),
    ],
)
def test_a_plant_that_cannot_be_is_refused_in_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path
):
    done = audit("run", *arguments, "--models", "4", cwd=tmp_path)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) <= 3
    assert not (tmp_path / "runs").exists()


def test_help_lists_the_bugs(tmp_path: Path):
    assert "clip_norm_ignored" in audit("run", "--help", cwd=tmp_path).out.replace("\n", "")
