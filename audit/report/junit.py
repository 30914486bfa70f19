"""Results of a policy as JUnit XML, which CI systems show as tests. PURE.

A rule that is not met is a ``failure``; one of which it could not be told is an ``error``: a
``skipped`` test is shown as green.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from audit.report.policy_result import MET, NOT_MET, OPEN, Result

# What XML 1.0 (§2.2) forbids, also as a reference.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Sequence[Result], title: str) -> bytes:
    """One ``testsuite`` per section of the policy, one ``testcase`` per result; UTF-8."""
    root = ET.Element("testsuites", {"name": _legal(f"audit check: {title}"), **_totals(results)})
    for section, group in groupby(results, key=lambda result: result.section):
        found = list(group)
        suite = ET.SubElement(root, "testsuite", {"name": f"audit.{section}", **_totals(found)})
        for result in found:
            _case(suite, result)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _case(suite: ET.Element, result: Result) -> None:
    about = f" [{result.about}]" if result.about else ""
    names = {"name": _legal(f"{result.rule}{about}"), "classname": f"audit.{result.section}"}
    case = ET.SubElement(suite, "testcase", {**names, "time": "0"})
    if result.outcome == MET:
        ET.SubElement(case, "system-out").text = _legal(result.statement)
        return
    tag = "failure" if result.outcome == NOT_MET else "error"
    how = {"type": result.outcome, "message": _legal(f"{result.outcome}: {result.statement}")}
    ET.SubElement(case, tag, how).text = _legal(result.line)


def _totals(results: Sequence[Result]) -> dict[str, str]:
    def many(outcome: str) -> str:
        return str(sum(result.outcome == outcome for result in results))

    totals = {"tests": str(len(results)), "failures": many(NOT_MET), "errors": many(OPEN)}
    return {**totals, "skipped": "0", "time": "0"}


def _legal(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text)
