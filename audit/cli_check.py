"""``audit check``: a report against a policy, for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from audit.cli_options import ReportOrRun
from audit.errors import BadInput


def check(
    policy: Annotated[
        str,
        typer.Option(metavar="FILE.toml", help="The rules, or the shipped ones: default."),
    ],
    run: ReportOrRun = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE.xml", show_default=False, help="Write JUnit XML, too."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Hold a report against a policy: each rule is met, is not met, or could not be told.

    Exit codes: 0 all rules met · 1 a rule is not met · 2 bad policy or report · 3 none is not met,
    but of some it could not be told. Every rule: docs/commands/check.md.
    """
    from audit.console_check import print_check, print_check_json
    from audit.report.junit import junit_xml
    from audit.report.policy_check import check as hold_against
    from audit.report.policy_result import exit_code
    from audit.reviewed import newest_or, policy_of, report_of, write_file

    as_json = _format(format_) == "json"
    rules, digest = policy_of(policy)
    path = newest_or(run)
    report = report_of(path)
    results = hold_against(rules, report, str(path))
    if junit is not None:
        write_file(junit, junit_xml(results, report["title"]), "junit")
    if as_json:
        print_check_json(results, report, digest)
    else:
        print_check(results, report)
    raise typer.Exit(exit_code(results))


def _format(text: str) -> Literal["text", "json"]:
    if text == "text" or text == "json":
        return text
    raise BadInput("format", text, "is neither text nor json", "Use one of them")
