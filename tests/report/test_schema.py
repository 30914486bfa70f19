"""The shape of report.json: what the tool writes has it, what was tampered with does not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from audit.errors import BadInput
from audit.report.document import SCHEMA_VERSION, document, document_json
from audit.report.inputs import ReportOptions
from audit.report.schema import check_report, json_schema
from tests.report.helpers import standard_only
from tests.report.synthetic import Run, make

PUBLISHED = Path(__file__).parents[2] / "docs" / "report.schema.json"


def written(contents: dict[str, Any]) -> dict[str, Any]:
    return json.loads(document_json(contents))


def test_the_published_schema_is_that_of_the_program() -> None:
    """To write it anew: docs/report-json.md."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json_schema()
    assert json_schema()["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_every_kind_of_report_has_the_shape(quiet: Run, hostile: Run) -> None:
    statements = {"claim.plain": "One row changes little."}
    reports = [
        quiet.document(),
        hostile.document(full_subgroups=True),
        make(seed=2, epsilons=(1.0, 4.0), verdict="violates").document(),
        standard_only(copy.deepcopy(quiet)).document(),
        document(quiet.inputs(statements=statements), ReportOptions(profile="public")),
    ]
    for contents in reports:
        check_report(written(contents), "report.json")


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("schema",), "other", "schema"),
        (("schema_version",), 1, "schema_version"),
        (("profile",), "secret", "profile"),
        (("page_one", "signoff"), None, "page_one.signoff"),
        (("page_one", "cards", 0, "label", "tone"), "green", "page_one.cards.0.label.tone"),
        (("sections", 0, "blocks", 0, "type"), "markup", "sections.0.blocks.0"),
        (("sections", 1, "blocks", 1, "rows", 0, 0), 17, "sections.1.blocks.1.table.rows.0.0"),
        (("findings", 0, "value"), "0.3", "findings.0.value"),
        (("extra",), 1, "extra"),
    ],
)
def test_what_has_another_shape_is_named(
    quiet: Run, path: tuple[Any, ...], value: Any, place: str
) -> None:
    contents = written(quiet.document())
    holder = contents
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    with pytest.raises(BadInput) as caught:
        check_report(contents, "report.json")
    assert str(caught.value).startswith(f"report.json = {place!r}")


def test_links_lead_into_the_page_only(quiet: Run) -> None:
    contents = written(quiet.document())
    crosswalk = next(s for s in contents["sections"] if s["id"] == "crosswalk")
    table = next(b for b in crosswalk["blocks"] if b["type"] == "crosswalk")
    row = next(r for r in table["rows"] if r["links"])
    row["links"][0]["href"] = "javascript:alert(1)"
    with pytest.raises(BadInput, match="href"):
        check_report(contents, "report.json")
