"""The commands as a newcomer, and as somebody hostile, types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from audit import cli, pipeline
from audit.configuring import configure
from audit.errors import CheckFailed
from audit.plan import Plan
from audit.training.ensemble import Ensemble
from tests.e2e.command import assert_refused, audit

HOSTILE = "</script><script>alert(1)</script>"


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("run",),
        ("plan",),
        ("report",),
        ("show",),
        ("check",),
        ("diff",),
        ("data",),
        ("data", "list"),
        ("data", "inspect"),
    ],
)
def test_every_command_has_help(command: tuple[str, ...], tmp_path: Path):
    done = audit(*command, "--help", cwd=tmp_path)
    assert done.code == 0
    assert "Usage:" in done.out
    assert not list(tmp_path.iterdir())


def test_help_is_quick_because_nothing_heavy_is_imported(tmp_path: Path):
    assert not loaded(tmp_path, "--help", code=0) & HEAVY


@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_is_mistyped_is_refused_before_anything_heavy_is_imported(
    command: str, tmp_path: Path
):
    assert not loaded(tmp_path, command, "--epsilon", "-1", code=2) & HEAVY
    # The control: the data set is looked for with all of it.
    assert loaded(tmp_path, command, "--data", "digts", code=2) >= {"torch", "pandas"}


HEAVY = {"torch", "pandas", "altair", "fairlearn", "opacus", "sklearn"}


def loaded(tmp_path: Path, *arguments: str, code: int) -> set[str]:
    """Top-level modules that are loaded when the command has ended with this exit code."""
    program = (
        "import sys; from audit.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: code = ended.code\n"
        "print('ended', code, *{m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ended, *modules = done.stdout.rpartition("ended ")[2].split()
    assert ended == str(code), done
    return set(modules)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--epsilon", "-1"), ("epsilon", "-1")),
        (("--epsilon", "nan"), ("epsilon",)),
        (("--epsilon", "2", "--epsilon", "2"), ("epsilon", "twice")),
        (("--delta", "0.5"), ("delta", "1/n")),
        (("--data", "nothing.csv", "--label", "y"), ("nothing.csv",)),
        (("--data", "digts"), ("digts",)),
        (("--model", "transformer"), ("model", "transformer")),
        (("--hidden", "a,b"), ("hidden",)),
        (("--engine", "jax"), ("engine", "jax")),
        (("--engine", "ensemble", "--model", "os:getcwd"), ("model", "os:getcwd")),
        (("--model", "os:getcwd"), ("model", "os:getcwd")),
        (("--inclusion", "bernoulli"), ("design", "bernoulli")),
        (("--p", "1.5"), ("inclusion_probability", "1.5")),
        (("--device", "quantum"), ("device", "quantum")),
        (("--device", "meta"), ("device", "meta")),
        (("--data", "a" * 300), ("data",)),
        (("--model", "sys:exit"), ("model", "sys:exit")),
        (("--config", "none.toml"), ("config", "none.toml")),
        (("--subgroups", "sex"), ("sex",)),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
):
    assert_refused(audit("run", *arguments, "--out", "deep/r", cwd=tmp_path), *words)
    assert not (tmp_path / "deep").exists()


def test_one_model_is_too_few_and_says_so(tmp_path: Path):
    done = audit("run", "--models", "1", "--model", "linear", "--out", "r", cwd=tmp_path)
    assert done.code == 3, done
    assert "Traceback" not in done.err
    assert (tmp_path / "r" / "report.html").exists()
    # A terminal without ε costs nothing but the ε.
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "audit", "show", str(tmp_path / "r"), "3"]
    shown = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "not estimable" in shown.stdout


def test_an_option_wins_over_the_config_also_where_it_is_the_default(tmp_path: Path):
    (tmp_path / "c.toml").write_text('data = "adult"\nmodels = 2\nclusters_per_class = 3\n')
    config = configure(tmp_path / "c.toml", {"data": "digits"})
    assert config.data == "digits"
    arguments = ("run", "--config", "c.toml", "--data", "digits", "--delta", "0.9", "--out", "r")
    assert_refused(audit(*arguments, cwd=tmp_path), "1/n = 0.000771")


def test_an_internal_error_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("audit.store.newest_run", broken)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["report"])
    assert ended.value.code == 70
    err = capsys.readouterr().err
    assert "internal error" in err
    assert len(err.splitlines()) == 1


def test_a_folder_without_rights(tmp_path: Path):
    if os.geteuid() == 0:
        # root may write anywhere; a file in the place of a folder is refused all the same
        (tmp_path / "locked").write_text("")
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
    assert_refused(audit("run", "--out", "locked/run", cwd=tmp_path), "out", "locked")


def test_report_without_a_run(tmp_path: Path):
    assert_refused(audit("report", cwd=tmp_path), "holds no run directory")
    (tmp_path / "empty").mkdir()
    assert_refused(audit("report", "empty", cwd=tmp_path), "run.json")
    assert_refused(audit("show", "1", "2", "3", cwd=tmp_path), "[RUN] EXAMPLE")


def test_a_csv_with_hostile_names_becomes_a_report_that_runs_nothing(tmp_path: Path):
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n).astype(object),
            "=cmd|' /C calc'!A0": rng.normal(size=n),
            "group": rng.choice([HOSTILE, "b", "\u202egnirts", "x" * 5000], n),
            "label": rng.choice(["yes", HOSTILE], n),
        }
    )
    table.loc[::17, "age"] = None
    table.loc[::23, "group"] = None
    table.to_csv(tmp_path / "hostile.csv", index=False)
    done = audit(
        "run", "--data", "hostile.csv", "--label", "label", "--subgroups", "group", "--models", "6",
        "--out", "r", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 3, done
    page = (tmp_path / "r" / "report.html").read_text()
    assert "<script>alert" not in page
    assert "(not recorded)" in page
    groups = pd.read_parquet(tmp_path / "r" / "results" / "subgroups.parquet")
    assert HOSTILE in set(groups.loc[groups.grouping == "group", "subgroup"])


def test_a_layer_that_dp_sgd_cannot_have_is_refused_in_the_words_of_opacus(
    tmp_path: Path, small_config: Path
):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def instance_norm(input_shape, n_classes):\n"
        "    norm = nn.InstanceNorm2d(1, affine=True, track_running_stats=True)\n"
        "    return nn.Sequential(norm, nn.Flatten(), nn.Linear(64, n_classes))\n"
    )
    arguments = ("run", "--config", small_config, "--model", "mine:instance_norm", "--out", "r")
    assert_refused(audit(*arguments, cwd=tmp_path), "running stats", "Opacus refuses it")
    assert not (tmp_path / "r" / "run.json").exists()


def test_data_list_and_inspect(tmp_path: Path):
    listed = audit("data", "list", cwd=tmp_path)
    assert listed.code == 0
    assert {"digits", "adult"} <= set(listed.out.split())
    inspected = audit("data", "inspect", "adult", "--subgroups", "sex×race", cwd=tmp_path)
    assert inspected.code == 0, inspected
    for words in (
        "32,561 for training",
        "CC BY 4.0",
        "fitted on training rows: nothing",
        "sex×race",
    ):
        assert words in inspected.out


class Silent:
    """A listener that keeps the stages."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, text: str) -> None:
        self.stages.append(text)

    def plan(self, plan: Plan, done: dict[str, int]) -> None: ...

    def progress(self, models_done: dict[str, float]) -> None: ...


