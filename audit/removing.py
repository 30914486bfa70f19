"""The removal experiment of a run: its models are trained once memorization is known."""

from __future__ import annotations

from typing import Any

from audit.claims import STANDARD
from audit.config import RemovalConfig, RunConfig
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.estimates.memorization import memorization
from audit.missing_cohorts import Listener, train
from audit.plan import Plan
from audit.plan_removal import plan_removal
from audit.store import RunDirectory
from audit.stored_outputs import read_outputs
from audit.training.ray_executor import RayCluster


def refuse_other_removal(manifest: dict[str, Any], config: RunConfig) -> None:
    """Refuse to mix the models of two experiments.

    Raises:
        BadInput: the run has a removal experiment with other settings.
    """
    if config.removal is None or "removal" not in manifest:
        return
    there, asked = manifest["removal"]["settings"], config.removal.model_dump(mode="json")
    for field, value in asked.items():
        if there.get(field) != value:
            raise BadInput(
                f"removal.{field}",
                value,
                f"differs from {there.get(field)!r}, with which this run's experiment was begun",
                "Use the same, or another --out",
            )


def remove(
    store: RunDirectory,
    plan: Plan,
    config: RunConfig,
    data: Dataset,
    device: str,
    listener: Listener,
    cluster: RayCluster | None,
) -> None:
    """Train what is missing of the experiment; one that was begun is finished, asked for or not.

    Raises:
        BadInput: it cannot be carried out with this data or model.
    """
    begun = store.manifest.get("removal")
    settings = config.removal if begun is None else RemovalConfig.model_validate(begun["settings"])
    assert settings is not None
    outputs = read_outputs(store.path, store.manifest, STANDARD)
    mem = memorization(outputs.membership, outputs.train_correct).mem
    planned = plan_removal(
        plan,
        settings,
        mem,
        data.x_train,
        data.x_test,
        left_out=None if begun is None else begun["left_out"],
    )
    if begun != planned.described:
        if begun is not None:
            # Cohorts that were damaged and trained again elsewhere may differ in their last bits.
            listener.stage("removal: memorization is not what it was; begun anew")
            _drop(store)
        store.manifest["removal"] = planned.described
        store.write_manifest()
    listener.stage("removal: training again without what was memorized")
    train(store, planned.plan, data, device, listener, cluster)


def _drop(store: RunDirectory) -> None:
    """Forget the models of an experiment that was begun with other examples to remove."""
    shards = store.manifest["shards"]
    for key in [key for key in shards if key.partition("/")[0] not in store.manifest["arms"]]:
        del shards[key]
