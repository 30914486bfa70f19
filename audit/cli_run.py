"""``audit run``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from audit.cli_study import StudyOptions, with_study_options
from audit.configuring import configure, default_out
from audit.errors import Interrupted
from audit.training.execution import make_execution


@with_study_options
def run(
    study: StudyOptions,
    out: Annotated[
        Path | None, typer.Option(help="Run directory. Default runs/<data>-<digest of options>.")
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(
            help="local (default: this machine) or ray (a cluster); the results are the same."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="The Ray cluster: auto, HOST:6379 on one of its nodes, or ray://HOST:10001 from "
            "outside. Default: RAY_ADDRESS, or a cluster of this machine for this run.",
            show_default=False,
        ),
    ] = None,
    shared: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Folder that all nodes see (file:///nfs/…, s3://…), for arrays and outputs. "
            "Default: Ray's object store.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train both arms on random subsets, estimate, test against e^ε, and write the report.

    An interrupted run continues where it stopped when the same command is given again.
    """
    options = study.given()
    execution = make_execution(executor, address, shared)
    resolved = configure(study.config, options)
    # Not before: torch takes seconds, and what is mistyped is told at once.
    from audit.console import RunDisplay, print_outcome
    from audit.pipeline import run as run_audit

    command = shlex.join(["audit", *sys.argv[1:]])
    try:
        with RunDisplay() as display:
            outcome = run_audit(
                resolved,
                out or default_out(resolved),
                command_line=command,
                listener=display,
                execution=execution,
            )
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted. Finished cohorts are kept: give the same command again to go on."
        ) from None
    print_outcome(outcome)
    raise typer.Exit(outcome.exit_code)
