"""The plan of a run: arms, model, noise and cohorts, fixed before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from audit.accounting import calibrate, check_delta, default_delta, privacy_curve
from audit.claims import ALPHA, STANDARD, Claim, make_claim, strictest
from audit.config import ArmConfig, LearnerConfig, RunConfig, read_config
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.estimates.dp_test import power_to_refute
from audit.plan_learners import learner_arms, refuse_without_learner, why_no_private_arm
from audit.planned_arm import PlannedArm
from audit.resources import resource_dir
from audit.seeds import Purpose, generator
from audit.training.arms import Arm, dp_arm_name
from audit.training.cohort import CohortTask
from audit.training.device.memory import cohort_on_device
from audit.training.engines import Engine, choose_engine
from audit.training.learners import Estimator, is_learner
from audit.training.models import Mlp, Model, make_model
from audit.training.network import Network, batch_norm_explanation
from audit.training.opacus_loop import refuse_unsafe_layers

# `--models auto`: from the least that gives stable estimates to what two cores train in minutes.
_FEWEST_MODELS, _MOST_MODELS = 200, 400
# Parameters, momenta and gradients of a cohort should stay near a core; beyond 50 small models the
# calls saved are few.
_COHORT_BYTES = 2**21
_SMALLEST_COHORT, _LARGEST_COHORT = 5, 50


@dataclass(frozen=True)
class Plan:
    """All constants of a run.

    ``judged_by``: the claim that the standard arm is held against: the strictest of the run's arms,
    or, where no arm claims anything, the smallest ε that was asked about. ``no_private_arm``: why
    there is no arm that claims it, and what to do; None where there is one.
    """

    config: RunConfig
    model: Model | Estimator
    arms: tuple[PlannedArm, ...]
    judged_by: Claim
    models: int
    models_reason: str
    cohort_size: int
    tasks: tuple[CohortTask, ...]
    no_private_arm: str | None = None


def preset(data: str) -> dict[str, Any]:
    """The shipped configuration for a built-in data set; empty for any other data."""
    shipped = {path.stem: path for path in resource_dir("configs").glob("*.toml")}
    return read_config(shipped[data]) if data in shipped else {}


def generic_arm(kind: str, n_in: float) -> ArmConfig:
    """Starting hyper-parameters for data the tool has not seen, from the expected size of T.

    About 1,000 steps (at most 30 epochs) on minibatches that grow with √n: a cost per model that
    hardly grows with the data. They are public constants of n, not tuned, and the report says so.
    """
    batch = 2 ** round(math.log2(max(8.0, 2 * math.sqrt(n_in))))
    batch = max(1, min(batch, int(n_in / 2)))
    epochs = min(30.0, round(1000 * batch / n_in, 2))
    shared = {"batch_size": batch, "epochs": max(epochs, 1.0)}
    if kind == STANDARD:
        return ArmConfig(learning_rate=0.1, momentum=0.9, **shared)
    return ArmConfig(learning_rate=0.5, momentum=0.0, clip_norm=1.0, **shared)


def make_plan(
    config: RunConfig, data: Dataset, *, device: str, cohort_size: int | None = None
) -> Plan:
    """Fix every constant of the run.

    Args:
        device: what trains.
        cohort_size: of a run that is continued, perhaps on another device: its cohorts stay.

    Raises:
        BadInput: an option that cannot work with this data (δ ≥ 1/n, batch larger than T, …).
    """
    n = len(data.x_train)
    delta = default_delta(n) if config.delta is None else config.delta
    check_delta(delta, n)
    _refuse_huge_values(data)
    if is_learner(config.model):
        arms = learner_arms(config, len(data.class_names), delta)
    else:
        arms = _network_arms(config, data, delta, device)
    asked = make_claim(
        min(config.epsilon), delta, design=config.design, source="asked about; no arm claims it"
    )
    judged_by = strictest([arm.claim for arm in arms], asked=asked)
    models, models_reason = _models(config, judged_by, n)
    model = arms[0].model
    at_once = _cohort_size(config, arms, models, n, device)
    size = at_once if cohort_size is None else min(max(1, cohort_size), models)
    return Plan(
        config,
        model,
        tuple(arms),
        judged_by,
        models,
        models_reason,
        size,
        _tasks(config, arms, models, size, min(size, at_once), device),
        None if any(arm.claim for arm in arms) else why_no_private_arm(config),
    )


def _network_arms(config: RunConfig, data: Dataset, delta: float, device: str) -> list[PlannedArm]:
    """The arms that this tool trains, by SGD and DP-SGD."""
    refuse_without_learner(config)
    n = len(data.x_train)
    model = make_model(
        config.model,
        input_shape=data.input_shape,
        n_classes=len(data.class_names),
        hidden=config.hidden,
        activation=config.activation,
        private=bool(config.epsilon),
    )
    _refuse_augmentation(config, model)
    if isinstance(model, Network):
        module = model.initial_module(config.seed, 0)
        refuse_unsafe_layers(module, config.model)
        model.check(module)
    engine = _engine(config, model, device)
    private = [_dp_arm(config, model, epsilon, delta, n, engine) for epsilon in config.epsilon]
    return [_standard_arm(config, model, n, engine), *private]


def _sgd(settings: ArmConfig | LearnerConfig | None, table: str) -> ArmConfig | None:
    """Settings of SGD, or None for the defaults.

    Raises:
        BadInput: they are those of a learner that trains itself.
    """
    if isinstance(settings, LearnerConfig):
        name, value = "options", settings.options
        if not value:
            raise BadInput(
                f"{table}.learning_rate", None, "is missing", "Set it, or leave the table out"
            )
        raise BadInput(
            f"{table}.{name}",
            value,
            "belongs to a learner that trains itself, and the model is a network",
            "Name one with --model package.module:learner, or leave it out",
        )
    return settings


def _refuse_augmentation(config: RunConfig, model: Model) -> None:
    for name, settings in (("standard", config.standard), ("dp", config.dp)):
        settings = _sgd(settings, name)
        if settings is None or not settings.augmentation:
            continue
        if not isinstance(model, Network) or len(model.input_shape) != 3:
            raise BadInput(
                f"{name}.augmentation",
                list(settings.augmentation),
                "needs images [channels, height, width] and a model that takes them",
                "Use --model cnn or resnet on image data, or leave it out",
            )


# Squared norms of inputs enter per-example gradient norms in float32, whose range ends at 3e38; an
# overflow there would let one example escape its clip norm.
_LARGEST_INPUT = 1e12


def _refuse_huge_values(data: Dataset) -> None:
    for part, x in (("training", data.x_train), ("test", data.x_test)):
        largest = max(float(x.max(initial=0.0)), -float(x.min(initial=0.0)))
        if not largest <= _LARGEST_INPUT:
            raise BadInput(
                f"largest value in the {part} rows",
                largest,
                f"must be at most {_LARGEST_INPUT:g} in size, or gradients overflow",
                "Scale the features, or mend the row",
            )


def _engine(config: RunConfig, model: Model, device: str) -> tuple[Engine, str]:
    if isinstance(model, Mlp):
        if config.engine == "opacus":
            return "opacus", "asked for"
        return "ensemble", "asked for" if config.engine == "ensemble" else "MLPs train as a cohort"
    if config.engine == "opacus":
        return "opacus", "asked for"
    choice = choose_engine(model, device)
    why = choice.why
    if model.substituted:
        layers = "layer" if model.substituted == 1 else "layers"
        why += (
            f". {model.substituted} BatchNorm {layers} replaced by GroupNorm in every arm: "
            f"{batch_norm_explanation()}"
        )
    if config.engine == "ensemble" and choice.engine == "opacus":
        raise BadInput(
            "engine",
            "ensemble",
            f"cannot train {config.model}: {choice.why}",
            "Use --engine auto: the model then trains in the Opacus loop",
        )
    return choice.engine, why


def _standard_arm(
    config: RunConfig, model: Model, n: int, engine: tuple[Engine, str]
) -> PlannedArm:
    settings = _sgd(config.standard, STANDARD) or generic_arm(
        STANDARD, config.inclusion_probability * n
    )
    if settings.clip_norm is not None:
        raise BadInput(
            "standard.clip_norm", settings.clip_norm, "belongs to the DP arm", "Move it to [dp]"
        )
    return PlannedArm(_arm(STANDARD, settings, config, n), model, settings, *engine)


def _dp_arm(
    config: RunConfig,
    model: Model,
    epsilon: float,
    delta: float,
    n: int,
    engine: tuple[Engine, str],
) -> PlannedArm:
    settings = _sgd(config.dp, "dp") or generic_arm("dp", config.inclusion_probability * n)
    if settings.clip_norm is None:
        raise BadInput("dp.clip_norm", None, "is missing", "Set it, e.g. clip_norm = 1.0")
    constants = _arm(STANDARD, settings.model_copy(update={"clip_norm": None}), config, n)
    mechanism = calibrate(epsilon, delta, sample_rate=constants.sample_rate, steps=constants.steps)
    curve = privacy_curve(
        mechanism.noise_multiplier, sample_rate=constants.sample_rate, steps=constants.steps
    )
    claim = make_claim(
        epsilon, delta, design=config.design, source=mechanism.accountant, curve=curve
    )
    arm = _arm(dp_arm_name(epsilon), settings, config, n, mechanism.noise_multiplier)
    if (arm.sample_rate, arm.steps) != (mechanism.sample_rate, mechanism.steps):
        raise AssertionError("the accountant was asked about another mechanism than is trained")
    return PlannedArm(arm, model, settings, *engine, claim=claim, mechanism=mechanism)


def _arm(
    name: str, settings: ArmConfig, config: RunConfig, n: int, noise: float | None = None
) -> Arm:
    expected_size = config.inclusion_probability * n
    if settings.batch_size > expected_size:
        raise BadInput(
            f"{name}.batch_size",
            settings.batch_size,
            f"must not exceed the expected subset size p·n = {expected_size:.0f}",
            "Use a smaller batch_size",
        )
    sample_rate = settings.batch_size / expected_size
    return Arm(
        name=name,
        sample_rate=sample_rate,
        steps=max(1, round(settings.epochs / sample_rate)),
        expected_batch_size=float(settings.batch_size),
        learning_rate=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        noise_multiplier=noise,
        augmentation=settings.augmentation,
    )


def _models(config: RunConfig, judged_by: Claim, n: int) -> tuple[int, str]:
    """Number of models per arm; ``auto`` asks how many the test of the strictest claim needs."""
    if config.models != "auto":
        return config.models, "asked for"
    for models in range(_FEWEST_MODELS, _MOST_MODELS + 1, 20):
        power = power_to_refute(
            models,
            n,
            config.inclusion_probability,
            judged_by.in_out_epsilon,
            judged_by.in_out_delta,
            ALPHA,
        )
        if power >= 0.8:
            return (
                models,
                f"the fewest (from {_FEWEST_MODELS}) with {power:.0%} power to refute "
                f"ε = {judged_by.epsilon:g} on an example memorized as a standard model memorizes",
            )
    return _FEWEST_MODELS, (
        f"the default; refuting ε = {judged_by.epsilon:g} with 80 % power would take more than "
        f"{_MOST_MODELS} models"
    )


def _cohort_size(
    config: RunConfig, arms: list[PlannedArm], models: int, n: int, device: str
) -> int:
    """Models trained together: on a CPU from the size of its cache, on a GPU from its memory."""
    if config.cohort_size != "auto":
        return min(config.cohort_size, models)
    model, largest = arms[0].model, _SMALLEST_COHORT
    together = arms[0].engine in ("ensemble", "functional")
    if device != "cpu" and together and not isinstance(model, Estimator):
        trained = [arm.arm for arm in arms if isinstance(arm.arm, Arm)]
        return cohort_on_device(model, trained, n, models, device)
    if isinstance(model, Mlp):
        per_model = 3 * 4 * model.parameters
        largest = min(_LARGEST_COHORT, max(_SMALLEST_COHORT, _COHORT_BYTES // per_model))
    cohorts = math.ceil(models / largest)
    return math.ceil(models / cohorts)


def _tasks(
    config: RunConfig,
    arms: list[PlannedArm],
    models: int,
    size: int,
    at_once: int,
    device: str,
) -> tuple[CohortTask, ...]:
    """All cohorts; those that hold a cross-checked model first, so that a mismatch shows early."""
    tasks = []
    for planned in arms:
        rng = generator(config.seed, Purpose.CROSS_CHECK, planned.name)
        reference = planned.engine in ("opacus", "estimator")
        checked = None if reference else int(rng.integers(models))
        for first in range(0, models, size):
            last = min(first + size, models) - 1
            tasks.append(
                CohortTask(
                    arm=planned.arm,
                    model=planned.model,
                    first=first,
                    last=last,
                    engine=planned.engine,
                    design=config.design,
                    p=config.inclusion_probability,
                    seed=config.seed,
                    device=device,
                    at_once=at_once if at_once < size else None,
                    checked_model=checked
                    if checked is not None and first <= checked <= last
                    else None,
                )
            )
    return tuple(sorted(tasks, key=lambda task: task.checked_model is None))
