"""The options of ``audit estimate``: outputs of models trained elsewhere."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from audit.errors import BadInput, Interrupted

_FILE = "FILE.npy"


def _array(text: str) -> typer.models.OptionInfo:
    return typer.Option(metavar=_FILE, show_default=False, help=text)


def _design(text: str) -> Literal["poisson", "fixed"]:
    if text == "poisson" or text == "fixed":
        return text
    raise BadInput("inclusion", text, "is neither poisson nor fixed", "Use one of them")


def estimate(
    membership: Annotated[Path, _array("Who trained on what, [models, n] of 0 and 1.")],
    train_correct: Annotated[
        Path, _array("Who was right on which training example, [models, n] of 0 and 1.")
    ],
    epsilon: Annotated[
        float, typer.Option(help="ε that these models claim (add/remove one example).")
    ],
    delta: Annotated[
        float | None,
        typer.Option(help="δ that they claim. Default n^-1.1.", show_default=False),
    ] = None,
    test_correct: Annotated[
        Path | None, _array("The same on test examples, [models, n_test].")
    ] = None,
    margins: Annotated[
        Path | None,
        _array(
            "Margins log(p_y/(1-p_y)) on training examples, [models, n]. Checked against who was "
            "right, and kept in the run directory: no estimate reads them yet."
        ),
    ] = None,
    test_margins: Annotated[Path | None, _array("The same on test examples; kept, too.")] = None,
    baseline_train_correct: Annotated[
        Path | None,
        _array("Standard models trained on the same memberships: then losses are estimated."),
    ] = None,
    baseline_test_correct: Annotated[Path | None, _array("Their test_correct.")] = None,
    baseline_margins: Annotated[Path | None, _array("Their margins; kept, too.")] = None,
    baseline_test_margins: Annotated[
        Path | None, _array("Their margins on test examples; kept, too.")
    ] = None,
    no_claim: Annotated[
        bool,
        typer.Option("--no-claim", help="The models are standard ones: what would ε forbid?"),
    ] = False,
    claimed_by: Annotated[
        str | None,
        typer.Option(help="Who computed ε and how, for the report: 'JAX Privacy, PLD'."),
    ] = None,
    inclusion: Annotated[
        str, typer.Option(help="poisson (each example independently) or fixed (equal sizes).")
    ] = "poisson",
    p: Annotated[
        float | None,
        typer.Option("--p", help="Inclusion probability. Default: as found.", show_default=False),
    ] = None,
    train_table: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet with labels and groups, a row per training example."),
    ] = None,
    test_table: Annotated[
        Path | None, typer.Option(help="The same columns, a row per test example.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of the tables with the label.")] = None,
    subgroups: Annotated[
        str | None, typer.Option(help="Columns and crossings, e.g. sex,race,sex×race.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the report calls the data.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run directory. Default runs/estimate-<digest of inputs>."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Root of the random relabellings.")] = 0,
) -> None:
    """Estimates, tests and report from the outputs of models trained elsewhere.

    Format and a complete example: docs/commands/estimate.md.
    """
    from audit.brought import ArmFiles, Request
    from audit.console import RunDisplay, print_outcome
    from audit.data.groupings import parse_subgroups
    from audit.elsewhere import estimate as run_estimate

    design = _design(inclusion)
    request = Request(
        membership=membership,
        arm=ArmFiles(train_correct, test_correct, margins, test_margins),
        epsilon=epsilon,
        delta=delta,
        claims=not no_claim,
        claimed_by=claimed_by,
        baseline=ArmFiles(
            baseline_train_correct, baseline_test_correct, baseline_margins, baseline_test_margins
        ),
        design=design,
        p=p,
        train_table=train_table,
        test_table=test_table,
        label=label,
        subgroups=parse_subgroups(subgroups or ""),
        name=name or Request.name,
        seed=seed,
    )
    command = shlex.join(["audit", *sys.argv[1:]])
    try:
        with RunDisplay() as display:
            outcome = run_estimate(request, out, command_line=command, listener=display)
    except KeyboardInterrupt:
        raise Interrupted("interrupted. Give the same command again to go on.") from None
    for warning in outcome.manifest["data"]["warnings"]:
        typer.echo(f"look at: {warning}", err=True)
    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)
