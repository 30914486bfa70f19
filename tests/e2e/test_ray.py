"""`audit run --executor ray` on a real cluster of three nodes, as the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import audit as api
from audit.training.executors import cores
from tests.e2e.command import Finished, assert_refused, audit
from tests.e2e.test_resume import listed, results
from tests.training.clusters import is_training, kill, three_nodes

CONFIG = """
data = "digits"
models = 8
cohort_size = 1
clusters_per_class = 1
[standard]
epochs = 40
[dp]
epochs = 20
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with three_nodes(include_dashboard=True, dashboard_port=0) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def in_process(config: Path) -> Path:
    """The same run on this machine alone."""
    done = audit("run", "--config", config, "--out", "here", cwd=config.parent)
    assert done.code == 3, done
    return config.parent / "here"


def digests(run: Path) -> dict[str, str]:
    return {key: entry["sha256"] for key, entry in listed(run).items()}


def start(config: Path, run: Path, *options: str) -> subprocess.Popen[str]:
    command = ["run", "--config", str(config), "--out", str(run), "--executor", "ray", *options]
    return subprocess.Popen(
        [sys.executable, "-m", "audit", *command],
        cwd=config.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.05)


def from_ray(run: Path) -> set[str]:
    return {key for key, entry in listed(run).items() if "trained_on" in entry}


def finished(process: subprocess.Popen[str]) -> Finished:
    out, err = process.communicate(timeout=300)
    return Finished(process.returncode, out, err)


def test_a_node_is_killed_and_no_byte_of_the_results_changes(
    nodes: Any, config: Path, in_process: Path, tmp_path: Path
) -> None:
    run = tmp_path / "there"
    process = start(config, run, "--address", nodes.address)
    victim = nodes.list_all_nodes()[-1]
    wait_for(process, lambda: len(from_ray(run)) > 0 and is_training(victim))
    assert process.poll() is None, "it ended before the node had a cohort"
    kill(nodes, victim)
    done = finished(process)
    assert done.code == 3, done
    assert "1 of 3 nodes left the cluster" in done.err
    assert "dashboard: http://" in done.err
    assert "raylet" not in done.err, "Ray's own account of it"
    assert results(run) == results(in_process)
    assert digests(run) == digests(in_process)
    trained_on = [entry["trained_on"]["executor"] for entry in listed(run).values()]
    assert trained_on == ["ray"] * 16
    assert json.loads((run / "run.json").read_text())["hardware"]["executor"] == "ray"

    verified = audit("report", run, "--verify", cwd=tmp_path)
    assert verified.code == 0, verified
    assert "16 of 16 cohorts by" in (run / "report.html").read_text()


def test_a_run_begun_here_goes_on_there_and_here_again(
    nodes: Any, config: Path, in_process: Path, tmp_path: Path
) -> None:
    """Some cohorts from here, some from the cluster until it is interrupted, the rest here."""
    run = tmp_path / "moved"
    shutil.copytree(in_process, run)
    whole = digests(run)
    for key in sorted(whole)[:8]:
        (run / "shards" / f"{key}.safetensors").unlink()
    process = start(config, run, "--address", nodes.address)
    wait_for(process, lambda: len(from_ray(run)) > 1)
    process.send_signal(signal.SIGTERM)
    done = finished(process)
    assert done.code == 130, done
    assert "give the same command again" in done.err
    assert "Traceback" not in done.err
    there = from_ray(run)
    assert 2 <= len(there) < 8

    done = audit("run", "--config", config, "--out", run, cwd=tmp_path)
    assert done.code == 3, done
    assert digests(run) == whole
    assert results(run) == results(in_process)
    assert from_ray(run) == there


OWN = """
import os, tempfile
from pathlib import Path
from audit import provenance
from audit.training.execution import Execution
from audit.training.ray_executor import connected

if __name__ == "__main__":
    before = set(Path(tempfile.gettempdir()).glob("audit-ray-*"))
    with connected(Execution("ray")) as cluster:
        (made,) = set(Path(tempfile.gettempdir()).glob("audit-ray-*")) - before
        print(oct(made.stat().st_mode)[-3:], (made / "r" / "session_latest").exists())
        print(cluster.workers("cpu"), cluster.call(provenance.now, device="cpu")[:2])
    print(sorted(name for name in os.environ if name.startswith("RAY_AUTH")))
"""


def test_a_cluster_of_its_own_ends_with_the_run(tmp_path: Path) -> None:
    """No address: nodes, folders and words of Ray are gone afterwards."""
    before = set(Path(tempfile.gettempdir()).glob("audit-ray-*"))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    (tmp_path / "own.py").write_text(OWN)
    done = subprocess.run(
        [sys.executable, "own.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["700 True", f"{cores()} 20", "[]"], done
    assert done.stderr == ""
    assert set(Path(tempfile.gettempdir()).glob("audit-ray-*")) <= before


def test_the_connection_of_a_program_is_used_and_kept(
    nodes: Any, config: Path, in_process: Path, tmp_path: Path
) -> None:
    import ray

    asked: dict[str, Any] = {"config": config, "executor": "ray", "progress": False}
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        with pytest.raises(api.BadInput, match="not connected to Ray yet"):
            api.run(**asked, out=tmp_path / "r", address=nodes.address)
        there = api.run(**asked, out=tmp_path / "r")
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert digests(there.path) == digests(in_process)


def test_what_cannot_be_reached_is_refused_before_a_file_is_written(
    config: Path, tmp_path: Path
) -> None:
    begun = time.monotonic()
    arguments = ("run", "--config", config, "--out", "r")
    done = audit(*arguments, "--executor", "ray", "--address", "127.0.0.1:1", cwd=tmp_path)
    assert_refused(done, "address = '127.0.0.1:1'", "Connection refused")
    assert time.monotonic() - begun < 60, "Ray itself would try for minutes"
    assert_refused(audit(*arguments, "--address", "auto", cwd=tmp_path), "is for a cluster")
    assert list(tmp_path.iterdir()) == []


def test_without_ray_the_refusal_names_the_package(config: Path, tmp_path: Path) -> None:
    program = "import sys; sys.modules['ray'] = None; from audit.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--config", str(config), "--executor", "ray"],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    refused = Finished(done.returncode, done.stdout, done.stderr)
    assert_refused(refused, "executor = 'ray'", "pip install 'longtail-audit[ray]'")
    assert list(tmp_path.iterdir()) == []


def test_the_executor_of_this_machine_needs_no_ray(tmp_path: Path) -> None:
    program = "import sys, audit.cli, audit.pipeline; sys.exit('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False)
    assert done.returncode == 0
