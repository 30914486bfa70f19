"""Labels drawn at random: what is learnt of such examples is memorized (Zhang et al. 2017)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from audit.seeds import Purpose, generator
from audit.training.arms import Arm
from audit.training.models import Mlp, Model


def random_labels(
    y: Int64[np.ndarray, " n"], arm: Arm, model: Model, *, seed: int
) -> Int64[np.ndarray, " n"]:
    """The labels ``y`` that ``arm`` trains on: each is replaced with chance ``arm.random_labels``
    by one of all classes, its own among them.

    Drawn once for the run: all models see the same labels, or there would be nothing to memorize.
    The draw is keyed by what is done, not by the arm, so the examples whose labels are random in
    a smaller share of the training set are among those of a larger one.
    """
    if not arm.random_labels:
        return y
    rng = generator(seed, Purpose.RANDOM_LABELS)
    replaced = rng.random(len(y)) < arm.random_labels
    classes = model.widths[-1] if isinstance(model, Mlp) else model.n_classes
    drawn = rng.integers(classes, size=len(y), dtype=np.int64)
    return np.where(replaced, drawn, y)
