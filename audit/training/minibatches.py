"""Poisson minibatches: the sampling that the privacy accountant assumes, drawn exactly.

Each step selects each of the n examples of the training set independently with probability q, and a
model trains on those of them that are in its subset T. The selection never looks at T, so neither
its size nor its members can change what is drawn for anyone else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from audit.seeds import Purpose, generator

# Selections are drawn for a block of steps at a time, about this many examples per model: large
# enough that NumPy's overhead vanishes, small enough that memory does not grow with the run.
_BLOCK_EXAMPLES = 65_536


@dataclass(frozen=True)
class Minibatches:
    """The minibatches of some models for consecutive steps, stored flat.

    ``examples`` holds, step by step and within a step model by model, the indices of the selected
    training examples; ``sizes`` [steps, models] their numbers.
    """

    examples: Int64[np.ndarray, " selected"]
    sizes: Int64[np.ndarray, "steps models"]

    def steps(self) -> Iterator[tuple[Int64[np.ndarray, " step_selected"], list[int]]]:
        """Per step: the flat indices of all models, and how many belong to each model."""
        ends = np.cumsum(self.sizes.sum(axis=1))
        for step, end in enumerate(ends):
            start = end - self.sizes[step].sum()
            yield self.examples[start:end], self.sizes[step].tolist()


def poisson_minibatches(
    membership: Bool[np.ndarray, "models n"],
    models: range,
    *,
    arm: str,
    sample_rate: float,
    steps: int,
    seed: int,
    purpose: Purpose = Purpose.MINIBATCHES,
) -> Iterator[Minibatches]:
    """All minibatches of ``models`` in ``arm``, block by block of steps.

    Args:
        purpose: keys the streams: of the training examples, or of gradient canaries.

    Row k of the result depends on (seed, arm, k) and that model's membership alone.
    """
    n = membership.shape[1]
    rngs = [generator(seed, purpose, arm, model) for model in models]
    block = max(1, min(steps, int(_BLOCK_EXAMPLES / max(1.0, sample_rate * n))))
    for first in range(0, steps, block):
        width = min(block, steps - first)
        kept = []
        for rng, member in zip(rngs, membership, strict=True):
            picked = _select(rng, n, sample_rate, width)
            # NumPy divides by a constant with vector instructions, but has none for remainders;
            # and taking by index is faster than by mask.
            inside = np.flatnonzero(member.take(picked - picked // n * n))
            kept.append(picked.take(inside))
        yield _interleave(kept, n, width)


def _select(
    rng: np.random.Generator, n: int, q: float, steps: int
) -> Int64[np.ndarray, " selected"]:
    """Indices in range(n·steps) of independent Bernoulli(q) trials that succeed, in order.

    The gaps between successes are geometric, so the work is q·n·steps draws and not n·steps. A
    geometric number is an exponential one of rate −log(1 − q), rounded up (Devroye 1986, X.2), and
    NumPy draws those in half of the time (benchmarks/kernels.py). Trials beyond the end are thrown
    away: the geometric distribution has no memory, so the next block may start afresh.
    """
    trials = n * steps
    mean = 0.0 if q == 1.0 else -1.0 / np.log1p(-q)
    positions: list[np.ndarray] = []
    last = -1
    while last < trials:
        expected = (trials - last) * q
        gaps = rng.standard_exponential(size=int(expected + 4 * np.sqrt(expected) + 8))
        gaps *= mean
        # Rounding down and adding 1: as rounding up, but for numbers that are whole by chance.
        block = last + np.cumsum(gaps.astype(np.int64) + 1)
        positions.append(block)
        last = int(block[-1])
    selected = np.concatenate(positions)
    return selected[selected < trials]


def _interleave(kept: list[np.ndarray], n: int, steps: int) -> Minibatches:
    """Flat step-major order from one sorted list of (step·n + example) per model."""
    first = n * np.arange(steps + 1)
    bounds = np.stack([np.searchsorted(positions, first) for positions in kept], axis=1)
    sizes = np.diff(bounds, axis=0)
    starts = np.cumsum(sizes.ravel()).reshape(sizes.shape) - sizes
    examples = np.empty(int(sizes.sum()), dtype=np.int64)
    for model, positions in enumerate(kept):
        counts = sizes[:, model]
        # Where each step's run goes, less where it comes from.
        shift = np.repeat(starts[:, model] - bounds[:-1, model], counts)
        shift += np.arange(len(positions))
        examples[shift] = positions - np.repeat(first[:-1], counts)
    return Minibatches(examples, sizes)
