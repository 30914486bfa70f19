"""The last section: system and decision, what nobody stated, and where frameworks are answered."""

from __future__ import annotations

from collections.abc import Collection

from audit.report.blocks import crosswalk, section, text
from audit.report.field_blocks import block_id, is_stated, not_stated, stated_block
from audit.report.fields import BY_ID
from audit.report.frameworks import FRAMEWORKS
from audit.report.frameworks.point import Framework, Point
from audit.report.inputs import ReportInputs
from audit.report.words import Json, counted

IDENT = "crosswalk"
# How a section is called in a link.
SECTIONS = {
    "summary": "Page one",
    "claim": "Claim",
    "memorization": "Memorization",
    "exposure": "Attacks",
    "subgroups": "Subgroups",
    "exposed": "Who pays",
    "influence": "Influence",
    "longtail": "Long tail",
    "provenance": "Provenance",
}


def crosswalk_section(inputs: ReportInputs, section_ids: Collection[str]) -> Json:
    """Governance fields, the list of what is not stated, and a table per framework.

    ``section_ids``: the sections in which the run has something to show beside attested fields.
    """
    governance = stated_block(IDENT, inputs)
    assert governance is not None
    return section(IDENT, "System, decision, and crosswalk to other frameworks", [
        governance,
        text(
            _missing(inputs),
            "The tables below say where this report speaks to a point of a framework. They are an "
            "aid for finding things, no legal assessment: that a row has no NOT STATED says that "
            "something is stated, not that it is enough. What no audit of this kind can answer "
            "stands there as NOT STATED, with the reason.",
        ),
        *(_table(framework, inputs, section_ids) for framework in FRAMEWORKS),
    ])  # fmt: skip


def _missing(inputs: ReportInputs) -> str:
    missing = not_stated(inputs)
    if not missing:
        return "Every field that people are asked for is stated."
    labels = "; ".join(field.label for field in missing)
    return f"NOT STATED ({counted(len(missing), 'field')}): {labels}."


def _table(framework: Framework, inputs: ReportInputs, section_ids: Collection[str]) -> Json:
    rows = [_row(point, inputs, section_ids) for point in framework.points]
    return crosswalk(framework.name, framework.ident, rows, framework.note)


def _row(point: Point, inputs: ReportInputs, section_ids: Collection[str]) -> Json:
    """Where one point is answered. Never "stated" while a field, a section or a part is missing."""
    shown = [s for s in point.sections if s == "summary" or s in section_ids]
    links = [{"href": f"#{s}", "words": SECTIONS[s]} for s in shown]
    answered = [BY_ID[f] for f in point.fields if is_stated(f, inputs)]
    links += [{"href": f"#{block_id(f.section)}", "words": f.label} for f in answered]
    missing = [f"{SECTIONS[s]} (not in this run)" for s in point.sections if s not in shown]
    missing += [BY_ID[f].label for f in point.fields if not is_stated(f, inputs)]
    if point.left_open:
        missing.append(point.left_open)
    state = "partly" if links else "not_stated"
    return {
        "point": point.point,
        "asks": point.asks,
        "state": state if missing else "stated",
        "links": links,
        "missing": missing,
    }
