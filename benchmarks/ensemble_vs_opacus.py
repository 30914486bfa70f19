"""The ensemble against (a) a plain PyTorch loop and (b) the Opacus loop: same work, same cores.

Same models, steps, Poisson minibatches and network; both sides use every core, one process per
core with one thread each (the fastest arrangement for both at this size). Rounds interleave the
sides, so that a busy machine slows all of them; a ratio is taken within a round. Run:

    python benchmarks/ensemble_vs_opacus.py [--rounds 5] [--data digits|adult]
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in workers

import torch
from torch import nn

from audit.data.dataset import Dataset
from audit.inclusion import membership
from audit.pipeline import configure, load_data
from audit.plan import make_plan
from audit.provenance import hardware, versions
from audit.training.arms import Arm
from audit.training.blas import best_kernels_for_workers
from audit.training.cohort import CohortTask, TrainingData, train_cohort
from audit.training.executors import cores
from audit.training.models import Mlp
from audit.training.noise import noise_generator
from audit.training.opacus_loop import model_minibatches, train_private, train_standard

_state: dict[str, Any] = {}


@dataclass(frozen=True)
class Side:
    """One way to train an arm: a name, the arm, and how many models each core trains per round."""

    name: str
    arm: str
    way: str
    models_per_core: int


SIDES = [
    Side("ensemble, standard", "standard", "ensemble", 50),
    Side("plain PyTorch loop", "standard", "loop", 4),
    Side("ensemble, DP", "dp-2", "ensemble", 50),
    Side("Opacus loop, hooks", "dp-2", "hooks", 2),
    Side("Opacus loop, torch.func", "dp-2", "functorch", 2),
    Side("Opacus loop, ghost clipping", "dp-2", "ghost", 2),
]


def start_worker(data: Dataset, tasks: dict[str, CohortTask]) -> None:
    """Once per process: data and plan, and a first step of everything so that imports are paid."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    _state["data"] = TrainingData(
        data.x_train, data.y_train, data.x_test[:1], data.y_test[:1], data.input_shape
    )
    _state["tasks"] = {arm: replace(task, checked_model=None) for arm, task in tasks.items()}
    for side in SIDES:
        task = _state["tasks"][side.arm]
        short = replace(task, arm=replace(task.arm, steps=3))
        _train(side.way, short, first=0, models=1)


def run(side: Side, first: int) -> float:
    """Seconds to train this core's share of a side.

    The ensemble's time includes drawing memberships and evaluating the training set; the loops'
    does not.
    """
    start = time.perf_counter()
    _train(side.way, _state["tasks"][side.arm], first=first, models=side.models_per_core)
    return time.perf_counter() - start


def _train(way: str, task: CohortTask, *, first: int, models: int) -> None:
    data: TrainingData = _state["data"]
    if way == "ensemble":
        # Cohorts as the tool plans them.
        size = task.last - task.first + 1
        for start in range(first, first + models, size):
            last = min(start + size, first + models) - 1
            train_cohort(replace(task, first=start, last=last), data)
        return
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    model, arm = task.model, task.arm
    assert isinstance(model, Mlp)
    assert isinstance(arm, Arm)
    for k in range(first, first + models):
        member = membership(len(x), range(k, k + 1), p=task.p, design=task.design, seed=task.seed)
        module = model.module(torch.from_numpy(model.initial(task.seed, k)))
        batches = model_minibatches(member[0], k, arm, seed=task.seed)
        generator = noise_generator(task.seed, arm.name, k, torch.device("cpu"))
        if way == "loop":
            train_standard(module, arm, x, y, batches)
        elif way == "ghost":
            train_ghost(module, arm, x, y, batches, generator)
        else:
            train_private(module, arm, x, y, batches, generator=generator, mode=way)  # pyright: ignore[reportArgumentType]


