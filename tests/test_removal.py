"""The removal experiment: who is removed, from whom, and what carries over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from audit import pipeline
from audit.config import RemovalConfig, config_digest, make_config
from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.estimating import estimate_run
from audit.inclusion import membership, removed_at_random
from audit.manifest import read_manifest
from audit.plan import Plan, make_plan
from audit.plan_removal import near_duplicates, plan_removal, removals
from audit.resolve import load_data
from audit.stored_labels import read_labels
from audit.stored_outputs import read_outputs
from audit.training.arms import LearnerArm
from audit.training.cohort_task import Removal
from audit.verifying_manifest import manifest_checks
from tests.test_cohort_layout import Quiet

MODELS = 6
SETTINGS = {
    "models": MODELS,
    "hidden": (8,),
    "canaries": 0,
    "standard": {"learning_rate": 0.1, "batch_size": 64, "epochs": 3},
    "dp": {"learning_rate": 0.5, "batch_size": 64, "epochs": 1, "clip_norm": 1.0},
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data(make_config([{"clusters_per_class": 2}]))


@pytest.fixture(scope="module")
def plan(data: Dataset) -> Plan:
    return make_plan(make_config([SETTINGS]), data, device="cpu")


def planned(plan: Plan, data: Dataset, mem: np.ndarray, **settings: Any):
    return plan_removal(plan, RemovalConfig(**settings), mem, data.x_train, data.x_test)


def mem_of(data: Dataset) -> np.ndarray:
    mem = np.zeros(len(data.x_train))
    mem[:3], mem[3:10], mem[10] = 0.8, 0.3, np.nan
    return mem


def test_each_threshold_removes_what_reaches_it_and_as_many_at_random(plan: Plan, data: Dataset):
    found = planned(plan, data, mem_of(data), models=4)
    assert found.described["removed"] == {"0.1": 10, "0.25": 10, "0.5": 3, "0.75": 3}
    by_name = {task.name: task.removal for task in found.plan.tasks}
    assert by_name["removal-mem-0.5"] == Removal("removal-mem-0.5", (0, 1, 2))
    assert by_name["removal-random-0.5"] == Removal("removal-random-0.5", at_random=3)
    assert len(by_name) == 9


def test_a_threshold_counts_those_that_are_exactly_on_it():
    assert removals([0.3], np.array([0.7 - 0.4, 0.29, np.nan]))[1].removed == (0,)


def test_models_are_others_than_those_of_the_audit_and_share_all_but_the_removed(
    plan: Plan, data: Dataset
):
    found = planned(plan, data, mem_of(data), models=4)
    like = next(task for task in plan.tasks if task.arm.name == "standard")
    for task in found.plan.tasks:
        assert min(task.models) >= MODELS
        assert (task.arm, task.seed, task.p, task.design) == (
            like.arm, like.seed, like.p, like.design,
        )  # fmt: skip
        assert task.checked_model is None


def test_random_removal_is_even_and_nested_and_its_models_differ():
    n, models = 200, range(3000)
    few = removed_at_random(n, 20, models, seed=1)
    more = removed_at_random(n, 60, models, seed=1)
    assert (few.sum(axis=1) == 20).all()
    assert (few <= more).all()
    assert not np.array_equal(few[0], few[1])
    share = few.mean(axis=0)
    assert abs(share - 0.1).max() < 5 * np.sqrt(0.09 / 3000)
    # Who is removed says nothing of who was in.
    member = membership(n, models, p=0.7, design="poisson", seed=1)
    assert abs(member[few].mean() - 0.7) < 5 * np.sqrt(0.21 / few.sum())


def test_near_duplicates_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    x_train = rng.normal(size=(700, 12)).astype(np.float32)
    x_train[5] = x_train[4]  # a twin does not make the median smaller
    x_test = rng.normal(size=(90, 12)).astype(np.float32)
    x_test[7], x_test[8] = x_train[100], x_train[101] + 0.1
    own = cdist(x_train, x_train)
    np.fill_diagonal(own, np.inf)
    nearest = own.min(axis=1)
    limit = 0.9 * np.median(nearest[nearest > 0])
    expected = np.flatnonzero(cdist(x_test, x_train).min(axis=1) < limit)
    found = near_duplicates(x_train, x_test, 0.9)
    assert found.tolist() == expected.tolist()
    assert {7, 8} <= set(found.tolist()) < set(range(90))
    assert near_duplicates(x_train, x_test, None).size == 0
    # Far from the origin, where squares are large and differences small.
    far = near_duplicates(x_train + 1000, x_test + 1000, 0.9)
    assert {7, 8} <= set(far.tolist())
    assert abs(len(far) - len(found)) <= 1
    same = np.ones((4, 2), dtype=np.float32)
    assert near_duplicates(same, same, 0.5).size == 0


def test_weight_decay_is_that_of_all_conditions(plan: Plan, data: Dataset):
    found = planned(plan, data, mem_of(data), models=4, weight_decay=0.01)
    assert {task.arm.weight_decay for task in found.plan.tasks} == {0.01}  # pyright: ignore


def test_without_test_examples_there_is_nothing_to_lose(plan: Plan, data: Dataset):
    with pytest.raises(BadInput, match="test examples"):
        plan_removal(plan, RemovalConfig(), mem_of(data), data.x_train, data.x_test[:0])


def test_it_is_no_part_of_what_a_run_is():
    assert config_digest(make_config([{}])) == config_digest(make_config([{"removal": {}}]))
    with pytest.raises(BadInput, match="named twice"):
        make_config([{"removal": {"thresholds": [0.1, 0.10]}}])
    with pytest.raises(BadInput, match=r"removal\.models"):
        make_config([{"removal": {"models": 1}}])


def carry_out(out: Path, data: Dataset, removal: dict[str, Any] | None) -> dict[str, Any]:
    config = configure(None, {**SETTINGS, **({} if removal is None else {"removal": removal})})
    pipeline.run(config, out, command_line="audit run", listener=Quiet(), data=data)
    return json.loads((out / "run.json").read_text())


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory, data: Dataset) -> tuple[Path, dict[str, Any]]:
    """A run, and the experiment added to it later."""
    out = tmp_path_factory.mktemp("removal") / "run"
    carry_out(out, data, None)
    before = {p.name: p.read_bytes() for p in (out / "results").glob("*.parquet")}
    summary = json.loads((out / "results/summary.json").read_text())
    manifest = carry_out(out, data, {"models": 5, "thresholds": [0.3, 0.9]})
    assert {p.name: p.read_bytes() for p in (out / "results").glob("*.parquet")} == before
    after = json.loads((out / "results/summary.json").read_text())
    experiment = after.pop("removal")
    assert after == summary
    return out, {**manifest, "experiment": experiment}


def test_nobody_trains_on_what_was_removed(added: tuple[Path, dict[str, Any]], data: Dataset):
    out, manifest = added
    n, models = len(data.x_train), range(MODELS, MODELS + 5)
    drawn = membership(n, models, p=0.7, design="poisson", seed=0)
    seen = {
        name: read_outputs(out, manifest, name).membership
        for name in ("removal-none", "removal-mem-0.3", "removal-random-0.3")
    }
    assert np.array_equal(seen["removal-none"], drawn)
    removed = ~seen["removal-mem-0.3"] & drawn
    everywhere = (removed == drawn).all(axis=0) & drawn.any(axis=0)
    assert 0 < everywhere.sum() <= manifest["removal"]["removed"]["0.3"]
    at_random = ~seen["removal-random-0.3"] & drawn
    assert (at_random.sum(axis=1) <= manifest["removal"]["removed"]["0.3"]).all()
    assert len(np.unique(at_random, axis=0)) == 5


def test_losses_are_those_of_the_outputs(added: tuple[Path, dict[str, Any]]):
    out, manifest = added
    right = {
        name: read_outputs(out, manifest, name).test_correct.mean()
        for name in ("removal-none", "removal-mem-0.3", "removal-random-0.3")
    }
    row = manifest["experiment"]["thresholds"][0]["all"]
    none, mem, random = right.values()
    assert row["loss_memorized"]["value"] == pytest.approx(none - mem, abs=1e-12)
    assert row["loss_random"]["value"] == pytest.approx(none - random, abs=1e-12)
    assert row["difference"]["value"] == pytest.approx(random - mem, abs=1e-12)


def test_a_verifier_finds_what_was_removed_and_what_was_not(
    added: tuple[Path, dict[str, Any]],
):
    out, manifest = added

    def check(facts: dict[str, Any]) -> bool | None:
        found = manifest_checks(out, {**manifest, "removal": facts})
        return next(c.holds for c in found if c.what == "removal")

    facts = manifest["removal"]
    assert check(facts) is True
    assert check({**facts, "removed": {**facts["removed"], "0.3": 1}}) is False
    assert check({**facts, "first": facts["first"] + 1}) is False
    other = {**facts["removed_sha256"], "0.3": "00"}
    assert check({**facts, "removed_sha256": other}) is False
    # Begun, and not finished.
    assert check({**facts, "models": facts["models"] + 1}) is None


def test_an_experiment_that_is_not_finished_takes_nothing_from_the_run(
    added: tuple[Path, dict[str, Any]],
):
    out, manifest = added
    shards = {k: v for k, v in manifest["shards"].items() if not k.startswith("removal-random")}
    results = estimate_run(out, {**manifest, "shards": shards}, read_labels(out, manifest))
    assert "removal" not in results.summary
    assert results.summary["arms"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_out", [999_999]),
        ("left_out", [-1]),
        ("left_out", ["a"]),
        ("left_out", [True]),
        ("left_out", [3, 3]),
        ("thresholds", ["0.3", "0.9"]),
        ("thresholds", [None]),
        ("thresholds", []),
        ("removed", {}),
        ("removed", {"0.3": -1, "0.9": 0}),
        ("removed", {"0.3": 10**9, "0.9": 0}),
        ("removed_sha256", {"0.3": "00"}),
        ("models", 10**7),
        ("first", -1),
        ("settings", {}),
        ("settings", {"models": "many"}),
    ],
)
def test_a_hostile_experiment_in_run_json_is_refused_by_name(
    field: str, value: Any, added: tuple[Path, dict[str, Any]], tmp_path: Path
):
    _, manifest = added
    run = tmp_path / "hostile"
    run.mkdir()
    edited = {**manifest, "removal": {**manifest["removal"], field: value}}
    (run / "run.json").write_text(json.dumps(edited))
    with pytest.raises(BadInput, match=r"removal\.") as refused:
        read_manifest(run)
    assert "\n" not in str(refused.value)


def test_what_cannot_be_is_refused_before_anything_is_trained(tmp_path: Path, data: Dataset):
    config = configure(
        None,
        {"model": "sklearn.tree:DecisionTreeClassifier", "models": 6,
         "removal": {"weight_decay": 0.1}},
    )  # fmt: skip
    with pytest.raises(BadInput, match="setting of networks"):
        pipeline.run(config, tmp_path / "r", command_line="audit run", listener=Quiet(), data=data)
    assert not (tmp_path / "r").exists()


def test_it_goes_on_unasked_and_with_no_other_settings(
    added: tuple[Path, dict[str, Any]], data: Dataset
):
    out, _ = added
    with pytest.raises(BadInput, match=r"removal\.models = 7"):
        carry_out(out, data, {"models": 7, "thresholds": [0.3, 0.9]})
    results = (out / "results/summary.json").read_bytes()
    (out / "shards/removal-mem-0.3/6-10.safetensors").unlink()
    carry_out(out, data, None)
    assert (out / "results/summary.json").read_bytes() == results


def test_an_experiment_that_does_not_follow_from_the_run_is_begun_anew(
    added: tuple[Path, dict[str, Any]], data: Dataset
):
    out, manifest = added
    results = (out / "results/summary.json").read_bytes()
    path = out / "run.json"
    edited = json.loads(path.read_text())
    edited["removal"]["removed"]["0.3"] = 1
    path.write_text(json.dumps(edited))
    again = carry_out(out, data, None)
    assert again["removal"] == manifest["removal"]
    assert (out / "results/summary.json").read_bytes() == results


def test_a_learner_has_no_weight_decay(plan: Plan, data: Dataset):
    arms = tuple(replace(arm, arm=LearnerArm("standard")) if arm.name == "standard" else arm
                 for arm in plan.arms)  # fmt: skip
    with pytest.raises(BadInput, match="setting of networks"):
        planned(replace(plan, arms=arms), data, mem_of(data), weight_decay=0.1)
