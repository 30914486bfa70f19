"""Cohorts on a GPU: the MNIST study of Feldman & Zhang, its private arm, the tanh CNN, the loops.

    python benchmarks/gpu_study.py --data-root data [--studies standard,dp,cnn,loop] [--models 2000]

Each study trains cohorts as ``audit run --device cuda`` does (same programs, draws, cohort sizes)
and evaluates them on the training and the test set. Every cohort is a reading: the tables give
median [smallest, largest] over cohorts. Throughput counts all wall time of a cohort: membership and
initialisation on the host, training, evaluation and the transfer of the answers.

- ``standard``, ``dp``: configs/mnist-feldman-zhang.toml, the private arm at ε = 2;
- ``cnn``: the private arm of configs/mnist-cnn.toml at ε = 3, with its test accuracy;
- ``loop``: one model at a time on the same GPU, of the study's network: plain PyTorch and Opacus
  (hooks and ghost clipping), ``--loop-steps`` of their steps, scaled to a whole training;
- ``check``: the live cross-check of one model per arm; ``check-cnn`` and ``check-resnet``: of the
  CNN, and of the ResNet that configs/cifar10.toml trains, here on MNIST;
- ``profile``: kernels of ten steps;
- ``estimates``: memorization and influence of the standard models, on the host.

Needs numpy, scipy, jaxtyping, pydantic and torch; ``loop`` and the cross-check of private arms need
opacus. Noise multipliers come from the accountants; without these, give ``--noise`` and
``--cnn-noise``. ``--steps`` shortens every training (accuracies then mean nothing, and throughput
is scaled to a whole one, evaluation included, and says so). On a CPU (``--device cpu``, tiny
numbers) the same programs run, for trying the script.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audit.errors import BadInput
from audit.inclusion import membership
from audit.training.arms import Arm
from audit.training.crosscheck import cross_check
from audit.training.device.memory import cohort_on_device, is_launch_bound
from audit.training.device.precision import training_precision
from audit.training.draws import HostReplay
from audit.training.engines import EARLY_STEPS, train_ensemble
from audit.training.evaluation import Outputs, evaluate_on_device
from audit.training.models import Mlp, Model
from audit.training.network import Network
from audit.training.noise import noise_generator
from audit.training.opacus_loop import GradSampleMode, train_private, train_standard

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
P, SEED = 0.7, 0


@dataclass(frozen=True)
class Problem:
    """MNIST on the host, and where to train."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    device: torch.device

    @property
    def n(self) -> int:
        return len(self.x_train)

    def on_device(self, model: Model) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        return tuple(  # pyright: ignore[reportReturnType]
            (model.prepare(x, self.device), torch.from_numpy(y).to(self.device))
            for x, y in ((self.x_train, self.y_train), (self.x_test, self.y_test))
        )


def read_mnist(root: Path, rows: int | None, device: torch.device) -> Problem:
    """torchvision's files (MNIST/raw/*-ubyte), scaled as the product scales images."""

    def read(name: str, header: int) -> np.ndarray:
        path = root / "MNIST" / "raw" / name
        if not path.exists():
            raise SystemExit(f"{path} is missing: --data-root names the folder that holds MNIST/")
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)[header:]

    parts = []
    for name in ("train", "t10k"):
        x = read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 784)[:rows]
        y = read(f"{name}-labels-idx1-ubyte", 8)[:rows]
        parts += [(x / np.float32(255)).astype(np.float32), y.astype(np.int64)]
    x_train, y_train, x_test, y_test = parts
    return Problem(x_train, y_train, x_test, y_test, device)


