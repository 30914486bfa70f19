"""Wrong steps: the ensemble of MLPs with one part exchanged."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from audit.training.arms import Arm
from audit.training.ensemble import CLIP_EPS, Data, Ensemble
from audit.training.models import Mlp
from audit.training.recipe import Recipe
from audit.training.workspace import Rows

MICRO_BATCH = 16
"""Examples of a micro-batch, the last of a minibatch apart."""
DEFAULT_OVER_ASKED = 4.0
"""The clip norm that is used, over the one that was asked for."""
_VARIANCE_FLOOR = 1e-5
_RUNNING = 0.1


class _PlantedEnsemble(Ensemble):
    """An ensemble that remembers where in a step each model's rows lie."""

    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        longest = max(1, *sizes)
        starts = (
            [k * longest for k in range(len(sizes))]
            if self._padded
            else list(accumulate(sizes, initial=0))[:-1]
        )
        self._spans = [slice(a, a + size) for a, size in zip(starts, sizes, strict=True)]
        super().step(data, selected, sizes, noise, views)


class _Unclipped(_PlantedEnsemble):
    def _clipping(self, norms: np.ndarray, rows: Rows) -> np.ndarray:
        del rows
        return np.ones_like(norms)


class _ClippedPlusPlain(_PlantedEnsemble):
    def _clipping(self, norms: np.ndarray, rows: Rows) -> np.ndarray:
        return super()._clipping(norms, rows) + 1


