"""What runs inside Ray's workers. Ray is not imported here: functions are given to it by name."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from audit import provenance
from audit.errors import AuditError
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortOutput, CohortTask, TrainingData
from audit.training.executors import one_thread
from audit.training.imported import source_digest
from audit.training.shared_folder import Left, SharedData, leave

_REPORT_SECONDS = 0.5
# Versions of these can change what is trained; of the others, what is made of it on this machine.
_TRAINS = ("python", "torch", "opacus", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Program:
    """What a worker must have in common with the machine that leads the run.

    Attributes:
        source: digest of this package's files.
        versions: package → version, of all that has a part in training.
        code: ``package.module:name`` → SHA-256 of the file behind it.
    """

    source: str
    versions: dict[str, str]
    code: dict[str, str]


def program(paths: tuple[str, ...] = ()) -> Program:
    """The program on this machine; ``paths`` name the user's code that is trained."""
    found = provenance.versions()
    digests = {path: source_digest(path) for path in paths}
    return Program(
        provenance.source(),
        {name: found[name] for name in _TRAINS},
        {path: digest for path, digest in digests.items() if digest is not None},
    )


def refuse_other_program(expected: Program) -> None:
    """Refuse to train with another program than the one that leads the run.

    Raises:
        AuditError: source, a version or the user's code differs; it names the first that does.
    """
    here = program(tuple(expected.code))
    pairs = [("audit's source (SHA-256)", here.source[:12], expected.source[:12])]
    pairs += [(name, here.versions[name], there) for name, there in expected.versions.items()]
    pairs += [
        (f"the code of {path} (SHA-256)", here.code.get(path, "none")[:12], digest[:12])
        for path, digest in expected.code.items()
    ]
    for what, found, wanted in pairs:
        if found != wanted:
            raise AuditError(
                f"worker on {socket.gethostname()} has another program: {what} is {found}, here "
                f"{wanted}. Its models would not be those of this audit: install the same on every "
                "node, and give the same command again (finished cohorts are kept)."
            )


def arithmetic() -> dict[str, Any]:
    """What the last bits of results depend on, of the machine this runs on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "executor": "ray",
        "processor": provenance.processor(),
        "blas_kernels": provenance.blas_kernels(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "gpu": gpu,
    }


def train_on_worker(
    task: CohortTask,
    data: TrainingData | SharedData,
    expected: Program,
    progress: Any,
    shared: str | None,
) -> CohortOutput | Left:
    """Train a cohort; its output comes back, or is left in the folder ``shared``."""
    progress.started.remote(task.key, secrets.token_hex(8))
    refuse_other_program(expected)
    opened = data.open() if isinstance(data, SharedData) else data
    with one_thread():
        output = train_cohort(task, opened, _throttled(task, progress))
    output = replace(output, notes={**output.notes, "trained_on": arithmetic()})
    return output if shared is None else leave(output, task.key, shared)


def _throttled(task: CohortTask, progress: Any) -> Callable[[int], None]:
    last = 0.0

    def report(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS:
            last = now
            progress.reached.remote(task.key, done / task.total_steps)

    return report
