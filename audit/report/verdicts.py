"""The shape of a finding and the words and signs its verdict is shown with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.words import Json, part, plain_number

# verdict → (words, sign, tone). The sign and the words carry the meaning, the tone only repeats it
# (no colour-only coding); no tone is green, because no verdict here is an all-clear.
LABELS: dict[str, tuple[str, str, str]] = {
    "violates": ("Violation shown", "✕", "bad"),
    "consistent": ("Consistent", "○", "calm"),
    "could_not_tell": ("Could not tell", "?", "open"),
    "shown": ("Shown", "●", "calm"),
    "equivalent": ("Equivalent", "=", "calm"),
    "inconclusive": ("Inconclusive", "?", "open"),
    "too_few_groups": ("Too few groups", "?", "open"),
    "holds": ("Holds", "○", "calm"),
    "fails": ("Fails", "✕", "bad"),
    "informative": ("For information", "●", "calm"),
}


def label(found: Mapping[str, Any]) -> Json:
    """How a finding's verdict is shown: ``words``, ``sign``, ``tone``.

    A standard arm claims nothing, so its "violates" is worded as what it is: no failed claim. A
    claim whose (ε, δ) alone was not refuted, but whose privacy curve was, fails all the same.
    """
    words, sign, tone = LABELS[found["verdict"]]
    if found["verdict"] == "violates" and not found["fails"]:
        words, sign, tone = "Violates (no claim made)", "●", "calm"
    if found["verdict"] == "could_not_tell" and found["fails"]:
        words, sign, tone = "Mechanism refuted", "✕", "bad"
    return {"words": words, "sign": sign, "tone": tone}


def finding(
    ident: str,
    question: str,
    statement: str,
    verdict: str,
    method: str,
    *,
    estimate: Mapping[str, Any] | None = None,
    threshold: Any = None,
    fails: bool = False,
    inconclusive: bool = False,
    needed: str | None = None,
    withheld: bool = False,
) -> Json:
    """One finding as plain JSON; its number is ``estimate`` (value, low, high, n).

    ``needed``: what it would take to decide an open question, or why that cannot be said.
    ``withheld``: the number is kept back in this profile, which is not "not estimable".
    """
    if verdict not in LABELS:
        raise ValueError(f"verdict = {verdict!r}: not one of {sorted(LABELS)}")
    n = part(estimate, "n")
    made = {
        "id": ident,
        "question": question,
        "statement": statement,
        "value": part(estimate, "value"),
        "low": part(estimate, "low"),
        "high": part(estimate, "high"),
        "n": None if n is None else int(n),
        "threshold": plain_number(threshold),
        "verdict": verdict,
        "method": method,
        "fails": fails,
        "inconclusive": inconclusive,
        "needed": needed,
    }
    return {**made, "withheld": True} if withheld else made


def with_needed(found: Mapping[str, Any]) -> str:
    """The statement of a finding, and what would decide it where the statement does not say so."""
    needed = found.get("needed")
    if not needed or needed in found["statement"]:
        return found["statement"]
    return f"{found['statement']} To decide it: {needed}."
