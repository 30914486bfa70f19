"""The arms of controls: each is the standard or a private arm with one thing changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from audit.config import RunConfig
from audit.controls import Control, parse_control
from audit.errors import BadInput
from audit.planned_arm import PlannedArm
from audit.training.arms import Arm

UNCLIPPED = 1e9
"""How many times longer than the clip norm a gradient has to be for ``noise-only`` to clip it."""


def control_arms(
    config: RunConfig, standard: PlannedArm, private: Sequence[PlannedArm]
) -> list[PlannedArm]:
    """The arms that ``config.controls`` asks for; one of ``noise-only`` for each ε.

    Raises:
        BadInput: a part of DP-SGD beside a planted bug.
    """
    arms = []
    for text in config.controls:
        control = parse_control(text)
        if control.of == "standard":
            arms.append(_of_standard(control, standard))
            continue
        if config.plant is not None:
            raise BadInput(
                "controls",
                text,
                "is DP-SGD without one of its parts, and a planted bug changes that too",
                "Leave one of them out",
            )
        if control.kind == "noise-only":
            arms += [_noise_only(control, arm) for arm in private]
        else:
            # Neither depends on ε: one arm serves all of them.
            arms.append(_without_noise(control, private[0]))
    return arms


def _of_standard(control: Control, standard: PlannedArm) -> PlannedArm:
    assert isinstance(standard.arm, Arm)
    changed = {"pruned": {"pruned": control.share},
               "random-labels": {"random_labels": control.share}}  # fmt: skip
    arm = replace(standard.arm, name=control.name, **changed[control.kind])
    return replace(standard, arm=arm, control=control)


def _without_noise(control: Control, private: PlannedArm) -> PlannedArm:
    assert isinstance(private.arm, Arm)
    changed = {"noise_multiplier": 0.0}
    if control.kind == "neither":
        changed = {"noise_multiplier": None, "clip_norm": None}
    arm = replace(private.arm, name=control.name, canaries=0, **changed)
    return replace(private, arm=arm, claim=None, mechanism=None, control=control)


def _noise_only(control: Control, private: PlannedArm) -> PlannedArm:
    """The same noise on the sum, zC, of gradients that nothing shortens."""
    dp, claim = private.arm, private.claim
    assert isinstance(dp, Arm)
    assert claim is not None
    assert dp.clip_norm is not None
    assert dp.noise_multiplier is not None
    arm = replace(
        dp,
        name=f"{control.name}-{claim.epsilon:g}",
        clip_norm=UNCLIPPED * dp.clip_norm,
        noise_multiplier=dp.noise_multiplier / UNCLIPPED,
        canaries=0,
    )
    return replace(private, arm=arm, claim=None, mechanism=None, control=control)
