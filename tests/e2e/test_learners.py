"""Runs of learners that train themselves, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit.inclusion import membership
from tests.e2e.command import Finished, assert_refused, audit, audit_process

MINE = """
import warnings
import numpy as np
from sklearn.exceptions import ConvergenceWarning

def nearest(x, y, rng):
    def predict(rows):
        return y[((rows[:, None, :] - x[None]) ** 2).sum(axis=2).argmin(axis=1)]
    return predict

def cells(x, y, rng, epsilon):
    # One example changes one count by one: epsilon-DP by Laplace(1 / epsilon).
    counts = np.zeros((3, 2))
    where = lambda rows: np.digitize(rows[:, 0], [1 / 3, 2 / 3])
    np.add.at(counts, (where(x), y), 1)
    winner = (counts + rng.laplace(scale=1 / epsilon, size=counts.shape)).argmax(axis=1)
    return lambda rows: winner[where(rows)]

def liar(x, y, rng, epsilon, delta):
    return nearest(x, y, rng)

def noisy(x, y, rng):
    print("PRINTED")
    warnings.warn("no <b>convergence</b>", ConvergenceWarning)
    return nearest(x, y, rng)

def fails_late(x, y, rng):
    if len(x) == SIZE:
        raise ValueError("my own mistake")
    return nearest(x, y, rng)
