# ruff: noqa: E402 — the environment must be set before libraries read it
"""The ensemble against (a) a plain PyTorch loop and (b) the Opacus loop: same work, same cores.

Same models, steps, Poisson minibatches and network; both sides use every core, one process per
core with one thread each (the fastest arrangement for both at these sizes). Rounds interleave the
sides, so that a busy machine slows all of them; a ratio is taken within a round. The floor of a
step is its products at the measured rate of a large product, plus its noise. Variables that keep
a library from its fastest kernels are lifted, and named. Run:

    python benchmarks/ensemble_vs_opacus.py [--config digits] [--rounds 5] [--steps N]

``--steps`` shortens the training of every side and leaves out the ensemble's evaluation.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in workers
# Each library multiplies with the kernels it picks itself: a restriction would slow one side alone.
_RESTRICTIONS = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY"),
    *("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "NPY_DISABLE_CPU_FEATURES"),
)
dropped = {name: os.environ.pop(name) for name in _RESTRICTIONS if name in os.environ}

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from audit.config import RunConfig
from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.inclusion import membership
from audit.plan import make_plan
from audit.provenance import hardware, versions
from audit.resolve import load_data
from audit.training.arms import Arm
from audit.training.blas import one_thread_in_workers
from audit.training.engines import Engine, train_ensemble
from audit.training.evaluation import evaluate_cohort
from audit.training.executors import cores
from audit.training.learners import Estimator
from audit.training.models import Model
from audit.training.noise import Noise, noise_generator
from audit.training.opacus_loop import model_minibatches, train_private, train_standard

_state: dict[str, Any] = {}


@dataclass(frozen=True)
class Work:
    """What a side trains: the plan's constants of one arm."""

    arm: Arm
    model: Model
    engine: Engine
    config: RunConfig


@dataclass(frozen=True)
class Side:
    """One way to train an arm: a name, the arm, and how many models each core trains per round, in
    cohorts one after the other."""

    name: str
    arm: str
    way: str
    cohort: int
    cohorts: int = 1
    steps_share: float = 1.0
    """Of the steps that are asked for; less where a step takes a tenth of a second."""

    @property
    def models_per_core(self) -> int:
        return self.cohort * self.cohorts


def sides_of(cohort: int, small: bool) -> list[Side]:
    """What is compared. A side of small models trains for about half a second per round."""
    cohorts = 3 if small else 1
    few = 1.0 if small else 0.1
    return [
        Side("ensemble, standard", "standard", "ensemble", cohort, cohorts),
        Side("plain PyTorch loop", "standard", "loop", 4 if small else 1),
        Side("ensemble, DP", "dp", "ensemble", cohort, cohorts),
        Side("Opacus loop, hooks", "dp", "hooks", 2 if small else 1, 1, few),
        Side("Opacus loop, torch.func", "dp", "functorch", 2 if small else 1, 1, few),
        Side("Opacus loop, ghost clipping", "dp", "ghost", 2 if small else 1),
    ]


def steps_of(side: Side, arm: Arm) -> int:
    """How many steps of ``arm`` the side trains."""
    return max(1, round(arm.steps * side.steps_share))


def start_worker(data: Dataset, tasks: dict[str, Work], sides: list[Side]) -> None:
    """Once per process: data and plan, and a first step of everything so that imports are paid."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    task = tasks["standard"]
    x = task.model.prepare(data.x_train, torch.device("cpu"))
    _state.update(data=(x, torch.from_numpy(data.y_train)), tasks=tasks)
    for side in sides:
        short = replace(tasks[side.arm], arm=replace(tasks[side.arm].arm, steps=2))
        _train(side.way, short, range(1), evaluate=False)


def run(side: Side, first: int, evaluate: bool) -> float:
    """Seconds to train this core's share of a side."""
    task = _state["tasks"][side.arm]
    task = replace(task, arm=replace(task.arm, steps=steps_of(side, task.arm)))
    start = time.perf_counter()
    for at in range(first, first + side.models_per_core, side.cohort):
        _train(side.way, task, range(at, at + side.cohort), evaluate)
    return time.perf_counter() - start


def _train(way: str, task: Work, models: range, evaluate: bool) -> None:
    x, y = _state["data"]
    model = task.model
    config, seed = task.config, task.config.seed
    member = membership(
        len(x), models, p=config.inclusion_probability, design=config.design, seed=seed
    )
    if way == "ensemble":
        theta = train_ensemble(model, task.arm, x, y, member, models, seed=seed, engine=task.engine)
        if evaluate:
            evaluate_cohort(model, theta, x, y)
        return
    plain = model.plain(x)
    for row, k in enumerate(models):
        module = model.module(torch.from_numpy(model.initial(seed, k)))
        batches = model_minibatches(member[row], k, task.arm, seed=seed)
        generator = noise_generator(seed, task.arm.name, k, torch.device("cpu"))
        if way == "loop":
            train_standard(module, task.arm, plain, y, batches)
        else:
            train_private(module, task.arm, plain, y, batches, generator=generator, mode=way)  # pyright: ignore[reportArgumentType]


def product_rate() -> float:
    """Multiplications and additions per second of a large product on this core."""
    a = np.random.default_rng(0).random((1024, 1024), dtype=np.float32)
    out = np.empty_like(a)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(times)


def noise_seconds(parameters: int) -> float:
    """Seconds to draw one step's noise for one model on this core."""
    noise = Noise(range(20), parameters, std=1.0, arm="dp", seed=0)
    draws = max(20, int(2e6 / parameters / 20))
    start = time.perf_counter()
    for _ in range(draws):
        noise.draw()
    return (time.perf_counter() - start) / draws / 20


