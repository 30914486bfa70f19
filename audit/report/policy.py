"""A policy: what a report has to show, as TOML. Field by field in docs/commands/check.md. PURE.

A rule that is not there is not asked for. ``audit.report.check`` holds a report against it.
"""

from __future__ import annotations

import difflib
import tomllib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from audit.errors import BadInput

LARGEST_POLICY = 2**20
"""Bytes."""
SMALLEST_GROUP = 10
"""Test examples; the report marks smaller subgroups with †."""
ALL = "all"

Fraction = Annotated[float, Field(gt=0, lt=1)]
Verdict = Literal["consistent", "not_violated"]
Names = Annotated[list[str], Field(min_length=1, max_length=1000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ClaimRules(_Strict):
    """Of each private arm. ``not_violated`` takes "could not tell" for an answer."""

    verdict: Verdict | None = None
    canaries: Verdict | None = None
    epsilon_at_most: float | None = Field(default=None, gt=0, le=1000)
    delta_at_most: float | None = Field(default=None, gt=0, lt=1)
    delta_below_one_over_n: bool = False
    certified_epsilon_at_most: float | None = Field(default=None, ge=0, le=1000)


class AccuracyRules(_Strict):
    """Of each private arm, against standard training; fractions (0.03 = 3 points).

    ``groupings``: those that the rules about groups look at; None for all but bins of frequency.
    ``smallest_group``: with fewer test examples a group's loss could not be told.
    """

    loss_at_most: Fraction | None = None
    worst_group_loss_at_most: Fraction | None = None
    equivalence_margin: Fraction | None = None
    groupings: Names | None = None
    smallest_group: int = Field(default=SMALLEST_GROUP, ge=3, le=1_000_000)

    @model_validator(mode="after")
    def _of_groups(self) -> AccuracyRules:
        idle = self.worst_group_loss_at_most is None and self.equivalence_margin is None
        for field in ("groupings", "smallest_group"):
            if idle and field in self.model_fields_set:
                rules = "worst_group_loss_at_most or equivalence_margin"
                raise ValueError(f"{field} has no effect without {rules}")
        return self


class ExposureRules(_Strict):
    """Of each private arm, whatever attack does best; a coin has ½ and 0.01."""

    auc_at_most: float | None = Field(default=None, ge=0.5, le=1)
    balanced_accuracy_at_most: float | None = Field(default=None, ge=0.5, le=1)
    tpr_at_1_percent_fpr_at_most: float | None = Field(default=None, ge=0.01, le=1)


class CheckRules(_Strict):
    """Checks of the tool on itself, of every arm, and whether any finding fails."""

    cross_check: bool = False
    self_check: bool = False
    no_failed_finding: bool = False


class FieldRules(_Strict):
    """Fields that people have to have attested, by id; ``["all"]`` for all that are asked for."""

    stated: Names | None = None

    @field_validator("stated", mode="before")
    @classmethod
    def _all_or_names(cls, value: Any) -> Any:
        if value == ALL:
            return [ALL]
        if not isinstance(value, list) or any(not isinstance(name, str) for name in value):
            raise ValueError(f'must be "{ALL}" or a list of ids of fields')
        return value


class Policy(_Strict):
    """All rules. ``arms``: the private arms that rules about arms look at; None for every one."""

    arms: Names | None = None
    claim: ClaimRules = ClaimRules()
    accuracy: AccuracyRules = AccuracyRules()
    exposure: ExposureRules = ExposureRules()
    checks: CheckRules = CheckRules()
    fields: FieldRules = FieldRules()

    def asks(self) -> bool:
        """Whether any rule is there."""
        rules = [
            value
            for section in (self.claim, self.accuracy, self.exposure, self.checks, self.fields)
            for key, value in section
            if key not in ("groupings", "smallest_group")
        ]
        return any(value is not None and value is not False for value in rules)


def parse_policy(text: str, where: str) -> Policy:
    """A policy from TOML; ``where`` names it in errors.

    Raises:
        BadInput: not TOML, an unknown key (the nearest known one is named), a value of the wrong
            type or out of range, or no rule at all.
    """
    try:
        rules = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        why = "too deep" if isinstance(error, RecursionError) else str(error)
        raise BadInput(
            "policy", where, f"is not valid TOML ({why})", "Mend the line it names"
        ) from error
    try:
        policy = Policy.model_validate(rules)
    except (ValidationError, RecursionError) as error:
        raise _refused(error, where) from error
    if not policy.asks():
        raise BadInput(
            "policy", where, "asks nothing", "Give it a rule (docs/commands/check.md has them all)"
        )
    return policy


def _refused(error: ValidationError | RecursionError, where: str) -> BadInput:
    if isinstance(error, RecursionError):
        return BadInput("policy", where, "is too deep", "docs/commands/check.md has its form")
    first = error.errors(include_url=False)[0]
    path, value = [str(part) for part in first["loc"]], first["input"]
    try:
        repr(value)
    except ValueError:
        # TOML's hexadecimal integers may have more digits than Python writes in decimal.
        value = "too long to show"
    if first["type"] != "extra_forbidden":
        rule = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
        step = "See docs/commands/check.md for each rule and its range"
        return BadInput(".".join(path), value, f"{rule} ({where})", step)
    known = _known_keys(path[:-1])
    close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    step = f"Did you mean {close[0]}?" if close else f"There is {', '.join(known)}."
    return BadInput(".".join(path), value, f"is no rule of a policy ({where})", step)


def _known_keys(path: list[str]) -> list[str]:
    """The keys of the table at ``path``."""
    model: type[BaseModel] = Policy
    for key in path:
        inner = model.model_fields[key].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return list(model.model_fields)
