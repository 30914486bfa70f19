"""What a GPU can do, and what launching and canaries cost there.

    python -m benchmarks.gpu_steps

Three tables: the rates of a copy and of a product; µs per step of MLPs with their kernels launched
one by one and as CUDA graphs (median of three readings of 200 steps), with the rule that chooses;
seconds of 60 private steps of 500 models with and without 1,000 gradient canaries. Examples are
drawn at random, of the sizes of ``digits`` and MNIST. Needs numpy, jaxtyping, pydantic and torch.
``--device cpu --models 2 --steps 3`` tries the script.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from audit.inclusion import membership
from audit.training.arms import Arm
from audit.training.device.ensemble import DeviceEnsemble
from audit.training.device.graphs import Capture, cuda_capture
from audit.training.device.memory import is_launch_bound
from audit.training.device.padded import PaddedData, padded_width
from audit.training.device.precision import products
from audit.training.engines import train_ensemble
from audit.training.models import Mlp
from benchmarks.gpu_study import about, finish, line

DIGITS, MNIST = Mlp((64, 32, 10), "tanh"), Mlp((784, 512, 256, 10), "relu")
# The constants of the default run and of configs/mnist-feldman-zhang.toml.
DIGITS_STANDARD = Arm("standard", 0.07, 426, 64.0, 0.2, 0.9, 0.0)
DIGITS_DP = Arm("dp-2", 0.14, 213, 128.0, 0.8, 0.0, 0.0, clip_norm=1.0, noise_multiplier=3.38)
MNIST_STANDARD = Arm("standard", 0.00305, 3281, 128.0, 0.1, 0.9, 0.0)
MNIST_DP = Arm("dp-2", 0.0488, 410, 2048.0, 4.0, 0.0, 0.0, clip_norm=1.0, noise_multiplier=2.23)
CASES = (
    ("digits, standard", DIGITS, DIGITS_STANDARD, 1297, (50, 200, 500)),
    ("digits, dp", DIGITS, DIGITS_DP, 1297, (50, 200, 500)),
    ("MNIST, standard", MNIST, MNIST_STANDARD, 60_000, (2, 5, 10, 20, 40, 80)),
    ("MNIST, dp", MNIST, MNIST_DP, 60_000, (1, 2, 4, 8)),
)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = finish(device)
    work()
    return finish(device) - start


def examples(model: Mlp, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    x = rng.random((n, model.widths[0]), dtype=np.float32)
    y = rng.integers(0, model.widths[-1], n)
    return model.prepare(x, device), torch.from_numpy(y).to(device)


def ceilings(device: torch.device, size: int) -> None:
    """Rates of a copy of size² · 8 numbers and of a product of two matrices of ``size``."""
    source = torch.randn(8, size, size, device=device)
    target = torch.empty_like(source)
    moved = 2 * 4 * source.numel() / 1e12
    readings = [seconds(lambda: target.copy_(source), device) for _ in range(12)][2:]
    print(line("copy, TB/s (read and written)", [moved / each for each in readings]))
    for precision in ("float32", "tf32"):
        with products(precision):
            readings = [
                seconds(lambda: torch.mm(source[0], source[1], out=target[0]), device)
                for _ in range(10)
            ][2:]
        rates = [2 * size**3 / each / 1e12 for each in readings]
        print(line(f"product of {size} × {size}, {precision}, TFLOP/s", rates))


def step_time(
    model: Mlp, arm: Arm, n: int, models: int, steps: int, capture: Capture | None, device: str
) -> float:
    """µs per step, the median of three readings."""
    there = torch.device(device)
    data = PaddedData.of(model, *examples(model, n, there))
    theta = torch.from_numpy(np.stack([model.initial(0, k % 4) for k in range(models)])).to(there)
    cohort = DeviceEnsemble(model, theta, arm, capture=capture)
    width = padded_width(int(1.2 * arm.expected_batch_size))
    index = torch.randint(0, n, (models, width)).to(there)

    def walk() -> None:
        for _ in range(steps):
            cohort.step_padded(data, index)

    walk()
    return 1e6 * statistics.median(seconds(walk, there) for _ in range(3)) / steps


def graphs(device: str, steps: int, most: int) -> None:
    for name, model, arm, n, sizes in CASES:
        for models in (size for size in sizes if size <= most):
            plain = step_time(model, arm, n, models, steps, None, device)
            graph = ""
            if device != "cpu":
                captured = step_time(model, arm, n, models, steps, cuda_capture, device)
                graph = f"graph {captured:.0f}, "
            rule = "graph" if is_launch_bound(model, arm, models) else "launched"
            print(f"{name}, {models} models: launched {plain:.0f}, {graph}by the rule: {rule}")


def canaries(device: torch.device, models: int, steps: int) -> None:
    x, y = examples(MNIST, 60_000, device)
    member = membership(len(y), range(models), p=0.7, design="poisson", seed=0)
    for count in (0, 1000, 0, 1000):
        arm = replace(MNIST_DP, canaries=count, steps=steps)
        spent = seconds(
            lambda arm=arm: train_ensemble(
                MNIST, arm, x, y, member, range(models), seed=0, form="device"
            ),
            device,
        )
        print(f"{models} models, {steps} steps, {count} canaries: {spent:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", type=int, default=500, help="the most trained together")
    parser.add_argument("--steps", type=int, default=200, help="of a reading")
    parser.add_argument("--size", type=int, default=8192, help="of the matrices")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here that this torch can use; --device cpu tries the script itself")
    print(about(device))
    ceilings(device, options.size)
    graphs(options.device, options.steps, options.models)
    canaries(device, options.models, min(60, options.steps))


if __name__ == "__main__":
    main()
