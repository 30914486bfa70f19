"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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

ReportOrRun = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        help="Run directory, or a report.json. Default: the newest run under runs/.",
        show_default=False,
    ),
]


def names(text: str | None) -> tuple[str, ...] | None:
    """The parts of a comma-separated option; None where it was not given."""
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())
