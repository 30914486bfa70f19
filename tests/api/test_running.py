"""``audit.run``: the command in Python, in scripts without a guard, refusing what it cannot use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import audit
from audit.api.running import model_name
from audit.data.builtin import digits
from audit.store import RunDirectory
from tests.api.conftest import FAST, HOSTILE, blobs
from tests.e2e.command import audit as command

X, Y, GROUPS = blobs()


def factory(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], n_classes))


def test_arrays_give_the_results_of_the_command_byte_for_byte(tmp_path: Path):
    data = digits()
    done = command(
        "run", "--models", "4", "--hidden", "8", "--clusters-per-class", "2", "--out", "command",
        "--epsilon", "3", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 3, done
    run = audit.run(
        data.x_train.reshape(-1, 1, 8, 8),
        data.y_train,
        x_test=data.x_test.reshape(-1, 1, 8, 8),
        y_test=data.y_test,
        subgroups=("subpopulations", "class"),
        name="digits",
        config="digits",
        epsilon=np.float64(3),
        models=np.int64(4),
        hidden=[8],
        clusters_per_class=2,
        out=tmp_path / "python",
        progress=False,
    )
    for name in ("examples.parquet", "influence.parquet", "subgroups.parquet", "summary.json"):
        of_command = (tmp_path / "command" / "results" / name).read_bytes()
        assert (run.path / "results" / name).read_bytes() == of_command, name


SCRIPT = """
import numpy as np
import audit
import audit.missing_cohorts

