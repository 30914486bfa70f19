"""Runs of networks from the command line: every engine, and what the report says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import assert_refused, audit

TINY = """
data = "digits"
models = 4
clusters_per_class = 2
[standard]
epochs = 1
{standard}
[dp]
epochs = 1
"""
MODULES = """
from torch import nn

def dropout(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.2), nn.Linear(8, n_classes))

def batch_norm(input_shape, n_classes):
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Flatten(),
        nn.LazyLinear(n_classes),
    )

class Scaled(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.linear = nn.Linear(64, n_classes)
        self.scale = nn.Parameter(self.linear.weight.new_ones(64))

    def forward(self, x):
        return self.linear(x.flatten(1) * self.scale)

def scaled(input_shape, n_classes):
    return Scaled(n_classes)
"""


def run(folder: Path, model: str, standard: str = "") -> tuple[dict, str]:
    (folder / "mine.py").write_text(MODULES)
    (folder / "tiny.toml").write_text(TINY.format(standard=standard))
    done = audit("run", "--config", "tiny.toml", "--model", model, "--out", "r", cwd=folder)
    assert done.code in (0, 3), done
    manifest = json.loads((folder / "r" / "run.json").read_text())
    for arm, engine in manifest["engine"].items():
        assert engine["why"][:60] in " ".join(done.err.split()), (arm, done.err)
    return manifest, " ".join((folder / "r" / "report.html").read_text().split())


def test_a_module_with_an_unsupported_layer_runs_in_the_loop_and_the_report_says_so(
    tmp_path: Path,
):
    manifest, report = run(tmp_path, "mine:dropout")
    assert {e["name"] for e in manifest["engine"].values()} == {"opacus"}
    assert manifest["cross_check"] == {}
    assert "one model at a time" in report
    assert "no stacked form of Dropout is known" in report


def test_batch_norm_is_replaced_in_both_arms_and_the_report_says_why(tmp_path: Path):
    manifest, report = run(tmp_path, "mine:batch_norm")
    assert {e["name"] for e in manifest["engine"].values()} == {"ensemble"}
    assert "1 BatchNorm layer replaced by GroupNorm in every arm" in report
    assert "BatchNorm cannot support training with differential privacy" in report


def test_torch_func_trains_what_has_no_stacked_form(tmp_path: Path):
    manifest, report = run(tmp_path, "mine:scaled")
    assert {e["name"] for e in manifest["engine"].values()} == {"functional"}
    assert {c["verdict"] for c in manifest["cross_check"].values()} == {"holds"}
    assert "it uses scale outside a layer" in report


def test_a_named_network_trains_as_a_cohort_with_augmentation(tmp_path: Path):
    manifest, _ = run(tmp_path, "cnn", 'augmentation = ["crop"]')
    assert {e["name"] for e in manifest["engine"].values()} == {"ensemble"}
    assert {c["verdict"] for c in manifest["cross_check"].values()} == {"holds"}
    assert manifest["arms"]["standard"]["hyperparameters"]["augmentation"] == ["crop"]
    assert manifest["model"]["parameters"] == 9258


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "resnet", "--data", "adult"), ("model", "needs images")),
        (("--model", "mine:dropout", "--engine", "ensemble"), ("engine", "Dropout")),
        (("--config", "nothing-like-this"), ("config", "mnist-cnn")),
        (("--config", "augmented.toml"), ("standard.augmentation", "needs images")),
        (("--config", "blurred.toml"), ("standard.augmentation", "crop")),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(options, words, tmp_path: Path):
    (tmp_path / "mine.py").write_text(MODULES)
    arm = "[standard]\nepochs = 1\nbatch_size = 8\nlearning_rate = 1\naugmentation = "
    (tmp_path / "augmented.toml").write_text(f'data = "adult"\n{arm}["flip"]')
    (tmp_path / "blurred.toml").write_text(f'{arm}["blur"]')
    assert_refused(audit("run", *options, cwd=tmp_path), *words)
    assert not (tmp_path / "runs").exists()
