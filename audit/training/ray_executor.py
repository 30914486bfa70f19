"""Cohorts as tasks of a Ray cluster: its nodes train, this machine leads the run.

A cohort is the same wherever it is trained (one thread, draws of its own), so a lost worker costs
time and nothing else: Ray gives its cohort to another. Ray is imported when a cluster is asked for,
and not before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from audit.errors import BadInput
from audit.training import ray_errors
from audit.training.cohort_task import CohortOutput, CohortTask, TrainingData
from audit.training.execution import Execution
from audit.training.executors import cores
from audit.training.ray_address import refuse_unreachable
from audit.training.ray_errors import first_line, plain_errors
from audit.training.ray_watch import Arithmetics, Watch
from audit.training.ray_worker import Program, train_on_worker
from audit.training.shared_folder import SharedFolder, copies_of, forget, is_on_this_machine

_POLL_SECONDS = 0.5
_CLEANING_SECONDS = 120
# Read when a worker starts, before it imports NumPy. A sum split between threads would not be the
# same on each run, and each core has a worker of its own.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# With which a user makes unlike processors calculate alike: what holds here holds on every node.
_ARITHMETIC = (
    *("OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "MKL_CBWR"),
    *("ONEDNN_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES"),
)


class RayCluster:
    """A cluster that this process is connected to."""

    def __init__(self, ray: Any, execution: Execution, dashboard: str | None) -> None:
        self.ray = ray
        self.shared = execution.shared
        self.dashboard = dashboard

    def device(self, name: str) -> str:
        """What trains, for ``--device name``: a GPU of each worker's own, or its processor.

        Raises:
            BadInput: one GPU among several: which one a worker has is Ray's to say.
        """
        if name == "auto":
            return "cuda" if self.workers("cuda") else "cpu"
        if name not in ("cpu", "cuda"):
            raise BadInput(
                "device", name, "cannot be chosen on a cluster: Ray gives each cohort a GPU of "
                "its own, or a core", "Use --device cuda or --device cpu",
            )  # fmt: skip
        return name

    def workers(self, device: str) -> int:
        """Cohorts that the cluster, as it is now, trains at the same time."""
        return int(self.ray.cluster_resources().get("GPU" if device == "cuda" else "CPU", 0))

    def call(self, function: Callable[..., Any], *arguments: Any, device: str) -> Any:
        """``function(*arguments)`` on a worker that has ``device``.

        Raises:
            AuditError: what the function raises, or the worker was lost too often.
        """
        with plain_errors(self.ray):
            return self.ray.get(self.task(function, device).remote(*arguments))

    def task(self, function: Callable[..., Any], device: str) -> Any:
        gpus = {"num_gpus": 1} if device == "cuda" else {}
        return self.ray.remote(function).options(
            num_cpus=1, max_retries=ray_errors.RETRIES, runtime_env=_environment(), **gpus
        )

    def on_each_node(self, function: Callable[..., Any], *arguments: Any) -> dict[Any, str]:
        """Have every node call ``function(*arguments)``; Ray's reference → the node's address.

        In the environment of the tasks: a worker that has trained is there, and imports nothing.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        called = {}
        for node in self.ray.nodes():
            if node["Alive"]:
                there = self.ray.remote(function).options(
                    num_cpus=0,
                    max_retries=0,
                    runtime_env=_environment(),
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                )
                called[there.remote(*arguments)] = node["NodeManagerAddress"]
        return called


def _environment() -> dict[str, dict[str, str]]:
    given = {name: os.environ[name] for name in _ARITHMETIC if name in os.environ}
    return {"env_vars": {**dict.fromkeys(_ONE_THREAD, "1"), **given}}


@contextmanager
def connected(execution: Execution) -> Iterator[RayCluster | None]:
    """The cluster of ``execution``, until the end of the block; None where this machine trains.

    A cluster of this run's own ends with the block; another is left as it was.

    Raises:
        BadInput: Ray is missing, or the cluster does not answer.
    """
    if execution.executor == "local":
        yield None
        return
    # This tool makes no calls of its own to a network: Ray's statistics would be one.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray warns of a change to come in what a task without GPUs sees; cohorts on a CPU look at none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise BadInput(
            "executor", "ray", f"needs Ray, which cannot be imported ({error})",
            "pip install 'longtail-audit[ray]'",
        ) from error  # fmt: skip
    if ray.is_initialized():
        # A program or notebook that has its own connection keeps it.
        if execution.address is not None:
            raise BadInput(
                "address", execution.address, "is for a process that is not connected to Ray yet",
                "Leave it out: the connection that is there is used",
            )  # fmt: skip
        yield RayCluster(ray, execution, None)
        return
    address = execution.address or os.environ.get("RAY_ADDRESS") or None
    opened = _own_cluster(ray) if address is None else _existing_cluster(ray, address)
    with opened as dashboard:
        _keep_quiet(ray)
        yield RayCluster(ray, execution, dashboard)


@contextmanager
def _existing_cluster(ray: Any, address: str) -> Iterator[str | None]:
    refuse_unreachable(address)
    try:
        context = _init(ray, address=address)
    # Whatever Ray raises where versions, tokens or addresses do not fit.
    except Exception as error:
        ray.shutdown()
        raise BadInput(
            "address", address, f"is no Ray cluster that this can join ({first_line(error)})",
            "Run this on a node of the cluster, with its versions of Python and Ray and its token "
            "(RAY_AUTH_TOKEN), or from outside with ray://HOST:10001",
        ) from error  # fmt: skip
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()


