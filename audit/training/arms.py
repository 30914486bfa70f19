"""Arms: the learning algorithms under audit, every constant of their training fixed by the plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from audit.errors import BadInput
from audit.training.augmentation import Augmentation


@dataclass(frozen=True)
class Arm:
    """A learning algorithm as the plan fixes it; nothing here may depend on a subset's size |T|.

    Attributes:
        name: ``standard``, ``dp-<ε>`` or a control's; keys the minibatch and noise streams.
        sample_rate: q, the probability that an example enters a minibatch, given it is in T.
        steps: number of optimiser steps.
        expected_batch_size: the gradient normaliser, q·p·n examples. A constant: dividing by the
            size of the minibatch or by |T| would make the update depend on who is in T through
            something the accountant does not see (Opacus issues #571, #819).
        learning_rate, momentum, weight_decay: of SGD (PyTorch's convention).
        clip_norm: C, per-example gradient norm after clipping; None for the standard arm.
        noise_multiplier: z; the noise on the summed gradient has standard deviation z·C.
        augmentation: how training images are varied, a new view in each step.
        canaries: gradient canaries in each model's training
            (:mod:`audit.training.gradient_canaries`).
        plant: the bug that is planted in this arm's training (:mod:`audit.training.plants`).
        pruned: share of the weights that magnitude pruning takes away
            (:mod:`audit.training.pruning`).
        random_labels: chance that a training example's label is drawn at random.
    """

    name: str
    sample_rate: float
    steps: int
    expected_batch_size: float
    learning_rate: float
    momentum: float
    weight_decay: float
    clip_norm: float | None = None
    noise_multiplier: float | None = None
    augmentation: tuple[Augmentation, ...] = ()
    canaries: int = 0
    plant: str | None = None
    pruned: float = 0.0
    random_labels: float = 0.0

    def __post_init__(self) -> None:
        if (self.clip_norm is None) != (self.noise_multiplier is None):
            raise ValueError(f"arm {self.name}: clip_norm and noise_multiplier go together")
        if self.canaries and self.clip_norm is None:
            raise ValueError(f"arm {self.name}: gradient canaries need a clip norm")
        if self.plant is not None and self.clip_norm is None:
            raise ValueError(f"arm {self.name}: bugs are planted in private arms")
        if not 0 < self.sample_rate <= 1:
            raise BadInput(
                "sample_rate", self.sample_rate, "must be in (0, 1]", "Choose a smaller batch_size"
            )

    @property
    def kind(self) -> Literal["standard", "dp"]:
        """By which steps it is trained: ``dp`` is with clipping and noise, whether or not they make
        it private."""
        return "standard" if self.clip_norm is None else "dp"

    @property
    def noise_std(self) -> float:
        """Standard deviation z·C of the noise on the summed clipped gradient (0 without DP)."""
        if self.clip_norm is None or self.noise_multiplier is None:
            return 0.0
        return self.noise_multiplier * self.clip_norm


@dataclass(frozen=True)
class LearnerArm:
    """An arm that a learner of its own trains: an estimator or a callable, not SGD of this tool.

    Attributes:
        name: ``standard`` or ``dp-<ε>``; keys the learner's random stream.
        options: keyword arguments given to the learner.
        epsilon, delta: the claim, given to a private learner beside ``options``; None for one that
            is not private, and ``delta`` None for one that takes none.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    epsilon: float | None = None
    delta: float | None = None

    @property
    def kind(self) -> Literal["standard", "dp"]:
        return "standard" if self.epsilon is None else "dp"

    @property
    def steps(self) -> int:
        """One: progress is counted in models."""
        return 1

    @property
    def arguments(self) -> dict[str, Any]:
        """All keyword arguments of the learner."""
        claim = {"epsilon": self.epsilon, "delta": self.delta}
        return {**self.options, **{key: v for key, v in claim.items() if v is not None}}


def dp_arm_name(epsilon: float) -> str:
    """The name of the DP arm for ``epsilon``: ``dp-2``, ``dp-0.5``."""
    return f"dp-{epsilon:g}"
