"""Runs whose private training is wrong on purpose: marked wherever anyone looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.errors import BadInput
from audit.report.words import Json, name

MARK = "PLANTED BUG"


def planted_words(bug: str) -> str:
    """The warning in one sentence."""
    return f"{MARK} {bug}: this run's DP training is wrong on purpose"


def planted(run: Mapping[str, Any]) -> Json | None:
    """What a report of such a run says of it on top; None where training is as it should be."""
    found = run.get("plant")
    if not found:
        return None
    bug, what, where, breaks = (
        name(found.get(key) or "?", 300) for key in ("name", "what", "where", "breaks")
    )
    return {
        "mark": f"{MARK} {bug}",
        "words": f"{planted_words(bug)}.",
        "details": f"In its private arms {what}. What that breaks: {breaks}. Where it happened: "
        f"{where}. Such a run shows what the audit notices; it says nothing about a model that "
        "anyone uses, and no claim of privacy may rest on it.",
    }


def refuse_planted(run: Mapping[str, Any]) -> None:
    """Whatever makes a document for compliance calls this first.

    ``run``: run.json, or the report's document; both say under their own key what is planted.

    Raises:
        BadInput: a bug is planted in the run.
    """
    told = run.get("planted")
    found = told["mark"] if told else (run.get("plant") or {}).get("name")
    if told or planted(run) is not None:
        raise BadInput(
            "plant",
            found,
            "is a bug planted in this run's private training: it can be no evidence of compliance",
            "Run the same command without --plant",
        )
