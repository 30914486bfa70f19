"""The options that say what a run is: shared by the commands that carry one out or plan one."""

from __future__ import annotations

import functools
import inspect
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from audit.cli_options import (
    Clusters,
    Data,
    DataRoot,
    Label,
    Seed,
    Subgroups,
    TestFraction,
    names,
)
from audit.config import PLANTS
from audit.errors import BadInput


@dataclass(frozen=True)
class StudyOptions:
    """The options of ``audit run`` and ``audit plan``, as typed."""

    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="ε of a DP arm; repeat for several. Default 2.", show_default=False),
    ] = None
    data: Data = None
    label: Label = None
    subgroups: Subgroups = None
    model: Annotated[
        str | None,
        typer.Option(
            help="linear, mlp, cnn, resnet, or package.module:name: a factory of nn.Modules, a "
            "scikit-learn classifier, or train(x, y, rng) that returns predict."
        ),
    ] = None
    dp_model: Annotated[
        str | None,
        typer.Option(
            help="A private learner for the DP arms beside a --model that trains itself, e.g. "
            "diffprivlib.models:GaussianNB; it is given each --epsilon."
        ),
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A keyword argument of such a --model; repeat for several."
        ),
    ] = None
    dp_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The same for the --dp-model.")
    ] = None
    hidden: Annotated[
        str | None, typer.Option(help="Hidden widths of the mlp, e.g. 64 or 128,64.")
    ] = None
    engine: Annotated[
        str | None,
        typer.Option(help="auto, ensemble (a cohort at once) or opacus (one at a time)."),
    ] = None
    models: Annotated[
        int | None, typer.Option(min=1, help="Models per arm. Default: 200, more if n needs more.")
    ] = None
    delta: Annotated[
        float | None, typer.Option(help="δ, below 1/n. Default n^-1.1.", show_default=False)
    ] = None
    inclusion: Annotated[
        str | None,
        typer.Option(help="poisson (in/out = add/remove) or fixed (in/out = swap)."),
    ] = None
    p: Annotated[float | None, typer.Option("--p", help="Inclusion probability. Default 0.7.")] = (
        None
    )
    canaries: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Planted canaries per model, 0 for none. Default: 1000 gradient canaries where "
            "the engine can have them, else none; 200 of another kind.",
            show_default=False,
        ),
    ] = None
    canary_kind: Annotated[
        str | None,
        typer.Option(
            help="gradient (white box, in private arms), or planted training rows: mislabeled, "
            "ood (another distribution) or duplicates (4 copies)."
        ),
    ] = None
    plant: Annotated[
        str | None,
        typer.Option(
            metavar="BUG",
            help="Plant a bug in the private training, to see whether the audit notices: "
            f"{', '.join(PLANTS)}. Never for a report that anyone relies on.",
        ),
    ] = None
    control: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Also train an arm that claims nothing, to compare with: clip-only, noise-only, "
            "neither, pruned-90 (% of weights), random-labels-100 (% of labels); repeatable.",
        ),
    ] = None
    removal: Annotated[
        bool | None,
        typer.Option(
            "--removal",
            help="Then train again without the examples of memorization ≥ θ, for several θ, and "
            "without as many at random: what test accuracy they are worth.",
            show_default=False,
        ),
    ] = None
    removal_weight_decay: Annotated[
        float | None, typer.Option(help="--removal with this weight decay in all its models.")
    ] = None
    removal_near_duplicates: Annotated[
        float | None,
        typer.Option(
            metavar="RATIO",
            help="--removal, also without the test examples nearer to a training example than "
            "RATIO times the median distance of training examples to their nearest.",
        ),
    ] = None
    clusters_per_class: Clusters = None
    test_fraction: TestFraction = None
    data_root: DataRoot = None
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|NAME",
            help="TOML file with any of these and the arms' settings, or a shipped one's name.",
        ),
    ] = None
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = None
    seed: Seed = None

    def given(self) -> dict[str, Any]:
        """The fields of the configuration that were given, by the configuration's names."""
        options = {
            "epsilon": tuple(self.epsilon) if self.epsilon else None,
            "data": self.data,
            "label": self.label,
            "subgroups": names(self.subgroups),
            "model": self.model,
            "dp_model": self.dp_model,
            "standard": _learner_options(self.option, "option"),
            "dp": _learner_options(self.dp_option, "dp-option"),
            "hidden": _widths(self.hidden),
            "engine": self.engine,
            "models": self.models,
            "delta": self.delta,
            "design": self.inclusion,
            "inclusion_probability": self.p,
            "canaries": self.canaries,
            "canary_kind": self.canary_kind,
            "plant": self.plant,
            "controls": tuple(self.control) if self.control else None,
            "removal": _removal_of(
                self.removal, self.removal_weight_decay, self.removal_near_duplicates
            ),
            "clusters_per_class": self.clusters_per_class,
            "test_fraction": self.test_fraction,
            "data_root": str(self.data_root) if self.data_root else None,
            "device": self.device,
            "seed": self.seed,
        }
        return {name: value for name, value in options.items() if value is not None}


def _removal_of(
    asked: bool | None, weight_decay: float | None, near_duplicates: float | None
) -> dict[str, Any] | None:
    """The table [removal]; its options ask for the experiment by themselves."""
    given = {"weight_decay": weight_decay, "near_duplicates": near_duplicates}
    given = {name: value for name, value in given.items() if value is not None}
    return given if asked or given else None


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command(study, …)`` the options of a study in place of its first parameter.

    Typer reads a command's options off its signature; this writes the fields of
    :class:`StudyOptions` there, so that no command has a list of its own.
    """
    shared = [field.name for field in fields(StudyOptions)]
    hints = get_type_hints(StudyOptions, include_extras=True)
    own = get_type_hints(command, include_extras=True)
    own_parameters = list(inspect.signature(command).parameters.values())[1:]
    parameters = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints[name]
        )
        for name in shared
    ]
    parameters += [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=own[parameter.name])
        for parameter in own_parameters
    ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        command(StudyOptions(**{name: given.pop(name) for name in shared}), **given)

    wrapper.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    # functools.wraps points here, and get_type_hints would follow it to the wrong function.
    del wrapper.__wrapped__
    return wrapper


def _widths(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInput(
            "hidden", text, "must be whole numbers separated by commas", "Use e.g. --hidden 128,64"
        ) from None


def _learner_options(given: list[str] | None, name: str) -> dict[str, Any] | None:
    """``n_estimators=100`` as [standard.options] has it; a value is read as TOML where it is."""
    if not given:
        return None
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise BadInput(name, text, "is not NAME=VALUE", f"Use e.g. --{name} n_estimators=100")
        try:
            options[key] = tomllib.loads(f"value = {value}")["value"]
        # Also what is nested without end, or a number of thousands of digits.
        except (ValueError, RecursionError):
            options[key] = value
    return {"options": options}