"""
SETTINGS = 'data = "toy.npz"\nclusters_per_class = 1\nmodels = {models}\ncohort_size = 10\n'


def toy(folder: Path, models: int = 40, n: int = 60) -> Path:
    """Labels at random, in a folder with the learners above: what is right was memorized."""
    rng = np.random.default_rng(0)
    x, y = rng.random((2 * n, 2)).astype(np.float32), rng.integers(2, size=2 * n)
    np.savez(folder / "toy.npz", x_train=x[:n], y_train=y[:n], x_test=x[n:], y_test=y[n:])
    (folder / "mine.py").write_text(MINE)
    (folder / "toy.toml").write_text(SETTINGS.format(models=models))
    return folder


def run(
    folder: Path, *options: str, codes: tuple[int, ...] = (0,), command: Any = audit
) -> tuple[Finished, dict, str]:
    done = command("run", "--config", "toy.toml", "--out", "r", *options, cwd=folder)
    assert done.code in codes, done
    manifest = json.loads((folder / "r" / "run.json").read_text())
    return done, manifest, " ".join((folder / "r" / "report.html").read_text().split())


def test_a_tree_memorizes_what_it_saw(tmp_path: Path):
    """A tree without limits is right on its subset, so mem is 1 − p_out: a known answer."""
    done = audit(
        *("run", "--model", "sklearn.tree:DecisionTreeClassifier", "--models", "12"),
        *("--out", "r"),
        cwd=tmp_path,
    )
    assert done.code == 0, done
    assert "no private arm" in done.err
    examples = pd.read_parquet(tmp_path / "r" / "results" / "examples.parquet")
    known = examples[(examples.n_in > 0) & (examples.n_out > 0)]
    assert (known.p_in == 1).all()
    np.testing.assert_allclose(known.mem, 1 - known.p_out)
    assert known.mem.gt(0.25).mean() > 0.15
    report = " ".join((tmp_path / "r" / "report.html").read_text().split())
    manifest = json.loads((tmp_path / "r" / "run.json").read_text())
    assert manifest["engine"]["standard"]["name"] == "estimator"
    assert manifest["cross_check"] == {}
    assert manifest["model"]["name"] == "sklearn.tree:DecisionTreeClassifier"
    assert "activation" not in manifest["config"] or manifest["config"]["hidden"] == [64]
    for words in (
        "No arm of this run makes a privacy claim",
        "Name a private learner beside it",
        "No second program makes the same models",
        "trained by scikit-learn",
    ):
        assert words in report, words
    assert "NOT CHECKED" not in report


def test_options_from_the_command_line_and_from_the_file_are_the_same_run(tmp_path: Path):
    toy(tmp_path, models=4)
    text = (tmp_path / "toy.toml").read_text()
    (tmp_path / "toy.toml").write_text(f"{text}[standard.options]\nmax_depth = 2\n")
    tree = ("--model", "sklearn.tree:DecisionTreeClassifier")
    _, first, report = run(tmp_path, *tree, "--option", "criterion=entropy")
    wanted = {"max_depth": 2, "criterion": "entropy"}
    assert first["config"]["standard"]["options"] == wanted
    assert first["arms"]["standard"]["hyperparameters"] == wanted
    assert "entropy" in report
    (tmp_path / "toy.toml").write_text(
        f'{text}[standard.options]\nmax_depth = 2\ncriterion = "entropy"\n'
    )
    _, second, _ = run(tmp_path, *tree)
    assert second["config_sha256"] == first["config_sha256"]


def test_an_honest_private_learner_keeps_its_claim(tmp_path: Path):
    toy(tmp_path, models=150)
    options = ("--model", "mine:nearest", "--dp-model", "mine:cells", "--epsilon", "1")
    done, manifest, report = run(tmp_path, *options, codes=(0, 3))
    summary = json.loads((tmp_path / "r" / "results" / "summary.json").read_text())
    assert summary["arms"]["dp-1"]["verdict"] == "consistent", done
    assert summary["arms"]["standard"]["verdict"] == "violates"
    arm = manifest["arms"]["dp-1"]
    assert (arm["epsilon"], arm["delta"], arm["adjacency"]) == (1.0, 0.0, "add_remove")
    assert "not verified by this tool" in arm["claimed_by"]
    assert "claimed by mine:cells, not verified by this tool" in report
    assert "The arms are different learners" in report
    assert done.code == 0


def test_a_lying_private_learner_is_caught(tmp_path: Path):
    toy(tmp_path, models=150)
    options = ("--model", "mine:nearest", "--dp-model", "mine:liar", "--epsilon", "1")
    done, manifest, report = run(tmp_path, *options, codes=(1,))
    assert "violat" in done.out.lower()
    assert "The privacy claim of private training is violated" in report
    assert 0 < manifest["arms"]["dp-1"]["delta"] < 1 / 60


def test_warnings_are_told_once_and_prints_are_not(tmp_path: Path):
    toy(tmp_path, models=20)
    # With workers, whose streams are those of the process.
    done, manifest, report = run(tmp_path, "--model", "mine:noisy", command=audit_process)
    assert "PRINTED" not in done.out + done.err
    assert done.err.count("ConvergenceWarning") == 1
    assert manifest["learners"]["standard"]["warnings"]["ConvergenceWarning"]["models"] == 20
    assert "ConvergenceWarning in 20 of 20 models" in report
    assert "<b>convergence" not in report


@pytest.mark.usefixtures("worker_processes")
def test_a_failing_model_is_named_and_the_finished_cohorts_are_kept(tmp_path: Path):
    toy(tmp_path, models=40)
    sizes = membership(60, range(40), p=0.7, design="poisson", seed=0).sum(axis=1).tolist()
    failing = next(k for k in range(30, 40) if sizes[k] not in sizes[:k])
    (tmp_path / "mine.py").write_text(MINE + f"SIZE = {sizes[failing]}\n")
    done = audit("run", "--config", "toy.toml", "--model", "mine:fails_late", "--out", "r",
                 cwd=tmp_path)  # fmt: skip
    words = f"model {failing} of standard fails in training"
    assert_refused(done, "mine:fails_late", words, "my own mistake")
    kept = json.loads((tmp_path / "r" / "run.json").read_text())["shards"]
    # Which ones had finished is the processors' affair; each of them has to be there afterwards.
    assert kept
    assert "standard/30-39" not in kept
    (tmp_path / "mine.py").write_text(MINE + "SIZE = -1\n")
    again, manifest, report = run(tmp_path, "--model", "mine:fails_late")
    assert manifest["status"] == "complete"
    assert again.code == 0
    assert {key: manifest["shards"][key] for key in kept} == kept
    assert "the code of mine:fails_late has changed; finished cohorts are kept" in again.err
    assert "the code of mine:fails_late" in report


def test_one_model_is_enough_to_end_in_a_report(tmp_path: Path):
    toy(tmp_path, models=1)
    _, manifest, report = run(
        tmp_path, "--model", "mine:nearest", "--dp-model", "mine:cells", codes=(3,)
    )
    assert set(manifest["arms"]) == {"standard", "dp-2"}
    assert "could not tell" in report.lower()


def test_the_same_command_gives_the_same_results(tmp_path: Path):
    toy(tmp_path, models=6)
    options = ("--model", "sklearn.ensemble:RandomForestClassifier", "--option", "n_estimators=3")
    run(tmp_path, *options)
    first = (tmp_path / "r" / "results" / "examples.parquet").read_bytes()
    (tmp_path / "r").rename(tmp_path / "before")
    run(tmp_path, *options)
    assert (tmp_path / "r" / "results" / "examples.parquet").read_bytes() == first


TREE = ("--model", "sklearn.tree:DecisionTreeClassifier")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "not_there:train"), ("model", "ModuleNotFoundError")),
        ((*TREE, "--option", "max_depth"), ("option", "NAME=VALUE")),
        ((*TREE, "--dp-model", "mine:nearest"), ("dp_model", "no argument epsilon")),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(options, words, tmp_path: Path):
    """More of them, without a process each: tests/test_plan_learners.py."""
    toy(tmp_path)
    assert_refused(audit("run", *options, cwd=tmp_path), *words)
    assert not (tmp_path / "runs").exists()


def test_a_claim_about_replacing_is_tested_as_it_is_under_fixed_inclusion(tmp_path: Path):
    toy(tmp_path, models=10)
    text = (tmp_path / "toy.toml").read_text()
    (tmp_path / "toy.toml").write_text(f'{text}[dp]\nadjacency = "replace_one"\n')
    options = ("--model", "mine:nearest", "--dp-model", "mine:cells", "--inclusion", "fixed")
    _, manifest, report = run(tmp_path, *options, codes=(3,))
    arm = manifest["arms"]["dp-2"]
    assert (arm["in_out_epsilon"], arm["in_out_delta"]) == (2.0, 0.0)
    assert "replace one example" in report
    assert "exchanging any single training example for another" in report