class _MicroBatched(_PlantedEnsemble):
    """One factor for all rows of a micro-batch, from the norm of their mean gradient.

    A micro-batch of b counts for its b examples: b · clip(mean) = Σ g · min(1, C / ‖mean‖).
    """

    def _clipping(self, norms: np.ndarray, rows: Rows) -> np.ndarray:
        assert self.arm.clip_norm is not None
        weights = np.zeros_like(norms)
        groups, inside = self._groups()
        mean = np.sqrt(_sum_norms(rows, groups, inside)) / inside.sum(axis=1)
        factors = np.minimum(1.0, self.arm.clip_norm / (mean + CLIP_EPS))
        weights[groups[inside]] = np.repeat(factors, inside.sum(axis=1))
        return weights

    def _groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of each micro-batch [micro-batches, 16], and which of them are not filling."""
        parts = [
            np.arange(first, min(first + MICRO_BATCH, span.stop))
            for span in self._spans
            for first in range(span.start, span.stop, MICRO_BATCH)
        ]
        groups = np.zeros((len(parts), MICRO_BATCH), dtype=np.int64)
        inside = np.arange(MICRO_BATCH) < np.array([len(part) for part in parts])[:, None]
        if parts:
            groups[inside] = np.concatenate(parts)
        return groups, inside


def _sum_norms(rows: Rows, groups: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """‖Σ gradients‖² of each group: Σ_ij ⟨a_i, a_j⟩ ⟨δ_i, δ_j⟩, layer by layer."""
    total = np.zeros(len(groups))
    inputs = [rows.x[groups], *(np.moveaxis(h[:, groups], 0, -1) for h in rows.hidden)]
    for a, delta in zip(inputs, rows.deltas, strict=True):
        d = np.moveaxis(delta[:, groups], 0, -1) * inside[:, :, None]
        total += ((a @ a.swapaxes(1, 2)) * (d @ d.swapaxes(1, 2))).sum(axis=(1, 2))
    return np.maximum(total, 0.0)


class _DividedBySubset(_PlantedEnsemble):
    """The normaliser is q·|T| instead of q·p·n: noise and gradients are scaled by p·n / |T|."""

    def __init__(self, model: Mlp, theta: Tensor, arm: Arm, subsets: np.ndarray) -> None:
        super().__init__(model, theta, arm)
        expected = arm.expected_batch_size / arm.sample_rate
        self._scale = (expected / np.maximum(subsets, 1)).astype(np.float32)

    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        assert noise is not None
        super().step(data, selected, sizes, noise * noise.new_tensor(self._scale)[:, None], views)

    def _clipping(self, norms: np.ndarray, rows: Rows) -> np.ndarray:
        weights = super()._clipping(norms, rows)
        for span, scale in zip(self._spans, self._scale, strict=True):
            weights[span] *= scale
        return weights


class _BatchNormalised(_PlantedEnsemble):
    """Each hidden unit is normalised over the minibatch, before its activation.

    Mean and deviation over the minibatch are replaced by running ones (as in batch renormalisation,
    Ioffe 2017), so that the network can be evaluated as it stands. The gradient goes through those
    of the minibatch as autograd lets it, so a row's δ holds what the row does to the others: that
    is what a library's hooks would record and clip, if it let such layers pass.
    """

    def __init__(self, model: Mlp, theta: Tensor, arm: Arm) -> None:
        super().__init__(model, theta, arm)
        shape = len(theta), len(model.widths) - 2
        # Per model and hidden layer: (mean, deviation) of its units, running; None before a step.
        self._running = np.full(shape, None)

    def _forward(self, rows: Rows) -> None:
        self._here: dict[int, list[tuple[slice, np.ndarray, np.ndarray]]] = {}
        super()._forward(rows)

    def _activate(self, rows: Rows, layer: int) -> None:
        values, here = rows.hidden[layer][:-1], []
        for k, span in enumerate(self._spans):
            if span.stop == span.start:
                continue
            own = values[:, span]
            mean = own.mean(axis=1, keepdims=True)
            deviation = np.sqrt(own.var(axis=1, keepdims=True) + _VARIANCE_FLOOR)
            now = np.stack([mean, deviation])
            before = now if self._running[k, layer] is None else self._running[k, layer]
            self._running[k, layer] = before + _RUNNING * (now - before)
            unit = (own - mean) / deviation
            own[:] = unit * before[1] + before[0]
            here.append((span, unit, before[1] / deviation))
        self._here[layer] = here
        super()._activate(rows, layer)

    def _through_activation(self, rows: Rows, layer: int) -> None:
        super()._through_activation(rows, layer)
        for span, unit, scale in self._here[layer]:
            own = rows.deltas[layer][:, span]
            along = (own * unit).mean(axis=1, keepdims=True)
            own -= own.mean(axis=1, keepdims=True) + unit * along
            own *= scale


class NoClipping(Recipe):
    """Gradients enter the sum as they are; the noise is that of a clipped sum."""

    ensemble = _Unclipped

    def clipped(self, norm: float, clip_norm: float) -> float:
        del clip_norm
        return norm


class ClipNormIgnored(Recipe):
    """A default of 4·C clips; the noise is z·C, of the clip norm that was asked for."""

    def program(
        self, model: Mlp, theta: Tensor, arm: Arm, subsets: Int64[np.ndarray, " models"] | None
    ) -> Ensemble:
        assert arm.clip_norm is not None
        used = replace(arm, clip_norm=DEFAULT_OVER_ASKED * arm.clip_norm)
        return super().program(model, theta, used, subsets)

    def clipped(self, norm: float, clip_norm: float) -> float:
        return super().clipped(norm, DEFAULT_OVER_ASKED * clip_norm)


class MicroBatches(Recipe):
    """Clipping of the mean gradient of 16 examples, which then counts for 16."""

    ensemble = _MicroBatched

    def clipped(self, norm: float, clip_norm: float) -> float:
        """In a micro-batch whose other gradients cancel: 16 · clip(norm / 16)."""
        return MICRO_BATCH * super().clipped(norm / MICRO_BATCH, clip_norm)


class PlainGradientAdded(Recipe):
    """The sum of the clipped gradients and that of the gradients as they are."""

    ensemble = _ClippedPlusPlain

    def clipped(self, norm: float, clip_norm: float) -> float:
        return super().clipped(norm, clip_norm) + norm


class NormaliserOfSubset(Recipe):
    """The noisy sum is divided by q·|T|, and |T| is private."""

    def program(
        self, model: Mlp, theta: Tensor, arm: Arm, subsets: Int64[np.ndarray, " models"] | None
    ) -> Ensemble:
        assert subsets is not None, "this bug needs the sizes of the subsets"
        return _DividedBySubset(model, theta, arm, subsets)


class BatchStatistics(Recipe):
    """Hidden units are normalised over the minibatch: no gradient is one example's alone."""

    ensemble = _BatchNormalised
