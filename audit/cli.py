"""The commands: options in, text and exit codes out, nothing else."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import sys
import traceback
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from audit import __version__
from audit.cli_calibrate import calibrate
from audit.cli_check import check
from audit.cli_diff import diff
from audit.cli_estimate import estimate
from audit.cli_options import Clusters, DataRoot, Label, Seed, Subgroups, TestFraction, names
from audit.cli_plan import plan
from audit.cli_report import report
from audit.cli_run import run
from audit.cli_theory import theory
from audit.errors import (
    EXIT_BAD_INPUT,
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    AuditError,
    BadInput,
)

app = typer.Typer(
    name="audit",
    help="Audit what models memorize, what (ε, δ) allows, and which subgroups pay for privacy.",
    epilog="Exit codes: 0 fine · 1 a finding fails · 2 bad input or usage · 3 inconclusive · "
    "70 internal error · 130 interrupted, resumable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="What is built in, and what a file would become.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def _print_version(value: bool) -> bool:
    if value:
        typer.echo(f"audit {__version__}")
        raise typer.Exit
    return value


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    del version


app.command()(run)
app.command()(plan)
app.command()(calibrate)


app.command()(report)


@app.command()
def show(
    where: Annotated[
        list[str],
        typer.Argument(metavar="[RUN] EXAMPLE", help="Training example, by its number from 0."),
    ],
) -> None:
    """One training example: memorization, bound, verdict, and the test examples it carries."""
    from audit.console import print_example
    from audit.results import read_results

    if len(where) > 2:
        raise BadInput("show", " ".join(where), "takes [RUN] EXAMPLE", "Give one number")
    path = _run_or_newest(Path(where[0]) if len(where) == 2 else None)
    results = read_results(path)
    try:
        print_example(results, where[-1])
    except (BadInput, OSError, MemoryError):
        raise
    except Exception as error:
        # As where a report is drawn: results are files that anyone may have edited.
        raise BadInput(
            "run",
            str(path),
            f"holds results that no example can be shown from ({type(error).__name__}: {error})",
            "Give the command of the run again: it makes them anew from the shards",
        ) from error


app.command()(estimate)
app.command()(check)
app.command()(diff)
app.command()(theory)


@data_app.command("list")
def data_list() -> None:
    """What is built in, and what can be read."""
    from audit.console import print_sources

    print_sources()


@data_app.command("inspect")
def data_inspect(
    data: Annotated[str, typer.Argument(metavar="NAME|FILE", help="As for audit run --data.")],
    label: Label = None,
    subgroups: Subgroups = None,
    clusters_per_class: Clusters = None,
    test_fraction: TestFraction = None,
    data_root: DataRoot = None,
    seed: Seed = None,
) -> None:
    """What a data set becomes: rows, features, labels, groupings, and what looks wrong."""
    from audit.configuring import configure
    from audit.console import print_inspection
    from audit.data.inspect import inspect
    from audit.resolve import load_data

    options = {
        "data": data,
        "label": label,
        "subgroups": names(subgroups),
        "clusters_per_class": clusters_per_class,
        "test_fraction": test_fraction,
        "data_root": str(data_root) if data_root else None,
        "seed": seed,
    }
    config = configure(None, {k: v for k, v in options.items() if v is not None})
    print_inspection(inspect(load_data(config)))


def _run_or_newest(run: Path | None) -> Path:
    from audit.store import newest_run

    return newest_run(Path("runs")) if run is None else run


def main(argv: list[str] | None = None) -> Any:
    """Entry point: expected failures become one line on stderr and an exit code."""

    _end_orderly_on_signals()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show ε must not cost a night's result its exit code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        # Not standalone: a mistyped option would be told in four lines.
        code = app(args=argv, standalone_mode=False, prog_name="audit")
        sys.stdout.flush()
    except _UsageError as error:
        _end_with_help_if_asked_nothing(error)
        raise _ended(str(_usage(error, argv)), EXIT_BAD_INPUT, error) from None
    except AuditError as error:
        raise _ended(str(error), error.exit_code, error) from None
    except MemoryError as error:
        text = (
            "memory ran out. Finished cohorts and results are kept: give this command again where "
            "there is more of it, or with fewer rows, models or canaries"
        )
        raise _ended(text, EXIT_BAD_INPUT, error) from None
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_OK) from None
    except Exception as error:
        text = f"internal error, {type(error).__name__}: {error}. Finished cohorts are kept"
        raise _ended(text, EXIT_INTERNAL, error) from None
    if code == EXIT_INTERRUPTED:
        # Typer's word for Ctrl-C, where a command has none of its own.
        typer.echo("audit: interrupted. What was there is as it was", err=True)
    raise SystemExit(code or EXIT_OK)


# Of click, or of the copy of it that newer versions of Typer bring along.
_UsageError: Any = typer.BadParameter.__base__


def _end_with_help_if_asked_nothing(error: Any) -> None:
    """``audit`` alone: the help is the error."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        raise SystemExit(EXIT_BAD_INPUT)


def _usage(error: Any, argv: list[str] | None) -> BadInput:
    """What cannot be understood as a command, in the words of every other refusal."""
    words = sys.argv[1:] if argv is None else argv
    command = error.ctx.command_path if error.ctx else "audit"
    step = f"See {command} --help"
    names = getattr(getattr(error, "param", None), "opts", [])
    given = [
        after if word in names else word.partition("=")[2]
        for word, after in pairwise([*words, ""])
        if word.partition("=")[0] in names
    ]
    rule = str(error.message if given else error.format_message()).rstrip(".")
    if given:
        return BadInput(names[0].lstrip("-"), given[-1], rule, step)
    return BadInput(command, " ".join(words), rule, step)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _end_orderly_on_signals() -> None:
    """A scheduler's SIGTERM ends a command as Ctrl-C does; a second signal ends it at once.

    Whatever is finished is on disk by then, and workers follow their parent: there is nothing that
    an impatient user could spoil, and no traceback to show him.
    """
    seen: list[int] = []

    def interrupt(signum: int, frame: object) -> None:
        del frame
        if seen:
            os._exit(EXIT_INTERRUPTED)
        seen.append(signum)
        raise KeyboardInterrupt

    # Only the main thread may; where a program calls the command from another, it has its own ways.
    with contextlib.suppress(ValueError):
        for signum in _SIGNALS:
            signal.signal(signum, interrupt)
        atexit.register(_deaf)


def _deaf() -> None:
    """While the interpreter ends: it takes handlers away before it is gone."""
    with contextlib.suppress(ValueError):
        for signum in _SIGNALS:
            signal.signal(signum, signal.SIG_IGN)


def _ended(text: str, code: int, error: Exception) -> SystemExit:
    """The end of a command that failed: one line, and the traceback only where it is asked for."""
    if os.environ.get("AUDIT_DEBUG"):
        traceback.print_exception(error)
    hint = " (AUDIT_DEBUG=1 shows where)" if code == EXIT_INTERNAL else ""
    typer.echo(f"audit: {' '.join(text.split())}{hint}", err=True)
    return SystemExit(code)
