"""The removal experiment, planned from what a finished run knows of memorization.

Models are trained again without the examples of mem ≥ θ, without as many drawn at random, and
without none, on subsets of their own (Feldman & Zhang 2020, §3.2 and Figure 2, whose models train
on all other examples). All share the standard arm's settings, and model k of every condition its
start, its subset and its minibatches: what differs is what was removed. They are other models than
those that memorization was estimated from, so that an estimate which chance made large does not
come back in what it is compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64
from threadpoolctl import threadpool_limits

from audit.claims import STANDARD
from audit.conditions import AT_RANDOM, BY_MEMORIZATION, NONE
from audit.config import RemovalConfig
from audit.errors import BadInput
from audit.plan import Plan
from audit.plan_canaries import PlannedCanaries
from audit.planned_arm import PlannedArm
from audit.training.arms import Arm
from audit.training.cohort_task import CohortTask, Removal

# Rows of distances at once.
_BLOCK = 512


@dataclass(frozen=True)
class PlannedRemoval:
    """The cohorts of the experiment as a plan, and what ``run.json`` says of it."""

    plan: Plan
    described: dict[str, Any]


def refuse_removal(plan: Plan, settings: RemovalConfig, n_test: int) -> None:
    """Refuse an experiment that cannot be carried out, before anything is trained for it.

    Raises:
        BadInput: there are no test examples, or weight decay for a learner that has none.
    """
    if not n_test:
        raise BadInput(
            "removal", True, "needs test examples: its outcome is their accuracy", "Give some"
        )
    standard = next(arm for arm in plan.arms if arm.name == STANDARD)
    if settings.weight_decay is not None and not isinstance(standard.arm, Arm):
        raise BadInput(
            "removal.weight_decay",
            settings.weight_decay,
            "is a setting of networks, and the model trains itself",
            "Leave it out, or give the learner an option of its own",
        )


def plan_removal(
    plan: Plan,
    settings: RemovalConfig,
    mem: Float[np.ndarray, " n"],
    x_train: Float32[np.ndarray, "n features"],
    x_test: Float32[np.ndarray, "n_test features"],
    *,
    left_out: list[int] | None = None,
) -> PlannedRemoval:
    """The conditions whose thresholds some example reaches.

    Args:
        mem: memorization of each training example by the standard arm; NaN reaches no threshold.
        left_out: the near-duplicates that were found when the experiment was begun, perhaps on
            another machine; None to look for them.

    Raises:
        BadInput: as :func:`refuse_removal`.
    """
    refuse_removal(plan, settings, len(x_test))
    standard = next(arm for arm in plan.arms if arm.name == STANDARD)
    conditions = removals(settings.thresholds, mem)
    arm = standard.arm
    if settings.weight_decay is not None and isinstance(arm, Arm):
        arm = replace(arm, weight_decay=settings.weight_decay)
    tasks = [
        task
        for condition in conditions
        for task in _tasks(plan, replace(standard, arm=arm), settings.models, condition)
    ]
    shown = tuple(
        replace(standard, arm=replace(arm, name=condition.name)) for condition in conditions
    )
    none = PlannedCanaries(plan.canaries.kind, 0, (), why_none="not in models of the removal")
    described = {
        "thresholds": list(settings.thresholds),
        "models": settings.models,
        "first": plan.models,
        "removed": {f"{t:g}": reached(mem, t).size for t in settings.thresholds},
        "removed_sha256": {f"{t:g}": digest(reached(mem, t)) for t in settings.thresholds},
        "settings": settings.model_dump(mode="json"),
        "left_out": near_duplicates(x_train, x_test, settings.near_duplicates).tolist()
        if left_out is None
        else left_out,
    }
    return PlannedRemoval(
        replace(plan, arms=shown, models=settings.models, tasks=tuple(tasks), canaries=none),
        described,
    )


def removals(thresholds: Sequence[float], mem: Float[np.ndarray, " n"]) -> list[Removal]:
    """Nothing; then, for each threshold that ``mem`` reaches, what does and as many at random."""
    found = [Removal(NONE)]
    for threshold in thresholds:
        gone = reached(mem, threshold)
        if gone.size:
            found += [
                Removal(f"{BY_MEMORIZATION}-{threshold:g}", tuple(gone.tolist())),
                Removal(f"{AT_RANDOM}-{threshold:g}", at_random=gone.size),
            ]
    return found


def reached(mem: Float[np.ndarray, " n"], threshold: float) -> Int64[np.ndarray, " examples"]:
    """The examples of memorization ``threshold`` or more."""
    # A share of models that is .25 in decimals may be a hair less in binary.
    return np.flatnonzero(mem >= threshold - 1e-12)


def digest(examples: Int64[np.ndarray, " examples"]) -> str:
    """SHA-256 of which examples these are."""
    return hashlib.sha256(examples.astype("<i8").tobytes()).hexdigest()


def _tasks(plan: Plan, planned: PlannedArm, models: int, condition: Removal) -> list[CohortTask]:
    """Models with numbers of their own, after those of the run."""
    like = next(task for task in plan.tasks if task.arm.name == STANDARD)
    size, first, end = min(plan.cohort_size, models), plan.models, plan.models + models
    return [
        replace(
            like,
            arm=planned.arm,
            first=start,
            last=min(start + size, end) - 1,
            checked_model=None,
            removal=condition,
        )
        for start in range(first, end, size)
    ]


def near_duplicates(
    x_train: Float32[np.ndarray, "n features"],
    x_test: Float32[np.ndarray, "n_test features"],
    ratio: float | None,
) -> Int64[np.ndarray, " left_out"]:
    """Test examples that a training example is very like; none where ``ratio`` is None.

    Nearer than ``ratio`` times the median distance (Euclidean, of the inputs as they are trained
    on) of training examples to their nearest other training example, those that are there twice
    apart: what such a test example tells of memorization, its twin told already.
    """
    if ratio is None:
        return np.zeros(0, dtype=np.int64)
    # Far from the origin the differences would be lost in the squares.
    middle = x_train.mean(axis=0, dtype=np.float64)
    x_train, x_test = ((x - middle).astype(np.float32) for x in (x_train, x_test))
    apart = np.sqrt(_nearest(x_train, x_train, itself=True))
    apart = apart[apart > 0]
    if not apart.size:
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero(
        np.sqrt(_nearest(x_test, x_train, itself=False)) < ratio * float(np.median(apart))
    )


def _nearest(x: np.ndarray, others: np.ndarray, *, itself: bool) -> np.ndarray:
    """Squared distance of each row of ``x`` to its nearest row of ``others``.

    ``itself``: the two are the same rows, and none is its own neighbour.
    """
    found = np.empty(len(x))
    norms = np.einsum("ij,ij->i", others, others, dtype=np.float64)
    # One thread: the order of sums, and so the last bits, must not depend on the machine's cores.
    with threadpool_limits(limits=1, user_api="blas"):
        for start in range(0, len(x), _BLOCK):
            block = x[start : start + _BLOCK]
            own = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            squared = own[:, None] + norms - 2 * (block @ others.T).astype(np.float64)
            if itself:
                rows = np.arange(len(block))
                squared[rows, start + rows] = np.inf
            # Of rows that are the same, rounding leaves a little on either side of 0.
            squared[squared < 1e-6 * (own[:, None] + norms)] = 0.0
            found[start : start + _BLOCK] = squared.min(axis=1)
    return found
