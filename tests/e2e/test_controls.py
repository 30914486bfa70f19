"""A run with controls, from the command to a verified report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.e2e.command import Finished, assert_refused, audit

ASKED = ("clip-only", "noise-only", "neither", "pruned-80", "random-labels")
ARMS = ("clip-only", "noise-only-2", "neither", "pruned-80", "random-labels-100")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished, Path]:
    """The same study with and without controls."""
    folder = tmp_path_factory.mktemp("controls")
    (folder / "small.toml").write_text(
        'data = "digits"\nmodels = 8\ncohort_size = 8\nclusters_per_class = 2\n'
        "[standard]\nepochs = 6\n[dp]\nepochs = 6\n"
    )
    command = ("run", "--config", "small.toml", "--out")
    controls = [word for name in ASKED for word in ("--control", name)]
    with_some = audit(*command, "beside", *controls, cwd=folder)
    assert audit(*command, "bare", cwd=folder).code == 3
    return folder / "beside", with_some, folder / "bare"


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "results/summary.json").read_text())


def test_controls_change_nothing_of_the_audit(done: tuple[Path, Finished, Path]):
    beside, command, bare = done
    assert command.code == 3, command
    with_some, without = summary(beside), summary(bare)
    assert set(with_some.pop("controls")) == set(ARMS)
    cross_checks = [f"cross-check-{arm}" for arm in ARMS]
    told = [f for f in with_some["findings"] if f["id"] not in cross_checks]
    assert told == without["findings"]
    del with_some["findings"], without["findings"]
    assert with_some == without
    for name in ("examples", "influence"):
        rows = pd.read_parquet(beside / f"results/{name}.parquet")
        rows = rows.query("arm not in @ARMS").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, pd.read_parquet(bare / f"results/{name}.parquet"))


def test_each_control_was_checked_against_another_program(done: tuple[Path, Finished, Path]):
    run = json.loads((done[0] / "run.json").read_text())
    for arm in ARMS:
        assert run["cross_check"][arm]["verdict"] == "holds"
        assert run["arms"][arm]["kind"] == "control"
        assert "epsilon" not in run["arms"][arm]
        stream = run["cross_check"][arm]["stream"]
        tested = arm == "noise-only-2"
        assert (stream["noise_rms_relative_error"] is not None) is tested


def test_all_arms_train_on_the_same_subsets(done: tuple[Path, Finished, Path]):
    examples = pd.read_parquet(done[0] / "results/examples.parquet")
    counts = {arm: rows["n_in"].to_numpy() for arm, rows in examples.groupby("arm")}
    assert set(counts) == {"standard", "dp-2", *ARMS}
    assert all(np.array_equal(each, counts["standard"]) for each in counts.values())


def test_random_labels_are_memorized_or_not_known(done: tuple[Path, Finished, Path]):
    control = summary(done[0])["controls"]["random-labels-100"]
    assert control["accuracy_excluded"]["value"] == pytest.approx(0.1, abs=0.03)
    assert control["accuracy_included"]["value"] > 0.12
    shown = audit("show", done[0], "5", cwd=done[0].parent)
    assert "(drawn at random)" in shown.out
    assert all(f" {arm} " in shown.out for arm in ARMS)
    assert "…" not in shown.out, "a number is cut off"


def test_the_run_can_be_verified_and_its_page_shows_them(done: tuple[Path, Finished, Path]):
    made = audit("report", done[0], "--verify", cwd=done[0].parent)
    assert made.code == 0, made
    assert "none differs" in made.out
    page = (done[0] / "report.html").read_text()
    assert "Other limits on memorization, and controls" in page
    assert "80 % of the weights pruned" in page
    checked = audit("check", done[0], cwd=done[0].parent)
    assert "pruned-80" not in checked.out


def test_a_public_report_can_be_made(done: tuple[Path, Finished, Path]):
    made = audit("report", done[0], "--profile", "public", cwd=done[0].parent)
    assert made.code == 0, made
    assert "clipping alone" in (done[0] / "report-public.html").read_text()


def test_other_controls_are_another_run(done: tuple[Path, Finished, Path]):
    folder = done[0].parent
    again = audit("run", "--config", "small.toml", "--out", "beside", cwd=folder)
    assert_refused(again, "controls")
    assert_refused(
        audit("run", "--control", "pruned-100", cwd=folder), "controls", "pruned-100", "99.9"
    )


def test_a_removal_experiment_is_added_to_a_run(done: tuple[Path, Finished, Path]):
    bare = done[2]
    command = ("run", "--config", "small.toml", "--out", "bare", "--removal")
    made = audit(*command, "--removal-near-duplicates", "0.5", cwd=bare.parent)
    assert made.code == 3, made
    assert "16 trained before" in made.err
    experiment = summary(bare)["removal"]
    assert experiment["near_duplicates"] == 0.5
    assert "What the memorized examples are worth" in (bare / "report.html").read_text()
    assert audit("report", bare, "--profile", "public", cwd=bare.parent).code == 0
    verified = audit("report", bare, "--verify", cwd=bare.parent)
    assert verified.code == 0, verified
    assert_refused(audit(*command, cwd=bare.parent), "removal.near_duplicates", "0.5")
    assert_refused(
        audit("run", "--removal-weight-decay", "2", cwd=bare.parent), "removal.weight_decay", "2"
    )
