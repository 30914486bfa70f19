"""What a rule of a policy came to: met, not met, or could not tell. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audit.errors import EXIT_FINDING_FAILS, EXIT_INCONCLUSIVE, EXIT_OK
from audit.report.words import Json, finite, name

Outcome = Literal["met", "not met", "could not tell"]
MET: Outcome = "met"
NOT_MET: Outcome = "not met"
OPEN: Outcome = "could not tell"
OUTCOMES: tuple[Outcome, ...] = (NOT_MET, OPEN, MET)
"""The gravest first."""


@dataclass(frozen=True)
class Result:
    """One rule on one arm, grouping or field.

    ``rule``: section and key ("claim.verdict"). ``statement``: one sentence with the value, its
    interval and the threshold, names already fit to be shown. ``value``, ``low``, ``high``,
    ``threshold``: its numbers, None where there are none. ``groups``: of a rule about subgroups,
    each of them with its own outcome.
    """

    rule: str
    outcome: Outcome
    statement: str
    arm: str | None = None
    subject: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    groups: tuple[Json, ...] = ()

    @property
    def section(self) -> str:
        """The table of the policy that the rule stands in."""
        return self.rule.partition(".")[0]

    @property
    def about(self) -> str:
        """Arm, and grouping or field, fit to be shown: "dp-2, “sex×race”"; empty for the run."""
        parts = [name(self.arm)] if self.arm is not None else []
        parts += [f"“{name(self.subject)}”"] if self.subject is not None else []
        return ", ".join(parts)

    @property
    def line(self) -> str:
        """One line: the rule, what it is about, and the statement."""
        about = f" [{self.about}]" if self.about else ""
        return f"{self.rule}{about}: {self.statement}"

    def to_json(self) -> Json:
        """As ``audit check --format json`` writes it."""
        return {**vars(self), "groups": list(self.groups)}


def at_most(low: float | None, high: float | None, threshold: float) -> Outcome:
    """Whether a value is at most ``threshold``: met if its whole interval is, not met if none of it
    is; could not tell in between, and without an interval."""
    if finite(low) and low > threshold:  # pyright: ignore[reportOptionalOperand]
        return NOT_MET
    if finite(low) and finite(high) and high <= threshold:  # pyright: ignore[reportOptionalOperand]
        return MET
    return OPEN


def gravest(outcomes: Sequence[Outcome]) -> Outcome:
    """*Not met* if any is, else *could not tell* if any is; of nothing it could not be told."""
    for outcome in OUTCOMES:
        if outcome in outcomes:
            return outcome
    return OPEN


def exit_code(results: Sequence[Result]) -> int:
    """1 if a rule is not met; else 3 if it could not be told of one; else 0."""
    worst = gravest([result.outcome for result in results])
    return {NOT_MET: EXIT_FINDING_FAILS, OPEN: EXIT_INCONCLUSIVE, MET: EXIT_OK}[worst]
