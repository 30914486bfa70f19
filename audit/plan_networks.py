"""The arms that this tool trains itself: networks by SGD and DP-SGD, with engine and noise."""

from __future__ import annotations

import math
from dataclasses import replace

from audit.accounting import calibrate, privacy_curve
from audit.claims import STANDARD, make_claim
from audit.config import ArmConfig, LearnerConfig, RunConfig
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.plan_canaries import gradient_canaries
from audit.plan_controls import control_arms
from audit.plan_learners import refuse_without_learner
from audit.planned_arm import PlannedArm
from audit.training.arms import Arm, dp_arm_name
from audit.training.engines import Engine, choose_engine
from audit.training.models import Mlp, Model, make_model
from audit.training.network import Network, batch_norm_explanation
from audit.training.opacus_loop import refuse_unsafe_layers
from audit.training.plants import recipe, recipe_named


def network_arms(config: RunConfig, data: Dataset, delta: float, device: str) -> list[PlannedArm]:
    """The arms that this tool trains, by SGD and DP-SGD.

    Raises:
        BadInput: settings that suit neither model nor data, or a model that cannot be private.
    """
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
    _refuse_plant(config, model, engine[0], device)
    canaries = gradient_canaries(config, model.parameters, engine[0])
    private = [
        _dp_arm(config, model, epsilon, delta, n, engine, canaries) for epsilon in config.epsilon
    ]
    standard = _standard_arm(config, model, n, engine)
    return [standard, *private, *control_arms(config, standard, private)]


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


def _refuse_plant(config: RunConfig, model: Model, engine: Engine, device: str) -> None:
    why = None
    if not isinstance(model, Mlp):
        why = f"exists for MLPs alone, and the model is {config.model}"
    elif engine != "ensemble":
        why = f"exists for the ensemble engine alone, and the engine is {engine}"
    elif device != "cpu":
        why = f"exists for CPUs alone, and the device is {device}"
    if config.plant is not None and why is not None:
        raise BadInput(
            "plant", config.plant, why, "Use --model mlp or linear, --engine auto and --device cpu"
        )


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
    canaries: int,
) -> PlannedArm:
    settings = _sgd(config.dp, "dp") or generic_arm("dp", config.inclusion_probability * n)
    if settings.clip_norm is None:
        raise BadInput("dp.clip_norm", None, "is missing", "Set it, e.g. clip_norm = 1.0")
    constants = _arm(STANDARD, settings.model_copy(update={"clip_norm": None}), config, n)
    # The accountant is told the truth, but for one planted bug.
    rate = recipe_named(config.plant).accounted_rate(constants.sample_rate)
    mechanism = calibrate(epsilon, delta, sample_rate=rate, steps=constants.steps)
    curve = privacy_curve(mechanism.noise_multiplier, sample_rate=rate, steps=constants.steps)
    claim = make_claim(
        epsilon, delta, design=config.design, source=mechanism.accountant, curve=curve
    )
    arm = _arm(dp_arm_name(epsilon), settings, config, n, mechanism.noise_multiplier)
    arm = replace(arm, canaries=canaries, plant=config.plant)
    if (recipe(arm).accounted_rate(arm.sample_rate), arm.steps) != (rate, mechanism.steps):
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