def step_work(task: Work) -> float:
    """Multiplications and additions of one model's step, forward and backward, without clipping."""
    x, y = _state["data"]
    rows = 32
    module = task.model.module(torch.from_numpy(task.model.initial(0, 0)))
    with FlopCounterMode(display=False) as counter:
        nn.functional.cross_entropy(module(task.model.plain(x[:rows])), y[:rows]).backward()
    return counter.get_total_flops() / rows * task.arm.expected_batch_size


def floor(arm: str) -> tuple[float, float]:
    """Seconds of one model's step on this core if there were nothing but products and noise, and
    the share of them that is products."""
    task: Work = _state["tasks"][arm]
    products = step_work(task) / product_rate()
    noise = noise_seconds(task.model.parameters) if task.arm.kind == "dp" else 0.0
    return products + noise, products


def per_model_step(
    pool: ProcessPoolExecutor, side: Side, workers: int, steps: int, evaluate: bool
) -> float:
    """Microseconds of wall time per model and step, all cores together."""
    shares = [pool.submit(run, side, worker * 1000, evaluate) for worker in range(workers)]
    slowest = max(share.result() for share in shares)
    return 1e6 * slowest / (workers * side.models_per_core * steps)


def describe(name: str, values: list[float]) -> str:
    return (
        f"{name:<66} {statistics.median(values):9.2f}   "
        f"[{min(values):.2f}, {max(values):.2f}]   n = {len(values)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="digits", help="a shipped configuration")
    parser.add_argument("--data-root", help="folder of torchvision's files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="train so few steps, and evaluate nothing")
    options = parser.parse_args()
    settings = {"models": 200, "subgroups": ("class",)}
    if options.data_root:
        settings["data_root"] = options.data_root
    config = configure(Path(options.config), settings)
    data = load_data(config)
    plan = make_plan(config, data, device="cpu")
    model = plan.model
    assert not isinstance(model, Estimator)
    full, tasks = {}, {}
    for planned in plan.arms:
        arm = planned.arm
        assert isinstance(arm, Arm)
        full[arm.kind] = arm.steps
        print(f"{arm.name}: {arm.steps} steps, expected batch {arm.expected_batch_size:g}")
        short = replace(arm, steps=options.steps or arm.steps)
        tasks[arm.kind] = Work(short, model, planned.engine, config)
    workers, small = cores(), model.parameters < 10_000
    sides = sides_of(plan.cohort_size, small)
    print(f"config {options.config}, {model.describe()}, cohorts of {plan.cohort_size}")
    print(f"hardware {hardware('cpu', workers)}")
    if dropped:
        print(f"restrictions of the environment that were lifted: {dropped}")
    print(f"versions {versions()}")
    times: dict[str, list[float]] = {side.name: [] for side in sides}
    floors: dict[str, list[tuple[float, float]]] = {"standard": [], "dp": []}
    context = multiprocessing.get_context("spawn")
    with (
        one_thread_in_workers(),
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=start_worker, initargs=(data, tasks, sides)
        ) as pool,
    ):
        # One unmeasured round starts every worker.
        for side in sides:
            per_model_step(pool, replace(side, cohort=1, cohorts=1), workers, 1, False)
        for _ in range(options.rounds):
            for side in sides:
                steps, evaluate = steps_of(side, tasks[side.arm].arm), options.steps is None
                times[side.name].append(per_model_step(pool, side, workers, steps, evaluate))
            for arm, found in floors.items():
                both = [
                    share.result() for share in [pool.submit(floor, arm) for _ in range(workers)]
                ]
                found.append((max(b[0] for b in both) / workers, max(b[1] for b in both) / workers))
    report(times, floors, full)


def report(
    times: dict[str, list[float]],
    floors: dict[str, list[tuple[float, float]]],
    full: dict[str, int],
) -> None:
    """Times, floors, and the ratios of the issue, each within a round."""
    print(f"\n{'wall µs per model and step':<66}    median   [min, max]")
    for name, values in times.items():
        print(describe(name, values))
    ours = {"standard": "ensemble, standard", "dp": "ensemble, DP"}
    for arm, found in floors.items():
        print(describe(f"floor of {ours[arm]}: products + noise", [1e6 * f[0] for f in found]))
    print(f"\n{'ratio, within a round':<66}    median   [min, max]")
    rounds = range(len(times["plain PyTorch loop"]))

    def ratio(name: str, top: Callable[[int], float], bottom: str) -> None:
        print(describe(name, [top(i) / times[bottom][i] for i in rounds]))

    opacus = [name for name in times if name.startswith("Opacus")]
    ratio(
        "(a) plain PyTorch loop / ensemble, standard",
        lambda i: times["plain PyTorch loop"][i],
        "ensemble, standard",
    )
    ratio(
        "(b) Opacus loop, fastest mode of the round / ensemble, DP",
        lambda i: min(times[name][i] for name in opacus),
        "ensemble, DP",
    )
    ratio("ensemble per step: DP / standard", lambda i: times["ensemble, DP"][i], ours["standard"])
    ratio(
        f"ensemble per model ({full['dp']} and {full['standard']} steps): DP / standard",
        lambda i: times["ensemble, DP"][i] * full["dp"] / full["standard"],
        ours["standard"],
    )
    for arm, found in floors.items():
        ratio(f"floor / {ours[arm]}", lambda i, f=found: 1e6 * f[i][0], ours[arm])
        ratio(
            f"share of the machine's product rate, {ours[arm]}",
            lambda i, f=found: 1e6 * f[i][1],
            ours[arm],
        )


if __name__ == "__main__":
    main()
