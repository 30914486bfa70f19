"""``report.json`` as somebody hands it in: nothing in it is believed before it is looked at. PURE.

What is checked is what ``audit check`` and ``audit diff`` use; everything else may be there.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from audit.errors import BadInput
from audit.report.document import SCHEMA_VERSION
from audit.report.planted import MARK, refuse_planted
from audit.report.verdicts import LABELS
from audit.report.words import Json

OLDEST_READABLE = 2
"""The first schema version with numbers (``results``) in it."""
LARGEST_REPORT = 64 * 2**20
"""Bytes; a run with 60,000 examples and 50 subgroups has half a million."""
_DEEPEST = 64
_LARGEST_INTEGER = 2**63

Number = float | None


def _known_verdict(verdict: str) -> str:
    if verdict not in LABELS:
        raise ValueError(f"is not one of {', '.join(LABELS)}")
    return verdict


class _Part(BaseModel):
    """A part of the report; keys that are not named may be there."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Estimate(_Part):
    value: Number = None
    low: Number = None
    high: Number = None
    n: Number = None


class _Finding(_Estimate):
    id: str
    statement: str
    verdict: Annotated[str, AfterValidator(_known_verdict)]
    threshold: Number = None
    fails: bool
    inconclusive: bool


class _Rates(_Part):
    auc: _Estimate | None = None
    balanced_accuracy: _Estimate | None = None
    low: _Estimate | None = Field(default=None, alias="tpr_at_0.01")


class _Exposure(_Rates):
    attack: str | None = None
    why_not: str | None = None
    attacks: dict[str, _Rates] = {}


class _Procedure(_Part):
    id: str
    on: str
    epsilon: _Estimate | None = None
    copies: Number = None
    refutes_claim: bool | None = None
    would_refute_twice: bool | None = None


class _Empirical(_Part):
    procedures: list[_Procedure] = []


class _Test(_Part):
    epsilon: Number = None


class _Arm(_Part):
    epsilon: Number = None
    delta: Number = None
    noise_multiplier: Number = None
    sample_rate: Number = None
    steps: Number = None
    clip_norm: Number = None
    test: _Test | None = None
    loss: _Estimate | None = None
    accuracy_test: _Estimate | None = None
    mem_mean: _Estimate | None = None
    mem_share: _Estimate | None = Field(default=None, alias="mem_share_above_0.25")
    mem_max: _Estimate | None = None
    epsilon_certified: _Estimate | None = None
    exposure: _Exposure | None = None
    empirical_epsilon: _Empirical | None = None


class _Disparity(_Part):
    grouping: str
    arm: str
    verdict: Annotated[str, AfterValidator(_known_verdict)]
    equivalence_margin: Number = None
    equivalent_within: Number = None
    worst_subgroup: str | None = None
    worst_minus_rest: _Estimate | None = None
    n_groups: Number = None


class _PowerRow(_Part):
    models: Number = None
    epsilon: Number = None


class _EpsilonPower(_Part):
    procedure: str
    rows: list[_PowerRow] = []


class _Power(_Part):
    epsilon: list[_EpsilonPower] = []


class _Subgroup(_Part):
    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, float | str | bool | None]  # pyright: ignore[reportIncompatibleVariableOverride]

    grouping: str
    kind: str
    subgroup: str
    n_train: Number = None
    n_test: Number = None


class _Results(_Part):
    models: int
    arms: dict[str, _Arm]
    disparity: list[_Disparity] = []
    power: _Power | None = None
    subgroups: list[_Subgroup] = []
    withheld: dict[str, list[str]] = {}


class _Attestation(_Part):
    statements: dict[str, str] = {}
    asked: list[str] | None = None


class _Data(_Part):
    name: str | None = None
    fingerprint: str | None = None
    n: Number = None
    n_test: Number = None


class _Named(_Part):
    name: str | None = None
    description: str | None = None


class _Source(_Part):
    config_sha256: str | None = None
    seed: int | None = None
    finished: str | None = None
    versions: dict[str, str] | None = None
    data: _Data
    model: _Named | None = None
    engine: dict[str, _Named] | None = None
    inclusion: dict[str, Any] | None = None


class _Tool(_Part):
    name: str | None = None
    version: str | None = None
    commit: str | None = None


class _Planted(_Part):
    mark: str


class _Report(_Part):
    title: str
    profile: str
    incomplete: bool
    planted: _Planted | None = None
    findings: list[_Finding]
    attestation: _Attestation
    results: _Results
    source: _Source
    tool: _Tool


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
        _Report.model_validate(value)
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
