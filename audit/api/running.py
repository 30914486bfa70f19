"""``audit.run``: the command of the same name, for data in memory and by name."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from audit.api.arguments import Number
from audit.api.loaded import Run, load
from audit.config import RunConfig, config_digest
from audit.data.dataset import Dataset
from audit.errors import BadInput


def run(
    x: Any = None,
    y: Any = None,
    *,
    x_test: Any = None,
    y_test: Any = None,
    groups: Any = None,
    groups_test: Any = None,
    subgroups: str | Sequence[str] = (),
    data: str | None = None,
    name: str = "arrays",
    epsilon: Number | Iterable[Number] | None = None,
    model: str | Callable[..., Any] | None = None,
    models: int | np.integer | str | None = None,
    seed: int | np.integer | None = None,
    config: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    executor: str | None = None,
    address: str | None = None,
    shared: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Train models on random subsets, with and without DP, and audit what they memorize.

    The same as the command ``audit run``: the same settings, the same run directory, and an
    interrupted run (``KeyboardInterrupt``) goes on where it stopped when it is given again. Works
    in notebooks, and in scripts with or without ``if __name__ == "__main__"``.

    Args:
        x: features, [rows, …] as a NumPy array or torch tensor (taken as they are; bytes are
            divided by 255; images are [rows, channels, height, width]), or a DataFrame (encoded as
            a CSV file would be).
        y: a label per row, whole numbers or text; for a DataFrame also the name of its column.
        x_test: the same for test rows; without it a stratified share of the rows is held out.
        y_test: their labels.
        groups: partitions to report by: a dict of name → value per row, or a DataFrame. Missing
            values are the group "(not recorded)".
        groups_test: the same for test rows.
        subgroups: which groupings, where not simply all ``groups``: columns, crossings such as
            ``"sex×race"``, ``"class"``, ``"subpopulations"`` (styles found inside classes).
        data: instead of ``x``: a data set or file as for ``audit run --data``.
        name: what to call data from memory in the report.
        epsilon: ε of one DP arm, or of several. Default 2.
        model: ``linear``, ``mlp``, ``cnn``, ``resnet``, or a function of a module (not of the
            script or notebook itself) that makes a learner; see docs/networks.md.
        models: models per arm; default ``"auto"``.
        seed: root of all random streams. Default 0.
        config: a TOML file with settings, or the name of a shipped one.
        out: run directory. Default ``runs/<name>-<digest of settings and data>``.
        executor: ``"local"`` (the default: this machine) or ``"ray"``, a cluster; see
            docs/cluster.md. The results are the same.
        address: of the Ray cluster; default ``RAY_ADDRESS``, or this process's own connection, or a
            cluster of this machine for this run.
        shared: URL of a folder that all its nodes see, instead of Ray's object store.
        progress: show on stderr how the run gets on.
        settings: any other field of the configuration (configs/README.md), e.g. ``hidden=(64,)``,
            ``delta=1e-5``, ``standard={"epochs": 20}``.

    Raises:
        BadInput: data or settings that cannot be used; one line says which, and what to do.
        CheckFailed: the engine disagrees with its reference (everything trained is kept).
        AuditError: a training process died (finished cohorts are kept).
    """
    # Not at the top: these import torch, and `audit.run` is looked at by editors and notebooks.
    from audit import pipeline
    from audit.configuring import configure
    from audit.training.execution import make_execution

    execution = make_execution(executor, address, shared)
    asked = {
        "epsilon": None if epsilon is None else _several(epsilon),
        "subgroups": _names(subgroups) or None,
        "model": model if model is None or isinstance(model, str) else model_name(model),
        "models": models,
        "seed": seed,
        **settings,
    }
    options = {key: _plain(value) for key, value in asked.items() if value is not None}
    memory = (x, y, x_test, y_test, groups, groups_test)
    _refuse_unclear_source(data, memory, settings)
    source = data if x is None else f"arrays:{name}"
    if source is not None:
        options["data"] = source
    resolved = configure(Path(config) if config is not None else None, options)
    dataset = None if x is None else _in_memory(memory, name, resolved)
    folder = Path(out) if out is not None else _default_out(resolved, dataset)
    with _listener(progress) as listener:
        outcome = pipeline.run(
            resolved,
            folder,
            command_line=_call(x is not None, options),
            listener=listener,
            data=dataset,
            execution=execution,
        )
    return load(outcome.path)


