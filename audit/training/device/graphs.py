"""Steps as CUDA graphs, where launching kernels takes longer than the kernels do.

A graph repeats the very kernels of one step on the very memory they were captured with. So a step
must have a fixed shape (one graph per width of the minibatches), and what changes from step to step
is copied into, or drawn in, memory of its own before the graph runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from audit.training.device.padded import PaddedData
from audit.training.device.precision import Precision

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Makes a function that repeats a step; may run the step any number of times to do so."""

# Steps before the capture: libraries allocate and choose algorithms in their first calls.
_WARM_UP = 3


def cuda_capture(step: Callable[[], None]) -> Callable[[], None]:
    """Capture ``step`` as a CUDA graph (the pattern of PyTorch's notes on CUDA graphs)."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


class StepGraphs:
    """A step, captured once for each width and precision it is asked for.

    Args:
        step: changes ``state`` in place; waits for nothing and allocates nothing that it keeps.
        state: everything that ``step`` changes. Capturing runs it; this is put back afterwards.
        capture: see :data:`Capture`.
    """

    def __init__(
        self,
        step: Callable[[PaddedData, Tensor], None],
        state: Sequence[Tensor],
        capture: Capture,
    ) -> None:
        self._step, self._state, self._capture = step, state, capture
        self._data: PaddedData | None = None
        self._captured: dict[tuple[int, Precision], tuple[Tensor, Callable[[], None]]] = {}

    def run(self, data: PaddedData, index: Tensor, precision: Precision) -> None:
        """The step on ``index`` [models, width]; noise must be in its place."""
        if data is not self._data:
            # Graphs know their data by its address.
            self._captured.clear()
            self._data = data
        key = (index.shape[1], precision)
        if key not in self._captured:
            self._captured[key] = self._new(data, index)
        static, repeat = self._captured[key]
        static.copy_(index)
        repeat()

    def _new(self, data: PaddedData, index: Tensor) -> tuple[Tensor, Callable[[], None]]:
        static = index.clone()
        before = [values.clone() for values in self._state]
        repeat = self._capture(lambda: self._step(data, static))
        for values, kept in zip(self._state, before, strict=True):
            values.copy_(kept)
        return static, repeat
