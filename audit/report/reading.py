"""``report.json`` as somebody hands it in: nothing in it is believed before it is looked at. PURE.

What is used of it has a type (:mod:`audit.report.report_shape`); everything else may be there.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from audit.errors import BadInput
from audit.report.document import SCHEMA_VERSION
from audit.report.planted import MARK, refuse_planted
from audit.report.report_shape import ReportShape
from audit.report.words import Json

OLDEST_READABLE = 2
"""The first schema version with numbers (``results``) in it."""
LARGEST_REPORT = 64 * 2**20
"""Bytes; a run with 60,000 examples and 50 subgroups has half a million."""
_DEEPEST = 64
_LARGEST_INTEGER = 2**63


def parse_report(text: str, where: str) -> Json:
    """The content of ``report.json``, checked; ``where`` names it in errors.

    Raises:
        BadInput: not JSON as this program writes it (a key twice, NaN, an infinite or endless
            number, too deep), not a report, of an unknown schema version, or a field that is used
            is missing or of another type.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
        )
    except (ValueError, RecursionError) as error:
        why = "too deep" if isinstance(error, RecursionError) else str(error)
        raise _refused(where, f"is not JSON as a report is ({why})") from error
    if not isinstance(value, dict) or value.get("schema") != "audit-report":
        raise _refused(where, "is not a report: its schema is not audit-report")
    version = value.get("schema_version")
    readable = isinstance(version, int) and OLDEST_READABLE <= version <= SCHEMA_VERSION
    if not readable or isinstance(version, bool):
        raise BadInput(
            "schema_version",
            version,
            f"of {where} is not one of {OLDEST_READABLE} to {SCHEMA_VERSION}, which this program "
            "reads",
            "Use the version of audit that wrote it, or make the report again from its run",
        )
    if _too_deep(value):
        raise _refused(where, f"is nested more than {_DEEPEST} levels deep")
    try:
        ReportShape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(
            ".".join(str(part) for part in first["loc"]),
            None if first["type"] == "missing" else first["input"],
            f"is not what this program writes there ({first['msg']}; {where})",
            "Make the report again from its run",
        ) from error
    _refuse_doubles(value, where)
    return value


def refuse_unfinished(report: Mapping[str, Any], where: str) -> None:
    """Refuse a report that is no evidence of anything that anyone uses.

    Raises:
        BadInput: a bug is planted in the run, or the run is not complete.
    """
    if found := report.get("planted"):
        refuse_planted({"plant": {"name": str(found["mark"]).removeprefix(f"{MARK} ")}})
    if report["incomplete"]:
        raise BadInput(
            "run",
            where,
            "is not complete: what it would say when it is cannot be known",
            "Give the command of the run again to complete it",
        )


def claiming_arms(report: Mapping[str, Any]) -> list[str]:
    """The arms that claim (ε, δ), in the order of the report."""
    claims = {f["id"] for f in report["findings"]}
    return [arm for arm in report["results"]["arms"] if f"claim-{arm}" in claims]


def _refuse_doubles(report: Mapping[str, Any], where: str) -> None:
    """Two findings of one name: a failed one could hide behind the other.

    Those about groupings may share a name, since long names are shortened in them.
    """
    named = Counter(f["id"] for f in report["findings"])
    for ident, times in named.items():
        if times > 1 and not ident.startswith(("trend-", "disparity-")):
            raise BadInput(
                "findings",
                ident,
                f"is there twice in {where}",
                "Make the report again from its run",
            )


def _refused(where: str, rule: str) -> BadInput:
    return BadInput("report", where, rule, "Name a run directory or a report.json")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, times in Counter(k for k, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > 20 or not -_LARGEST_INTEGER <= int(text) < _LARGEST_INTEGER:
        raise ValueError(f"the number {text[:40]} is too large")
    return int(text)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            for inner in (
                each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
            )
        ]
        if not level:
            return False
    return True
