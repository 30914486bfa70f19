"""Errors meant for the user: one line that says name, value, rule and next step."""

from __future__ import annotations

EXIT_OK = 0
EXIT_FINDING_FAILS = 1
EXIT_BAD_INPUT = 2
EXIT_INCONCLUSIVE = 3
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130

_LONGEST_VALUE = 120
_LONGEST_RULE = 500


class AuditError(Exception):
    """An expected failure: shown to the user as one line, without a traceback."""

    exit_code = EXIT_BAD_INPUT


class BadInput(AuditError):
    """A value the tool cannot work with.

    The message has one shape everywhere, ``name = value: rule. Next step.``, on a single line: the
    value is shortened and shown with ``repr`` so that line breaks and control characters in a
    hostile file cannot forge further lines of output.
    """

    def __init__(self, name: str, value: object, rule: str, next_step: str) -> None:
        self.name = name
        self.value = value
        self.rule = rule
        self.next_step = next_step
        told = f"{_one_line(rule, _LONGEST_RULE)}. {next_step}"
        super().__init__(f"{_one_line(name, _LONGEST_VALUE)} = {_shown(value)}: {told}")

    def __reduce__(self) -> tuple[type[BadInput], tuple[object, ...]]:
        # It is raised in worker processes too, and must reach the parent as it is.
        return type(self), (self.name, self.value, self.rule, self.next_step)


class Interrupted(AuditError):
    """The user (or a scheduler) stopped a run that can be continued."""

    exit_code = EXIT_INTERRUPTED


class CheckFailed(AuditError):
    """A check of the tool on itself or on a claim failed; nothing already computed is lost."""

    exit_code = EXIT_FINDING_FAILS


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # A number of thousands of digits, or nesting without end: neither can be written.
        text = f"a value of type {type(value).__name__} that is too long to show"
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _one_line(text: str, longest: int) -> str:
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)[:longest]