audit.missing_cohorts.cores = lambda: 2  # workers, also on a machine with one core
print("the script runs")
rng = np.random.default_rng(0)
y = np.arange(80) % 2
run = audit.run(
    rng.normal(size=(80, 3)) + y[:, None], y, models=4, cohort_size=1, hidden=(4,), out="run",
    standard={"learning_rate": 0.2, "batch_size": 16, "epochs": 1},
    dp={"learning_rate": 0.2, "batch_size": 16, "epochs": 1, "clip_norm": 1.0},
)
print(run.verdicts["dp-2"], run.manifest["hardware"]["workers"])
"""


def test_a_script_needs_no_guard_around_main(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # Once: a worker that ran the script too would print it, and start workers of its own.
    assert done.stdout.splitlines()[0] == "the script runs"
    assert done.stdout.count("the script runs") == 1
    assert "could_not_tell" in done.stdout
    assert "Traceback" not in done.stderr
    assert "2 arms × 4 models" in done.stderr


def test_the_same_call_trains_nothing_again_and_other_data_or_settings_are_refused(
    finished: audit.Run,
):
    def again(x: np.ndarray = X, models: int = 6, name: str = HOSTILE) -> audit.Run:
        return audit.run(
            x,
            Y,
            groups={"site": GROUPS, "mem": Y, "arm": Y},
            subgroups=["site", "mem", "arm", "site×mem", "class"],
            name=name,
            models=models,
            out=str(finished.path),
            progress=False,
            **FAST,
        )

    shards = {p: p.stat().st_mtime_ns for p in finished.path.glob("shards/*/*")}
    assert len(shards) == 4
    again()
    assert {p: p.stat().st_mtime_ns for p in finished.path.glob("shards/*/*")} == shards
    with pytest.raises(audit.BadInput, match="data fingerprint"):
        again(x=X + 1)
    with pytest.raises(audit.BadInput, match="models"):
        again(models=7)
    with RunDirectory(finished.path), pytest.raises(audit.BadInput, match="in use"):
        again()


def test_the_default_folder_depends_on_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    made = []

    def stop(_: Any, out: Path, **rest: Any) -> None:
        made.append((out, rest["command_line"]))
        raise KeyboardInterrupt

    monkeypatch.setattr("audit.pipeline.run", stop)
    for x in (X, X, X + 1):
        with pytest.raises(KeyboardInterrupt):
            audit.run(x, Y, name="../my data")
    assert made[0] == made[1]
    assert made[0][0] != made[2][0]
    assert all(out.parent == Path("runs") for out, _ in made)
    assert made[0][1] == "audit.run(x, y)"


def test_an_interrupt_passes_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from audit import missing_cohorts

    saved = missing_cohorts._save

    def save_and_stop(*arguments: Any) -> None:
        saved(*arguments)
        raise KeyboardInterrupt

    settings = {"models": 6, "out": tmp_path / "r", "progress": False, **FAST}
    with monkeypatch.context() as patched:
        patched.setattr("audit.missing_cohorts._save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            audit.run(X, Y, **settings)
    kept = json.loads((tmp_path / "r" / "run.json").read_text())["shards"]
    assert len(kept) == 1
    with pytest.raises(audit.BadInput, match="no readable results"):
        audit.load(tmp_path / "r")
    finished = audit.run(X, Y, **settings)
    (first,) = kept
    assert finished.manifest["shards"][first] == kept[first]


def test_a_function_of_a_module_is_a_model(tmp_path: Path):
    run = audit.run(
        X, Y, model=factory, models=2, out=tmp_path / "r", progress=False, **{**FAST, "hidden": ()}
    )
    assert run.manifest["model"]["name"] == "tests.api.test_running:factory"


def test_names_of_models():
    assert model_name(factory) == "tests.api.test_running:factory"
    elsewhere = type("Factory", (), {"__module__": "__main__"})
    for model, words in (
        (lambda shape, classes: nn.Linear(1, 1), "inside another"),
        (nn.Linear(2, 2), "made anew"),
        (elsewhere, "script or notebook"),
        (type("factory", (), {"__module__": __name__}), "is not what"),
        (nn.Linear.forward, "inside another"),
    ):
        with pytest.raises(audit.BadInput, match=words):
            model_name(model)


REFUSED: list[tuple[Callable[[Path], Any], str]] = [
    (lambda out: audit.run(X, Y, epsilon=-1, out=out), "epsilon"),
    (lambda out: audit.run(X, Y, epsilon=[2, 2], out=out), "twice"),
    (lambda out: audit.run(X, Y, models=0, out=out), "models"),
    (lambda out: audit.run(X, Y, models="many", out=out), "models"),
    (lambda out: audit.run(X, Y, seed=-1, out=out), "seed"),
    (lambda out: audit.run(X, Y, epsilons=2, out=out), "epsilons"),
    (lambda out: audit.run(X, Y, hidden=object(), out=out), "hidden"),
    (lambda out: audit.run(X, Y, model="transformer", out=out), "transformer"),
    (lambda out: audit.run(X, Y, model=lambda s, n: None, out=out), "model"),
    (lambda out: audit.run(X, Y, data="digits", out=out), "beside x"),
    (lambda out: audit.run(X, Y, label="y", out=out), "label"),
    (lambda out: audit.run(None, Y, out=out), "x = None"),
    (lambda out: audit.run(data="digts", out=out), "digts"),
    (lambda out: audit.run(X, Y, config="nothing.toml", out=out), "nothing.toml"),
    (lambda out: audit.run(X, Y, subgroups="site", out=out), "site"),
    (lambda out: audit.run(X, Y, subgroups="a,,b", out=out), "empty item"),
    (lambda out: audit.run(X, Y, delta=0.5, out=out), "1/n"),
    (lambda out: audit.run(X * 1e15, Y, out=out), "Scale"),
    (lambda out: audit.run(X[:2], Y[:2], out=out), "="),
    (lambda out: audit.run(X, Y, out=__file__), "is a file"),
    (lambda out: audit.run(X, Y, out=Path(__file__).parent), "not a run directory"),
    (lambda out: audit.load(out), "does not exist"),
    (lambda out: audit.load(Path(__file__).parent), "run.json"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_bad_input_is_refused_before_anything_is_written(
    call: Callable[[Path], Any], words: str, tmp_path: Path
):
    with pytest.raises(audit.BadInput) as refused:
        call(tmp_path / "out")
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
