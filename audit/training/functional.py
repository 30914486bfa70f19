"""The second-best engine: per-example gradients of any module that ``torch.func`` can transform.

A module without a stacked form may still be a pure function of its parameters and one example. Then
``vmap`` over models, and in private arms over examples, trains a cohort in one program: slower than
stacked layers, because every example's gradient is computed in full, but no loop over models.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from audit.training.arms import Arm
from audit.training.augmentation import augment
from audit.training.device.precision import Precision, products
from audit.training.ensemble import CLIP_EPS, Data
from audit.training.network import Network

# Per-example gradients held at once, over all models of a chunk.
_GRADIENT_BYTES = 2**27


class FunctionalNetwork:
    """A cohort of networks by ``torch.func``; the same interface as the stacked engines.

    Minibatches are padded to the longest of the step; padding has weight 0.
    """

    def __init__(self, model: Network, theta: Tensor, arm: Arm) -> None:
        self.model, self.arm, self.theta = model, arm, theta
        self.velocity = torch.zeros_like(theta)
        self._names = list(model.shapes)
        template = model.initial_module(0, 0).to(theta.device).train()
        # Only names and structure are used: the values come from theta.
        self._template = template.requires_grad_(False)
        self._buffers = dict(template.named_buffers())
        example = grad(self._loss_of_one)
        self._of_examples = vmap(vmap(example, in_dims=(None, 0, 0)))
        self._of_batches = vmap(grad(self._loss_of_batch))

    @torch.no_grad()
    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        """One step on the minibatches of all models; arguments as in :class:`StackedNetwork`."""
        arm = self.arm
        self.velocity.mul_(arm.momentum)
        if arm.clip_norm is not None:
            assert noise is not None, "a DP step needs noise"
            self.velocity.add_(noise, alpha=1 / arm.expected_batch_size)
        if arm.weight_decay:
            self.velocity.add_(self.theta, alpha=arm.weight_decay)
        x = data.x[selected]
        if views is not None:
            x = augment(x, views)
        for chunk, rows, labels, weight in self._chunks(x, data.y[selected], sizes):
            found = self.gradients(self.theta[chunk], rows, labels, weight)
            self.velocity[chunk] += found
        self.theta.add_(self.velocity, alpha=-arm.learning_rate)

    def gradients(
        self,
        theta: Tensor,
        rows: Tensor,
        labels: Tensor,
        weight: Tensor,
        precision: Precision = "float32",
    ) -> Tensor:
        """Sums of the rows' gradients, in private arms clipped, over the expected batch size
        [models, parameters].

        Args:
            theta: parameters [models, parameters].
            rows, labels, weight: [models, rows, …]; weight is 1, or 0 for padding.
            precision: of the products behind the gradients; they are clipped and summed in full.
        """
        parameters = self._named(theta)
        with products(precision):
            if self.arm.clip_norm is None:
                found = self._of_batches(parameters, rows, labels, weight)
                return _flat(found, 1) / self.arm.expected_batch_size
            each = _flat(self._of_examples(parameters, rows, labels), 2)
        factors = (self.arm.clip_norm / (each.norm(dim=2) + CLIP_EPS)).clamp(max=1.0)
        # A gradient that is not finite is left out: 0 · NaN would not leave it out.
        fine = torch.isfinite(factors) & torch.isfinite(each).all(dim=2)
        each = torch.where(fine[..., None], each, 0.0)
        factors = torch.where(fine, factors * weight, 0.0) / self.arm.expected_batch_size
        with products("float32"):
            return torch.einsum("kr,krp->kp", factors, each)

    def _chunks(self, x: Tensor, y: Tensor, sizes: list[int]) -> Any:
        """Consecutive models with their rows padded: slice, x, y, weight [models, longest, …]."""
        longest = max(1, *sizes)
        per_model = 4 * self.theta.shape[1] * (longest if self.arm.clip_norm is not None else 4)
        count = max(1, _GRADIENT_BYTES // per_model)
        starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
        for first in range(0, len(sizes), count):
            chunk = slice(first, min(first + count, len(sizes)))
            own = sizes[chunk]
            rows = x.new_zeros(len(own), longest, *x.shape[1:])
            labels = y.new_zeros(len(own), longest)
            weight = x.new_zeros(len(own), longest)
            for i, size in enumerate(own):
                here = slice(starts[first + i], starts[first + i] + size)
                rows[i, :size], labels[i, :size], weight[i, :size] = x[here], y[here], 1.0
            yield chunk, rows, labels, weight

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        return dict(zip(self._names, self.model.tensors(theta), strict=True))

    def _loss_of_one(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(self._logits(parameters, x[None]), y[None])

    def _loss_of_batch(
        self, parameters: dict[str, Tensor], x: Tensor, y: Tensor, weight: Tensor
    ) -> Tensor:
        each = cross_entropy(self._logits(parameters, x), y, reduction="none")
        return (each * weight).sum()

    def _logits(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self._template, (parameters, self._buffers), (x,))


def _flat(named: dict[str, Tensor], leading: int) -> Tensor:
    return torch.cat([value.flatten(leading) for value in named.values()], dim=leading)