def arm_of(config: str, table: str, n: int, noise: float | None, steps: int | None) -> Arm:
    """An arm of a shipped configuration, with the plan's constants."""
    settings = tomllib.loads((CONFIGS / f"{config}.toml").read_text(encoding="utf-8"))
    found = settings[table]
    sample_rate = found["batch_size"] / (P * n)
    whole = max(1, round(found["epochs"] / sample_rate))
    private, multiplier = table == "dp", None
    if private:
        epsilon = settings["epsilon"][0]
        multiplier = calibrated(epsilon, n, sample_rate, whole) if noise is None else noise
    return Arm(
        name=f"dp-{settings['epsilon'][0]:g}" if private else "standard",
        sample_rate=sample_rate,
        steps=whole if steps is None else min(steps, whole),
        expected_batch_size=float(found["batch_size"]),
        learning_rate=found["learning_rate"],
        momentum=found["momentum"],
        weight_decay=found.get("weight_decay", 0.0),
        clip_norm=found.get("clip_norm"),
        noise_multiplier=multiplier,
        augmentation=tuple(found.get("augmentation", ())),
    )


def calibrated(epsilon: float, n: int, sample_rate: float, steps: int) -> float:
    """The noise multiplier of ε at the default δ."""
    try:
        from audit.accounting import calibrate, default_delta

        found = calibrate(epsilon, default_delta(n), sample_rate=sample_rate, steps=steps)
    except ImportError as error:
        raise SystemExit(f"no accountant here ({error}): give --noise and --cnn-noise") from error
    return found.noise_multiplier


@dataclass(frozen=True)
class Reading:
    """One cohort: seconds of each stage, and what came out."""

    models: int
    prepare: float
    train: float
    evaluate: float
    memory: int
    train_outputs: Outputs
    test_outputs: Outputs
    member: np.ndarray


def finish(device: torch.device) -> float:
    """The time once the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def cohorts(
    model: Model, arm: Arm, problem: Problem, models: int, size: int | None
) -> Iterator[Reading]:
    """Train and evaluate ``models`` cohort by cohort."""
    device = problem.device
    train, test = problem.on_device(model)
    size = size or cohort_on_device(model, [arm], problem.n, models, str(device))
    graphs = isinstance(model, Mlp) and is_launch_bound(model, arm, size)
    precision = training_precision(arm, model.parameters)
    how = "steps as CUDA graphs" if graphs else "every kernel launched"
    print(f"{arm.name}: cohorts of {size}, {arm.steps} steps, {precision}, {how}")
    # The first product of a process pays for libraries; a short training pays them here.
    short = replace(arm, steps=2)
    train_ensemble(model, short, *train, membership(problem.n, range(1), p=P, design="poisson",
                   seed=SEED), range(1), seed=SEED, form="device")  # fmt: skip
    for first in range(0, models, size):
        own = range(first, min(first + size, models))
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        start = finish(device)
        member = membership(problem.n, own, p=P, design="poisson", seed=SEED)
        stamps = [finish(device)]

        def begun(done: int, theta: Tensor, stamps: list[float] = stamps) -> None:
            del theta
            if done == 1:
                stamps.append(time.perf_counter())

        theta = train_ensemble(
            model, arm, *train, member, own, seed=SEED, form="device", on_step=begun
        )
        trained = finish(device)
        found = [
            evaluate_on_device(model, theta, *part, engine="ensemble") for part in (train, test)
        ]
        done = finish(device)
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        stages = stamps[1] - start, trained - stamps[1], done - trained
        yield Reading(len(own), *stages, peak, found[0], found[1], member)


def study(
    name: str, model: Model, arm: Arm, problem: Problem, models: int, size: int | None, whole: int
) -> list[Reading]:
    """Print a study's table; returns its readings."""
    readings = list(cohorts(model, arm, problem, models, size))
    # A shortened training is scaled; what happens once per model is not.
    rates = [
        60 * r.models / (r.prepare + r.train * whole / arm.steps + r.evaluate) for r in readings
    ]
    scaled = "" if whole == arm.steps else f" (scaled from {arm.steps} to {whole} steps)"
    print(line(f"{name}: models per minute{scaled}", rates))
    each = [1e6 * r.train / r.models / arm.steps for r in readings]
    print(line(f"{name}: training, µs per model and step", each))
    for stage in ("prepare", "train", "evaluate"):
        print(line(f"{name}: {stage}, s per cohort", [getattr(r, stage) for r in readings]))
    print(line(f"{name}: peak memory, GiB", [r.memory / 2**30 for r in readings]))
    accuracy = np.concatenate([r.test_outputs.correct.mean(axis=1) for r in readings])
    spread = f"[{accuracy.min():.4f}, {accuracy.max():.4f}]   n = {len(accuracy)} models"
    print(f"{name + ': test accuracy, mean':<66} {accuracy.mean():10.4f}   {spread}")
    total = sum(r.prepare + r.train + r.evaluate for r in readings)
    print(f"{name}: {models} models in {total:.1f} s")
    return readings


