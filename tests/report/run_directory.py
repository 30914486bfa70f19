"""A finished run directory made up without training, and the report of one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit.report.document import document_json
from audit.report.findings import findings
from audit.report.reading import parse_report
from audit.results import Results, write_results
from audit.store import write_json
from tests.report.synthetic import Run

Json = dict[str, Any]


def write_run(run: Run, path: Path) -> Path:
    """The run directory of ``run``, as ``audit run`` leaves it but for shards and the page."""
    summary = {**run.summary, "findings": findings(run.summary, run.run)}
    write_results(path, Results(run.examples, run.influence, run.subgroups, summary))
    write_json(path / "run.json", run.run)
    return path


def report(run: Run, change: Callable[[Run], object] | None = None) -> Json:
    """The report of ``run`` after ``change``, through the door that files come through.

    Without what is drawn of it, which nothing that reads a report uses, and which is slow to copy.
    """
    changed = copy.deepcopy(run)
    if change is not None:
        change(changed)
    contents = parse_report(document_json(changed.document()), "report.json")
    return {k: v for k, v in contents.items() if k not in ("sections", "page_one", "glossary")}


def write_report(contents: Json, path: Path) -> Path:
    """``contents`` as a file."""
    path.write_text(json.dumps(contents), encoding="utf-8")
    return path
