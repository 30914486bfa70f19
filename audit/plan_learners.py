"""The arms of learners that train themselves: options, claims, and what is refused before training.

This tool cannot make such a learner private. A private arm is therefore another learner, which
brings its own claim; without one a run has the standard arm alone.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from audit.claims import STANDARD, make_claim
from audit.config import Adjacency, ArmConfig, LearnerConfig, RunConfig
from audit.errors import BadInput
from audit.planned_arm import PlannedArm
from audit.training.arms import LearnerArm, dp_arm_name
from audit.training.learners import Estimator, check_learner, is_learner

# diffprivlib 0.6.6 documents no neighbouring relation; these follow from its source. Naive Bayes
# and logistic regression take the exact number of rows for granted, and the forest gives rows to
# trees by position, so all three can only speak about replacing a row. The single tree adds noise
# to counts of rows of which one changes by one.
_ADJACENCY: dict[str, Adjacency] = {"diffprivlib.models:DecisionTreeClassifier": "add_remove"}
_OF_DIFFPRIVLIB: Adjacency = "replace_one"
# Settings of the networks of this tool; a learner has its own.
_OF_NETWORKS = ("hidden", "activation", "plant", "controls")
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def learner_arms(config: RunConfig, n_classes: int, delta: float) -> list[PlannedArm]:
    """The standard arm of ``--model``, and one arm for each ε of ``--dp-model`` where it is given.

    Args:
        delta: the run's δ; a private learner that has no parameter ``delta`` claims ε alone.

    Raises:
        BadInput: settings of networks, or a learner that cannot be made or cannot be private.
    """
    _refuse_network_settings(config)
    learner = Estimator(config.model, n_classes)
    settings = _settings(config.standard, "standard")
    if settings.adjacency is not None:
        raise BadInput(
            "standard.adjacency",
            settings.adjacency,
            "belongs to a claim, and the standard arm claims nothing",
            "Move it to [dp]",
        )
    arms = [_planned(learner, LearnerArm(STANDARD, _options(settings)), settings)]
    if config.dp_model is None:
        if config.dp is not None:
            raise BadInput(
                "dp", config.dp.model_dump(), "has no learner", "Name one with --dp-model"
            )
        return arms
    if not is_learner(config.dp_model, field="dp_model"):
        raise BadInput(
            "dp_model",
            config.dp_model,
            "is a network, but the standard arm is a learner that trains itself",
            "Name a private learner, such as diffprivlib.models:GaussianNB",
        )
    private = Estimator(config.dp_model, n_classes, "dp_model")
    settings = _settings(config.dp, "dp")
    return [*arms, *(_private(private, settings, config, e, delta) for e in config.epsilon)]


def refuse_without_learner(config: RunConfig) -> None:
    """Refuse a private learner beside a network, which this tool makes private itself.

    Raises:
        BadInput: ``dp_model`` is given.
    """
    if config.dp_model is not None:
        raise BadInput(
            "dp_model",
            config.dp_model,
            f"needs a standard learner to be compared with, and {config.model} is a network",
            "Give --model package.module:learner too, or leave --dp-model out",
        )


def why_no_private_arm(config: RunConfig) -> str:
    """Why a run of a learner has no private arm, and what to do."""
    return (
        f"{config.model} trains itself, so this tool cannot add the noise that would make it "
        "private. Name a private learner beside it with --dp-model, for instance "
        "diffprivlib.models:GaussianNB or a function train(x, y, rng, epsilon) of your own"
    )


def _private(
    learner: Estimator, settings: LearnerConfig, config: RunConfig, epsilon: float, delta: float
) -> PlannedArm:
    # δ asked for by name is given, and refused by a learner that takes none.
    takes_delta = learner.accepts("delta") or config.delta is not None
    arm = LearnerArm(
        dp_arm_name(epsilon), _options(settings), epsilon, delta if takes_delta else None
    )
    by_library = learner.library == "diffprivlib"
    adjacency = settings.adjacency or "add_remove"
    if by_library and settings.adjacency is None:
        adjacency = _ADJACENCY.get(learner.path, _OF_DIFFPRIVLIB)
    planned = _planned(learner, arm, settings)
    claim = make_claim(
        epsilon,
        arm.delta or 0.0,
        design=config.design,
        source=f"claimed by {planned.trained_by}, not verified by this tool",
        adjacency=adjacency,
    )
    return PlannedArm(
        arm,
        learner,
        settings,
        "estimator",
        planned.engine_reason,
        claim,
        trained_by=planned.trained_by,
    )


def _planned(learner: Estimator, arm: LearnerArm, settings: LearnerConfig) -> PlannedArm:
    check_learner(learner, arm)
    library = _library_version(learner)
    why = f"{learner.path} trains itself, one model at a time"
    why += f", by {library}" if library else ""
    return PlannedArm(arm, learner, settings, "estimator", why, trained_by=library or learner.path)


def _library_version(learner: Estimator) -> str | None:
    """``scikit-learn 1.7.2``; None for code that belongs to no installed distribution."""
    name = _DISTRIBUTIONS.get(learner.library, learner.library)
    try:
        return f"{name} {version(name)}"
    except (PackageNotFoundError, ValueError):
        return None


def _options(settings: LearnerConfig) -> dict[str, Any]:
    """Keyword arguments: TOML has lists only, and learners ask for tuples where it matters."""
    return {name: _tuples(value) for name, value in settings.options.items()}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _settings(given: ArmConfig | LearnerConfig | None, table: str) -> LearnerConfig:
    if isinstance(given, ArmConfig):
        name = next(f for f in ArmConfig.model_fields if f in given.model_fields_set)
        raise BadInput(
            f"{table}.{name}",
            getattr(given, name),
            "is a setting of networks, and the learner trains itself",
            f"Leave it out, or give the learner's own settings in [{table}.options]",
        )
    return given or LearnerConfig()


def _refuse_network_settings(config: RunConfig) -> None:
    for name in _OF_NETWORKS:
        if name in config.model_fields_set:
            raise BadInput(
                name,
                getattr(config, name),
                f"is a setting of networks, and {config.model} trains itself",
                "Leave it out, or give the learner's own settings in [standard.options]",
            )
    if config.engine != "auto":
        raise BadInput(
            "engine", config.engine, f"cannot train {config.model}, which trains itself",
            "Leave it out",
        )  # fmt: skip
