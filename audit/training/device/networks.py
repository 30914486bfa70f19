"""Cohorts of networks on an accelerator: one batched product per layer for a block of models.

The stacked layers are those of a CPU (:mod:`audit.training.stacked_layers`) with even rows: all
minibatches have one width, and a block holds as many models as memory allows.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from audit.training.arms import Arm
from audit.training.augmentation import augment
from audit.training.device.memory import free_bytes
from audit.training.device.padded import CohortState, PaddedData
from audit.training.device.precision import products
from audit.training.ensemble import CLIP_EPS
from audit.training.functional import FunctionalNetwork
from audit.training.network import Network
from audit.training.stacked import TracedCohort
from audit.training.stacked_layers import Rows

# A row takes its records, and about three times as much for outputs, their gradients and copies.
_PER_RECORD = 4
_SHARE_OF_FREE = 0.5


class PaddedNetwork(CohortState):
    """A cohort of networks; a :class:`~audit.training.device.padded.PaddedProgram`.

    Args:
        model, theta, arm: as in :class:`~audit.training.device.padded.CohortState`.
        block_bytes: memory that a block may take; None for half of what is free.

    Raises:
        NoStackedForm: a layer or operation of the module is not known.
    """

    def __init__(
        self, model: Network, theta: Tensor, arm: Arm, *, block_bytes: int | None = None
    ) -> None:
        super().__init__(model, theta, arm)
        self.model = model
        private = arm.clip_norm is not None
        self._program = TracedCohort(model, self.theta, self.velocity, finite=private)
        self._per_row = _PER_RECORD * self._program.bytes_per_row(even=True)
        free = free_bytes(theta.device) if block_bytes is None else block_bytes
        self._block_bytes = int(free * (_SHARE_OF_FREE if block_bytes is None else 1.0))

    @torch.no_grad()
    def step_padded(self, data: PaddedData, index: Tensor, views: Tensor | None = None) -> None:
        """One step on the minibatches of all models; see ``CohortState.step_padded``."""
        self._carry()
        self._program.begin()
        most = max(1, self._block_bytes // (self._per_row * index.shape[1]))
        for models in _blocks(len(index), most):
            here = slice(models.start, models.stop)
            flat = index[here].reshape(-1)
            x = data.x.index_select(0, flat)
            if views is not None:
                x = augment(x, views[here].flatten(0, 1))
            rows = Rows(models, [index.shape[1]] * len(models), even=True)
            self._block(x, data.y.index_select(0, flat), flat == data.padding, rows)
        self._program.end()
        self._descend()

    def _block(self, x: Tensor, labels: Tensor, padding: Tensor, rows: Rows) -> None:
        arm, private = self.arm, self.arm.clip_norm is not None
        with products(self.precision):
            logits = self._program.forward(x, rows)
            delta = torch.softmax(logits.detach(), dim=1)
            delta.scatter_add_(1, labels[:, None], delta.new_full((1, 1), -1.0).expand(len(x), 1))
            delta.masked_fill_(padding[:, None], 0.0)
            # In this thread: autograd's own has no CUDA context yet when a layer's product comes
            # first, and PyTorch warns.
            with torch.autograd.set_multithreading_enabled(False):
                logits.backward(delta if private else delta.mul_(1 / arm.expected_batch_size))
        with products("float32" if private else self.precision):
            self._program.add_gradients(self._factors() if private else None, rows)

    def _factors(self) -> Tensor:
        """min(1, C / (‖g‖ + 1e-6)) / normaliser of each row; 0 where ‖g‖ is not finite."""
        assert self.arm.clip_norm is not None
        total = self._program.squared_norms()
        factors = (self.arm.clip_norm / total.sqrt_().add_(CLIP_EPS)).clamp_(max=1.0)
        return factors.nan_to_num_(nan=0.0).mul_(1 / self.arm.expected_batch_size)


class PaddedFunctional(CohortState):
    """A cohort of networks by ``torch.func``; a
    :class:`~audit.training.device.padded.PaddedProgram`.

    Args:
        chunk_bytes: memory for the gradients of a chunk; None for a fifth of what is free.
    """

    def __init__(
        self, model: Network, theta: Tensor, arm: Arm, *, chunk_bytes: int | None = None
    ) -> None:
        super().__init__(model, theta, arm)
        self.model = model
        self._functions = FunctionalNetwork(model, theta[:1], arm)
        self._chunk_bytes = free_bytes(theta.device) // 5 if chunk_bytes is None else chunk_bytes

    @torch.no_grad()
    def step_padded(self, data: PaddedData, index: Tensor, views: Tensor | None = None) -> None:
        """One step on the minibatches of all models; see ``CohortState.step_padded``."""
        self._carry()
        width = index.shape[1]
        each = width if self.arm.clip_norm is not None else 4
        per_model = 4 * self.theta.shape[1] * each
        for models in _blocks(len(index), max(1, self._chunk_bytes // per_model)):
            here = slice(models.start, models.stop)
            flat = index[here].reshape(-1)
            x = data.x.index_select(0, flat)
            if views is not None:
                x = augment(x, views[here].flatten(0, 1))
            shape = (len(models), width)
            labels = data.y.index_select(0, flat).view(shape)
            inside = (flat != data.padding).view(shape)
            found = self._functions.gradients(
                self.theta[here],
                x.view(*shape, *x.shape[1:]),
                labels,
                inside.to(x.dtype),
                self.precision,
            )
            self.velocity[here].add_(found)
        self._descend()


def _blocks(models: int, most: int) -> Iterator[range]:
    """Consecutive models, at most ``most`` at a time."""
    for first in range(0, models, most):
        yield range(first, min(first + most, models))
