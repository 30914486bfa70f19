"""run.json: an arm is described by what it claims, with or without a mechanism behind it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from audit import provenance
from audit.accounting import calibrate, privacy_curve
from audit.claims import Claim, make_claim
from audit.config import ArmConfig, LearnerConfig, make_config
from audit.errors import BadInput
from audit.manifest import learner_notes, note_changes, read_manifest
from audit.manifest_entries import describe_arm, describe_code, describe_engine
from audit.planned_arm import PlannedArm
from audit.report.resumed import resumed_words
from audit.store import write_json
from audit.training.arms import Arm, LearnerArm
from audit.training.learners import Estimator
from audit.training.models import Mlp
from tests.report.synthetic import make

SETTINGS = ArmConfig(learning_rate=0.1, batch_size=10, epochs=1)


def planned(claim: Claim | None, *, private: bool = False) -> PlannedArm:
    clip, noise = (1.0, 2.0) if private else (None, None)
    arm = Arm("an-arm", 0.1, 10, 10.0, 0.1, 0.0, 0.0, clip, noise)
    mechanism = calibrate(2.0, 1e-4, sample_rate=0.1, steps=10) if private else None
    return PlannedArm(arm, Mlp((2, 2)), SETTINGS, "opacus", "asked for", claim, mechanism)


def test_an_arm_without_a_claim_is_standard():
    described = describe_arm(planned(None), 100)
    assert described["kind"] == "standard"
    assert {"epsilon", "delta", "claimed_by"}.isdisjoint(described)


def test_a_claim_without_a_mechanism_makes_an_arm_private():
    claim = make_claim(2.0, 1e-4, design="fixed", source="claimed by a library")
    described = describe_arm(planned(claim), 100)
    assert described["kind"] == "dp"
    assert (described["epsilon"], described["in_out_epsilon"]) == (2.0, 4.0)
    assert described["claimed_by"] == "claimed by a library"
    assert described["delta_times_n"] == pytest.approx(0.01)
    assert {"noise_multiplier", "accountant", "privacy_curve"}.isdisjoint(described)


def test_a_mechanism_is_described_beside_its_claim():
    curve = privacy_curve(2.0, sample_rate=0.1, steps=10)
    claim = make_claim(2.0, 1e-4, design="poisson", source="an accountant", curve=curve)
    described = describe_arm(planned(claim, private=True), 100)
    assert described["epsilon"] == 2.0
    assert described["epsilon_achieved"] <= 2.0
    assert {"noise_multiplier", "accountant", "epsilon_rdp", "clip_norm"} <= set(described)
    assert described["privacy_curve"]["delta"] == curve.delta.tolist()


@pytest.fixture
def stored() -> dict[str, Any]:
    return make(seed=0).run


def test_what_may_be_absent_may_be_absent(stored: dict[str, Any], tmp_path: Path):
    """Runs of the first version have no judged_by; arms that are no SGD have no sampling rate."""
    for facts in stored["arms"].values():
        del facts["sample_rate"], facts["steps"]
    write_json(tmp_path / "run.json", stored)
    assert read_manifest(tmp_path)["seed"] == 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("arms", "dp-2", "sample_rate"), "often"),
        (("arms", "dp-2", "epsilon"), None),
        (("arms", "dp-2", "kind"), 7),
        (("judged_by",), 2.0),
        (("origin",), {"arrays": {"membership": "M.npy"}}),
    ],
)
def test_what_is_there_must_be_of_its_type(
    stored: dict[str, Any], tmp_path: Path, path: tuple[str, ...], value: Any
):
    place = stored
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    write_json(tmp_path / "run.json", stored)
    with pytest.raises(BadInput, match=r"run.json\."):
        read_manifest(tmp_path)


def test_a_learner_is_described_by_its_options_and_its_claim():
    arm = LearnerArm("dp-1", {"cells": 2}, 1.0)
    learner = Estimator("tests.training.learners:majority_of_cells", 2)
    claim = make_claim(
        1.0, 0.0, design="fixed", source="claimed by a test", adjacency="replace_one"
    )
    made = PlannedArm(
        arm, learner, LearnerConfig(), "estimator", "it does", claim, trained_by="a test"
    )
    described = describe_arm(made, 100)
    assert described["hyperparameters"] == {"cells": 2, "epsilon": 1.0}
    assert described["adjacency"] == "replace_one"
    assert described["in_out_epsilon"] == 1.0
    assert {"sample_rate", "steps", "clip_norm"}.isdisjoint(described)
    assert describe_engine(made) == {
        "name": "estimator",
        "why": "it does",
        "learner": learner.path,
        "trained_by": "a test",
    }


def test_notes_of_learners_add_up_over_cohorts():
    raised = {"ConvergenceWarning": {"models": 2, "first": "no"}}
    shards = {
        "standard/0-4": {"margins": ["none"], "warnings": raised},
        "standard/5-9": {"margins": ["probabilities"], "warnings": raised, "constant": 3},
        "dp-1/0-4": {"seconds": 1.0},
    }
    wanted = {"ConvergenceWarning": {"models": 4, "first": "no"}}
    assert learner_notes({"shards": shards}) == {
        "standard": {"margins": ["none", "probabilities"], "warnings": wanted, "constant": 3}
    }


def session(code: dict[str, str]) -> dict[str, Any]:
    return {"tool": provenance.tool(), "versions": provenance.versions(), "code": code}


def test_a_run_that_goes_on_unchanged_notes_nothing():
    run = session({"mine:train": "a"})
    assert note_changes(run, {"mine:train": "a"}) == []
    assert "resumed" not in run
    assert resumed_words(run) == ""


def test_other_code_and_other_versions_are_noted_and_told():
    run = session({"mine:train": "a"})
    run["versions"] = {**run["versions"], "numpy": "1.0"}
    assert note_changes(run, {"mine:train": "b"}) == ["mine:train"]
    assert note_changes(run, {"mine:train": "b"}) == []
    assert note_changes(run, {"mine:train": "a"}) == ["mine:train"]
    assert len(run["resumed"]) == 2
    words = resumed_words(run)
    assert f"numpy 1.0 → {provenance.versions()['numpy']} and the code of mine:train" in words
    assert words.endswith(f"{run['resumed'][1]['time']}: the code of mine:train")


def test_a_run_of_before_code_was_recorded_goes_on_quietly():
    run = session({})
    del run["code"]
    assert note_changes(run, {"mine:train": "b"}) == []
    assert "resumed" not in run


def test_code_is_that_of_the_file_that_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    source = "def train(x, y, rng):\n    return lambda rows: y[:1].repeat(len(rows))\n"
    (tmp_path / "a_users_module.py").write_text(source)
    named = {"model": "a_users_module:train", "dp_model": "sys:path"}
    assert describe_code(make_config([named])) == {
        "a_users_module:train": hashlib.sha256(source.encode()).hexdigest()
    }
    assert describe_code(make_config([{"model": "mlp"}])) == {}


def test_a_run_that_goes_on_elsewhere_says_where():
    """Kernels and device shape the last bits of results; another number of cores does not."""
    here = {"device": "cpu", "gpu": None, "blas_kernels": "SkylakeX", "cores": 2}
    run = {
        "tool": provenance.tool(),
        "versions": provenance.versions(),
        "hardware": {"device": "cpu", "cores": 2},
    }
    assert note_changes(run, {}, {**here, "cores": 4}) == []
    assert "resumed" not in run, "an earlier version did not record kernels and GPU"
    run["hardware"] = here
    note_changes(run, {}, {**here, "blas_kernels": "Haswell"})
    note_changes(run, {}, {**here, "device": "cuda", "gpu": "H", "blas_kernels": "Haswell"})
    note_changes(run, {}, {**here, "device": "cuda", "gpu": "H", "blas_kernels": "Haswell"})
    assert len(run["resumed"]) == 2
    words = resumed_words(run)
    assert "BLAS kernels SkylakeX → Haswell" in words
    assert "trained on cpu → cuda and GPU – → H" in words
