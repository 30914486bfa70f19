"""From a configuration to what a run is made of: data, device."""

from __future__ import annotations

import sys
from pathlib import Path

from audit import provenance
from audit.config import RunConfig
from audit.data.dataset import Dataset
from audit.data.examples import Examples
from audit.data.groupings import group
from audit.data.registry import load_examples
from audit.errors import BadInput
from audit.training.executors import cores
from audit.training.learners import is_learner
from audit.training.ray_executor import RayCluster


def load_data(config: RunConfig) -> Dataset:
    """The data set that ``config`` names."""
    data = grouped(read_examples(config), config)
    if (arrow := sys.modules.get("pyarrow")) is not None:
        # It keeps what a table took until the process ends: as much again as the data, all night.
        arrow.default_memory_pool().release_unused()
    return data


def read_examples(config: RunConfig) -> Examples:
    """The examples of the data set that ``config`` names, not yet grouped."""
    return load_examples(
        config.data,
        label=config.label,
        seed=config.seed,
        test_fraction=config.test_fraction,
        data_root=Path(config.data_root) if config.data_root else None,
    )


def grouped(examples: Examples, config: RunConfig) -> Dataset:
    """The data set of ``examples`` with the groupings that ``config`` asks for."""
    return group(
        examples,
        config.subgroups,
        clusters_per_class=config.clusters_per_class,
        seed=config.seed,
    )


def resolve_device(name: str) -> str:
    """``auto`` is the GPU if there is one.

    Raises:
        BadInput: a device that this machine or this torch does not have.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if torch.device(name).type not in ("cpu", "cuda"):
            raise RuntimeError("only cpu and cuda can train")
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadInput(
            "device", name, f"cannot be used ({str(error).splitlines()[0]})", "Use --device auto"
        ) from error
    return name


def hardware_of(device: str) -> dict[str, object]:
    """This machine, and the model of the GPU that trains; None on a CPU."""
    import torch

    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {**provenance.hardware(device, cores() if device == "cpu" else 1), "gpu": gpu}


def training_device(config: RunConfig, cluster: RayCluster | None = None) -> str:
    """What trains; on a ``cluster`` a device of its workers, which this machine need not have.

    Raises:
        BadInput: there is no such device, or the model takes none.
    """
    if not is_learner(config.model):
        if cluster is not None:
            return cluster.device(config.device)
        return resolve_device(config.device)
    if config.device not in ("auto", "cpu"):
        raise BadInput(
            "device",
            config.device,
            f"is for networks; {config.model} trains itself where it chooses to",
            "Leave it out",
        )
    return "cpu"
