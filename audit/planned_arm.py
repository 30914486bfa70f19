"""A planned arm: the algorithm, its settings, the engine, the claim."""

from __future__ import annotations

from dataclasses import dataclass

from audit.accounting import Mechanism
from audit.claims import Claim
from audit.config import ArmConfig, LearnerConfig
from audit.controls import Control
from audit.training.arms import Arm, LearnerArm
from audit.training.engines import Engine
from audit.training.learners import Estimator
from audit.training.models import Model


@dataclass(frozen=True)
class PlannedArm:
    """An arm with everything a report says of it.

    ``claim``: what it claims; None for an arm that claims nothing. ``mechanism``: how DP-SGD backs
    the claim; None where the claim is not one of DP-SGD. ``trained_by``: the library behind a
    learner that trains itself, or the learner's own name. ``control``: what it controls for; None
    for the arms of the audit itself.
    """

    arm: Arm | LearnerArm
    model: Model | Estimator
    hyperparameters: ArmConfig | LearnerConfig
    engine: Engine
    engine_reason: str
    claim: Claim | None = None
    mechanism: Mechanism | None = None
    trained_by: str | None = None
    control: Control | None = None

    @property
    def name(self) -> str:
        return self.arm.name
