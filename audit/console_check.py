"""What ``audit check`` prints: a line per result, the gravest first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from audit.report.policy_check import as_json, counts
from audit.report.policy_result import OUTCOMES, Result
from audit.report.words import counted, name


def print_check(results: list[Result], report: Mapping[str, Any]) -> None:
    """One line per result with its outcome, and how many there are of each."""
    for outcome in OUTCOMES:
        for result in results:
            if result.outcome == outcome:
                print(f"{outcome.upper():<14}  {result.line}")
    many = ", ".join(f"{n} {outcome}" for outcome, n in counts(results).items())
    finished = name(report["source"].get("finished") or "not recorded")
    print(f"{counted(len(results), 'result')}: {many} ({name(report['title'])}; {finished})")


def print_check_json(results: list[Result], report: Mapping[str, Any], policy: str) -> None:
    """The same with every number as JSON; ``policy``: SHA-256 of its file."""
    print(json.dumps(as_json(results, report, policy), indent=1, allow_nan=False))
