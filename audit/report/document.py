"""Everything on the page as one plain JSON value; the page is a pure function of it.

``document`` reads the run's results, ``document_json`` writes them canonically (the SHA-256 in the
page's footer is of these bytes), ``audit.report.render`` turns them into HTML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from audit.errors import BadInput
from audit.report.disclosure.profile import public
from audit.report.field_blocks import signoff, unstated_words
from audit.report.fields import FIELDS
from audit.report.findings import findings
from audit.report.inputs import ReportInputs, ReportOptions
from audit.report.numbers import results, source
from audit.report.page_one import page_one
from audit.report.planted import planted
from audit.report.sections import sections
from audit.report.subgroup_section import main_grouping
from audit.report.words import Json, count, name

SCHEMA_VERSION = 2

GLOSSARY = (
    ("arm", "a way of training under audit: standard, or private with some ε"),
    ("ε, δ", "the size of a privacy claim: how much one example may change the odds (ε), and the "
             "slack beside it (δ); smaller is stricter"),
    ("p_in, p_out", "how often models label an example correctly that were trained with it, and "
                    "without it"),
    ("memorization", "p_in − p_out"),
    ("exposure", "how often an attacker is right who guesses whether an example was in the "
                 "training data, members and non-members counting half each; 50 % is a coin"),
    ("trade-off bound", "the limit on p_in from the accountant's whole privacy curve; stricter "
                        "than the limit from one pair (ε, δ)"),
    ("certified ε", "a lower bound on the true ε, from an attack that was carried out"),
    ("canary", "a planted example that an attack looks for; in by a fair coin"),
    ("power", "the probability that the test finds a violation of the stated size if it is there"),
    ("95 % interval", "a range that contains the true value in 95 of 100 such audits"),
    ("point", "percentage point: from 97 % to 95 % are 2 points"),
    ("subgroup, grouping", "a part of the data, and a way of dividing it"),
    ("Holm", "a correction that keeps the chance of any false alarm among many tests at 5 %"),
)  # fmt: skip


def document(inputs: ReportInputs, options: ReportOptions | None = None) -> Json:
    """The report of one run as plain JSON data: formatted text and tables, chart data, findings.

    Raises:
        BadInput: a public report is asked to show training records.
        ValueError: single examples are asked for, and ``inputs`` has none.
    """
    options = options or ReportOptions()
    _check_examples(inputs, options)
    if options.profile == "public":
        inputs = public(inputs)
    run, summary, subgroups = inputs.run, inputs.summary, inputs.subgroups
    found = findings(summary, run)
    main = main_grouping(subgroups)
    title = f"Memorization and privacy audit: {name(run['data']['name'])}"
    bug = planted(run)
    contents = {
        "schema": "audit-report",
        "schema_version": SCHEMA_VERSION,
        "profile": options.profile,
        "options": {"full_subgroups": options.full_subgroups, "examples": options.examples},
        "title": title if bug is None else f"{bug['mark']}. {title}",
        "planted": bug,
        "facts": _facts(run, summary),
        "incomplete": run.get("status") != "complete",
        "page_one": {
            **page_one(
                run,
                summary,
                found,
                main,
                unstated_words(inputs),
                shows_records=options.examples,
                public=options.profile == "public",
            ),
            "signoff": signoff(inputs),
        },
        "sections": sections(inputs, options, found),
        "glossary": [list(entry) for entry in GLOSSARY],
        "findings": found,
        "attestation": {
            "sha256": inputs.attestation_sha256,
            "statements": dict(inputs.statements),
            "asked": [field.id for field in FIELDS],
        },
        "results": results(inputs),
        "source": source(run),
        "tool": dict(run.get("tool") or {}),
    }
    _number_charts(contents["sections"])
    return contents


def _check_examples(inputs: ReportInputs, options: ReportOptions) -> None:
    if options.profile == "public" and (options.examples or inputs.gallery is not None):
        raise BadInput(
            "examples",
            True,
            "a public report shows no training record",
            "Leave --examples out, or ask for the internal profile",
        )
    if options.examples and inputs.gallery is None:
        raise ValueError("options.examples = True: inputs.gallery is None, expected the examples")


def document_json(contents: Mapping[str, Any]) -> str:
    """The document as canonical JSON: sorted keys, no spaces, NaN refused (``ValueError``)."""
    return json.dumps(
        contents, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _facts(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    return [
        f"{count(summary.get('models'))} models per arm",
        f"{count(run['data']['n'])} training and {count(run['data']['n_test'])} test examples",
        f"finished {name(run.get('finished') or 'not recorded')}",
        *([] if run.get("seed") is None else [f"seed {run['seed']}"]),
    ]


def _number_charts(sections: list[Json]) -> None:
    charts = [c for s in sections for b in s["blocks"] for c in b.get("charts", [])]
    for i, chart in enumerate(charts, start=1):
        chart["id"] = f"chart-{i}"
