"""What DP-SGD on a CPU is put together from: a program, its noise, its minibatches, its accounting.

Training, the reference that repeats it and the gradient canaries all take their parts from one
place (:func:`audit.training.plants.recipe`), so that a planted bug is another recipe, and correct
training contains no word of bugs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64
from torch import Tensor

from audit.seeds import Purpose
from audit.training.arms import Arm
from audit.training.ensemble import CLIP_EPS, Ensemble
from audit.training.minibatches import Minibatches, poisson_minibatches
from audit.training.models import Mlp, Model
from audit.training.noise import Noise


@runtime_checkable
class NoiseSource(Protocol):
    """The noise of a cohort, step by step."""

    def draw(self) -> Tensor:
        """Noise on the sum of the next step's gradients [models, parameters]; good until the next
        call, and free to be written to until then."""
        ...


class Recipe:
    """The parts of DP-SGD as it should be."""

    ensemble: type[Ensemble] = Ensemble
    """The program of a cohort of MLPs."""

    def program(
        self, model: Mlp, theta: Tensor, arm: Arm, subsets: Int64[np.ndarray, " models"] | None
    ) -> Ensemble:
        """The cohort with the parameters ``theta`` [models, parameters].

        Args:
            subsets: size of each model's training set. The right program does not look at it.
        """
        del subsets
        return self.ensemble(model, theta, arm)

    def noise(self, model: Model, arm: Arm, models: range, *, seed: int) -> NoiseSource:
        """N(0, (zC)²) for each parameter, step and model."""
        return Noise(models, model.parameters, std=arm.noise_std, arm=arm.name, seed=seed)

    def minibatches(
        self,
        membership: Bool[np.ndarray, "models n"],
        models: range,
        arm: Arm,
        *,
        seed: int,
        purpose: Purpose = Purpose.MINIBATCHES,
    ) -> Iterator[Minibatches]:
        """Who enters which step, of the training examples or, by ``purpose``, of the canaries."""
        return poisson_minibatches(
            membership,
            models,
            arm=arm.name,
            sample_rate=arm.sample_rate,
            steps=arm.steps,
            seed=seed,
            purpose=purpose,
        )

    def clipped(self, norm: float, clip_norm: float) -> float:
        """How long a gradient of length ``norm`` is when it enters the sum."""
        return norm * min(1.0, clip_norm / (norm + CLIP_EPS))

    def accounted_rate(self, sample_rate: float) -> float:
        """The sampling rate that the accountant is told."""
        return sample_rate


CORRECT = Recipe()
