"""``audit report``: a run's report as HTML, PDF, JSON or model card; verified; attested."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from audit.errors import BadInput

T = TypeVar("T", bound=str)


def report(
    run: Annotated[
        Path | None, typer.Argument(help="Run directory. Default: the newest under runs/.")
    ] = None,
    subgroups: Annotated[
        bool, typer.Option("--subgroups", help="Every grouping and every group, in full.")
    ] = False,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples",
            help="With galleries of single training examples: the most and least memorized, and "
            "the pairs they carry. Shows training records; internal profile only.",
        ),
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="html, pdf (extra pdf), json, or md (a model card).")
    ] = "html",
    profile: Annotated[
        str,
        typer.Option(
            help="internal, or public: subgroups under 10 withheld, with those that would give "
            "them away; counts rounded; nothing by example."
        ),
    ] = "internal",
    static: Annotated[
        bool, typer.Option("--static", help="HTML without scripts, under 250 KB.")
    ] = False,
    attestation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What people attest (TOML). Default: attestation.toml in the run directory.",
        ),
    ] = None,
    init_attestation: Annotated[
        bool,
        typer.Option(
            "--init-attestation", help="Write a commented attestation.toml to fill in, and stop."
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Make every figure of the reports there again from the shards, check each hash, "
            "and stop. Exit code 1 if any fails.",
        ),
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Render a finished run's report again, from its results."""
    from audit.report.formats import FORMATS
    from audit.report.inputs import PROFILES, ReportOptions
    from audit.reporting import write_report
    from audit.store import newest_run

    path = newest_run(Path("runs")) if run is None else run
    if init_attestation:
        from audit.attesting import init_attestation as write_template

        typer.echo(write_template(path))
        return
    if verify:
        _verify(path, attestation)
        return
    options = ReportOptions(
        profile=_one_of("profile", profile, PROFILES),
        full_subgroups=subgroups,
        examples=examples,
    )
    written = write_report(
        path,
        options,
        form=_one_of("format", format_, FORMATS),
        static=static,
        attestation=attestation,
    )
    typer.echo(written)
    if open_:
        webbrowser.open(written.resolve().as_uri())


def _verify(path: Path, attestation: Path | None) -> None:
    from audit.console_verification import print_verification
    from audit.verifying import verify

    found = verify(path, attestation=attestation)
    print_verification(found)
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _one_of(name: str, value: str, allowed: tuple[T, ...]) -> T:
    for each in allowed:
        if value == each:
            return each
    raise BadInput(name, value, f"is none of {', '.join(allowed)}", f"Use --{name} {allowed[0]}")