class _Silent:
    """A listener that says nothing."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def stage(self, text: str) -> None: ...

    def plan(self, plan: object, done: dict[str, int]) -> None: ...

    def progress(self, models_done: dict[str, float]) -> None: ...


def _listener(progress: bool) -> Any:
    if not progress:
        return _Silent()
    from audit.console import RunDisplay

    return RunDisplay()


def model_name(model: Callable[..., Any]) -> str:
    """``package.module:name`` of a function or class, by which worker processes find it.

    Raises:
        BadInput: it has no such name: an object, a lambda, or defined in the script or notebook.
    """
    module, name = getattr(model, "__module__", None), getattr(model, "__qualname__", None)
    rule = None
    if name is None or module is None:
        rule = "is an object; each model needs to be made anew"
    elif "<" in name or "." in name:
        rule = "is defined inside another function or class, where workers cannot find it by name"
    elif module == "__main__":
        rule = "is defined in the script or notebook itself, which worker processes do not run"
    elif getattr(importlib.import_module(module), name, None) is not model:
        rule = f"is not what {module}:{name} names"
    if rule is None:
        return f"{module}:{name}"
    raise BadInput(
        "model",
        model,
        rule,
        "Put a function that makes it into a .py file, and give that function or 'module:function'",
    )


def _names(subgroups: str | Sequence[str]) -> tuple[str, ...]:
    from audit.data.groupings import parse_subgroups

    return parse_subgroups(subgroups) if isinstance(subgroups, str) else tuple(subgroups)


def _several(epsilon: Number | Iterable[Number]) -> tuple[Any, ...]:
    if isinstance(epsilon, Iterable) and not isinstance(epsilon, str):
        return tuple(epsilon)
    return (epsilon,)


def _plain(value: Any) -> Any:
    """A setting as a configuration file would hold it: scalars of NumPy and paths become plain."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value)
    return value


def _refuse_unclear_source(
    data: str | None, memory: tuple[Any, ...], settings: dict[str, Any]
) -> None:
    x = memory[0]
    if data is not None and x is not None:
        raise BadInput("data", data, "is given beside x", "Give one of them")
    if x is None and any(value is not None for value in memory):
        raise BadInput("x", None, "is missing", "Give the features x, or leave y and groups out")
    if x is not None and settings.get("label") is not None:
        raise BadInput("label", settings["label"], "is for files", "Give the labels as y")


def _in_memory(memory: tuple[Any, ...], name: str, config: RunConfig) -> Dataset:
    from audit.data.given import given

    x, y, x_test, y_test, groups, groups_test = memory
    return given(
        x,
        y,
        x_test=x_test,
        y_test=y_test,
        groups=groups,
        groups_test=groups_test,
        name=name,
        subgroups=config.subgroups,
        clusters_per_class=config.clusters_per_class,
        seed=config.seed,
        test_fraction=config.test_fraction,
    )


def _default_out(config: RunConfig, data: Dataset | None) -> Path:
    """The command's default; for data in memory with the data's fingerprint in the digest."""
    from audit.configuring import default_out

    folder = default_out(config)
    if data is None:
        return folder
    both = f"{config_digest(config)} {data.fingerprint()}"
    digest = hashlib.sha256(both.encode()).hexdigest()[:8]
    return folder.with_name(f"{folder.name.rpartition('-')[0]}-{digest}")


def _call(in_memory: bool, options: dict[str, Any]) -> str:
    """The call for run.json, in Python, without the data themselves."""
    shown = {key: value for key, value in options.items() if not (in_memory and key == "data")}
    arguments = ["x, y"] * in_memory + [f"{key}={value!r}" for key, value in shown.items()]
    return f"audit.run({', '.join(arguments)})"
