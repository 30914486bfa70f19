"""A small twin of `benchmarks/faults.py`: a trial of the kinds that need no root and no minutes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.faults.kinds import KINDS, STUDY_OF
from benchmarks.faults.studies import Studies
from benchmarks.faults.trial import Seen, Study, Trial, kill_again_and_again
from tests.e2e.command import audit


class FinishedHere(Study):
    """What nobody disturbs runs in this process, but for the first run: its time is that of a
    process, which the moments of the faults are drawn from."""

    def run(self, out: Path, *more: str, **how: Any) -> subprocess.CompletedProcess[str]:
        if how or not self.reference:
            return super().run(out, *more, **how)
        words = self.command(out, *more)[3:]
        done = audit(*words, cwd=self.folder)
        return subprocess.CompletedProcess(words, done.code, done.out, done.err)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    return Studies(tmp_path_factory.mktemp("faults"), kind=FinishedHere)


@pytest.fixture
def study(studies: Studies) -> Study:
    return studies["digits"]


def survived(seen: Seen) -> bool:
    assert (seen.lost, seen.differing, seen.tracebacks, seen.unexpected) == (0, 0, 0, [])
    return seen.survived


@pytest.mark.parametrize(
    "kind",
    ["SIGTERM, then SIGINT", "run.json truncated", "run.json and its copy truncated",
     "a second run in the folder", "a worker killed -9", "models diverge"],
)  # fmt: skip
def test_a_disturbed_run_gives_the_results_of_an_undisturbed_one(
    studies: Studies, tmp_path: Path, kind: str
) -> None:
    seen = Seen()
    of = studies[STUDY_OF.get(kind, "digits")]
    KINDS[kind](Trial(of, tmp_path / "run", np.random.default_rng(1), seen))
    assert survived(seen)


def test_kills_at_random_moments_lose_nothing(study: Study, tmp_path: Path) -> None:
    seen = Seen()
    trial = Trial(study, tmp_path / "run", np.random.default_rng(2), seen)
    assert kill_again_and_again(trial, 3) <= 3
    assert survived(seen)


def test_the_control_a_lost_cohort_and_another_result_are_counted(
    study: Study, tmp_path: Path
) -> None:
    seen = Seen()
    out = tmp_path / "run"
    shutil.copytree(study.folder / "undisturbed", out)
    trial = Trial(study, out, np.random.default_rng(3), seen)
    trial.remember()
    (out / "shards" / "standard" / "0-1.safetensors").write_bytes(b"other")
    (out / "results" / "summary.json").write_text("{}")
    trial.compare()
    trial.note("Traceback (most recent call last)", 1, {0})
    # The file is another one than it was, and another one than is listed.
    assert (seen.lost, seen.differing, seen.tracebacks, len(seen.unexpected)) == (2, 1, 1, 1)
    assert not seen.survived


def test_the_control_a_cohort_that_is_thrown_away_and_trained_again_is_lost(
    study: Study, tmp_path: Path
) -> None:
    seen = Seen()
    out = tmp_path / "run"
    shutil.copytree(study.folder / "undisturbed", out)
    trial = Trial(study, out, np.random.default_rng(3), seen)
    trial.remember()
    # The same bytes in the end, but the work is done twice.
    for name in ("run.json", "run.json.copy"):
        manifest = json.loads((out / name).read_text())
        del manifest["shards"]["standard/0-1"], manifest["shards"]["dp-2/4-5"]
        (out / name).write_text(json.dumps(manifest))
    trial.finish()
    assert (seen.lost, seen.differing, seen.tracebacks, seen.unexpected) == (2, 0, 0, [])
