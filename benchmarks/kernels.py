"""The rates behind the choice of kernels on a CPU: NumPy or PyTorch, per operation and shape.

Every comparison is made on one core by one thread, in a worker process where each library has the
kernels it picks itself (variables that restrict it are lifted, and named). Within a round the
ways to do a thing take turns, and each one's shortest time of seven counts (interruptions only
add); a ratio is taken within a round. Where the kernels are AVX-512's, a second worker multiplies
by those for AVX2 in the same rounds. Run:

    python benchmarks/kernels.py [--rounds 5]

Shapes are those of the shipped configurations: ``digits`` (64-32-10, cohorts of 50, the longest of
50 minibatches of 64 has about 82 rows; arrays lie as in the engine's workspace) and
``mnist-feldman-zhang`` (784-512-256-10, one product per model, 128 rows).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in workers
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import torch
from rounds import heading, lift_restrictions, line
from threadpoolctl import threadpool_info

from audit.provenance import hardware, versions
from audit.training.noise import NormalStream
from audit.training.workspace import Workspace

_MODELS, _ROWS, _WIDTHS = 50, 82, (64, 32, 10)
_MNIST_ROWS = 128
_NUMBERS = 2**15
_REPEATS, _BLOCK_SECONDS = 7, 2e-3
_CORETYPE = "OPENBLAS_CORETYPE"
_LARGE = "product 1024 × 1024 × 1024"

Ways = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class Comparison:
    """Ways to do one thing, the shipped one first.

    ``work``: of one call, in ``unit``: ``op`` (a multiplication or an addition) or ``number``.
    """

    name: str
    work: float
    unit: str
    ways: Ways


def comparisons() -> list[Comparison]:
    rng = np.random.default_rng(0)
    return [*_small_products(rng), *_large_products(rng), *_functions(rng), *_draws()]


def _matrix(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _small_products(rng: np.random.Generator) -> list[Comparison]:
    rows = Workspace(_WIDTHS, np.dtype(np.float32)).padded(
        np.zeros(_MODELS * _ROWS, dtype=np.int64), [_ROWS] * _MODELS
    )
    inputs, units = _WIDTHS[0] + 1, _WIDTHS[1]
    rows.x[:] = _matrix(rng, *rows.x.shape)
    (x,), (out,), (delta,) = rows.inputs[0], rows.outputs[0], rows.delta_parts[0]
    delta[:] = _matrix(rng, *delta.shape)
    weights = _matrix(rng, _MODELS, inputs, units)
    outputs_first = np.ascontiguousarray(weights.swapaxes(1, 2)).swapaxes(1, 2)
    gradient = np.empty_like(weights)
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (x, weights, out, delta)]
    tx, tw, tout, tdelta = tensors
    tgradient = torch.empty_like(tw)
    one_x, one_w, one_out = x[0], weights[0], np.empty((_ROWS, units), np.float32)
    one_tx, one_tw, one_tout = (torch.from_numpy(a) for a in (one_x, one_w, np.empty_like(one_out)))
    work = 2.0 * _ROWS * inputs * units
    return [
        Comparison(
            "digits, first layer of a cohort", work * _MODELS, "op",
            {
                "NumPy": lambda: np.matmul(x, weights, out=out),
                "NumPy, weights outputs first": lambda: np.matmul(x, outputs_first, out=out),
                "PyTorch": lambda: torch.bmm(tx, tw, out=tout),
            },
        ),
        Comparison(
            "digits, first gradient of a cohort", work * _MODELS, "op",
            {
                "NumPy": lambda: np.matmul(x.swapaxes(1, 2), delta, out=gradient),
                "PyTorch": lambda: torch.bmm(tx.transpose(1, 2), tdelta, out=tgradient),
            },
        ),
        Comparison(
            "digits, first layer of one model, a call", work, "op",
            {
                "NumPy": lambda: np.matmul(one_x, one_w, out=one_out),
                "PyTorch": lambda: torch.mm(one_tx, one_tw, out=one_tout),
            },
        ),
    ]  # fmt: skip


def _large_products(rng: np.random.Generator) -> list[Comparison]:
    found = []
    for name, (rows, inner, columns) in {
        _LARGE: (1024, 1024, 1024),
        "MNIST, first layer of a model": (_MNIST_ROWS, 785, 512),
    }.items():
        a, b = _matrix(rng, rows, inner), _matrix(rng, inner, columns)
        found.append(_product(name, a, b))
    x, delta = _matrix(rng, _MNIST_ROWS, 785), _matrix(rng, _MNIST_ROWS, 512)
    return [*found, _product("MNIST, first gradient of a model", x.T, delta)]


def _product(name: str, a: np.ndarray, b: np.ndarray) -> Comparison:
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    ta, tb, tout = (torch.from_numpy(each) for each in (a, b, np.empty_like(out)))
    ways: Ways = {
        "NumPy": lambda: np.matmul(a, b, out=out),
        "PyTorch": lambda: torch.mm(ta, tb, out=tout),
    }
    return Comparison(name, 2.0 * a.shape[0] * a.shape[1] * b.shape[1], "op", ways)


def _functions(rng: np.random.Generator) -> list[Comparison]:
    x = np.abs(_matrix(rng, _NUMBERS)) + 0.1
    out, once = np.empty_like(x), np.empty_like(x)
    tout = torch.from_numpy(np.empty_like(x))
    values, delta = np.tanh(x), _matrix(rng, _NUMBERS)
    tvalues, tdelta = torch.from_numpy(values), torch.from_numpy(delta)

    def derivative() -> None:
        np.multiply(values, values, out=once)
        np.subtract(1.0, once, out=once)
        np.multiply(delta, once, out=out)

    def one_pass() -> None:
        torch.ops.aten.tanh_backward.grad_input(tdelta, tvalues, grad_input=tout)

    return [
        *(_function(name, x) for name in ("tanh", "exp", "log", "sin")),
        Comparison(
            "δ · (1 − tanh²)", _NUMBERS, "number",
            {"PyTorch, one pass": one_pass, "NumPy, three passes": derivative},
        ),
    ]  # fmt: skip


def _function(name: str, x: np.ndarray) -> Comparison:
    ours, theirs = getattr(np, name), getattr(torch, name)
    out, tx = np.empty_like(x), torch.from_numpy(x)
    tout = torch.empty_like(tx)
    ways: Ways = {"NumPy": lambda: ours(x, out=out), "PyTorch": lambda: theirs(tx, out=tout)}
    return Comparison(name, x.size, "number", ways)


def _draws() -> list[Comparison]:
    out = np.empty(_NUMBERS, np.float32)
    tout = torch.empty(_NUMBERS)
    stream = NormalStream(np.random.SeedSequence(0))
    sfc, pcg = np.random.Generator(np.random.SFC64(0)), np.random.Generator(np.random.PCG64DXSM(0))
    torch_generator = torch.Generator().manual_seed(0)
    # q of the digits standard arm: 64 of 0.7 · 1,297 examples.
    q = 64 / (0.7 * 1297)
    mean = -1.0 / np.log1p(-q)

    def gaps() -> np.ndarray:
        drawn = pcg.standard_exponential(size=_NUMBERS)
        drawn *= mean
        return drawn.astype(np.int64) + 1

    return [
        Comparison(
            "N(0, σ²)", _NUMBERS, "number",
            {
                "NormalStream": lambda: stream.fill(out, 1.5),
                "PyTorch's normal_": lambda: tout.normal_(0.0, 1.5, generator=torch_generator),
                "NumPy's standard_normal": lambda: sfc.standard_normal(dtype=np.float32, out=out),
            },
        ),
        Comparison(
            "geometric gaps between selected examples", _NUMBERS, "number",
            {
                "exponential, rounded": gaps,
                "NumPy's geometric": lambda: pcg.geometric(q, size=_NUMBERS),
            },
        ),
    ]  # fmt: skip


def shortest_times(ways: Ways) -> dict[str, float]:
    """Seconds of one call of each way: the shortest of several blocks of calls, taken in turn."""
    calls = {}
    for name, way in ways.items():
        way()
        start = time.perf_counter()
        way()
        calls[name] = max(1, int(_BLOCK_SECONDS / (time.perf_counter() - start)))
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(_REPEATS):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                way()
            best[name] = min(best[name], (time.perf_counter() - start) / calls[name])
    return best


def one_round() -> tuple[str | None, dict[str, dict[str, float]]]:
    """The kernels of this process's OpenBLAS, and ns per unit of work by comparison and way."""
    torch.set_num_threads(1)
    found = {}
    for each in comparisons():
        times = shortest_times(each.ways)
        found[each.name] = {way: 1e9 * seconds / each.work for way, seconds in times.items()}
    return kernels_in_use(), found


