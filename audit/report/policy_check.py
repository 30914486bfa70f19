"""A report held against a policy: one result per rule, arm, grouping and field. PURE.

Every rule has three outcomes. *Met*: the whole interval is on the good side of the threshold. *Not
met*: none of it is. *Could not tell*: it lies on both, or there is none (undefined, withheld, too
few test examples, not run): never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from audit.report.policy import Policy
from audit.report.policy_accuracy import accuracy_results
from audit.report.policy_checks import check_results, field_results
from audit.report.policy_claim import claim_results
from audit.report.policy_exposure import exposure_results
from audit.report.policy_result import OPEN, OUTCOMES, Result
from audit.report.reading import claiming_arms, refuse_unfinished
from audit.report.words import Json, joined, name

SCHEMA = "audit-check"
SCHEMA_VERSION = 1
_SECTIONS = ("claim", "accuracy", "exposure", "checks", "fields")


def check(policy: Policy, report: Mapping[str, Any], where: str) -> list[Result]:
    """What each rule of ``policy`` comes to, in the order of the policy's sections.

    Raises:
        BadInput: the run is not complete, a bug is planted in it, or a field to be stated is none
            of the report's.
    """
    refuse_unfinished(report, where)
    private = claiming_arms(report)
    wanted = private if policy.arms is None else list(dict.fromkeys(policy.arms))
    arms = [arm for arm in wanted if arm in private]
    left_out = [arm for arm in private if arm not in wanted]
    checked = [arm for arm in report["results"]["arms"] if arm not in left_out]
    results = [
        *_unanswered(policy, private, wanted),
        *claim_results(policy.claim, report, arms),
        *accuracy_results(policy.accuracy, report, arms),
        *exposure_results(policy.exposure, report, arms),
        *check_results(policy.checks, report, checked),
        *field_results(policy.fields, report),
    ]
    return sorted(results, key=lambda result: _SECTIONS.index(result.section))


def as_json(results: list[Result], report: Mapping[str, Any], policy_sha256: str) -> Json:
    """What ``audit check --format json`` writes."""
    source = report["source"]
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "title": report["title"],
        "policy_sha256": policy_sha256,
        "config_sha256": source.get("config_sha256"),
        "data_fingerprint": source["data"].get("fingerprint"),
        "finished": source.get("finished"),
        "counts": counts(results),
        "results": [result.to_json() for result in results],
    }


def counts(results: list[Result]) -> dict[str, int]:
    """How many results there are of each outcome."""
    return {o: sum(result.outcome == o for result in results) for o in OUTCOMES}


def _unanswered(policy: Policy, private: list[str], wanted: list[str]) -> list[Result]:
    """Every rule about private arms, for each arm that is asked for and not there.

    A run without private arms has nothing that such a rule could be about: it could not be told.
    """
    missing = [arm for arm in wanted if arm not in private] or ([None] if not private else [])
    has = joined([name(arm) for arm in private[:8]])
    why = (
        f"this report has no private arm of this name; it has {has}"
        if private
        else "no arm of this run claims anything"
    )
    open_ = Result("", OPEN, why)
    return [
        replace(open_, rule=f"{section}.{key}", arm=arm)
        for arm in missing
        for section, rules in (
            ("claim", policy.claim), ("accuracy", policy.accuracy), ("exposure", policy.exposure),
        )
        for key, value in rules
        if key not in ("groupings", "smallest_group") and value is not None and value is not False
    ]  # fmt: skip
