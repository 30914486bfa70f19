"""A run that is continued keeps its cohorts, whatever another device would have made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit import pipeline, plan, resolve
from audit.config import make_config
from audit.data.dataset import Dataset
from audit.errors import CheckFailed
from audit.training import draws, engines, sgd_cohort

SMALL = {"epochs": 1, "learning_rate": 0.1, "batch_size": 64, "tuning": "none"}


class Quiet:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.plans: list[plan.Plan] = []

    def stage(self, text: str) -> None:
        del text

    def plan(self, plan: plan.Plan, done: dict[str, int]) -> None:
        del done
        self.plans.append(plan)

    def progress(self, models_done: dict[str, float]) -> None:
        del models_done


@pytest.fixture(scope="module")
def data() -> Dataset:
    return resolve.load_data(make_config([{"clusters_per_class": 2}]))


def audit(out: Path, data: Dataset) -> tuple[dict[str, Any], plan.Plan]:
    settings = {"standard": SMALL, "dp": {**SMALL, "clip_norm": 1.0}}
    config = make_config([{"models": 8, "hidden": (8,), **settings}])
    listener = Quiet()
    pipeline.run(config, out, command_line="audit run", listener=listener, data=data)
    return json.loads((out / "run.json").read_text()), listener.plans[-1]


def of_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan as on a device with room for so many models."""
    monkeypatch.setattr(plan, "_cohort_size", lambda *settings: size)


@pytest.mark.parametrize(("first", "then"), [(3, 8), (8, 3)])
def test_cohorts_stay_and_only_what_is_missing_is_trained(
    first: int, then: int, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    of_size(first, monkeypatch)
    before, _ = audit(tmp_path / "run", data)
    (tmp_path / "run" / "shards" / "standard" / f"0-{first - 1}.safetensors").unlink()
    of_size(then, monkeypatch)
    after, planned = audit(tmp_path / "run", data)
    assert list(after["shards"]) != []
    assert after["shards"].keys() == before["shards"].keys()
    kept = [key for key in before["shards"] if key != f"standard/0-{first - 1}"]
    assert all(after["shards"][key] == before["shards"][key] for key in kept)
    assert after["plan"]["cohort_size"] == planned.cohort_size == first
    assert {task.at_once for task in planned.tasks} == {None if first < then else then}
    assert after["status"] == "complete"


def test_a_device_run_from_plan_to_report(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The whole way in the form of a GPU, on CPU tensors; a cohort that was halved says so."""
    for module in (engines, sgd_cohort):
        monkeypatch.setattr(module, "form_for", lambda device: "device")
    honest, refused = sgd_cohort.train_ensemble, []

    def train(model, arm, x, y, membership, models, **options):
        if arm.kind == "dp" and len(models) == 8 and not refused:
            refused.append(arm.name)
            raise sgd_cohort.torch.OutOfMemoryError("CUDA out of memory")
        return honest(model, arm, x, y, membership, models, **options)

    monkeypatch.setattr(sgd_cohort, "train_ensemble", train)
    manifest, _ = audit(tmp_path / "run", data)
    assert refused == ["dp-2"]
    assert manifest["shards"]["dp-2/0-7"]["out_of_memory"] == ["0-3", "4-7"]
    assert "out_of_memory" not in manifest["shards"]["standard/0-7"]
    for check in manifest["cross_check"].values():
        assert check["verdict"] == "holds"
        assert check["stream"]["passed"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Trained in parts, for lack of memory" in page
    assert "dp-2/0-7 in 2 parts" in page


@pytest.mark.parametrize("failed", [False, True])
def test_a_run_that_goes_on_elsewhere_is_checked_there(
    failed: bool, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What the CPU's program was found to be says nothing of the one that trains the rest."""
    of_size(3, monkeypatch)
    out = tmp_path / "run"
    before, planned = audit(out, data)
    checked = {task.arm.name: task.key for task in planned.tasks if task.checked_model is not None}
    lost = next(
        task.key
        for task in planned.tasks
        if task.arm.name == "standard" and task.key != checked["standard"]
    )
    (out / "shards" / f"{lost}.safetensors").unlink()
    if failed:
        before["cross_check"]["standard"].update(passed=False, verdict="fails")
        (out / "run.json").write_text(json.dumps(before))
    for module in (engines, sgd_cohort, draws):
        monkeypatch.setattr(module, "form_for", lambda device: "device")
    if failed:
        with pytest.raises(CheckFailed):
            audit(out, data)
        after = json.loads((out / "run.json").read_text())
        assert after["cross_check"]["standard"] == before["cross_check"]["standard"]
        return
    after, _ = audit(out, data)
    forms = {arm: check["form"] for arm, check in after["cross_check"].items()}
    assert forms == {"standard": "device", "dp-2": "host"}, "the DP arm had nothing left to train"
    changed = {key for key in after["shards"] if after["shards"][key] != before["shards"][key]}
    assert changed == {lost, checked["standard"]}
