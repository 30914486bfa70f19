"""Findings about empirical ε: does what planted canaries certify fit the claim?

The claim itself is tested on the training examples too (:mod:`audit.report.claim_findings`); a
canary test is another test, on other examples, with its own 5 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report import needed
from audit.report.verdicts import finding
from audit.report.words import (
    Json,
    arm_words,
    at_least,
    count,
    finite,
    general,
    part,
    percent,
)

CANARIES = "canaries-"


def procedures(result: Mapping[str, Any]) -> list[Json]:
    """The procedures of an arm, as in summary.json; [] where none was made."""
    return list((result.get("empirical_epsilon") or {}).get("procedures") or [])


def canary_entry(result: Mapping[str, Any]) -> Json | None:
    """What was found on canaries; None where none were planted."""
    return next((entry for entry in procedures(result) if entry["id"] == "canaries"), None)


def canaries(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json | None:
    """Does a private arm keep its claim on planted canaries? None where there are none."""
    result = summary["arms"][arm]
    entry = canary_entry(result)
    if entry is None:
        return None
    facts = run["arms"][arm]
    copies = entry.get("copies") or 1
    epsilon = part(entry.get("epsilon"), "value")
    claimed = f"ε = {general(facts['epsilon'])}"
    allowed = facts["epsilon"] * copies
    certified = "nothing" if epsilon is None else f"ε ≥ {at_least(epsilon)}"
    seen = (
        f"From {count(entry.get('correct'))} of {count(entry.get('guesses'))} guesses that were "
        f"right ({entry['on']}, {count(entry.get('coins'))} fair coins over all models) the audit "
        f"certifies {certified}"
    )
    power = ""
    if finite(entry.get("certifiable")):
        power = (
            f" Of a mechanism that is exactly {claimed} the best attack would certify at "
            f"least {at_least(entry['certifiable'])} in 80 % of audits."
        )
    verdict = "could_not_tell"
    if entry.get("refutes_claim"):
        verdict = "violates"
        text = f"{seen}: more than the claim of ε = {general(allowed)} allows."
        if copies > 1:
            text += f" ({claimed} for one example; each canary has {copies} copies.)"
    elif epsilon is None or entry.get("refutes_claim") is None:
        text = f"The canaries could not tell: {entry.get('why_not') or 'nothing could be tested'}."
    elif entry.get("would_refute_twice"):
        verdict = "consistent"
        text = (
            f"{seen}, which fits the claim of {claimed}.{power} Of a Gaussian mechanism "
            "of twice the claimed ε the best attack would have refuted it with 80 % power; this "
            "attack comes near that, not up to it. This is not a proof."
        )
    elif copies > 1:
        allows = entry.get("claimed") or [allowed, 1.0]
        text = (
            f"{seen}, which does not contradict what {claimed} allows {copies} copies: "
            f"ε = {general(allows[0])} with δ = {general(allows[1], 2)}, under which little is "
            "forbidden."
        )
    elif "would_refute_twice" not in entry:
        text = (
            f"{seen}, which does not contradict {claimed}; but how large a violation this attack "
            f"({entry['threat']}) would have found is not known."
        )
    else:
        text = (
            f"{seen}, which does not contradict {claimed}; but so few coins could not show a "
            f"violation by the factor of two with 80 % power.{power}"
        )
    return finding(
        f"{CANARIES}{arm}",
        f"Does {arm_words(arm, run)} keep its claim on planted canaries?",
        text,
        verdict,
        f"{entry['procedure']} ({entry['source']}); {entry['score']}; guesses about the surest "
        "20, 5 and 1.25 % of the coins, Bonferroni over these and over scores; certified ε: "
        f"{entry.get('assumes') or 'no assumption'}. The claim: the accountant's whole curve, and "
        "the bare (ε, δ)",
        estimate=entry.get("epsilon"),
        # The bound on copies is at another δ than what is certified of them.
        threshold=allowed if copies == 1 else None,
        fails=verdict == "violates",
        inconclusive=verdict == "could_not_tell",
        needed=needed.for_canaries(
            entry, facts["epsilon"], facts["delta"], int(summary.get("models") or 0)
        )
        if verdict == "could_not_tell"
        else None,
    )


def guessed_right(entry: Mapping[str, Any]) -> str:
    """ "2,486 of 2,500 (99.4 %)", or a dash where nothing is guessed."""
    if not entry.get("guesses"):
        return "–"
    share = entry["correct"] / entry["guesses"]
    return f"{count(entry['correct'])} of {count(entry['guesses'])} ({percent(share)})"
