"""The unit of work that an executor runs: what goes in, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float16, Float32

from audit.config import Design
from audit.inclusion import removed_at_random
from audit.training.arms import Arm, LearnerArm
from audit.training.crosscheck import CrossCheck
from audit.training.engines import Engine
from audit.training.learners import Estimator
from audit.training.models import Model


@dataclass(frozen=True)
class Removal:
    """Training examples that models are trained without, whatever their subset says.

    Attributes:
        name: what the models are called in the manifest, in place of their arm.
        removed: these examples, the same for all models.
        at_random: so many more, drawn for each model.
    """

    name: str
    removed: tuple[int, ...] = ()
    at_random: int = 0

    def of(self, n: int, models: range, *, seed: int) -> Bool[np.ndarray, "models n"]:
        """Who is removed from the training sets of ``models``."""
        gone = removed_at_random(n, self.at_random, models, seed=seed)
        gone[:, list(self.removed)] = True
        return gone


@dataclass(frozen=True)
class CohortTask:
    """Everything needed to train models ``first``…``last`` of ``arm``, except the data itself."""

    arm: Arm | LearnerArm
    model: Model | Estimator
    first: int
    last: int
    engine: Engine
    design: Design
    p: float
    seed: int
    device: str
    checked_model: int | None = None
    at_once: int | None = None
    """Models trained together, where that is fewer than the cohort has: a run begun on another
    device keeps its cohorts."""
    removal: Removal | None = None

    @property
    def name(self) -> str:
        """What its models are called in the manifest: their arm, or what was removed."""
        return self.arm.name if self.removal is None else self.removal.name

    @property
    def models(self) -> range:
        return range(self.first, self.last + 1)

    @property
    def key(self) -> str:
        """The cohort's name in the manifest: ``standard/0-24``."""
        return f"{self.name}/{self.first}-{self.last}"

    @property
    def total_steps(self) -> int:
        """Steps × models: what ``on_step`` of ``train_cohort`` reaches."""
        return self.arm.steps * len(self.models)


@dataclass(frozen=True)
class TrainingData:
    """The arrays a cohort reads; may be memory-mapped."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    input_shape: tuple[int, ...]
    x_canary: np.ndarray | None = None
    y_canary: np.ndarray | None = None
    """Planted examples [canaries, features], each to be trained on in ``copies`` rows."""
    copies: int = 1


@dataclass(frozen=True)
class CanaryOutput:
    """What a cohort says of its canaries; one row per model.

    ``coins``: which canaries each model trained on. ``total`` and ``llr`` of gradient canaries
    (:class:`audit.training.gradient_canaries.CanaryScores`); ``correct`` and ``margin`` (against
    the planted label) of planted examples; None for the others.
    """

    coins: Bool[np.ndarray, "models canaries"]
    total: Float32[np.ndarray, "models canaries"] | None = None
    llr: Float32[np.ndarray, "models canaries"] | None = None
    correct: Bool[np.ndarray, "models canaries"] | None = None
    margin: Float16[np.ndarray, "models canaries"] | None = None


@dataclass(frozen=True)
class CohortOutput:
    """What a cohort leaves behind: one row per model; parameters are not kept."""

    membership: Bool[np.ndarray, "models n"]
    train_correct: Bool[np.ndarray, "models n"]
    test_correct: Bool[np.ndarray, "models n_test"]
    train_margin: Float16[np.ndarray, "models n"]
    test_margin: Float16[np.ndarray, "models n_test"]
    seconds: float
    diverged: int
    cross_check: CrossCheck | None
    canaries: CanaryOutput | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    """What a learner's training left to say (:class:`audit.training.estimators.Notes`), and
    ``out_of_memory``: the parts ``first-last`` that were trained one after the other instead."""
