"""Which canaries a run plants, and what was left out where it plants none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from audit.config import CanaryKind, RunConfig
from audit.data.canaries import EXAMPLE_KINDS, ExampleCanaries, example_canaries
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.planned_arm import PlannedArm
from audit.training.arms import Arm
from audit.training.engines import Engine
from audit.training.gradient_canaries import most_canaries
from audit.training.learners import is_learner

_GRADIENT, _EXAMPLES = 1000, 200
"""Canaries of a run that is not told how many: gradient canaries, and planted examples."""


@dataclass(frozen=True)
class PlannedCanaries:
    """The canaries of a run.

    ``arms``: the names of those that train on them. ``examples``: the planted rows; None of
    gradient canaries. ``why_none``: why there are none, in words; None where there are some.
    """

    kind: CanaryKind
    count: int
    arms: tuple[str, ...]
    examples: ExampleCanaries | None = None
    why_none: str | None = None

    @property
    def copies(self) -> int:
        return 1 if self.examples is None else self.examples.copies


def gradient_canaries(config: RunConfig, parameters: int, engine: Engine) -> int:
    """Gradient canaries of each model in a private arm trained by ``engine``.

    Raises:
        BadInput: a number was asked for that the model or its engine cannot have.
    """
    if config.canary_kind != "gradient":
        return 0
    most, asked = most_canaries(parameters), config.canaries
    if asked == "auto":
        return 0 if engine == "opacus" else min(_GRADIENT, most)
    if asked and engine == "opacus":
        raise BadInput(
            "canaries",
            asked,
            "of kind gradient need a cohort engine, and this model trains in the Opacus loop",
            "Use --canary-kind mislabeled, or --canaries 0",
        )
    if asked > most:
        raise BadInput(
            "canaries",
            asked,
            f"of kind gradient must be at most {most:,}: each takes two of the model's "
            f"{parameters:,} parameters",
            "Use fewer",
        )
    return asked


def plan_canaries(config: RunConfig, data: Dataset, arms: Sequence[PlannedArm]) -> PlannedCanaries:
    """What is planted, once the arms are planned.

    Raises:
        BadInput: canaries that the data or the arms cannot have.
    """
    kind, asked = config.canary_kind, config.canaries
    if kind in EXAMPLE_KINDS:
        count = min(_EXAMPLES, len(data.x_train)) if asked == "auto" else asked
        if count == 0:
            return PlannedCanaries(kind, 0, (), why_none="none were asked for")
        planted = example_canaries(data, kind, count, seed=config.seed)
        return PlannedCanaries(kind, count, tuple(arm.name for arm in arms), planted)
    with_some = {arm.name: arm.arm.canaries for arm in arms if isinstance(arm.arm, Arm)}
    names = tuple(name for name, count in with_some.items() if count)
    if names:
        return PlannedCanaries(kind, max(with_some.values()), names)
    why = _why_no_gradient_canaries(config, arms)
    if asked not in ("auto", 0):
        raise BadInput("canaries", asked, f"of kind gradient cannot be: {why}", "Leave them out")
    return PlannedCanaries(kind, 0, (), why_none=why)


def _why_no_gradient_canaries(config: RunConfig, arms: Sequence[PlannedArm]) -> str:
    if config.canaries == 0:
        return "none were asked for"
    if is_learner(config.model):
        return "the learners train themselves, and their gradients cannot be added to"
    if all(arm.claim is None for arm in arms):
        return "no arm clips gradients and adds noise"
    if any(arm.engine == "opacus" for arm in arms):
        return "this model trains in the Opacus loop, which has no gradient canaries"
    return "the model has too few parameters"
