"""The options of ``audit run``."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

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
from audit.errors import BadInput, Interrupted


def run(
    epsilon: Annotated[
        list[float] | None,
        typer.Option(help="ε of a DP arm; repeat for several. Default 2.", show_default=False),
    ] = None,
    data: Data = None,
    label: Label = None,
    subgroups: Subgroups = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="linear, mlp, cnn, resnet, or package.module:name: a factory of nn.Modules, a "
            "scikit-learn classifier, or train(x, y, rng) that returns predict."
        ),
    ] = None,
    dp_model: Annotated[
        str | None,
        typer.Option(
            help="A private learner for the DP arms beside a --model that trains itself, e.g. "
            "diffprivlib.models:GaussianNB; it is given each --epsilon."
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="A keyword argument of such a --model; repeat for several."
        ),
    ] = None,
    dp_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The same for the --dp-model.")
    ] = None,
    hidden: Annotated[
        str | None, typer.Option(help="Hidden widths of the mlp, e.g. 64 or 128,64.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="auto, ensemble (a cohort at once) or opacus (one at a time)."),
    ] = None,
    models: Annotated[
        int | None, typer.Option(min=1, help="Models per arm. Default: 200, more if n needs more.")
    ] = None,
    delta: Annotated[
        float | None, typer.Option(help="δ, below 1/n. Default n^-1.1.", show_default=False)
    ] = None,
    inclusion: Annotated[
        str | None,
        typer.Option(help="poisson (in/out = add/remove) or fixed (in/out = swap)."),
    ] = None,
    p: Annotated[
        float | None, typer.Option("--p", help="Inclusion probability. Default 0.7.")
    ] = None,
    canaries: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Planted canaries per model, 0 for none. Default: 1000 gradient canaries where "
            "the engine can have them, else none; 200 of another kind.",
            show_default=False,
        ),
    ] = None,
    canary_kind: Annotated[
        str | None,
        typer.Option(
            help="gradient (white box, in private arms), or planted training rows: mislabeled, "
            "ood (another distribution) or duplicates (4 copies)."
        ),
    ] = None,
    clusters_per_class: Clusters = None,
    test_fraction: TestFraction = None,
    data_root: DataRoot = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|NAME",
            help="TOML file with any of these and the arms' settings, or a shipped one's name.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory. Default runs/<data>-<digest of options>.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, …")] = None,
    seed: Seed = None,
) -> None:
    """Train both arms on random subsets, estimate, test against e^ε, and write the report.

    An interrupted run continues where it stopped when the same command is given again.
    """
    options = {
        "epsilon": tuple(epsilon) if epsilon else None,
        "data": data,
        "label": label,
        "subgroups": names(subgroups),
        "model": model,
        "dp_model": dp_model,
        "standard": _learner_options(option, "option"),
        "dp": _learner_options(dp_option, "dp-option"),
        "hidden": _widths(hidden),
        "engine": engine,
        "models": models,
        "delta": delta,
        "design": inclusion,
        "inclusion_probability": p,
        "canaries": canaries,
        "canary_kind": canary_kind,
        "clusters_per_class": clusters_per_class,
        "test_fraction": test_fraction,
        "data_root": str(data_root) if data_root else None,
        "device": device,
        "seed": seed,
    }
    from audit.console import RunDisplay, print_outcome
    from audit.pipeline import configure, default_out
    from audit.pipeline import run as run_audit

    resolved = configure(config, {k: v for k, v in options.items() if v is not None})
    command = shlex.join(["audit", *sys.argv[1:]])
    try:
        with RunDisplay() as display:
            outcome = run_audit(
                resolved, out or default_out(resolved), command_line=command, listener=display
            )
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted. Finished cohorts are kept: give the same command again to go on."
        ) from None
    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)


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
        except tomllib.TOMLDecodeError:
            options[key] = value
    return {"options": options}
