"""Random draws where the training is: minibatches, augmentations and noise on the device.

On the host each model has streams of its own. On a device a generator call per model and step would
cost more than the numbers, so models share streams in *groups* of consecutive models: a group's
stream is keyed by its number, and always drawn for the whole group. Model k is therefore still the
same model whatever else is trained: in another cohort, in half a cohort after memory ran out, or
when the cross-check draws once more what one model was given.

Minibatches are those of :mod:`audit.training.minibatches`: each step selects each of the n
examples with probability q, by gaps between selections, and a model trains on those in its subset.
Neither the subset nor its size changes what is drawn for anyone else. A minibatch is never cut: the
table is as wide as the largest of a block of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log1p, sqrt

import numpy as np
import torch
from torch import Tensor

from audit.seeds import Purpose, seed_sequence
from audit.training.augmentation import Augmentation, largest_shifts, restrict
from audit.training.device.padded import padded_width
from audit.training.noise import seeded_cpu_generator

# Constants of the draws: with others, other models are trained from the same seed.
_GROUP_MODELS = 64
_GROUP_NUMBERS = 2**22
"""Numbers of one call: enough to fill a processor, few enough that a replay costs little."""
_BLOCK_EXAMPLES = 16_384
"""Selections drawn at once per model, about: bounds memory, and hides what calls cost."""
# Gaps are drawn for the expected number of selections and so many standard deviations more; should
# they not suffice, more are drawn.
_MARGIN = 6.0


@dataclass(frozen=True)
class Part:
    """Models of a cohort that belong to one group: rows ``of_group`` of it are rows ``of_cohort``
    of the cohort."""

    group: int
    of_group: slice
    of_cohort: slice


def parts(models: range, size: int) -> list[Part]:
    """``models`` (consecutive) by groups of ``size``."""
    found, start = [], models.start
    while start < models.stop:
        group = start // size
        stop = min(models.stop, (group + 1) * size)
        own = slice(start - group * size, stop - group * size)
        found.append(Part(group, own, slice(start - models.start, stop - models.start)))
        start = stop
    return found


def group_generator(
    seed: int, purpose: Purpose, arm: str, group: int, device: torch.device
) -> torch.Generator:
    """The stream of a group. A CPU generator gets its full state, CUDA's (Philox) a 64-bit seed:
    ``manual_seed`` would keep 32 bits of it on a CPU."""
    sequence = seed_sequence(seed, purpose, arm, "device", group)
    if device.type == "cpu":
        return seeded_cpu_generator(sequence.generate_state(624, np.uint32))
    generator = torch.Generator(device=device)
    generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
    return generator


class DeviceNoise:
    """Gaussian noise of standard deviation ``std``, a fresh draw per step, filled in in place.

    Args:
        columns: numbers per model, :func:`audit.training.device.padded.noise_columns`.
    """

    def __init__(
        self,
        models: range,
        columns: int,
        *,
        std: float,
        arm: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self._std = std
        self._size = max(1, min(_GROUP_MODELS, _GROUP_NUMBERS // columns))
        self._parts = parts(models, self._size)
        self._generators = [
            group_generator(seed, Purpose.NOISE, arm, part.group, device) for part in self._parts
        ]
        self._columns, self._device = columns, device

    def fill(self, out: Tensor) -> None:
        """Fill ``out`` [models, columns] (contiguous) with the next step's noise."""
        for part, generator in zip(self._parts, self._generators, strict=True):
            rows = out[part.of_cohort]
            if len(rows) == self._size:
                rows.normal_(0.0, self._std, generator=generator)
                continue
            whole = torch.empty(self._size, self._columns, device=self._device)
            whole.normal_(0.0, self._std, generator=generator)
            rows.copy_(whole[part.of_group])


@dataclass(frozen=True)
class Block:
    """The minibatches of some consecutive steps.

    Attributes:
        index: examples [steps, models, width]; the minibatches come first, then padding.
        sizes: of the minibatches [steps, models].
        views: augmentations [steps, models, width, 3], or None.
    """

    index: Tensor
    sizes: Tensor
    views: Tensor | None


