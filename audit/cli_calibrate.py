"""``audit calibrate``: every procedure where the answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Take its numbers of models, examples and canaries; results/calibration.json is "
            "written there. Default: 200 models, 1,347 examples, 1,000 canaries.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int, typer.Option(help="Trials on pure noise per procedure; a fifth as many per known ε.")
    ] = 100,
    seed: Annotated[int, typer.Option(help="Root of the random streams.")] = 0,
) -> None:
    """False alarms on pure noise, and what is certified of mechanisms of known ε."""
    from audit.calibrating import calibrate_run
    from audit.console_calibration import print_calibration

    print_calibration(calibrate_run(run, trials=trials, seed=seed), run)
