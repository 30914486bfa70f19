"""``audit diff``: what changed since the last review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit.errors import BadInput

_FORMATS = ("text", "json", "md")


def diff(
    old: Annotated[
        Path, typer.Argument(help="The run directory or report.json of the last review.")
    ],
    new: Annotated[Path, typer.Argument(help="The one that is reviewed now.")],
    format_: Annotated[str, typer.Option("--format", help="text, json or md.")] = "text",
) -> None:
    """What changed between two reports: data, claims, verdicts, numbers, subgroups, statements.

    Exit codes: 0 nothing got worse · 1 something did (a verdict, a claim, a number beyond noise, a
    withdrawn statement) · 2 bad input. What counts as worse: docs/commands/diff.md.
    """
    from audit.console_diff import print_diff
    from audit.report.diff import diff as difference
    from audit.reviewed import report_of

    if format_ not in _FORMATS:
        raise BadInput("format", format_, f"is none of {', '.join(_FORMATS)}", "Use one of them")
    found = difference(report_of(old), report_of(new), names=(str(old), str(new)))
    print_diff(found, format_)
    raise typer.Exit(found.exit_code)
