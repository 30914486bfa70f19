"""What the machine that leads a run sees of its cluster: progress, losses, unlike workers."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from audit.training import ray_errors
from audit.training.cohort_task import CohortOutput
from audit.training.ray_progress import Progress

_LOOK_SECONDS = 2.0


class Watch:
    """What the driver knows of running cohorts, without ever waiting for it."""

    def __init__(self, ray: Any, say: Callable[[str], None]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._say = ray, say
        # Beside the driver, whose node's loss ends the run anyway.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        progress = ray.remote(Progress)
        self.actor = progress.options(
            num_cpus=0, max_restarts=-1, scheduling_strategy=here
        ).remote()  # fmt: skip
        self._asked: Any = None
        self._fractions: dict[str, float] = {}
        self._starts: dict[str, set[str]] = {}
        self._nodes: set[str] = set()
        self._looked = -math.inf

    def running(self, keys: set[str]) -> dict[str, float]:
        """Finished fractions of those of ``keys`` that have begun.

        Raises:
            AuditError: one was begun more often than it may be. Ray does not end this itself where
                its memory monitor kills workers: it would try forever.
        """
        if self._asked is None:
            self._asked = self.actor.read.remote()
        elif self._ray.wait([self._asked], timeout=0)[0]:
            reference, self._asked = self._asked, None
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._fractions, starts = self._ray.get(reference)
                self._note_starts(starts)
        self._note_nodes()
        return {key: self._fractions[key] for key in keys & self._fractions.keys()}

    def _note_nodes(self) -> None:
        """A node may be lost before its worker has said that it began a cohort."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        if gone := len(self._nodes - alive):
            self._say(
                f"{gone} of {len(self._nodes)} nodes left the cluster: others train what they had"
            )
        self._nodes = alive

    def _note_starts(self, starts: dict[str, set[str]]) -> None:
        for key, found in starts.items():
            known = self._starts.setdefault(key, set())
            before = len(known)
            known |= found
            if len(known) > max(1, before):
                self._say(f"a worker was lost: {key} is trained again by another")
            if len(known) > 1 + ray_errors.RETRIES:
                raise ray_errors.lost(key)


class Arithmetics:
    """With which instructions the workers calculate: told once, where they differ."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._seen: dict[str, None] = {}

    def note(self, output: CohortOutput) -> None:
        said = output.notes["trained_on"]
        parts = [said[name] for name in ("blas_kernels", "vectors", "gpu")]
        before = len(self._seen)
        self._seen[", ".join(str(part) for part in parts if part is not None)] = None
        if before == 1 and len(self._seen) == 2:
            self._say(
                f"workers calculate with different instructions ({' | '.join(self._seen)}): the "
                "last bits of results depend on who trained what (docs/cluster.md)"
            )
