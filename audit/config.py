"""The configuration of a run: one TOML per study, and the same fields as command-line options."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
)

from audit.controls import parse_controls
from audit.errors import BadInput
from audit.files import LARGEST_CONFIG, read_text

Auto = Literal["auto"]
Design = Literal["poisson", "fixed"]
"""How the training subsets are drawn; see :mod:`audit.inclusion`."""
Adjacency = Literal["add_remove", "replace_one"]
"""The neighbours that a privacy claim speaks about."""
CanaryKind = Literal["gradient", "mislabeled", "ood", "duplicates"]
"""What is planted; see :mod:`audit.training.gradient_canaries` and :mod:`audit.data.canaries`."""
PLANTS = (
    *("noise_for_mean", "microbatch_clipping", "no_clipping", "no_noise", "clip_norm_ignored"),
    *("same_noise_every_step", "same_noise_every_model", "noise_missing_on_layer"),
    *("plain_gradient_added", "shuffled_batches", "normaliser_of_subset"),
    *("sampling_rate_misreported", "batch_statistics"),
)
"""Bugs that can be planted in private training; see :mod:`audit.training.plants`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ArmConfig(_Strict):
    """Hyper-parameters of one arm that this tool trains by SGD.

    Fields, units and legal ranges: configs/README.md.
    """

    learning_rate: float = Field(gt=0, le=1000)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    batch_size: int = Field(gt=0)
    epochs: float = Field(gt=0, le=10_000)
    clip_norm: float | None = Field(default=None, gt=0)
    augmentation: tuple[Literal["crop", "flip"], ...] = ()
    tuning: str = "not tuned on this data set: defaults of the tool"


class LearnerConfig(_Strict):
    """Settings of one arm whose learner trains itself (docs/learners.md).

    ``adjacency`` belongs to a private learner: what its claim is about; None for the library's own.
    """

    options: dict[str, Any] = {}
    adjacency: Adjacency | None = None
    tuning: str = "not tuned on this data set: the learner's defaults and the options given"

    @field_validator("options")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "takes finite numbers, texts, true, false, lists and tables"
            ) from error
        return value


