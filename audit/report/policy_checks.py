"""Rules about the run itself and about what people attested. PURE."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from audit.errors import BadInput
from audit.report.policy import ALL, CheckRules, FieldRules
from audit.report.policy_claim import finding_of, said
from audit.report.policy_result import MET, NOT_MET, OPEN, Outcome, Result
from audit.report.words import count, counted, joined, name, part

_NAMED = 5
_LONGEST = 200


def check_results(
    rules: CheckRules, report: Mapping[str, Any], arms: list[str]
) -> Iterator[Result]:
    """Every rule of the section [checks], of each of ``arms`` (the standard one, too)."""
    for arm in arms:
        if rules.cross_check:
            yield _cross_check(report, arm)
        if rules.self_check:
            yield _holds("checks.self_check", f"self-check-{arm}", report, arm)
    if rules.no_failed_finding:
        yield _no_failure(report)


def field_results(rules: FieldRules, report: Mapping[str, Any]) -> Iterator[Result]:
    """The section [fields]: each field that has to be stated.

    Raises:
        BadInput: a field that the report does not know (the nearest is named), or ``all`` of a
            report that lists none.
    """
    if rules.stated is None:
        return
    attestation = report["attestation"]
    asked, statements = attestation.get("asked") or [], attestation.get("statements") or {}
    for field in _fields(rules.stated, asked, statements):
        text = statements.get(field)
        stated = text is not None and bool(text.strip())
        shown = name(text, _LONGEST) if stated else "NOT STATED"
        yield Result("fields.stated", MET if stated else NOT_MET, shown, subject=field)


def _fields(wanted: list[str], asked: list[str], statements: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for field in wanted:
        if field == ALL:
            if not asked:
                raise BadInput(
                    "fields.stated",
                    ALL,
                    "cannot be told: this report lists no fields (attestation.asked)",
                    "Make the report again from its run, or name the fields",
                )
            found += asked
            continue
        if asked and field not in asked and field not in statements:
            close = difflib.get_close_matches(field, asked, n=1, cutoff=0.4)
            raise BadInput(
                "fields.stated",
                field,
                "is no field of this report",
                f"Did you mean {name(close[0])}?" if close else f"There is {name(asked[0])}, …",
            )
        found.append(field)
    return list(dict.fromkeys(found))


def _cross_check(report: Mapping[str, Any], arm: str) -> Result:
    rule, ident = "checks.cross_check", f"cross-check-{arm}"
    if finding_of(report, ident) is not None:
        return _holds(rule, ident, report, arm)
    engine = (report["source"].get("engine") or {}).get(arm) or {}
    if engine.get("name") == "opacus":
        return Result(rule, MET, "trained by the reference itself: nothing to check", arm)
    why = f" (engine {name(engine['name'])})" if engine.get("name") else ""
    return Result(rule, OPEN, f"no cross-check was made, or none is possible{why}", arm)


def _holds(rule: str, ident: str, report: Mapping[str, Any], arm: str) -> Result:
    found = finding_of(report, ident)
    if found is None:
        return Result(rule, OPEN, "this report has no such check", arm)
    outcome: Outcome = MET if found["verdict"] == "holds" else OPEN
    if found["fails"] or found["verdict"] == "fails":
        outcome = NOT_MET
    numbers = {key: part(found, key) for key in ("value", "low", "high", "threshold")}
    return Result(rule, outcome, said(found), arm, **numbers)


def _no_failure(report: Mapping[str, Any]) -> Result:
    rule, found = "checks.no_failed_finding", report["findings"]
    failed = [f for f in found if f["fails"]]
    if failed:
        shown = [name(f["id"]) for f in failed[:_NAMED]]
        left = len(failed) - len(shown)
        more = f" and {count(left)} more" if left else ""
        text = f"{counted(len(failed), 'finding')} of {count(len(found))} fail: {joined(shown)}"
        return Result(rule, NOT_MET, text + more, value=float(len(failed)), threshold=0.0)
    outcome = MET if found else OPEN
    text = f"none of {counted(len(found), 'finding')} fails"
    return Result(rule, outcome, text, value=0.0, threshold=0.0)
