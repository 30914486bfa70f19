"""Cohorts on a real Ray cluster: the same outputs as here, whatever happens to its nodes."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.registry import register_implementation

from audit.config import RunConfig
from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.errors import AuditError, BadInput
from audit.missing_cohorts import _arrays
from audit.plan import make_plan
from audit.resolve import load_data
from audit.training import ray_address, ray_errors, ray_executor
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortOutput, CohortTask, TrainingData
from audit.training.execution import Execution, make_execution
from audit.training.executors import one_thread
from audit.training.ray_executor import RayCluster, connected, run_ray
from audit.training.ray_watch import Arithmetics
from audit.training.ray_worker import program
from audit.training.shared_folder import SharedFolder, leave
from tests.training.clusters import add_node, is_training, kill, three_nodes
from tests.training.learners import PATH
from tests.training.outputs import assert_same

STUDY = {
    "data": "digits",
    "models": 8,
    "cohort_size": 1,
    "clusters_per_class": 1,
    "standard": {"epochs": 4},
    "dp": {"epochs": 4},
}


ELSEWHERE = """
from fsspec.implementations.local import LocalFileSystem

class Elsewhere(LocalFileSystem):
    '''A storage that cannot be memory-mapped, as far as anyone knows.'''
    protocol = ("elsewhere",)

    @classmethod
    def _strip_protocol(cls, path):
        return LocalFileSystem._strip_protocol(str(path).removeprefix("elsewhere://"))
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three nodes, with a plug-in for the storage elsewhere:// as others have one for s3://."""
    plugin = tmp_path_factory.mktemp("plugin")
    (plugin / "elsewhere.py").write_text(ELSEWHERE)
    described = plugin / "elsewhere-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Name: elsewhere\nVersion: 1\n")
    (described / "entry_points.txt").write_text("[fsspec.specs]\nelsewhere = elsewhere:Elsewhere\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(plugin))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(plugin), os.environ.get("PYTHONPATH", "")]))
        register_implementation("elsewhere", "elsewhere.Elsewhere", clobber=True)
        with three_nodes() as cluster:
            yield cluster


@pytest.fixture(scope="module")
def ray(nodes: Any) -> Iterator[RayCluster]:
    """One connection for all tests: each new one would start, and import, three workers anew."""
    with connected(Execution("ray", nodes.address)) as cluster:
        assert cluster is not None
        yield cluster


def sharing(cluster: RayCluster, url: str) -> RayCluster:
    return RayCluster(cluster.ray, make_execution("ray", shared=url), None)


def settings(**changes: Any) -> RunConfig:
    given = {**STUDY, **changes}
    return configure(None, {name: value for name, value in given.items() if value is not None})


def study(**changes: Any) -> tuple[list[CohortTask], TrainingData]:
    plan = make_plan(settings(**changes), digits(), device="cpu")
    return list(plan.tasks), _arrays(digits(), plan.canaries)


@cache
def digits() -> Dataset:
    return load_data(settings())


def here(tasks: list[CohortTask], data: TrainingData) -> dict[str, CohortOutput]:
    with one_thread():
        return {task.key: train_cohort(task, data) for task in tasks}


def there(
    cluster: RayCluster,
    tasks: list[CohortTask],
    data: TrainingData,
    on_progress: Callable[[dict[str, float]], None] = lambda fractions: None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, CohortOutput]:
    outputs = run_ray(
        cluster, tasks, data, digest="d" * 64, expected=program(), on_progress=on_progress, say=say
    )
    return {task.key: output for task, output in outputs}


def test_a_node_is_killed_and_the_outputs_are_the_same(nodes: Any, ray: RayCluster) -> None:
    tasks, data = study(models=7, model=f"{PATH}patient", standard=None, dp=None)
    said: list[str] = []

    def on_progress(running: dict[str, float]) -> None:
        last = nodes.list_all_nodes()[-1]
        # A core each, so with three cohorts that have said they began, each node has one.
        if len(nodes.list_all_nodes()) == 3 and len(running) == 3 and is_training(last):
            kill(nodes, last)

    theirs = there(ray, tasks, data, on_progress, said.append)
    add_node(nodes)
    lost = [line for line in said if line.startswith("a worker was lost")]
    assert len(lost) == 1, said
    assert "1 of 3 nodes left the cluster: others train what they had" in said
    assert_same(here(tasks, data), theirs)
    assert {output.notes["trained_on"]["executor"] for output in theirs.values()} == {"ray"}


def test_it_is_told_how_far_cohorts_are(ray: RayCluster) -> None:
    tasks, data = study(models=1, standard={"epochs": 1500})
    seen: list[dict[str, float]] = []
    # Without its cross-check, which would repeat all these steps in a loop: minutes.
    there(ray, [replace(tasks[0], checked_model=None)], data, seen.append)
    assert any(0 < fraction < 1 for running in seen for fraction in running.values())


@pytest.mark.parametrize("kind", ["gradient", "mislabeled"])
def test_outputs_go_through_a_shared_folder(
    ray: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Both kinds of canaries: planted rows are arrays that workers need too."""
    seen: dict[str, int] = {}
    put = ray_executor.SharedFolder.put

    def looked_at(folder: Any, data: TrainingData) -> Any:
        held = put(folder, data)
        (made,) = tmp_path.iterdir()
        seen["mode"] = stat.S_IMODE(made.stat().st_mode)
        seen["arrays"] = len(list(made.glob("*.npy")))
        return held

    monkeypatch.setattr(ray_executor.SharedFolder, "put", looked_at)
    tasks, data = study(models=1, canary_kind=kind, canaries=5)
    assert_same(here(tasks, data), there(sharing(ray, f"file://{tmp_path}"), tasks, data))
    assert seen == {"mode": 0o700, "arrays": 4 if kind == "gradient" else 6}
    assert list(tmp_path.iterdir()) == []


def test_a_remote_folder_is_copied_to_each_node(ray: RayCluster, tmp_path: Path) -> None:
    tasks, data = study(models=1)
    copies: list[Path] = []
    modes: set[int] = set()

    def look(running: dict[str, float]) -> None:
        del running
        (run,) = tmp_path.iterdir()
        folder = Path(tempfile.gettempdir()) / f"{run.name}.copies"
        if (folder / "y_test.npy").exists():
            copies[:] = sorted(folder.glob("*.npy"))
            modes.add(stat.S_IMODE(folder.stat().st_mode))

    outputs = there(sharing(ray, f"elsewhere://{tmp_path}"), tasks, data, look)
    assert_same(here(tasks, data), outputs)
    assert [path.stem for path in copies] == ["x_test", "x_train", "y_test", "y_train"]
    assert modes == {0o700}
    assert not copies[0].parent.exists()
    assert list(tmp_path.iterdir()) == []


def test_copies_that_may_be_left_on_a_node_are_said(
    ray: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def refused(url: str) -> None:
        raise PermissionError(url)

    monkeypatch.setattr(ray_executor, "forget", refused)
    tasks, data = study(models=1)
    outputs = there(sharing(ray, f"elsewhere://{tmp_path}"), tasks, data, say=said.append)
    assert len(outputs) == len(tasks)
    (line,) = [line for line in said if "may be left" in line]
    left = Path(line.split("remove ")[1].split(" there")[0])
    assert left.is_dir()
    shutil.rmtree(left)


def test_a_changed_file_in_a_shared_folder_is_refused(tmp_path: Path) -> None:
    tasks, data = study(models=1)
    output = here(tasks[:1], data)[tasks[0].key]
    folder = SharedFolder(f"file://{tmp_path}", "d" * 64)
    left = leave(output, "standard/0-0", folder.url)
    (run,) = tmp_path.iterdir()
    content = bytearray((run / left.file).read_bytes())
    content[-1] ^= 1
    (run / left.file).write_bytes(content)
    with pytest.raises(AuditError, match="its SHA-256 differs"):
        folder.take(left)
    with pytest.raises(BadInput, match=r"shared = .*cannot be written"):
        SharedFolder("file:///proc/nowhere", "d" * 64)
    with pytest.raises(BadInput, match=r"shared = .*cannot be written"):
        SharedFolder("nosuchstorage://x", "d" * 64)


def test_what_a_worker_finds_wrong_comes_out_as_it_is(ray: RayCluster) -> None:
    """And what finished with it is kept first."""
    tasks, data = study(models=1, model=f"{PATH}raises", standard=None, dp=None)
    with pytest.raises(BadInput, match="the learner's own words") as caught:
        there(ray, tasks, data)
    assert caught.value.name == "model"
    assert "\n" not in str(caught.value)


def test_a_cohort_that_kills_its_workers_ends_the_run(
    ray: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_errors, "RETRIES", 1)
    tasks, data = study(models=1, model=f"{PATH}dies", standard=None, dp=None)
    with pytest.raises(AuditError, match=r"given to 2 workers.*Finished cohorts are kept"):
        there(ray, tasks, data)


def test_a_worker_with_another_program_trains_nothing(ray: RayCluster) -> None:
    tasks, data = study(models=1)
    ours = program((f"{PATH}nearest",))
    for other, words in (
        (replace(ours, source="0" * 64), "audit's source .* here 000000000000"),
        (replace(ours, versions={**ours.versions, "numpy": "0.1"}), "numpy is .* here 0.1"),
        (replace(ours, code={f"{PATH}nearest": "0" * 64}), "the code of tests.training.learners"),
    ):
        with pytest.raises(AuditError, match=f"has another program: {words}"):
            list(run_ray(ray, tasks[:1], data, digest="d" * 64, expected=other))


def test_a_gpu_is_one_of_each_worker_and_ray_says_which(ray: RayCluster) -> None:
    with pytest.raises(BadInput, match="device = 'cuda:1'"):
        ray.device("cuda:1")
    assert (ray.device("auto"), ray.device("cpu"), ray.device("cuda")) == ("cpu", "cpu", "cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the node would have what it claims")
def test_a_gpu_is_looked_for_on_the_worker(nodes: Any, ray: RayCluster) -> None:
    """This machine need not have one; the node that says it has one is asked."""
    from audit.pipeline import _plan

    node = add_node(nodes, num_gpus=1)
    assert ray.device("auto") == "cuda"
    with pytest.raises(BadInput, match="device = 'cuda': cannot be used"):
        _plan(settings(), digits(), "cuda", ray)
    kill(nodes, node)


def test_an_address_where_no_cluster_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BadInput, match="something else listens"):
            ray_address.refuse_unreachable(f"127.0.0.1:{port}")
    with pytest.raises(BadInput, match="Connection refused"):
        ray_address.refuse_unreachable(f"ray://127.0.0.1:{port}")
    for nonsense in ("", "somewhere", "host:", "host:port", "host:0", "host:70000", ":6379"):
        with pytest.raises(BadInput, match="must be auto, HOST:PORT"):
            ray_address.refuse_unreachable(nonsense)


def test_options_of_a_cluster_need_one() -> None:
    assert make_execution() == make_execution("local") == Execution()
    for options in ({"address": "auto"}, {"executor": "local", "shared": "file:///nfs"}):
        with pytest.raises(BadInput, match="is for a cluster"):
            make_execution(**options)
    with pytest.raises(BadInput, match="must be local or ray"):
        make_execution("spark")
    with pytest.raises(BadInput, match="holds a password") as caught:
        make_execution("ray", shared="ftp://me:secret@host/folder")
    assert "secret" not in str(caught.value)


def test_workers_that_calculate_differently_are_told_of_once() -> None:
    tasks, data = study(models=1)
    output = here(tasks[:1], data)[tasks[0].key]
    said: list[str] = []
    watch = Arithmetics(said.append)
    for kernels in ("SkylakeX", "SkylakeX", "Haswell", "SkylakeX", "Zen"):
        on = {"blas_kernels": kernels, "vectors": "AVX2", "gpu": None}
        watch.note(replace(output, notes={"trained_on": on}))
    assert len(said) == 1
    assert "SkylakeX, AVX2 | Haswell, AVX2" in said[0]
