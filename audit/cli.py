"""The commands: options in, text and exit codes out, nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import sys
import tomllib
import traceback
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from audit import __version__
from audit.cli_estimate import estimate
from audit.errors import EXIT_INTERNAL, EXIT_OK, AuditError, BadInput, Interrupted

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

Data = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="Default digits. digits, adult, FILE.csv, FILE.parquet, FILE.npz, FILE.npy, "
        "torchvision:MNIST|FashionMNIST|CIFAR10|CIFAR100, or a FOLDER of images.",
    ),
]
Label = Annotated[str | None, typer.Option(help="Column (or .npy file) that holds the label.")]
Subgroups = Annotated[
    str | None,
    typer.Option(help="Comma-separated columns and crossings, e.g. sex,race,sex×race."),
]
DataRoot = Annotated[
    Path | None, typer.Option(help="Folder that holds torchvision data sets; nothing is fetched.")
]
Clusters = Annotated[
    int | None, typer.Option(min=1, help="Subpopulations to discover inside each class.")
]
TestFraction = Annotated[
    float | None, typer.Option(help="Share of rows held out where the data has no split.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Root of all random streams.")]


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"audit {__version__}")
        raise typer.Exit


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


@app.command()
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
        "subgroups": _names(subgroups),
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


@app.command()
def report(
    run: Annotated[
        Path | None, typer.Argument(help="Run directory. Default: the newest under runs/.")
    ] = None,
    subgroups: Annotated[
        bool, typer.Option("--subgroups", help="Every grouping and every group, in full.")
    ] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Render a finished run's report again, from its results."""
    from audit.pipeline import write_report

    path = write_report(_run_or_newest(run), full_subgroups=subgroups)
    typer.echo(path)
    if open_:
        webbrowser.open(path.resolve().as_uri())


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
    print_example(read_results(path), where[-1])


app.command()(estimate)


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
    from audit.console import print_inspection
    from audit.data.inspect import inspect
    from audit.pipeline import configure, load_data

    options = {
        "data": data,
        "label": label,
        "subgroups": _names(subgroups),
        "clusters_per_class": clusters_per_class,
        "test_fraction": test_fraction,
        "data_root": str(data_root) if data_root else None,
        "seed": seed,
    }
    config = configure(None, {k: v for k, v in options.items() if v is not None})
    print_inspection(inspect(load_data(config)))


def _names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


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


def _run_or_newest(run: Path | None) -> Path:
    from audit.store import newest_run

    return newest_run(Path("runs")) if run is None else run


def main(argv: list[str] | None = None) -> Any:
    """Entry point: expected failures become one line on stderr and an exit code."""

    def interrupt(signum: int, frame: object) -> None:
        del signum, frame
        raise KeyboardInterrupt

    # A scheduler's SIGTERM deserves the same orderly end as Ctrl-C (main thread only).
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGHUP, interrupt)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show ε must not cost a night's result its exit code.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(args=argv, standalone_mode=True)
        sys.stdout.flush()
    except AuditError as error:
        raise _ended(str(error), error.exit_code, error) from None
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_OK) from None
    except Exception as error:
        text = f"internal error, {type(error).__name__}: {error}. Finished cohorts are kept"
        raise _ended(text, EXIT_INTERNAL, error) from None


def _ended(text: str, code: int, error: Exception) -> SystemExit:
    """The end of a command that failed: one line, and the traceback only where it is asked for."""
    if os.environ.get("AUDIT_DEBUG"):
        traceback.print_exception(error)
    hint = " (AUDIT_DEBUG=1 shows where)" if code == EXIT_INTERNAL else ""
    typer.echo(f"audit: {' '.join(text.split())}{hint}", err=True)
    return SystemExit(code)
