"""Wrong noise and wrong minibatches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from audit.seeds import Purpose, generator
from audit.training.arms import Arm
from audit.training.minibatches import Minibatches
from audit.training.models import Mlp, Model
from audit.training.recipe import NoiseSource, Recipe


class NoiseForMean(Recipe):
    """Standard deviation zC/B instead of zC on the sum of B gradients."""

    def noise(self, model: Model, arm: Arm, models: range, *, seed: int) -> NoiseSource:
        assert arm.noise_multiplier is not None
        z = arm.noise_multiplier / arm.expected_batch_size
        return super().noise(model, replace(arm, noise_multiplier=z), models, seed=seed)


class NoNoise(Recipe):
    """Zeros."""

    def noise(self, model: Model, arm: Arm, models: range, *, seed: int) -> NoiseSource:
        return super().noise(model, replace(arm, noise_multiplier=0.0), models, seed=seed)


class _Changed:
    """A source that makes something else of another's draws."""

    def __init__(self, source: NoiseSource, change: Callable[[Tensor], Tensor]) -> None:
        self._source, self._change = source, change

    def draw(self) -> Tensor:
        return self._change(self._source.draw())


class _Repeated:
    """The first draw again and again."""

    def __init__(self, source: NoiseSource) -> None:
        self._first = source.draw().clone()

    def draw(self) -> Tensor:
        # A copy: canaries are added to what is drawn.
        return self._first.clone()


class SameEveryStep(Recipe):
    """Each model draws its noise once."""

    def noise(self, model: Model, arm: Arm, models: range, *, seed: int) -> NoiseSource:
        return _Repeated(super().noise(model, arm, models, seed=seed))


class SameEveryModel(Recipe):
    """All models have the noise of model 0, new in every step."""

    def noise(self, model: Model, arm: Arm, models: range, *, seed: int) -> NoiseSource:
        first = super().noise(model, arm, range(1), seed=seed)
        return _Changed(first, lambda drawn: drawn.repeat(len(models), 1))


class MissingOnLayer(Recipe):
    """No noise on the last layer."""

    def noise(self, model: Model, arm: Arm, models: range, *, seed: int) -> NoiseSource:
        assert isinstance(model, Mlp)
        first = model.parameters - prod(model.shapes[-1])

        def without_last(drawn: Tensor) -> Tensor:
            drawn[:, first:] = 0.0
            return drawn

        return _Changed(super().noise(model, arm, models, seed=seed), without_last)


class Shuffled(Recipe):
    """The members in random order, cut into minibatches of q·|T|; a new order when one is used up.

    That is ``shuffle().repeat().batch()`` of tf.data. The accountant, as ever, assumes that each
    step chose anew.
    """

    def minibatches(
        self,
        membership: Bool[np.ndarray, "models n"],
        models: range,
        arm: Arm,
        *,
        seed: int,
        purpose: Purpose = Purpose.MINIBATCHES,
    ) -> Iterator[Minibatches]:
        orders = [
            _dealt(np.flatnonzero(member), arm, generator(seed, purpose, arm.name, model))
            for model, member in zip(models, membership, strict=True)
        ]
        for parts in zip(*orders, strict=True):
            sizes = np.array([[len(part) for part in parts]], dtype=np.int64)
            yield Minibatches(np.concatenate(parts), sizes)


def _dealt(members: np.ndarray, arm: Arm, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Minibatches of one model; their sizes differ by one where q·|T| is no whole number."""
    ends = np.rint(arm.sample_rate * len(members) * np.arange(arm.steps + 1)).astype(int)
    pile = np.empty(0, dtype=np.int64)
    for size in np.diff(ends):
        while len(pile) < size:
            pile = np.concatenate([pile, rng.permutation(members)])
        yield pile[:size]
        pile = pile[size:]


class RateMisreported(Recipe):
    """The accountant is told half of the sampling rate, and asks for too little noise."""

    def accounted_rate(self, sample_rate: float) -> float:
        return sample_rate / 2
