"""The ensemble against what a peer would write in JAX: a vmapped ensemble, compiled as a whole.

JAX's side: ``vmap`` over models, ``lax.scan`` over steps, ``jit`` around all of it; DP-SGD by
``vmap(grad)`` over the examples of a minibatch, clipping by the global norm, ``random.normal``.
Same starting points, subsets, learning rates and minibatches as ours; before anything is timed, a
few steps without noise must end at our parameters. Both sides use every core. Of JAX the faster of
two ways counts in each round: one process that spreads its work over the cores, or one process per
core. JAX must be installed beside this package (``pip install jax``); it is no dependency. Run:

    python benchmarks/jax_ensemble.py [--config digits] [--rounds 5] [--steps N]

JAX needs shapes that do not change. ``--minibatches poisson`` (the default) pads every Poisson
minibatch to the longest of the run; our engine pads to the longest of a step. ``fixed`` gives JAX
minibatches of exactly the expected size, which need no padding and are not what DP-SGD's accountant
assumes; ours stay Poisson. JAX's compilation and the drawing of its minibatches are not timed; our
drawing is. Nothing is evaluated. Variables that keep a library from its fastest kernels are lifted,
and named.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in workers
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from rounds import heading, lift_restrictions, line

from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.inclusion import membership
from audit.plan import make_plan
from audit.provenance import hardware, versions
from audit.resolve import load_data
from audit.training.arms import Arm
from audit.training.engines import train_ensemble
from audit.training.executors import cores
from audit.training.minibatches import poisson_minibatches
from audit.training.models import Mlp

_CHECKED_STEPS = 20
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Work:
    """What both sides train: the constants of an arm, the models of a cohort, the subsets."""

    arm: Arm
    model: Mlp
    models: range
    p: float
    seed: int
    minibatches: str

    def membership(self, n: int) -> np.ndarray:
        return membership(n, self.models, p=self.p, design="poisson", seed=self.seed)


# Data of a worker process, set once by its initializer.
_data: dict[str, Any] = {}


def start_worker(data: Dataset, core: Any) -> None:
    """``core``: a shared counter of the core to stay on; None to use them all."""
    torch.set_num_threads(1)
    _data.update(x=data.x_train, y=data.y_train)
    if core is not None:
        # Before JAX is imported: it starts as many threads as it has cores.
        with core.get_lock():
            own = sorted(os.sched_getaffinity(0))[core.value]
            core.value += 1
        os.sched_setaffinity(0, {own})


def train_ours(work: Work) -> tuple[float, np.ndarray]:
    """Seconds, and the parameters [models, parameters] that training ended with."""
    x = work.model.prepare(_data["x"], torch.device("cpu"))
    y = torch.from_numpy(_data["y"])
    start = time.perf_counter()
    member = work.membership(len(x))
    theta = train_ensemble(work.model, work.arm, x, y, member, work.models, seed=work.seed)
    return time.perf_counter() - start, theta.numpy()


def minibatches(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """Indices and their mask [steps, models, rows], padded to the longest minibatch."""
    arm, n = work.arm, len(_data["x"])
    member = work.membership(n)
    steps: list[tuple[np.ndarray, list[int]]] = []
    for block in poisson_minibatches(
        member,
        work.models,
        arm=arm.name,
        sample_rate=arm.sample_rate,
        steps=arm.steps,
        seed=work.seed,
    ):
        steps += list(block.steps())
    if work.minibatches == "fixed":
        rows = round(arm.expected_batch_size)
        rng = np.random.default_rng(0)
        index = np.stack(
            [rng.choice(np.flatnonzero(own), size=(arm.steps, rows)) for own in member], axis=1
        )
        return index.astype(np.int32), np.ones(index.shape, np.float32)
    rows = max(max(sizes) for _, sizes in steps)
    mask = np.stack([np.arange(rows) < np.array(sizes)[:, None] for _, sizes in steps])
    index = np.zeros(mask.shape, np.int32)
    index[mask] = np.concatenate([selected for selected, _ in steps])
    return index, mask.astype(np.float32)


@cache
def trainer(work: Work) -> Callable[..., Any]:
    """JAX's whole training of a cohort, compiled: parameters at the start to those at the end."""
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    arm = work.arm
    activate = jnp.tanh if work.model.activation == "tanh" else jax.nn.relu

    def loss(layers: Any, x: Any, y: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = activate(x @ weight + bias)
        weight, bias = layers[-1]
        logits = x @ weight + bias
        return jax.nn.logsumexp(logits) - logits[y]

    def standard_gradient(layers: Any, x: Any, y: Any, mask: Any, key: Any) -> Any:
        def total(layers: Any) -> Any:
            losses = jax.vmap(loss, in_axes=(None, 0, 0))(layers, x, y)
            return (losses * mask).sum() / arm.expected_batch_size

        del key
        return jax.grad(total)(layers)

    def private_gradient(layers: Any, x: Any, y: Any, mask: Any, key: Any) -> Any:
        assert arm.clip_norm is not None
        gradients = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(layers, x, y)
        leaves, tree = jax.tree.flatten(gradients)
        squares = sum((leaf.reshape(len(leaf), -1) ** 2).sum(axis=1) for leaf in leaves)
        factors = mask * jnp.minimum(1.0, arm.clip_norm / (jnp.sqrt(squares) + 1e-6))
        sums = [jnp.tensordot(factors, leaf, axes=1) for leaf in leaves]
        keys = jax.random.split(key, len(sums))
        noisy = [
            (each + arm.noise_std * jax.random.normal(own, each.shape)) / arm.expected_batch_size
            for each, own in zip(sums, keys, strict=True)
        ]
        return jax.tree.unflatten(tree, noisy)

    gradient = standard_gradient if arm.kind == "standard" else private_gradient

    def model_step(layers: Any, velocity: Any, x: Any, y: Any, mask: Any, key: Any) -> Any:
        change = gradient(layers, x, y, mask, key)
        if arm.momentum:
            velocity = jax.tree.map(lambda v, g: arm.momentum * v + g, velocity, change)
            change = velocity
        return jax.tree.map(lambda w, g: w - arm.learning_rate * g, layers, change), velocity

    def train(layers: Any, x: Any, y: Any, index: Any, mask: Any, keys: Any) -> Any:
        def step(state: Any, inputs: Any) -> Any:
            rows, inside, key = inputs
            own = jax.random.split(key, len(work.models))
            return jax.vmap(model_step)(*state, x[rows], y[rows], inside, own), None

        start = layers, jax.tree.map(jnp.zeros_like, layers)
        (layers, _), _ = jax.lax.scan(step, start, (index, mask, keys))
        return layers

    return jax.jit(train)


@cache
def jax_inputs(work: Work) -> tuple[Any, ...]:
    """What :func:`trainer` takes, on JAX's device."""
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]

    theta = np.stack([work.model.initial(work.seed, k) for k in work.models])
    layers = [
        (jnp.asarray(w[:, :-1].numpy()), jnp.asarray(w[:, -1].numpy()))
        for w in work.model.layers(torch.from_numpy(theta))
    ]
    index, mask = minibatches(work)
    keys = jax.random.split(jax.random.key(work.seed), work.arm.steps)
    x, y = jnp.asarray(_data["x"]), jnp.asarray(_data["y"].astype(np.int32))
    return layers, x, y, jnp.asarray(index), jnp.asarray(mask), keys


