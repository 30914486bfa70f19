"""``audit plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.cli_study import StudyOptions, with_study_options
from audit.configuring import configure
from audit.errors import BadInput, Interrupted


def _wanted(text: str) -> typer.models.OptionInfo:
    return typer.Option(show_default=False, help=text)


@with_study_options
def plan(
    study: StudyOptions,
    want_excess: Annotated[
        float | None,
        _wanted("How many models find an example whose p_in exceeds what ε allows by this much?"),
    ] = None,
    want_influence: Annotated[
        float | None, _wanted("How many models report a pair of this influence?")
    ] = None,
    want_difference: Annotated[
        float | None,
        _wanted(
            "How many models show a subgroup that loses this much more accuracy (0.05 = 5 "
            "points) than the rest?"
        ),
    ] = None,
    want_epsilon: Annotated[float | None, _wanted("How many models certify this ε?")] = None,
    trial: Annotated[
        bool, typer.Option(help="Train a few cohorts for seconds to measure time and memory.")
    ] = True,
    trial_seconds: Annotated[
        float, typer.Option(help="About how long the trial of each arm may take.")
    ] = 10.0,
    json_: Annotated[
        bool, typer.Option("--json", help="JSON on stdout instead of tables.")
    ] = False,
) -> None:
    """What a run would cost and what it could find, before it trains: power, models, time, memory.

    Takes the options of `audit run` and leaves no run directory.
    """
    options = study.given()
    if not 0 < trial_seconds <= 3600:
        raise BadInput(
            "trial-seconds", trial_seconds, "must be positive and at most 3600", "Use e.g. 10"
        )
    resolved = configure(study.config, options)
    # Not before: torch takes seconds, and what is mistyped is told at once.
    from audit.console import RunDisplay
    from audit.console_plan import print_plan, print_plan_json
    from audit.planning import Wanted, plan_audit

    wanted = Wanted(want_excess, want_influence, want_difference, want_epsilon)
    try:
        with RunDisplay() as display:
            found = plan_audit(
                resolved,
                wanted,
                trial_seconds=trial_seconds if trial else None,
                listener=display,
            )
    except KeyboardInterrupt:
        raise Interrupted("interrupted; nothing was written.") from None
    (print_plan_json if json_ else print_plan)(found)
