"""One cohort from task to outputs; in parts where memory runs out."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from audit.errors import BadInput
from audit.inclusion import fair_coins, membership
from audit.training.arms import Arm, LearnerArm
from audit.training.cohort_task import CanaryOutput, CohortOutput, CohortTask, TrainingData
from audit.training.estimators import train_estimators
from audit.training.evaluation import stack_outputs
from audit.training.gradient_canaries import stack_scores
from audit.training.learners import Estimator
from audit.training.models import Model
from audit.training.out_of_memory import MEMORY_ERRORS, ran_out_of_memory
from audit.training.random_labels import random_labels
from audit.training.sgd_cohort import Trained, in_loop, in_one_program, offset


def train_cohort(
    task: CohortTask, data: TrainingData, on_step: Callable[[int], None] = lambda done: None
) -> CohortOutput:
    """Train and evaluate a cohort; ``on_step`` gets the number of finished steps × models."""
    start = time.perf_counter()
    n = len(data.x_train)
    member = membership(n, task.models, p=task.p, design=task.design, seed=task.seed)
    if task.removal is not None:
        member &= ~task.removal.of(n, task.models, seed=task.seed)
    data = _as_trained(data, task)
    planted = None
    if data.x_canary is not None:
        planted = fair_coins(len(data.x_canary), task.models, seed=task.seed)
        data = _with_canaries(data)
        member = np.concatenate([member, planted.repeat(data.copies, axis=1)], axis=1)
    notes: dict[str, Any] = {}
    if isinstance(task.model, Estimator):
        trained, notes = _by_the_learner(task, data, member, on_step)
    else:
        # Streams and graphs belong to the current device, which need not be the task's.
        on_gpu = task.device.startswith("cuda")
        with torch.cuda.device(task.device) if on_gpu else nullcontext():
            trained, halves = _by_sgd(task, task.model, data, member, on_step)
        if len(halves) > 1:
            notes["out_of_memory"] = halves
    train, test = trained.train, trained.test
    canaries = None
    if planted is not None:
        first = slice(n, None, data.copies)
        canaries = CanaryOutput(
            planted, correct=train.correct[:, first], margin=train.margin[:, first]
        )
    elif trained.canaries is not None:
        scores = trained.canaries
        canaries = CanaryOutput(scores.coins, scores.total, scores.llr)
    return CohortOutput(
        membership=member[:, :n],
        train_correct=train.correct[:, :n],
        test_correct=test.correct,
        train_margin=train.margin[:, :n],
        test_margin=test.margin,
        seconds=time.perf_counter() - start,
        diverged=trained.diverged,
        cross_check=trained.checked,
        canaries=canaries,
        notes=notes,
    )


def _as_trained(data: TrainingData, task: CohortTask) -> TrainingData:
    """The data with the labels that the arm trains on, and is asked about."""
    if not isinstance(task.arm, Arm) or isinstance(task.model, Estimator):
        return data
    labels = random_labels(data.y_train, task.arm, task.model, seed=task.seed)
    return replace(data, y_train=labels)


def _with_canaries(data: TrainingData) -> TrainingData:
    """The training set with its planted examples behind it, copy beside copy."""
    assert data.x_canary is not None
    assert data.y_canary is not None
    x = np.concatenate([data.x_train, np.repeat(data.x_canary, data.copies, axis=0)])
    y = np.concatenate([data.y_train, np.repeat(data.y_canary, data.copies)])
    return replace(data, x_train=x, y_train=y)


def _by_the_learner(
    task: CohortTask, data: TrainingData, member: np.ndarray, on_step: Callable[[int], None]
) -> tuple[Trained, dict[str, Any]]:
    assert isinstance(task.arm, LearnerArm)
    assert isinstance(task.model, Estimator)
    done = train_estimators(
        task.model,
        task.arm,
        (data.x_train, data.y_train),
        (data.x_test, data.y_test),
        member,
        task.models,
        seed=task.seed,
        on_model=on_step,
    )
    return Trained(done.train, done.test, done.diverged), done.notes.to_json()


def _by_sgd(
    task: CohortTask,
    model: Model,
    data: TrainingData,
    member: np.ndarray,
    on_step: Callable[[int], None],
) -> tuple[Trained, list[str]]:
    """Outputs of the cohort, and the parts in which it was trained because memory ran out."""
    if task.engine == "opacus":
        with _one_line_without_memory(task):
            return in_loop(task, model, data, member, on_step), [_span(task)]
    size = len(task.models) if task.at_once is None else task.at_once
    trained, halves, done = [], [], 0
    for first in range(task.first, task.last + 1, size):
        part = _part(task, first, min(first + size - 1, task.last))
        rows = slice(part.first - task.first, part.last + 1 - task.first)
        each, spans = _halving(part, model, data, member[rows], offset(on_step, done))
        trained.append(each)
        halves += spans
        done += task.arm.steps * len(part.models)
    # Parts that were planned are not worth a note.
    return _merged(trained), halves if len(halves) > len(trained) else []


def _halving(
    task: CohortTask,
    model: Model,
    data: TrainingData,
    member: np.ndarray,
    on_step: Callable[[int], None],
) -> tuple[Trained, list[str]]:
    """Train all models together; where memory runs out, one half after the other.

    A model is the same in either: its draws do not depend on who is trained beside it.
    """
    try:
        if len(task.models) == 1:
            with _one_line_without_memory(task):
                return in_one_program(task, model, data, member, on_step), [_span(task)]
        return in_one_program(task, model, data, member, on_step), [_span(task)]
    except MEMORY_ERRORS as error:
        if not ran_out_of_memory(error):
            raise
    # Outside the handler: the error holds on to the frames, and these to the tensors.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(task.models) // 2
    middle, done = task.first + half, task.arm.steps * half
    one, first_spans = _halving(
        _part(task, task.first, middle - 1), model, data, member[:half], on_step
    )
    two, second_spans = _halving(
        _part(task, middle, task.last), model, data, member[half:], offset(on_step, done)
    )
    return _merged([one, two]), first_spans + second_spans


def _part(task: CohortTask, first: int, last: int) -> CohortTask:
    checked = task.checked_model
    inside = checked is not None and first <= checked <= last
    return replace(task, first=first, last=last, checked_model=checked if inside else None)


def _span(task: CohortTask) -> str:
    return f"{task.first}-{task.last}"


def _merged(trained: list[Trained]) -> Trained:
    canaries = [part.canaries for part in trained if part.canaries is not None]
    return Trained(
        stack_outputs([part.train for part in trained]),
        stack_outputs([part.test for part in trained]),
        sum(part.diverged for part in trained),
        next((part.checked for part in trained if part.checked is not None), None),
        stack_scores(canaries) if canaries else None,
    )


@contextmanager
def _one_line_without_memory(task: CohortTask) -> Iterator[None]:
    try:
        yield
    except MEMORY_ERRORS as error:
        if not ran_out_of_memory(error):
            raise
        raise BadInput(
            "device",
            task.device,
            f"has too little memory for a single model of {task.arm.name}",
            "Free some, or use a smaller batch_size"
            + ("" if task.device == "cpu" else ", or --device cpu")
            + "; finished cohorts are kept",
        ) from error