class DeviceMinibatches:
    """All minibatches of ``models`` in ``arm``, block by block of steps.

    Args:
        member: who is in each model's subset [models, n], bool, on the device.
        augmentation: how images are varied, with ``input_shape`` [channels, height, width].
    """

    def __init__(
        self,
        member: Tensor,
        models: range,
        *,
        arm: str,
        sample_rate: float,
        steps: int,
        seed: int,
        augmentation: tuple[Augmentation, ...] = (),
        input_shape: tuple[int, ...] = (),
    ) -> None:
        self._member, self._models = member, len(models)
        self._n, self._q, self._steps = member.shape[1], sample_rate, steps
        self._parts = parts(models, _GROUP_MODELS)
        device = member.device
        self._generators, self._view_generators = (
            [group_generator(seed, purpose, arm, p.group, device) for p in self._parts]
            for purpose in (Purpose.MINIBATCHES, Purpose.AUGMENTATION)
        )
        self._augmentation = augmentation
        self._shifts = largest_shifts(input_shape) if augmentation else ()

    def blocks(self) -> Iterator[Block]:
        """The steps in order. Waits for the device once a group and block (did the draws suffice?)
        and once more a block (its largest minibatch), never within a block."""
        length = max(1, min(self._steps, int(_BLOCK_EXAMPLES / max(1.0, self._q * self._n))))
        for first in range(0, self._steps, length):
            yield self._block(min(length, self._steps - first))

    def _block(self, steps: int) -> Block:
        placed = [self._place(i, steps) for i in range(len(self._parts))]
        sizes = torch.cat([each.sizes for each in placed])
        width = padded_width(int(sizes.max()))
        shape = (steps, self._models, width)
        # One more number than the table has: where what is not kept is written.
        index = sizes.new_full((steps * self._models * width + 1,), self._n)
        views = sizes.new_zeros(len(index), 3) if self._augmentation else None
        for part, each in zip(self._parts, placed, strict=True):
            models = torch.arange(self._models, device=index.device)[part.of_cohort, None]
            places = (each.step * self._models + models) * width + each.rank
            places = torch.where(each.kept, places, len(index) - 1)
            index[places] = each.example
            if views is not None and each.views is not None:
                views[places] = each.views
        return Block(
            index[:-1].view(shape),
            sizes.t(),
            None if views is None else views[:-1].view(*shape, 3),
        )

    def _place(self, i: int, steps: int) -> _Placed:
        """The selections of a part of the cohort, and where in their minibatches they go."""
        part, trials = self._parts[i], self._n * steps
        positions = self._positions(self._generators[i], trials)
        views = None
        if self._augmentation:
            views = self._draw_views(self._view_generators[i], positions.shape)[part.of_group]
        positions = positions[part.of_group]
        example = positions % self._n
        kept = (positions < trials) & self._member[part.of_cohort].gather(1, example)
        step = torch.where(kept, positions // self._n, 0)
        sizes = step.new_zeros(len(step), steps).scatter_add_(1, step, kept.long())
        before = sizes.cumsum(1) - sizes
        rank = kept.cumsum(1) - 1 - before.gather(1, step)
        return _Placed(step, rank, example, kept, sizes, views)

    def _positions(self, generator: torch.Generator, trials: int) -> Tensor:
        """Successes of independent Bernoulli(q) trials, in order [group, …]; those beyond
        ``trials`` are to be dropped. See ``minibatches._select`` for why gaps may be drawn so."""
        positions = self._gaps(generator, trials).cumsum(1) - 1
        while int(positions[:, -1].min()) < trials - 1:
            short = trials - 1 - int(positions[:, -1].min())
            more = positions[:, -1:] + self._gaps(generator, short).cumsum(1)
            positions = torch.cat([positions, more], dim=1)
        return positions

    def _gaps(self, generator: torch.Generator, trials: int) -> Tensor:
        expected = trials * self._q
        count = int(expected + _MARGIN * sqrt(expected) + 16)
        shape, device = (_GROUP_MODELS, count), self._member.device
        mean = 0.0 if self._q == 1.0 else -1.0 / log1p(-self._q)
        drawn = torch.empty(shape, dtype=torch.float64, device=device)
        return drawn.exponential_(1.0, generator=generator).mul_(mean).long() + 1

    def _draw_views(self, generator: torch.Generator, shape: torch.Size) -> Tensor:
        down, right = (
            torch.randint(-most, most + 1, shape, generator=generator, device=self._member.device)
            for most in self._shifts
        )
        mirrored = torch.randint(2, shape, generator=generator, device=self._member.device)
        return restrict(torch.stack([down, right, mirrored], dim=-1), self._augmentation)


@dataclass(frozen=True)
class _Placed:
    """Selections of some models [models, drawn] and the sizes of their minibatches."""

    step: Tensor
    rank: Tensor
    example: Tensor
    kept: Tensor
    sizes: Tensor
    views: Tensor | None
