"""The models of a cohort trained by SGD or DP-SGD: all in one program, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audit.seeds import Purpose, seed_sequence
from audit.training.arms import Arm
from audit.training.augmentation import model_views
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.crosscheck import CrossCheck, cross_check
from audit.training.draws import form_for
from audit.training.engines import EARLY_STEPS, train_ensemble
from audit.training.evaluation import Outputs, evaluate_cohort, evaluate_module, stack_outputs
from audit.training.gradient_canaries import CanaryScores
from audit.training.models import Mlp, Model
from audit.training.noise import noise_generator, seeded_cpu_generator
from audit.training.opacus_loop import (
    model_minibatches,
    pruned,
    tee_sizes,
    train_private,
    train_standard,
)


@dataclass(frozen=True)
class Trained:
    """Outputs on the training and the test set, models that diverged, the cross-check and the
    scores of gradient canaries, where there are any."""

    train: Outputs
    test: Outputs
    diverged: int
    checked: CrossCheck | None = None
    canaries: CanaryScores | None = None


def in_one_program(
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
    canaries: list[CanaryScores] = []
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
        on_canaries=canaries.append,
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
    return Trained(
        evaluate_cohort(model, theta, *train, engine=task.engine),
        evaluate_cohort(model, theta, *test, engine=task.engine),
        diverged,
        checked,
        canaries[0] if canaries else None,
    )


def in_loop(
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
        minibatches = pruned(minibatches, module, arm)
        finished = row * arm.steps
        report = offset(on_step, finished)
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
    return Trained(stack_outputs(train), stack_outputs(test), diverged)


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


def offset(on_step: Callable[[int], None], finished: int) -> Callable[[int], None]:
    return lambda done: on_step(finished + done)


def _labels(y: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(y)).to(device)