def train_ghost(
    module: nn.Module,
    arm: Arm,
    x: torch.Tensor,
    y: torch.Tensor,
    batches: Any,
    generator: torch.Generator,
) -> None:
    """Opacus's own ghost clipping: norms first, then a second, weighted backward pass."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    assert arm.clip_norm is not None
    wrapped = GradSampleModuleFastGradientClipping(
        module,
        max_grad_norm=arm.clip_norm,  # pyright: ignore[reportArgumentType]
        use_ghost_clipping=True,
        loss_reduction="mean",
    )
    sgd = torch.optim.SGD(module.parameters(), lr=arm.learning_rate, momentum=arm.momentum)
    optimizer = DPOptimizerFastGradientClipping(
        sgd,
        noise_multiplier=arm.noise_multiplier or 0.0,
        max_grad_norm=arm.clip_norm,
        expected_batch_size=int(arm.expected_batch_size),
        loss_reduction="mean",
        generator=generator,
    )
    criterion = DPLossFastGradientClipping(
        wrapped, optimizer, nn.CrossEntropyLoss(reduction="mean"), loss_reduction="mean"
    )
    for batch in batches:
        optimizer.zero_grad()
        criterion(wrapped(x[batch]), y[batch]).backward()
        optimizer.step()
    wrapped.to_standard_module()


def per_model_step(pool: ProcessPoolExecutor, side: Side, workers: int, steps: int) -> float:
    """Microseconds of wall time per model and step, all cores together."""
    shares = [pool.submit(run, side, worker * 1000) for worker in range(workers)]
    slowest = max(share.result() for share in shares)
    return 1e6 * slowest / (workers * side.models_per_core * steps)


def describe(name: str, ratios: list[float]) -> str:
    return (
        f"{name:<58} {statistics.median(ratios):6.2f}   "
        f"[{min(ratios):.2f}, {max(ratios):.2f}]   n = {len(ratios)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", choices=["digits", "adult"], default="digits")
    options = parser.parse_args()
    config = configure(None, {"data": options.data, "models": 200})
    data = load_data(config)
    plan = make_plan(config, data, device="cpu")
    tasks = {task.arm.name: replace(task, first=0) for task in plan.tasks}
    for arm, task in tasks.items():
        tasks[arm] = replace(task, last=plan.cohort_size - 1)
    workers = cores()
    print(f"data {options.data}, model {plan.model.describe()}, cohorts of {plan.cohort_size}")
    for arm in plan.arms:
        batch = getattr(arm.arm, "expected_batch_size", math.nan)
        print(f"{arm.name}: {arm.arm.steps} steps, expected batch {batch:g}")
    print(f"hardware {hardware('cpu', workers)}")
    print(f"versions {versions()}")
    times: dict[str, list[float]] = {side.name: [] for side in SIDES}
    context = multiprocessing.get_context("spawn")
    with (
        best_kernels_for_workers(),
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=start_worker, initargs=(data, tasks)
        ) as pool,
    ):
        # One unmeasured round starts every worker.
        for side in SIDES:
            per_model_step(pool, replace(side, models_per_core=1), workers, 1)
        for _ in range(options.rounds):
            for side in SIDES:
                steps = tasks[side.arm].arm.steps
                times[side.name].append(per_model_step(pool, side, workers, steps))
    print(f"\n{'wall µs per model and step':<58} median   [min, max]")
    for name, values in times.items():
        print(describe(name, values))
    print(f"\n{'ratio, within a round':<58} median   [min, max]")
    report_ratios(times)


def report_ratios(times: dict[str, list[float]]) -> None:
    """The ratios of the issue: loops over ensemble, DP over standard."""

    def ratio(name: str, top: Callable[[int], float], bottom: str) -> None:
        rounds = range(len(times[bottom]))
        print(describe(name, [top(i) / times[bottom][i] for i in rounds]))

    opacus = [side.name for side in SIDES if side.name.startswith("Opacus")]
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
    ratio("ensemble: DP / standard", lambda i: times["ensemble, DP"][i], "ensemble, standard")


if __name__ == "__main__":
    main()
