"""Memory of the ensemble engine, and where in it the rows of a step lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

# Float32 numbers in a cache line. Rows an odd number of lines apart do not compete for the same
# places in the cache.
_LINE = 16

Parts = list[np.ndarray]


@dataclass
class Rows:
    """One step's rows: the minibatches of all models, side by side.

    A *part* of a matrix holds the rows of one model [rows, units], or, where minibatches are
    padded, those of all models [models, rows, units].

    Attributes:
        index: the example in each row [rows].
        inside: 1, or 0 for padding [rows]; None where nothing is padded.
        x: inputs [rows, features + 1].
        hidden: outputs of the hidden layers [units + 1, rows]; their last row is the constant 1.
        deltas: δ of each layer [units, rows]; the last one first holds the logits.
        inputs: of each layer, part by part.
        outputs: of each layer before activation, part by part.
        delta_parts: δ of each layer, part by part.
        row: room for one number per row [rows].
        torch_hidden, torch_deltas: ``hidden`` and ``deltas`` as tensors on the same memory.
        onehot: room for the comparison of labels with classes [classes, rows].
    """

    index: np.ndarray
    inside: np.ndarray | None
    x: np.ndarray
    hidden: list[np.ndarray]
    deltas: list[np.ndarray]
    inputs: list[Parts]
    outputs: list[Parts]
    delta_parts: list[Parts]
    row: np.ndarray
    torch_hidden: list[Tensor]
    torch_deltas: list[Tensor]
    onehot: np.ndarray


class Workspace:
    """Memory for MLPs of these ``widths``, reused by every step; it grows when a step is larger."""

    def __init__(self, widths: tuple[int, ...], dtype: np.dtype) -> None:
        self._widths, self._dtype, self._room = widths, dtype, 0
        self._padded: dict[tuple[int, int], Rows] = {}

    def padded(self, selected: np.ndarray, sizes: list[int]) -> Rows:
        """Every model gets as many rows as the largest minibatch has; example 0 fills the rest."""
        models, longest = len(sizes), max(1, *sizes)
        inside = np.arange(longest) < np.asarray(sizes)[:, None]
        index = np.zeros(inside.shape, dtype=selected.dtype)
        index[inside] = selected
        self._reserve(models * longest)
        if (models, longest) not in self._padded:
            # Kept: sizes recur, and making the views takes as long as a product.
            self._padded[models, longest] = self._rows(
                models * longest,
                lambda matrix: [np.moveaxis(matrix.reshape(len(matrix), models, longest), 0, -1)],
                lambda x: [x.reshape(models, longest, -1)],
            )
        rows = self._padded[models, longest]
        rows.index, rows.inside = index.ravel(), inside.ravel()
        return rows

    def exact(self, selected: np.ndarray, sizes: list[int]) -> Rows:
        """Every model gets the rows of its minibatch, no more."""
        self._reserve(len(selected))
        spans = [slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))]
        rows = self._rows(
            len(selected),
            lambda matrix: [matrix[:, span].T for span in spans],
            lambda x: [x[span] for span in spans],
        )
        rows.index = selected
        return rows

    def _reserve(self, count: int) -> None:
        if count <= self._room:
            return
        self._room = count + count // 8
        self._padded.clear()
        lines = -(-self._room // _LINE) | 1

        def matrix(units: int, dtype: np.dtype = self._dtype) -> np.ndarray:
            return np.empty((units, lines * _LINE), dtype)

        *widths, classes = self._widths[1:]
        self._x = np.empty((self._room, self._widths[0] + 1), self._dtype)
        self._hidden = [matrix(width + 1) for width in widths]
        for values in self._hidden:
            values[-1] = 1.0
        self._deltas = [matrix(width) for width in (*widths, classes)]
        self._row = matrix(1)[0]
        self._onehot = matrix(classes, np.dtype(bool))

    def _rows(
        self,
        count: int,
        parts: Callable[[np.ndarray], Parts],
        parts_of_x: Callable[[np.ndarray], Parts],
    ) -> Rows:
        x = self._x[:count]
        hidden = [values[:, :count] for values in self._hidden]
        deltas = [values[:, :count] for values in self._deltas]
        return Rows(
            index=np.empty(0, dtype=np.int64),
            inside=None,
            x=x,
            hidden=hidden,
            deltas=deltas,
            inputs=[parts_of_x(x), *(parts(values) for values in hidden)],
            outputs=[*(parts(values[:-1]) for values in hidden), parts(deltas[-1])],
            delta_parts=[parts(values) for values in deltas],
            row=self._row[:count],
            torch_hidden=[torch.from_numpy(values) for values in hidden],
            torch_deltas=[torch.from_numpy(values) for values in deltas],
            onehot=self._onehot[:, :count],
        )
