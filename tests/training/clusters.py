"""Real Ray clusters of several nodes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

# A node that is killed is noticed after two seconds, not after fifteen.
_NOTICED_SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
_STORE = 80 * 2**20


@contextmanager
def three_nodes(**head: Any) -> Iterator[Any]:
    """A cluster of three nodes with a core each; ``cluster.address`` names it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "object_store_memory": _STORE,
            "include_dashboard": False,
            "_system_config": _NOTICED_SOON,
            **head,
        },
    )
    try:
        add_node(cluster)
        add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any, **options: Any) -> Any:
    return cluster.add_node(num_cpus=1, object_store_memory=_STORE, **options)


def is_training(node: Any) -> bool:
    """Whether a cohort is under way on ``node``: Ray names the processes of its workers so."""
    raylet = node.all_processes["raylet"][0].process.pid
    try:
        workers = psutil.Process(raylet).children(recursive=True)
        return any(worker.cmdline()[:1] == ["ray::train_on_worker"] for worker in workers)
    except psutil.Error:  # one that has ended meanwhile
        return False


def kill(cluster: Any, node: Any) -> None:
    """As a machine that is switched off: nothing says goodbye."""
    cluster.remove_node(node, allow_graceful=False)
