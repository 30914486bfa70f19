"""One cohort from plan to outputs: the unit of work that an executor runs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float16
from torch import Tensor

from audit.config import Design
from audit.errors import BadInput
from audit.inclusion import membership
from audit.seeds import Purpose, seed_sequence
from audit.training.arms import Arm, LearnerArm
from audit.training.augmentation import model_views
from audit.training.crosscheck import CrossCheck, cross_check
from audit.training.draws import form_for
from audit.training.engines import EARLY_STEPS, Engine, train_ensemble
from audit.training.estimators import train_estimators
from audit.training.evaluation import Outputs, evaluate_cohort, evaluate_module, stack_outputs
from audit.training.learners import Estimator
from audit.training.models import Mlp, Model
from audit.training.noise import noise_generator, seeded_cpu_generator
from audit.training.opacus_loop import (
    model_minibatches,
    tee_sizes,
    train_private,
    train_standard,
)


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

    @property
    def models(self) -> range:
        return range(self.first, self.last + 1)

    @property
    def key(self) -> str:
        """The cohort's name in the manifest: ``standard/0-24``."""
        return f"{self.arm.name}/{self.first}-{self.last}"


@dataclass(frozen=True)
class TrainingData:
    """The arrays a cohort reads; may be memory-mapped."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    input_shape: tuple[int, ...]


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
    notes: dict[str, Any] = field(default_factory=dict)
    """What a learner's training left to say (:class:`audit.training.estimators.Notes`), and
    ``out_of_memory``: the parts ``first-last`` that were trained one after the other instead."""


def train_cohort(
    task: CohortTask, data: TrainingData, on_step: Callable[[int], None] = lambda done: None
) -> CohortOutput:
    """Train and evaluate a cohort; ``on_step`` gets the number of finished steps × models."""
    start = time.perf_counter()
    member = membership(
        len(data.x_train), task.models, p=task.p, design=task.design, seed=task.seed
    )
    notes: dict[str, Any] = {}
    if isinstance(task.model, Estimator):
        train, test, diverged, notes = _by_the_learner(task, data, member, on_step)
        checked = None
    else:
        # Streams and graphs belong to the current device, which need not be the task's.
        on_gpu = task.device.startswith("cuda")
        with torch.cuda.device(task.device) if on_gpu else nullcontext():
            trained, halves = _by_sgd(task, task.model, data, member, on_step)
        train, test, diverged, checked = trained
        if len(halves) > 1:
            notes["out_of_memory"] = halves
    return CohortOutput(
        membership=member,
        train_correct=train.correct,
        test_correct=test.correct,
        train_margin=train.margin,
        test_margin=test.margin,
        seconds=time.perf_counter() - start,
        diverged=diverged,
        cross_check=checked,
        notes=notes,
    )


def _by_the_learner(
    task: CohortTask, data: TrainingData, member: np.ndarray, on_step: Callable[[int], None]
) -> tuple[Outputs, Outputs, int, dict[str, Any]]:
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
    return done.train, done.test, done.diverged, done.notes.to_json()


Trained = tuple[Outputs, Outputs, int, CrossCheck | None]


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
            return _in_loop(task, model, data, member, on_step), [_span(task)]
    size = len(task.models) if task.at_once is None else task.at_once
    trained, halves, done = [], [], 0
    for first in range(task.first, task.last + 1, size):
        part = _part(task, first, min(first + size - 1, task.last))
        rows = slice(part.first - task.first, part.last + 1 - task.first)
        each, spans = _halving(part, model, data, member[rows], _offset(on_step, done))
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
                return _in_one_program(task, model, data, member, on_step), [_span(task)]
        return _in_one_program(task, model, data, member, on_step), [_span(task)]
    except RuntimeError as error:
        if not _ran_out_of_memory(error):
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
        _part(task, middle, task.last), model, data, member[half:], _offset(on_step, done)
    )
    return _merged([one, two]), first_spans + second_spans


def _part(task: CohortTask, first: int, last: int) -> CohortTask:
    checked = task.checked_model
    inside = checked is not None and first <= checked <= last
    return replace(task, first=first, last=last, checked_model=checked if inside else None)


def _span(task: CohortTask) -> str:
    return f"{task.first}-{task.last}"


def _merged(trained: list[Trained]) -> Trained:
    train, test, diverged, checks = zip(*trained, strict=True)
    checked = [check for check in checks if check is not None]
    return (
        stack_outputs(list(train)),
        stack_outputs(list(test)),
        sum(diverged),
        checked[0] if checked else None,
    )


@contextmanager
def _one_line_without_memory(task: CohortTask) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not _ran_out_of_memory(error):
            raise
        raise BadInput(
            "device",
            task.device,
            f"has too little memory for a single model of {task.arm.name}",
            "Free some, use a smaller batch_size, or --device cpu; finished cohorts are kept",
        ) from error


def _ran_out_of_memory(error: RuntimeError) -> bool:
    # cuBLAS says in its own words that it could not allocate its workspace; and where a CUDA graph
    # was being captured, leaving the capture may raise another error over the one that ended it.
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, torch.OutOfMemoryError) or "ALLOC_FAILED" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _in_one_program(
    task: CohortTask,
    model: Model,
    data: TrainingData,
    member: np.ndarray,
    on_step: Callable[[int], None],
) -> Trained:
    device, arm = torch.device(task.device), _sgd(task)
    train = model.prepare(data.x_train, device), _labels(data.y_train, device)
    test = model.prepare(data.x_test, device), _labels(data.y_test, device)
    models = len(task.models)
    early_step = min(EARLY_STEPS, arm.steps)
    early: list[Tensor] = []
    checked_row = None if task.checked_model is None else task.checked_model - task.first

    def report(done: int, theta: Tensor) -> None:
        if done == early_step and checked_row is not None:
            early.append(theta[checked_row].clone())
        on_step(done * models)

    theta = train_ensemble(
        model,
        arm,
        *train,
        member,
        task.models,
        seed=task.seed,
        engine=task.engine,
        on_step=report,
    )
    checked = None
    if checked_row is not None:
        checked = cross_check(
            model,
            arm,
            theta[checked_row],
            early[0],
            task.models[checked_row],
            member[checked_row],
            train,
            test,
            seed=task.seed,
            engine=task.engine,
            form=form_for(device),
        )
    diverged = int((~torch.isfinite(theta).all(dim=1)).sum())
    return (
        evaluate_cohort(model, theta, *train, engine=task.engine),
        evaluate_cohort(model, theta, *test, engine=task.engine),
        diverged,
        checked,
    )


def _in_loop(
    task: CohortTask,
    model: Model,
    data: TrainingData,
    member: np.ndarray,
    on_step: Callable[[int], None],
) -> Trained:
    device, arm = torch.device(task.device), _sgd(task)
    x_train = model.plain(model.prepare(data.x_train, device))
    x_test = model.plain(model.prepare(data.x_test, device))
    y_train, y_test = _labels(data.y_train, device), _labels(data.y_test, device)
    train, test, diverged = [], [], 0
    for row, k in enumerate(task.models):
        if isinstance(model, Mlp):
            module = model.module(torch.from_numpy(model.initial(task.seed, k)))
        else:
            # As the factory made it: buffers may differ between models.
            module = model.initial_module(task.seed, k)
        module = module.to(device)
        minibatches = model_minibatches(member[row], k, arm, seed=task.seed)
        views = None
        if arm.augmentation:
            minibatches, sizes = tee_sizes(minibatches)
            views = model_views(
                k,
                arm.augmentation,
                tuple(x_train.shape[1:]),
                sizes,
                arm=arm.name,
                seed=task.seed,
            )
        finished = row * arm.steps
        report = _offset(on_step, finished)
        with _layer_randomness(task, k, device):
            if arm.kind == "standard":
                train_standard(module, arm, x_train, y_train, minibatches, report, views=views)
            else:
                noise = noise_generator(task.seed, arm.name, k, device)
                train_private(
                    module,
                    arm,
                    x_train,
                    y_train,
                    minibatches,
                    generator=noise,
                    on_step=report,
                    views=views,
                )
        diverged += not all(bool(torch.isfinite(p).all()) for p in module.parameters())
        train.append(evaluate_module(module, x_train, y_train))
        test.append(evaluate_module(module, x_test, y_test))
    return stack_outputs(train), stack_outputs(test), diverged, None


def _sgd(task: CohortTask) -> Arm:
    assert isinstance(task.arm, Arm)
    return task.arm


@contextmanager
def _layer_randomness(task: CohortTask, k: int, device: torch.device) -> Iterator[None]:
    """A stream of its own for what layers draw in training (dropout): else every worker would start
    from torch's default seed, and models would share their masks."""
    sequence = seed_sequence(task.seed, Purpose.LAYERS, task.arm.name, k)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if device.type == "cuda":
            torch.cuda.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
        torch.set_rng_state(
            seeded_cpu_generator(sequence.generate_state(624, np.uint32)).get_state()
        )
        yield


def _offset(on_step: Callable[[int], None], finished: int) -> Callable[[int], None]:
    return lambda done: on_step(finished + done)


def _labels(y: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(y)).to(device)
