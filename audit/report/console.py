"""The short result at the end of ``audit run``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.claim_findings import certified, certified_label
from audit.report.epsilon_findings import procedures
from audit.report.findings import findings
from audit.report.verdicts import label
from audit.report.words import arm_label, estimate, has_test, number, part


def summary_lines(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, value) pairs, arm by arm, for a two-column table in the terminal.

    The first pair of each arm is its name and its verdict in words.
    """
    verdicts = {
        f["id"].split("-", 1)[1]: label(f)["words"]
        for f in findings(summary, run)
        if f["id"].startswith(("claim-", "forbidden-"))
    }
    lines = []
    for arm, result in summary["arms"].items():
        lines += [
            (arm_label(arm, run), verdicts[arm]),
            (
                "test accuracy",
                estimate(result.get("accuracy_test"), "percent")
                if has_test(run)
                else "no test outputs",
            ),
            ("memorized ≥ 0.25", estimate(result.get("mem_share_above_0.25"), "percent")),
            ("largest memorization", estimate(result.get("mem_max"))),
            *_certified(result, run),
        ]
    return lines


def _certified(result: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Certified lower bounds on ε, by what was attacked."""
    lines = [
        (f"ε certified on {entry['on']}", number(part(entry["epsilon"], "value"), 2))
        for entry in procedures(result)
        if entry["id"] != "witness" and entry.get("epsilon")
    ]
    witness = number(part(certified(result), "value"), 2)
    return [(f"{certified_label(run)} certified by single examples", witness), *lines]