def train_jax(work: Work) -> tuple[float, np.ndarray]:
    """Seconds, and the parameters in our order; the first call of a process compiles."""
    import jax  # pyright: ignore[reportMissingImports]

    inputs = jax_inputs(work)
    start = time.perf_counter()
    layers = jax.block_until_ready(trainer(work)(*inputs))
    seconds = time.perf_counter() - start
    blocks = [np.concatenate([np.asarray(w), np.asarray(b)[:, None]], axis=1) for w, b in layers]
    return seconds, np.concatenate([block.reshape(len(block), -1) for block in blocks], axis=1)


Train = Callable[[Work], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Side:
    """One way to train on all cores: ``workers`` processes of ``pool``, a cohort in each."""

    train: Train
    pool: ProcessPoolExecutor
    workers: int

    def per_model_step(self, work: Work) -> float:
        """Microseconds of wall time per model and step, all cores together."""
        size = len(work.models)
        shares = [
            replace(work, models=range(k * size, (k + 1) * size)) for k in range(self.workers)
        ]
        running = [self.pool.submit(self.train, share) for share in shares]
        slowest = max(share.result()[0] for share in running)
        return 1e6 * slowest / (self.workers * size * work.arm.steps)


def check_same_work(ours: Side, theirs: Side, work: Work) -> None:
    """A few steps without noise on the same minibatches end at the same parameters, or we leave."""
    noise = None if work.arm.kind == "standard" else 0.0
    arm = replace(work.arm, steps=_CHECKED_STEPS, noise_multiplier=noise)
    same = replace(work, arm=arm, minibatches="poisson")
    a, b = (side.pool.submit(side.train, same).result()[1] for side in (ours, theirs))
    start = np.stack([work.model.initial(work.seed, k) for k in work.models])
    difference = float(np.linalg.norm(a - b) / np.linalg.norm(a - start))
    print(f"{work.arm.kind}: after {_CHECKED_STEPS} steps without noise the sides differ by "
          f"{difference:.1e} of what they learned", flush=True)  # fmt: skip
    if not difference <= _TOLERANCE:
        sys.exit("JAX's side does not do the same work: nothing to compare")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="digits", help="a shipped configuration of an MLP")
    parser.add_argument("--data-root", help="folder of torchvision's files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="train so few steps; default: the plan's")
    parser.add_argument("--minibatches", choices=["poisson", "fixed"], default="poisson")
    options = parser.parse_args()
    settings: dict[str, Any] = {"models": 200, "subgroups": ("class",)}
    if options.data_root:
        settings["data_root"] = options.data_root
    config = configure(Path(options.config), settings)
    data = load_data(config)
    plan = make_plan(config, data, device="cpu")
    if not isinstance(plan.model, Mlp):
        parser.error("JAX's side is written for MLPs")
    work = {}
    for planned in plan.arms:
        assert isinstance(planned.arm, Arm)
        if planned.arm.weight_decay:
            parser.error("JAX's side knows no weight decay")
        arm = replace(planned.arm, steps=options.steps or planned.arm.steps)
        print(f"{arm.name}: {arm.steps} steps, expected batch {arm.expected_batch_size:g}")
        work[arm.kind] = Work(
            arm, plan.model, range(plan.cohort_size), config.inclusion_probability, config.seed,
            options.minibatches,
        )  # fmt: skip
    print(f"config {options.config}, {plan.model.describe()}, cohorts of {plan.cohort_size}, "
          f"JAX's minibatches {options.minibatches}")  # fmt: skip
    print(f"hardware {hardware('cpu', cores())}")
    print(f"versions {versions()}, jax {version('jax')}, jaxlib {version('jaxlib')}", flush=True)
    print(f"lifted for the workers: {lift_restrictions() or 'nothing was restricted'}")
    context = multiprocessing.get_context("spawn")

    def side(train: Train, workers: int, core: Any) -> Side:
        pool = ProcessPoolExecutor(workers, context, start_worker, (data, core))
        return Side(train, pool, workers)

    sides = {
        "ours": side(train_ours, cores(), None),
        "JAX, one process": side(train_jax, 1, None),
        "JAX, a process per core": side(train_jax, cores(), context.Value("i", 0)),
    }
    measure(sides, work, options.rounds)
    for each in sides.values():
        each.pool.shutdown()


def measure(sides: dict[str, Side], work: dict[str, Work], rounds: int) -> None:
    """Check, warm up (JAX compiles), measure in turn, print."""
    times: dict[tuple[str, str], list[float]] = {}
    for kind, task in work.items():
        check_same_work(sides["ours"], sides["JAX, one process"], task)
        for each in sides.values():
            # Twice: which worker takes which share is a matter of chance, and each must compile.
            for _ in range(2):
                each.per_model_step(task)
        times |= {(kind, name): [] for name in sides}
    for _ in range(rounds):
        for kind, name in times:
            times[kind, name].append(sides[name].per_model_step(work[kind]))
    heading("wall µs per model and step")
    for (kind, name), values in times.items():
        line(f"{kind}: {name}", values)
    heading("ratio, within a round")
    for kind in work:
        jax_ways = zip(*(times[kind, name] for name in sides if name != "ours"), strict=True)
        fastest = [min(values) for values in jax_ways]
        ours = times[kind, "ours"]
        line(f"{kind}: JAX, the faster way of the round / ours",
             [j / o for j, o in zip(fastest, ours, strict=True)])  # fmt: skip


if __name__ == "__main__":
    main()
