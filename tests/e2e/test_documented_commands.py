"""Every whole command that the documentation shows is run, in its order, on small stand-ins.

The commands of the tutorial run word for word in ``test_tutorial.py``. Here files, runs and columns
that a page only names are put there, and what makes a run long is made short: few models, no
canaries. What cannot be run here is listed with why, and nothing else is left out.
"""

from __future__ import annotations

import importlib.util
import shlex
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from audit.cli import app
from tests.data.helpers import write_csv
from tests.test_docs import fenced, on_pages

ELSEWHERE = "docs/tutorial.md"
# Beginnings of commands that need what no test machine has.
NOT_HERE = {
    "audit run --config mnist": "MNIST, and hours (benchmarks and the slow tests have it)",
    "audit run --model cnn": "a minute of a core per model",
}
ON_A_CLUSTER = "--executor ray"  # tests/e2e/test_ray.py
LEARNER = """
import numpy as np

def train(x, y, rng):
    common = np.bincount(y).argmax()
    return lambda rows: np.full(len(rows), common)
"""
NETWORK = """
from torch import nn

def make(input_shape, n_classes):
    pixels = input_shape[0] * input_shape[1] * input_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, n_classes))
"""
STUDY = """
data = "digits"
clusters_per_class = 2
[standard]
learning_rate = 0.2
batch_size = 64
epochs = 2
[dp]
learning_rate = 0.5
batch_size = 64
epochs = 2
clip_norm = 1.0
"""


def commands() -> list[str]:
    """Each once, those that make a run before those that read the newest."""
    lines = {line.replace("[", "").replace("]", "") if line.startswith("audit calibrate") else line
             for page, line in on_pages(fenced) if page != ELSEWHERE}  # fmt: skip
    return sorted(lines, key=lambda line: (line.split()[1] != "run", line))


def left_out(line: str) -> str | None:
    """Why ``line`` is not run here."""
    if "…" in line:
        return "an outline"
    if ON_A_CLUSTER in line:
        return "needs a cluster"
    if "diffprivlib" in line and importlib.util.find_spec("diffprivlib") is None:
        return "diffprivlib is not installed"
    return next((why for start, why in NOT_HERE.items() if line.startswith(start)), None)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that the pages name."""
    folder = tmp_path_factory.mktemp("documented")
    rng = np.random.default_rng(0)
    rows = 400
    write_csv(folder / "loans.csv", {
        "income": rng.normal(size=rows).round(3).tolist(),
        "region": [f"region {k % 9}" for k in range(rows)],
        "gender": [("f", "m")[k % 2] for k in range(rows)],
        "defaulted": rng.integers(0, 2, rows).tolist(),
    })  # fmt: skip
    for name, size in (("images", 90), ("mnist", 900)):
        images: dict[str, Any] = {
            f"{kind}_{part}": values
            for part, count in (("train", size), ("test", 30))
            for kind, values in (
                ("x", rng.random((count, 1, 8, 8), dtype=np.float32)),
                ("y", np.arange(count) % 3),
            )
        }
        np.savez(folder / f"{name}.npz", **images)
    (folder / "mine.py").write_text(LEARNER)
    (folder / "mypackage").mkdir()
    (folder / "mypackage/__init__.py").touch()
    (folder / "mypackage/nets.py").write_text(NETWORK)
    (folder / "study.toml").write_text(STUDY)
    (folder / "policy.toml").write_text("[claim]\nepsilon_at_most = 3.0\n")
    _outputs(folder, rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", str(folder))
        patch.setattr(webbrowser, "open", lambda *_, **__: True)
        yield folder


def _outputs(folder: Path, rng: np.random.Generator) -> None:
    """What `audit estimate` takes, under the names that its page uses."""
    inside = rng.random((12, 40)) < 0.7
    np.save(folder / "M.npy", inside)
    np.save(folder / "membership.npy", inside)
    for train, test in (("C", "T"), ("dp_train", "dp_test"), ("standard_train", "standard_test")):
        np.save(folder / f"{train}.npy", rng.random((12, 40)) < 0.8)
        np.save(folder / f"{test}.npy", rng.random((12, 30)) < 0.8)
    for name, rows in (("train", 40), ("test", 30)):
        labels = {"label": [k % 2 for k in range(rows)], "g": [f"g{k % 3}" for k in range(rows)]}
        write_csv(folder / f"{name}.csv", labels)


def shortened(line: str) -> list[str]:
    """The words of ``line``, its stand-ins put in, and few models."""
    stand_ins = {"FILE.csv": "loans.csv", "COLUMN": "defaulted", "GROUP": "region", "RUN": "made",
                 "OLD": "made", "NEW": "made-8", "FILE": "made/attestation.toml"}  # fmt: skip
    words = [stand_ins.get(word, word) for word in shlex.split(line)[1:]]
    if words[0] == "run":
        adult, network = "adult" in words, "sklearn" not in line and "mine:" not in line
        words += ["--models", "2" if adult else "6", *(["--canaries", "0"] if network else [])]
    if words[0] == "plan" and "--no-trial" not in words:
        words += ["--trial-seconds", "0.5"]
    if words[0] == "plan" and "mnist-cnn" in words:
        words += ["--data", "mnist.npz"]
    if words[0] == "calibrate":
        words += ["--trials", "100"]
    return words


def run(words: list[str]) -> None:
    """Run a command in this process: it may say that something fails or cannot be told, and must
    not be refused."""
    done = CliRunner().invoke(app, words)
    error = None if isinstance(done.exception, SystemExit) else done.exception
    assert error is None, f"{' '.join(words)}: {type(error).__name__}: {error}"
    assert done.exit_code in (0, 1, 3), f"{' '.join(words)}: {done.output}"


def test_little_is_left_out() -> None:
    reasons = {line: why for line in commands() if (why := left_out(line))}
    assert len(reasons) <= 9, reasons


def carry_out(place: Path, lines: list[str]) -> None:
    run(["run", "--config", "study.toml", "--models", "6", "--out", "made"])
    run(["run", "--config", "study.toml", "--models", "8", "--out", "made-8"])
    run(["report", "made", "--init-attestation"])
    for line in lines:
        if "--init-attestation" in line:
            (place / "made/attestation.toml").unlink()
        run(shortened(line))


@pytest.mark.slow
def test_every_command_runs(place: Path) -> None:
    lines = [line for line in commands() if left_out(line) is None]
    assert len(lines) > 40
    carry_out(place, lines)


def test_every_command_runs_that_trains_nothing(place: Path) -> None:
    """The small twin: they read what two short runs have made."""
    (place / "runs").mkdir(exist_ok=True)
    if not (place / "runs/newest").exists():
        run(["run", "--config", "study.toml", "--models", "6", "--out", "runs/newest"])
    trains = ("run", "plan", "calibrate")
    lines = [x for x in commands() if left_out(x) is None and x.split()[1] not in trains]
    assert len(lines) > 25
    carry_out(place, lines)
