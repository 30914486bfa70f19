"""Magnitude pruning: a network loses its smallest weights while it is trained.

Gradual, in the form of Zhu & Gupta (2018, §3), which Hooker et al. (2019) used: from a quarter of
the steps to three quarters the share of weights that are 0 rises along a cubic curve, matrix by
matrix; the rest of the steps let what is left recover. Biases, and what else is a vector, stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

BEGIN, END = 0.25, 0.75
"""The part of training in which weights are taken away."""
_TIMES = 20


class Pruner:
    """Prunes a cohort, in place.

    A weight that was taken away stays 0: it is set to 0 after every step, so it is among the
    smallest whenever more are taken.

    Args:
        tensors: the parameters, one tensor [models, *shape] each; views of what is trained.
        share: of the weights of each matrix that are 0 in the end.
        steps: of the whole training.
    """

    def __init__(self, tensors: Iterable[Tensor], share: float, steps: int) -> None:
        self._weights = [t for t in tensors if t.dim() > 2]
        self._masks = [torch.ones_like(w, dtype=torch.bool) for w in self._weights]
        self._share, self._steps, self._removed = share, steps, 0.0

    @torch.no_grad()
    def after(self, done: int) -> None:
        """Call it after step number ``done`` (from 1)."""
        removed = removed_share(done, self._steps, self._share)
        if removed > self._removed:
            self._removed = removed
            for weights, mask in zip(self._weights, self._masks, strict=True):
                _keep_largest(weights, mask, removed)
        if self._removed:
            for weights, mask in zip(self._weights, self._masks, strict=True):
                weights.mul_(mask)

    def between(self, minibatches: Iterable[Tensor]) -> Iterator[Tensor]:
        """The minibatches of a training that takes a step on each: prunes after every one."""
        for done, minibatch in enumerate(minibatches, start=1):
            yield minibatch
            self.after(done)


def removed_share(done: int, steps: int, share: float) -> float:
    """The share of weights that are 0 after ``done`` of ``steps``: s(1 − (1 − t)³), in stairs."""
    begin, end = int(BEGIN * steps), max(int(END * steps), int(BEGIN * steps) + 1)
    if done < begin:
        return 0.0
    time = min(1.0, (done - begin) / (end - begin))
    return share * (1 - (1 - int(time * _TIMES) / _TIMES) ** 3)


def _keep_largest(weights: Tensor, mask: Tensor, removed: float) -> None:
    """Mark the largest weights of each model [models, *shape]; a NaN counts as large."""
    size = weights[0].numel()
    gone = round(removed * size)
    if gone == 0:
        return
    flat = weights.abs().reshape(len(weights), size)
    # By rank, not by a threshold: of equal weights no more go than should.
    smallest = flat.topk(gone, dim=1, largest=False).indices
    kept = torch.ones_like(flat, dtype=torch.bool)
    kept.scatter_(1, smallest, value=False)
    mask.copy_(kept.reshape(weights.shape))