def kernels_in_use() -> str | None:
    """The architecture that NumPy's OpenBLAS multiplies for; None if it is another BLAS."""
    for library in threadpool_info():
        if library.get("internal_api") == "openblas" and "numpy" in library.get("filepath", ""):
            return library.get("architecture")
    return None


def start_worker(kernels: str | None) -> tuple[ProcessPoolExecutor, str | None]:
    """A worker whose OpenBLAS is told to take ``kernels`` (None: its own choice), and those it has.

    They are chosen when NumPy is imported, so before the process starts.
    """
    if kernels is not None:
        os.environ[_CORETYPE] = kernels
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    return pool, pool.submit(kernels_in_use).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"hardware {hardware('cpu', 1)}")
    print(f"versions {versions()}; PyTorch: {torch.backends.cpu.get_cpu_capability()}")
    print(f"BLAS of PyTorch: {'MKL' if torch.backends.mkl.is_available() else 'not MKL'}")
    print(f"lifted for the workers: {lift_restrictions() or 'nothing was restricted'}")
    own, name = start_worker(None)
    pools, kernels = [own], [name]
    if name == "SkylakeX":
        avx2, name = start_worker("Haswell")
        pools, kernels = [own, avx2], [*kernels, name]
    rounds = [[pool.submit(one_round).result()[1] for pool in pools] for _ in range(options.rounds)]
    for pool in pools:
        pool.shutdown()
    report(rounds, kernels)


def report(rounds: list[list[dict[str, dict[str, float]]]], kernels: list[str | None]) -> None:
    """Rates of every way, the ratio of each to the shipped one, and the two sets of kernels."""
    heading(f"kernels {kernels[0]}: ns per number, GF/s of products, and ratios of time")
    for each in comparisons():
        shipped, *others = each.ways
        ours = [first[each.name] for first, *_ in rounds]
        for way in each.ways:
            if each.unit == "op":
                line(f"{each.name}: {way}, GF/s", [1 / times[way] for times in ours])
            else:
                line(f"{each.name}: {way}, ns", [times[way] for times in ours])
        for other in others:
            line(f"  time of {other} / {shipped}", [t[other] / t[shipped] for t in ours])
    if len(rounds[0]) == 1:
        print("\nno AVX-512 kernels of OpenBLAS here: nothing to compare with")
        return
    heading(f"time with kernels {kernels[1]} / with kernels {kernels[0]}, NumPy's products")
    for each in comparisons():
        for way in each.ways:
            if each.unit == "op" and way != "PyTorch":
                name = f"{each.name}: {way}"
                line(name, [b[each.name][way] / a[each.name][way] for a, b in rounds])


if __name__ == "__main__":
    main()