@contextmanager
def _own_cluster(ray: Any) -> Iterator[None]:
    """A cluster of this machine alone, with files that nobody else can read.

    Other users of the machine reach its ports. Ray from 2.59 on asks them for a token that only
    this user can read; so there is no dashboard, which in earlier versions takes jobs from anyone.
    """
    # Ray opens its own folder to everyone (mode 777), so that lies inside one of mode 700.
    folder = tempfile.mkdtemp(prefix="audit-ray-")
    before = set(os.environ)
    try:
        _init(
            ray, address="local", num_cpus=cores(), include_dashboard=False, _temp_dir=f"{folder}/r"
        )  # fmt: skip
        yield None
    except (OSError, ValueError, RuntimeError) as error:
        if ray.is_initialized():
            raise
        raise BadInput(
            "executor", "ray", f"cannot start on this machine ({first_line(error)})",
            "Set TMPDIR to a short path with room, or use --executor local",
        ) from error  # fmt: skip
    finally:
        ray.shutdown()
        _remove(folder)
        # Ray has noted there that it uses a token: another cluster may have none.
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            if name not in before:
                del os.environ[name]


def _remove(folder: str) -> None:
    """Ray's last processes write logs for a moment after it says that it has ended."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


def _init(ray: Any, **options: Any) -> Any:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
    finally:
        # Ray's own would end this process at once; the command line's ends it in order.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _keep_quiet(ray: Any) -> None:
    """Not Ray's own account of each lost worker, with pages of logs: this module says it in a line.

    There is no option for it. Where this attribute is gone, the lines are merely there.
    """
    worker = getattr(ray._private.worker, "global_worker", None)
    subscriber = getattr(worker, "gcs_error_subscriber", None)
    if subscriber is not None:
        subscriber.close()


def run_ray(
    cluster: RayCluster,
    tasks: list[CohortTask],
    data: TrainingData,
    *,
    digest: str,
    expected: Program,
    on_progress: Callable[[dict[str, float]], None] = lambda fractions: None,
    say: Callable[[str], None] = lambda text: None,
) -> Generator[tuple[CohortTask, CohortOutput], None, None]:
    """Train ``tasks`` on the workers of ``cluster``; yields each as it completes.

    Args:
        digest: of the data, to name a shared folder by.
        expected: the program that every worker must have.
        on_progress: called about twice a second with each running cohort's finished fraction.
        say: told in a line of what the user should know: lost workers, workers that calculate
            differently, a cluster without a place for any cohort.

    Raises:
        AuditError: workers were lost too often, or one cannot train as this program does; what was
            yielded stays valid.
    """
    if not cluster.workers(tasks[0].device):
        say(f"no node of the cluster has a {_place(tasks[0].device)} yet: waiting for one")
    with _folder(cluster, digest, say) as folder:
        ray = cluster.ray
        watch, arithmetics = Watch(ray, say), Arithmetics(say)
        # Once, for all cohorts: on a node they read the same memory.
        held = ray.put(data) if folder is None else folder.put(data)
        url = None if folder is None else folder.url
        train = cluster.task(train_on_worker, tasks[0].device)
        pending: dict[Any, CohortTask] = {
            train.remote(task, held, expected, watch.actor, url): task for task in tasks
        }
        try:
            while pending:
                done, _ = ray.wait(list(pending), num_returns=1, timeout=_POLL_SECONDS)
                # A cohort that failed ends the run: those that finished with it are kept first.
                failed: Exception | None = None
                if done:
                    done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=0)
                for reference in done:
                    task = pending.pop(reference)
                    try:
                        with plain_errors(ray, task.key):
                            output = ray.get(reference)
                        if folder is not None:
                            output = folder.take(output)
                    except Exception as error:
                        failed = failed or error
                        continue
                    arithmetics.note(output)
                    yield task, output
                if failed is not None:
                    raise failed
                # May find that a cohort was lost too often: after those that are done were kept.
                on_progress(watch.running({task.key for task in pending.values()}))
        finally:
            for reference in pending:
                with contextlib.suppress(Exception):  # one that has ended cannot be cancelled
                    ray.cancel(reference, force=True)


@contextmanager
def _folder(
    cluster: RayCluster, digest: str, say: Callable[[str], None]
) -> Iterator[SharedFolder | None]:
    """The run's folder in the shared one, removed at the end with all copies that nodes made."""
    if cluster.shared is None:
        yield None
        return
    folder = SharedFolder(cluster.shared, digest)
    try:
        yield folder
    finally:
        try:
            if not is_on_this_machine(folder.url):
                _forget(cluster, folder.url, say)
        finally:
            folder.remove(say)


def _forget(cluster: RayCluster, url: str, say: Callable[[str], None]) -> None:
    """Remove the copies on all nodes; ``say`` is told in a line where that is not known to be done.

    The cohorts are trained by then: what is left behind must not cost the run its end.
    """
    cleaning = cluster.on_each_node(forget, url)
    # A node without a worker starts one: half a minute where the cores are taken.
    done, late = cluster.ray.wait(
        list(cleaning), num_returns=len(cleaning), timeout=_CLEANING_SECONDS
    )
    left = [cleaning[reference] for reference in late]
    for reference in done:
        try:
            cluster.ray.get(reference)
        except Exception:  # the node was lost meanwhile, or its folder cannot be removed
            left.append(cleaning[reference])
    if left:
        say(
            f"copies of the training data may be left on {', '.join(sorted(left))}: "
            f"remove {copies_of(url)} there by hand"
        )


def _place(device: str) -> str:
    return "GPU" if device == "cuda" else "core"
