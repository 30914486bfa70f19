"""What a report is made of, and how it is asked for: nothing else enters ``report.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pandas as pd

from audit.report.words import Json

Profile = Literal["internal", "public"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


@dataclass(frozen=True)
class ReportInputs:
    """One run as the report sees it (docs/run-directory.md has the files and columns).

    ``run``: run.json. ``summary``: results/summary.json, with the figures of ``audit calibrate``
    where it was given. ``examples``, ``influence``, ``subgroups``: the tables of results/.

    ``statements``: what people attested, by the id of the field (``claim.unit_of_privacy``); a
    field that is absent is NOT STATED. ``attestation_sha256``: of the file they stand in.

    ``gallery``: single examples to show, by ``"train"`` and ``"test"`` and their number; None
    unless they were asked for. ``withheld``: subgroups kept out of a public report, by grouping;
    their rows are no longer in ``subgroups``.
    """

    run: Mapping[str, Any]
    summary: Mapping[str, Any]
    examples: pd.DataFrame
    influence: pd.DataFrame
    subgroups: pd.DataFrame
    statements: Mapping[str, str] = field(default_factory=dict)
    attestation_sha256: str | None = None
    gallery: Json | None = None
    withheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportOptions:
    """How a report is asked for.

    ``full_subgroups``: every subgroup of every grouping instead of the main grouping and the
    subgroups that lose most. ``examples``: with galleries of single training examples.
    """

    profile: Profile = "internal"
    full_subgroups: bool = False
    examples: bool = False