class RemovalConfig(_Strict):
    """The removal experiment: training again without the examples of mem ≥ θ (docs/removal.md).

    ``thresholds``: the θ. ``models``: of each condition. ``weight_decay``: of all of them; None for
    the standard arm's. ``near_duplicates``: test examples nearer to a training example than this
    times the median distance of training examples to their nearest are left out; None for none.
    """

    thresholds: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)
    models: int = Field(default=40, ge=2, le=100_000)
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    near_duplicates: float | None = Field(default=None, gt=0, le=10)

    @property
    def most_models(self) -> int:
        """Models in all, where every threshold is reached: each by memorization and at random."""
        return (1 + 2 * len(self.thresholds)) * self.models

    @field_validator("thresholds")
    @classmethod
    def _thresholds(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not 1 <= len(value) <= 20 or any(not 0.01 <= t <= 1 for t in value):
            raise ValueError("takes 1 to 20 numbers between 0.01 and 1")
        if len({f"{t:g}" for t in value}) < len(value):
            raise ValueError("a threshold is named twice")
        return tuple(sorted(value))


_LEARNER, _SGD = "learner", "sgd"


def _settings_of(table: object) -> str:
    """Whose settings a table [standard] or [dp] holds: it names at least one of SGD, or none."""
    if isinstance(table, BaseModel):
        return _SGD if isinstance(table, ArmConfig) else _LEARNER
    named = set(table) if isinstance(table, dict) else {"learning_rate"}
    return _SGD if named & (set(ArmConfig.model_fields) - {"tuning"}) else _LEARNER


Settings = Annotated[
    Annotated[ArmConfig, Tag(_SGD)] | Annotated[LearnerConfig, Tag(_LEARNER)],
    Discriminator(_settings_of),
]


class RunConfig(_Strict):
    """Everything that determines a run's results, and how to execute it."""

    data: str = "digits"
    label: str | None = None
    subgroups: tuple[str, ...] = ()
    clusters_per_class: int = Field(default=5, ge=1, le=100)
    test_fraction: float = Field(default=0.25, gt=0, lt=1)
    data_root: str | None = None
    model: str = "mlp"
    dp_model: str | None = None
    hidden: tuple[int, ...] = (64,)
    activation: str = "tanh"
    epsilon: tuple[float, ...] = (2.0,)
    delta: float | None = Field(default=None, gt=0, lt=1)
    models: int | Auto = "auto"
    design: Design = "poisson"
    inclusion_probability: float = Field(default=0.7, gt=0, lt=1)
    seed: int = Field(default=0, ge=0, lt=2**63)
    engine: Literal["auto", "ensemble", "opacus"] = "auto"
    cohort_size: int | Auto = "auto"
    canaries: int | Auto = "auto"
    canary_kind: CanaryKind = "gradient"
    plant: str | None = None
    controls: tuple[str, ...] = ()
    standard: Settings | None = None
    dp: Settings | None = None
    # Made from a finished audit, and added to it: it changes nothing of that.
    removal: RemovalConfig | None = None
    # How and where to execute; these do not change what is estimated.
    device: str = "auto"

    @field_validator("models", "cohort_size")
    @classmethod
    def _positive(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 1 <= value <= 10_000_000:
            raise ValueError("must be between 1 and 10,000,000, or auto")
        return value

    @field_validator("hidden")
    @classmethod
    def _widths(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 1 <= width <= 65_536 for width in value):
            raise ValueError("each hidden width must be between 1 and 65,536")
        return value

    @field_validator("canaries")
    @classmethod
    def _canaries(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 0 <= value <= 1_000_000:
            raise ValueError("must be between 0 and 1,000,000, or auto")
        return value

    @field_validator("plant")
    @classmethod
    def _plant(cls, value: str | None) -> str | None:
        if value is not None and value not in PLANTS:
            raise ValueError(f"must be one of {', '.join(PLANTS)} (docs/planted-bugs.md)")
        return value

    @field_validator("controls")
    @classmethod
    def _controls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return parse_controls(value)

    @field_validator("epsilon")
    @classmethod
    def _epsilons(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not (math.isfinite(e) and 0.01 <= e <= 100) for e in value):
            raise ValueError("each epsilon must be between 0.01 and 100")
        if len(value) == 0:
            raise ValueError("at least one epsilon is needed")
        if len({f"{e:g}" for e in value}) < len(value):
            raise ValueError("an epsilon is named twice")
        return tuple(sorted(value))


# Fields that say how to execute a run, not what it estimates: they may change on resume. And the
# experiment that may be added to a run; run.json has its settings apart.
_EXECUTION = frozenset({"device", "data_root"})
_ADDED = frozenset({"removal"})


def identity(config: RunConfig) -> dict[str, Any]:
    """The part of ``config`` that a resumed run must share, as plain JSON."""
    fields = config.model_dump(mode="json", exclude=set(_EXECUTION | _ADDED))
    if not config.controls:
        # As in runs that were begun before there were any.
        del fields["controls"]
    return fields


def config_digest(config: RunConfig) -> str:
    """SHA-256 of :func:`identity`."""
    text = json.dumps(identity(config), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def make_config(layers: list[dict[str, Any]]) -> RunConfig:
    """A configuration from dictionaries in rising priority; tables are merged field by field.

    Raises:
        BadInput: unknown field or illegal value, naming field, value and rule.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer)
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        tags = (_SGD, _LEARNER)
        name = ".".join(str(part) for part in first["loc"] if part not in tags) or "configuration"
        rule = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            rule = "is not a field of the configuration"
            if _SGD in first["loc"] and first["loc"][-1] in LearnerConfig.model_fields:
                rule = (
                    "belongs to a learner that trains itself (--model package.module:learner), and "
                    "the table holds settings of a network"
                )
        value = first.get("input")
        if isinstance(value, (tuple, list)) and len(value) == 1:
            value = value[0]  # as it was typed: --epsilon -1, not (-1.0,)
        raise BadInput(
            name, value, rule, "See configs/README.md for each field and its range"
        ) from error


def _merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    merged = dict(low)
    for key, value in high.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merged(below, value)
        merged[key] = value
    return merged


def read_config(path: Path) -> dict[str, Any]:
    """The fields of a TOML file, unvalidated.

    Raises:
        BadInput: the file cannot be read, is too large or is not TOML.
    """
    text = read_text("config", path, LARGEST_CONFIG)
    try:
        return tomllib.loads(text)
    # Beside its own errors: a date of month 13, a number of ten thousand digits, deep nesting.
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(
            "config", str(path), f"is not valid TOML ({why})", "Mend the line it names"
        ) from error