def test_an_engine_with_wrong_clipping_fails_the_run_and_writes_no_results(
    tmp_path: Path, small_config: Path, monkeypatch: pytest.MonkeyPatch
):
    """The whole pipeline, with every clipped gradient 1 % too long."""
    honest = Ensemble._clip_factors

    def off_by_one_percent(self, *arguments):
        return honest(self, *arguments) * 1.01

    monkeypatch.setattr(Ensemble, "_clip_factors", off_by_one_percent)
    config, listener = configure(small_config, {}), Silent()
    for _ in range(2):  # and asking again does not wash it off
        with pytest.raises(CheckFailed, match="cross-check of dp-2") as failed:
            pipeline.run(config, tmp_path / "r", command_line="audit run", listener=listener)
        assert failed.value.exit_code == 1
        assert not (tmp_path / "r" / "results").exists()
    assert "estimating" not in listener.stages


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--models", "many"), ("models = 'many'", "valid integer", "audit run --help")),
        (("run", "--epsilon=x\ny"), (r"epsilon = 'x\ny'", "valid number")),
        (("run", "--models", "0"), ("models = '0'", "greater than or equal to 1")),
        (("plan", "--modles", "3"), ("audit plan = ", "No such option: --modles")),
        (("check",), ("audit check", "Missing option '--policy'")),
        (("dance",), ("audit = 'dance'", "No such command", "audit --help")),
        (("run", "--option", "x=" + "[" * 5000), ("standard",)),
        (("run", "--config", "x" * 9000), ("config", "cannot be read")),
    ],
)
def test_a_mistyped_command_is_one_line_too(
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert not told.out
    assert len(told.err.splitlines()) == 1
    assert told.err.startswith("audit: ")
    for word in words:
        assert word in told.err
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys):
    def broken(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("audit.store.newest_run", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main(["report"])
    assert ended.value.code == 2
    assert "memory" in capsys.readouterr().err
