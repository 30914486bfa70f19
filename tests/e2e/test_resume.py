"""kill -9 at any moment, run again: nothing trained is trained again, results are the same."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.command import assert_refused, audit
from tests.e2e.conftest import SMALL


def results(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (run / "results").iterdir()}


def listed(run: Path) -> dict[str, dict]:
    try:
        return json.loads((run / "run.json").read_text())["shards"]
    except FileNotFoundError:
        return {}


def start(config: Path, run: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "audit", "run", "--config", str(config), "--out", str(run)],
        cwd=config.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_shards(process: subprocess.Popen[bytes], run: Path, count: int) -> None:
    while len(listed(run)) < count and process.poll() is None:
        time.sleep(0.01)


def wait_until_gone(group: int) -> None:
    """Workers must not outlive their parent."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("worker processes are still running 30 s after their parent was killed")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "small.toml").write_text(SMALL)
    done = audit("run", "--config", "small.toml", "--out", "whole", cwd=folder)
    assert done.code == 3, done  # 12 models: could not tell, and says so
    assert "COULD NOT TELL" in done.out
    return folder / "whole"


@pytest.fixture
def undisturbed(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "whole"))


@pytest.mark.usefixtures("worker_processes")
def test_kill_9_and_resume(tmp_path: Path, small_config: Path, undisturbed: Path):
    run = tmp_path / "killed"
    trained: dict[str, dict] = {}
    for shards in (0, 1, 5):
        process = start(small_config, run)
        wait_for_shards(process, run, shards)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_until_gone(process.pid)
        now = listed(run)
        for key, entry in trained.items():
            assert now[key] == entry, "a finished cohort was lost or trained again"
        trained = now
    stamps = {p: p.stat().st_mtime_ns for p in run.glob("shards/*/*.safetensors")}
    done = audit("run", "--config", small_config, "--out", run, cwd=tmp_path)
    assert done.code == 3, done
    for key in trained:
        path = run / "shards" / f"{key}.safetensors"
        assert path.stat().st_mtime_ns == stamps[path]
    # Trained in worker processes; the other in a single one.
    assert results(run) == results(undisturbed)


def test_interrupt_is_orderly_and_resumable(tmp_path: Path, small_config: Path):
    run = tmp_path / "stopped"
    process = subprocess.Popen(
        [sys.executable, "-m", "audit", "run", "--config", str(small_config), "--out", str(run)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while len(listed(run)) < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "give the same command again" in err
    wait_until_gone(process.pid)
    assert len(listed(run)) >= 2


def test_an_interrupt_of_a_command_without_cohorts_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from audit import cli

    def interrupted(*_: object) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr("audit.store.newest_run", interrupted)
    monkeypatch.setattr(cli, "_end_orderly_on_signals", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["report"])
    assert ended.value.code == 130
    said = capsys.readouterr().err.strip()
    assert said == "audit: interrupted. What was there is as it was"


def test_a_damaged_shard_is_trained_again_to_the_same_results(
    tmp_path: Path, small_config: Path, undisturbed: Path
):
    before = results(undisturbed)
    victim, *others = sorted((undisturbed / "shards" / "dp-2").iterdir())
    stamps = {p: p.stat().st_mtime_ns for p in others}
    data = bytearray(victim.read_bytes())
    data[-1] ^= 255
    victim.write_bytes(data)
    done = audit("run", "--config", small_config, "--out", undisturbed, cwd=tmp_path)
    assert "damaged and trained again: dp-2/0-1" in done.err
    assert results(undisturbed) == before
    assert {p: p.stat().st_mtime_ns for p in others} == stamps


def test_a_changed_config_is_refused_and_named(
    tmp_path: Path, small_config: Path, undisturbed: Path
):
    before = results(undisturbed)
    arguments = ("run", "--config", small_config, "--out", undisturbed)
    assert_refused(audit(*arguments, "--seed", "1", cwd=tmp_path), "seed = 1", "differs from 0")
    assert_refused(audit(*arguments, "--epsilon", "3", cwd=tmp_path), "epsilon", "[3.0]", "[2.0]")
    small_config.write_text(SMALL.replace("epochs = 4", "epochs = 5", 1))
    assert_refused(audit(*arguments, cwd=tmp_path), "standard", "'epochs': 5.0")
    assert results(undisturbed) == before


def test_changed_data_is_refused(tmp_path: Path):
    table = pd.DataFrame(
        {
            "x": range(200),
            "g": ["a", "b"] * 100,
            "y": [0, 1] * 100,
            "split": ["train"] * 150 + ["test"] * 50,
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    arguments = ("run", "--data", "t.csv", "--label", "y", "--models", "3", "--out", "r")
    assert audit(*arguments, cwd=tmp_path).code == 3
    table.loc[0, "x"] = 7
    table.to_csv(tmp_path / "t.csv", index=False)
    assert_refused(audit(*arguments, cwd=tmp_path), "data fingerprint", "differs")
