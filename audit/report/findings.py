"""Numbers → verdicts, in careful words: *consistent with* is no proof, *could not tell* no pass.

PURE. A finding is a plain dict: ``id``, ``question``, ``statement`` (one sentence for a reader who
has not read the method), ``value``, ``low``, ``high``, ``n``, ``threshold``, ``verdict``,
``method``, ``fails``, ``inconclusive``, ``needed`` (what would decide an open question). Verdicts:

- a privacy claim: ``violates`` | ``consistent`` | ``could_not_tell`` (method §4);
- differences and trends: ``shown`` | ``equivalent`` | ``inconclusive`` | ``too_few_groups`` (§7);
- checks of the tool on itself and on the plan: ``holds`` | ``fails`` | ``inconclusive``.

``fails`` is true where a claim or a check is refuted; the standard arm claims nothing, so what its
test shows never fails. A claim fails with ``could_not_tell`` where only the privacy curve behind
it is refuted. ``inconclusive`` is true where the data could not decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.errors import EXIT_FINDING_FAILS, EXIT_INCONCLUSIVE, EXIT_OK
from audit.report import (
    check_findings,
    claim_findings,
    epsilon_findings,
    exposure_findings,
    needed,
    subgroup_findings,
)
from audit.report.claim_findings import CLAIM
from audit.report.verdicts import finding
from audit.report.words import (
    Json,
    arm_words,
    count,
    general,
    has_loss,
    number,
    part,
    points,
    private_arms,
    span,
)


def findings(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """Every finding of a run, the privacy claims first (``summary.json`` and ``run.json`` as read).

    What is absent (no trends, no standard arm or test outputs to measure losses with) gives no
    finding: the report's list of what is not covered names it. A cross-check that should have been
    made and was not is a finding.
    """
    private, arms = private_arms(summary, run), list(summary["arms"])
    found = [claim_findings.claim(arm, summary, run) for arm in private]
    found += [claim_findings.forbidden(a, summary, run) for a in arms if a not in private]
    on_canaries = [epsilon_findings.canaries(arm, summary, run) for arm in private]
    found += [each for each in on_canaries if each]
    found += [claim_findings.largest(arm, summary, run) for arm in private]
    found += [_delta(arm, run) for arm in private]
    if has_loss(summary, run):
        found += [_loss(arm, summary, run) for arm in private]
    found += subgroup_findings.trends(summary, run)
    found += subgroup_findings.disparities(summary, run)
    found += exposure_findings.exposures(summary, run)
    found += [check_findings.self_check(arm, summary, run) for arm in arms]
    checks = [check_findings.divergence(arm, summary, run) for arm in arms]
    checks += [check_findings.cross_check(arm, run) for arm in arms]
    return found + [check for check in checks if check]


def exit_code(found: list[Json]) -> int:
    """1 if any finding fails; else 3 if a privacy claim could not be decided; else 0."""
    if any(f["fails"] for f in found):
        return EXIT_FINDING_FAILS
    if any(f["inconclusive"] for f in found if f["id"].startswith(CLAIM)):
        return EXIT_INCONCLUSIVE
    return EXIT_OK


def _delta(arm: str, run: Mapping[str, Any]) -> Json:
    facts, n = run["arms"][arm], run["data"]["n"]
    holds = facts["delta"] < 1 / n
    text = f"δ = {general(facts['delta'], 2)} is {number(facts['delta'] * n, 2)} times 1/n"
    why = "as it must be" if holds else "a mechanism that publishes whole records at random fits it"
    return finding(
        f"delta-{arm}",
        f"Is δ of {arm_words(arm, run)} small against the number of examples?",
        f"{text} (n = {count(n)}): {'below' if holds else 'not below'} 1/n, {why}.",
        "holds" if holds else "fails",
        "δ against 1/n (Dwork & Roth 2014, §2.3)",
        estimate={"value": facts["delta"], "n": n},
        threshold=1 / n,
        fails=not holds,
    )


def _loss(arm: str, summary: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    loss = summary["arms"][arm].get("loss")
    value, low, high = (part(loss, k) for k in ("value", "low", "high"))
    label = arm_words(arm, run)
    sure = low is not None and high is not None and (low > 0 or high < 0)
    if value is None:
        text = f"The accuracy {label} costs could not be estimated."
    elif sure:
        more = "costs" if value > 0 else "gains"
        text = f"{label.capitalize()} {more} {points(abs(value))} of test accuracy on average"
        text += f" (95 % interval of the loss {span(loss)})."
    else:
        text = f"The average accuracy loss of {label}, {points(value)}, could also be none"
        text += f" (95 % interval {span(loss)})."
    return finding(
        f"loss-{arm}",
        f"What does {label} cost in accuracy overall?",
        text,
        "shown" if sure else "inconclusive",
        "accuracy of standard − private models, paired by training subset, test examples only; "
        "crossed models × examples variance, Satterthwaite t",
        estimate=loss,
        threshold=0.0,
        inconclusive=not sure,
        needed=None if sure else needed.for_loss(),
    )
