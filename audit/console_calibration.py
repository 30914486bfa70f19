"""What ``audit calibrate`` prints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from audit.results import calibration_file

_WIDTH = 118


def print_calibration(result: dict[str, Any], run: Path | None) -> None:
    """A row per procedure: false alarms on noise, and what is certified of known ε."""
    console, setting = Console(width=_WIDTH), result["setting"]
    console.print(
        f"{setting['models']} models, {setting['examples']} examples with p = {setting['p']:g}, "
        f"{setting['canaries']} canaries, δ = {setting['delta']:.3g}; "
        f"nominal {setting['alpha']:.0%}"
    )
    table = Table(header_style="bold")
    table.add_column("procedure", ratio=1)
    table.add_column("false alarms on noise")
    known = result["procedures"][0]["known_epsilon"]
    for at in known:
        table.add_column(f"ε = {at['epsilon']:g}")
    for entry in result["procedures"]:
        table.add_row(
            entry["procedure"],
            _rate(entry["false_alarms"]),
            *(_share(at) for at in entry["known_epsilon"]),
        )
    console.print(table)
    console.print(
        "Under ε: mean certified ε as a share of the true one, and in how many of the trials it "
        "was above or the true ε was refuted. A dash: a test of a claim, which certifies none."
    )
    if run is not None:
        console.print(str(calibration_file(run)), markup=False, highlight=False)


def _rate(share: dict[str, Any]) -> str:
    found = round(share["value"] * share["n"])
    return (
        f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]\n{found} of {share['n']}"
    )


def _share(at: dict[str, Any]) -> str:
    share, wrong = at["share"], at["wrong"]
    value = share["value"]
    told = "–" if value is None or math.isnan(value) else f"{value:.0%}"
    return f"{told}\n{round(wrong['value'] * wrong['n'])} of {wrong['n']}"