def line(name: str, values: list[float]) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{name:<66} {middle:10.3f}   [{low:.3f}, {high:.3f}]   n = {len(values)}"


def loops(model: Mlp, arms: dict[str, Arm], problem: Problem, steps: int, rounds: int) -> None:
    """Models per minute of one model at a time, on the same device."""
    (x, y), _ = problem.on_device(model)
    plain = model.plain(x).contiguous()
    member = membership(problem.n, range(1), p=P, design="poisson", seed=SEED)[0]
    modes: tuple[GradSampleMode, ...] = ("hooks", "ghost") if has_opacus() else ()
    if not modes:
        print("Opacus loop: opacus is not installed, nothing measured")
    ways = [("standard", None), *(("dp", mode) for mode in modes)]
    for kind, mode in ways:
        arm = arms.get(kind)
        if arm is None:
            continue
        short, rates = replace(arm, steps=min(steps, arm.steps)), []
        for turn in range(rounds + 1):
            module = model.module(torch.from_numpy(model.initial(SEED, 0))).to(problem.device)
            batches = list(HostReplay(model, short, 0, member, SEED).minibatches())
            batches = [batch.to(problem.device) for batch in batches]
            start = finish(problem.device)
            if mode is None:
                train_standard(module, short, plain, y, batches)
            else:
                noise = noise_generator(SEED, arm.name, 0, problem.device)
                train_private(module, short, plain, y, batches, generator=noise, mode=mode)
            seconds = finish(problem.device) - start
            if turn > 0:  # the first pays for imports
                rates.append(60 / (seconds * arm.steps / short.steps))
        against = "plain PyTorch loop" if mode is None else f"Opacus loop, {mode}"
        print(line(f"{against}: models per minute (scaled from {short.steps} steps)", rates))


def has_opacus() -> bool:
    return find_spec("opacus") is not None


def check(model: Model, arm: Arm, problem: Problem) -> None:
    """The cross-check of a model of a small cohort."""
    train, test = problem.on_device(model)
    member = membership(problem.n, range(4), p=P, design="poisson", seed=SEED)
    early: list[Tensor] = []

    def keep(done: int, theta: Tensor) -> None:
        if done == min(EARLY_STEPS, arm.steps):
            early.append(theta[1].clone())

    theta = train_ensemble(
        model, arm, *train, member, range(4), seed=SEED, form="device", on_step=keep
    )
    start = finish(problem.device)
    found = cross_check(
        model, arm, theta[1], early[0], 1, member[1], train, test, seed=SEED, form="device"
    )
    print(f"{arm.name}: {found.to_json()} in {finish(problem.device) - start:.1f} s")


def profile(model: Model, arm: Arm, problem: Problem, models: int) -> None:
    """Where ten steps of a cohort spend their time, once products are rounded."""
    train, _ = problem.on_device(model)
    member = membership(problem.n, range(models), p=P, design="poisson", seed=SEED)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    sort = "self_cpu_time_total"
    if problem.device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
        sort = "self_cuda_time_total"
    first = EARLY_STEPS + 5
    short = replace(arm, steps=first + 10)
    profiler = torch.profiler.profile(activities=kinds)

    def begun(done: int, theta: Tensor) -> None:
        del theta
        if done == first:
            finish(problem.device)
            profiler.start()

    train_ensemble(
        model, short, *train, member, range(models), seed=SEED, form="device", on_step=begun
    )
    finish(problem.device)
    profiler.stop()
    print(f"{arm.name}: ten steps of {models} models")
    print(profiler.key_averages().table(sort_by=sort, row_limit=25, max_name_column_width=90))


