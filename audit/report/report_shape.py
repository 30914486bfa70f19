"""The parts of ``report.json`` that ``audit check`` and ``audit diff`` use, with their types. PURE.

Keys that are not named here may be there; a number may be null where it is undefined.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from audit.report.verdicts import LABELS

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


class ReportShape(_Part):
    """The whole; validation refuses what has another type."""

    title: str
    profile: str
    incomplete: bool
    planted: _Planted | None = None
    findings: list[_Finding]
    attestation: _Attestation
    results: _Results
    source: _Source
    tool: _Tool
