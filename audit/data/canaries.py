"""Planted examples (canaries): training rows made to be memorized, whose membership is a fair coin.

They give an audit its power: a training that memorizes does it to these first. None of them is
counted in an accuracy, a subgroup or a memorization of the data set's own examples.

- ``mislabeled``: a training example's features with a label drawn among the other classes (Nasr et
  al. 2021; Steinke, Nasr & Jagielski 2023, §6). The original stays in the data: models that have
  both must learn a contradiction, so the memorization of these originals is not that of a training
  without canaries.
- ``ood``: inputs from another distribution: each feature drawn uniformly between its least and its
  largest value, the label at random.
- ``duplicates``: a mislabeled example in several copies that are in or out together. (ε, δ)-DP
  bounds c copies at cε by group privacy (Dwork & Roth 2014, Theorem 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32, Int64

from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.seeds import Purpose, generator

ExampleCanaryKind = Literal["mislabeled", "ood", "duplicates"]
EXAMPLE_KINDS: tuple[ExampleCanaryKind, ...] = get_args(ExampleCanaryKind)
COPIES = 4
"""Copies of each example of kind ``duplicates``."""


@dataclass(frozen=True)
class ExampleCanaries:
    """Canaries with features and labels, each in ``copies`` equal rows.

    ``source``: the training examples whose features were taken; -1 where none was.
    """

    kind: ExampleCanaryKind
    x: Float32[np.ndarray, "canaries features"]
    y: Int64[np.ndarray, " canaries"]
    source: Int64[np.ndarray, " canaries"]
    copies: int = 1


def example_canaries(
    data: Dataset, kind: ExampleCanaryKind, count: int, *, seed: int
) -> ExampleCanaries:
    """Draw ``count`` canaries of ``kind`` from the training part of ``data``.

    Raises:
        BadInput: more canaries than there are training examples to make them of, or one class.
    """
    n, classes = len(data.x_train), len(data.class_names)
    if count > n:
        raise BadInput(
            "canaries",
            count,
            f"must be at most n = {n:,}: each is made of another training example",
            "Use fewer",
        )
    if classes < 2:
        raise BadInput(
            "canary_kind", kind, "needs a second class to draw a wrong label from", "Use gradient"
        )
    rng = generator(seed, Purpose.CANARY_EXAMPLES, kind)
    if kind == "ood":
        low, high = data.x_train.min(axis=0), data.x_train.max(axis=0)
        x = rng.uniform(low, high, size=(count, len(low))).astype(np.float32)
        labels = rng.integers(classes, size=count)
        return ExampleCanaries(kind, x, labels, np.full(count, -1, dtype=np.int64))
    source = rng.choice(n, size=count, replace=False)
    # 1 to classes − 1 further on: never the true label.
    labels = (data.y_train[source] + rng.integers(1, classes, size=count)) % classes
    copies = COPIES if kind == "duplicates" else 1
    return ExampleCanaries(
        kind, data.x_train[source], labels.astype(np.int64), source.astype(np.int64), copies
    )