def estimate(readings: list[Reading]) -> None:
    """Memorization and influence of the trained models."""
    from audit.estimates.influence import influential_pairs
    from audit.estimates.memorization import memorization

    member = np.concatenate([r.member for r in readings])
    correct = np.concatenate([r.train_outputs.correct for r in readings])
    test = np.concatenate([r.test_outputs.correct for r in readings])
    start = time.perf_counter()
    mem = memorization(member, correct).mem
    middle = time.perf_counter()
    pairs = influential_pairs(member, correct, test)
    print(
        f"memorization: {middle - start:.1f} s, {int((mem >= 0.25).sum())} examples of mem >= .25; "
        f"influence: {time.perf_counter() - middle:.1f} s, {pairs.train.size} pairs"
    )


def about(device: torch.device) -> str:
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        name = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    packages = []
    for package in ("torch", "numpy", "opacus"):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            packages.append(f"{package} not installed")
    return f"device {device}: {name}; Python {platform.python_version()}, {', '.join(packages)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--studies", default="standard,dp,cnn,loop")
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--cnn-models", type=int, default=200)
    parser.add_argument("--steps", type=int, help="train so few steps")
    parser.add_argument("--rows", type=int, help="use so few examples of each set")
    parser.add_argument("--cohort", type=int, help="models trained together")
    parser.add_argument("--loop-steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3, help="readings of each loop")
    parser.add_argument("--noise", type=float, help="noise multiplier of the study's private arm")
    parser.add_argument("--cnn-noise", type=float, help="noise multiplier of the CNN's")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device, studies = torch.device(options.device), options.studies.split(",")
    known = {"standard", "dp", "cnn", "loop", "profile", "estimates"}
    known |= {"check", "check-cnn", "check-resnet"}
    if unknown := set(studies) - known:
        parser.error(
            f"unknown studies {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
        )
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here that this torch can use; --device cpu tries the script itself")
    print(about(device))
    problem = read_mnist(options.data_root, options.rows, device)
    mlp = Mlp((784, 512, 256, 10), "relu")
    config, n = "mnist-feldman-zhang", problem.n

    def arm(table: str, steps: int | None = options.steps) -> Arm:
        return arm_of(config, table, n, options.noise, steps)

    tables = {"standard": "standard", "dp": "dp"}
    done: dict[str, list[Reading]] = {}
    for name, table in tables.items():
        if name in studies or (name == "standard" and "estimates" in studies):
            whole = arm(table, None).steps
            done[name] = study(
                f"MLP, {name}", mlp, arm(table), problem, options.models, options.cohort, whole
            )
    if "cnn" in studies:
        whole, short = (
            arm_of("mnist-cnn", "dp", n, options.cnn_noise, steps)
            for steps in (None, options.steps)
        )
        cnn = Network("cnn", (1, 28, 28), 10)
        study("CNN, dp", cnn, short, problem, options.cnn_models, options.cohort, whole.steps)
    if "estimates" in studies:
        estimate(done["standard"])
    for table in tables.values():
        if "check" in studies and table == "dp" and not has_opacus():
            print("cross-check of dp: opacus is not installed, nothing checked")
        elif "check" in studies:
            check(mlp, arm(table), problem)
        if "profile" in studies:
            profile(mlp, arm(table), problem, options.cohort or 500)
    for name, of in (("cnn", "mnist-cnn"), ("resnet", "cifar10")):
        for table in tables.values():
            if f"check-{name}" in studies:
                checked = arm_of(of, table, n, options.cnn_noise, options.steps)
                check(Network(name, (1, 28, 28), 10), checked, problem)
    if "loop" in studies:
        whole = {table: arm(table, None) for table in tables.values()}
        loops(mlp, whole, problem, options.loop_steps, options.rounds)


if __name__ == "__main__":
    try:
        main()
    except BadInput as error:
        raise SystemExit(str(error)) from error
