"""A document (plain JSON) → a model card in Markdown, after Mitchell et al. (2019), section 4.

What the tool knows comes from the report, what only people can state from their attestation; what
nobody stated is NOT STATED. The same JSON gives the same text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.document import document_json
from audit.report.markdown import escaped, items, labelled, table
from audit.report.model_card_numbers import (
    arm_rows,
    data_lines,
    findings_table,
    settings_table,
    subgroup_tables,
)
from audit.report.planted import refuse_planted

NOT_STATED = "**NOT STATED**"
# Constant words only: nothing of the data can enter the YAML. What else a hub reads there (licence,
# data set, task) the report does not know.
FRONT_MATTER = """\
---
tags:
- differential-privacy
- membership-inference
- model-audit
---
"""
Fields = Sequence[tuple[str, str]]
# Statements by the id of their field (audit/report/fields.py), in the order of the card.
DETAILS: Fields = (
    ("governance.system", "System"),
    ("governance.version", "Version"),
    ("governance.provider", "Provider"),
    ("claim.released", "What is released"),
    ("accounting.pretraining", "Public pre-training"),
)
INTENDED_USE: Fields = (
    ("governance.purpose", "Purpose, users, and what it is not for"),
    ("governance.limits", "Where it must not be relied on"),
    ("governance.decision", "Decision"),
)
FACTORS: Fields = (("fairness.groups", "Why these groups"),)
TRAINING_DATA: Fields = (
    ("data.source", "Source, legal basis, selection and labels"),
    ("data.collected", "When collected"),
    ("accounting.necessity", "Why these data are needed"),
    ("accounting.raw_data", "Raw data at rest"),
    ("accounting.retention", "Retention"),
)
ETHICS: Fields = (
    ("governance.persons", "Persons affected"),
    ("governance.risks", "Risks"),
    ("governance.mitigations", "Mitigations"),
    ("governance.why_epsilon", "Why this ε"),
    ("governance.alternatives", "Alternatives"),
    ("governance.cost", "Cost accepted"),
)
CLAIM: Fields = (
    ("claim.plain", "The claim in plain words"),
    ("claim.unit_of_privacy", "Unit of privacy"),
    ("claim.rows_per_person", "Rows per person"),
    ("claim.protected", "Features and labels, or labels only"),
    ("claim.trust_model", "Trust model"),
    ("accounting.random_source", "Random source"),
)
CAVEATS: Fields = (
    ("claim.data_accesses", "Uses of the data covered and not covered"),
    ("claim.composition", "Number of models, and which are released"),
    ("claim.non_dp_releases", "Releases without privacy from the same data"),
)
SIGN_OFF: Fields = (
    ("signoff.name", "Name"),
    ("signoff.role", "Role"),
    ("signoff.date", "Date"),
    ("signoff.signature", "Signature"),
    ("signoff.next_review", "Next review"),
)
METRICS = (
    ("Accuracy", "share of right answers on test examples, a mean over models"),
    ("Accuracy loss", "accuracy of standard training less that of private training, paired"),
    ("Memorization", "how much more often models label a training example correctly that were "
                     "trained with it (p_in − p_out)"),
    ("AUC of attacks", "how well an attacker tells who was in the training data; 0.5 is a coin"),
    ("Certified ε", "a lower bound on the true ε, from an attack that was carried out"),
)  # fmt: skip


def render_model_card(contents: Mapping[str, Any]) -> str:
    """The model card of a report (``audit.report.document.document``).

    Names and statements are escaped: they can form no markup, no link, no HTML and no column.

    Raises:
        BadInput: a bug is planted in the run.
    """
    refuse_planted(contents)
    page, statements = contents["page_one"], contents["attestation"]["statements"]
    parts = [f"# Model card: {escaped(contents['source']['data']['name'])}", _opening(contents)]

    def part(title: str, *bodies: str) -> None:
        parts.extend([f"## {title}", *filter(None, bodies)])

    def stated(fields: Fields) -> str:
        return items([labelled(label, statements.get(i), NOT_STATED) for i, label in fields])

    part("Model details", stated(DETAILS), "### Training", settings_table(contents),
         "### Privacy claim", *_paragraphs(page["claimed"]),
         stated(CLAIM))  # fmt: skip
    part("Intended use", stated(INTENDED_USE))
    part("Factors", stated(FACTORS), _groupings(contents))
    part("Metrics", items([labelled(label, meaning, NOT_STATED) for label, meaning in METRICS]),
         _INTERVALS)  # fmt: skip
    part("Evaluation data", items(data_lines(contents, "n_test", "test examples")))
    known = items(data_lines(contents, "n", "training examples"))
    part("Training data", f"{known}\n{stated(TRAINING_DATA)}")
    part("Quantitative analyses", *_paragraphs(page["headline"]), *_paragraphs(page["tested"]),
         _table(page["arms"]),         "### Each way of training", arm_rows(contents),
         "### Subgroups", *subgroup_tables(contents),
         "### Findings", findings_table(contents))  # fmt: skip
    part("Ethical considerations", stated(ETHICS), "Who loses accuracy:", _who_loses(page))
    part("Caveats and recommendations", stated(CAVEATS), "Not covered by the report:",
         items([escaped(line) for line in page["not_covered"]]),
         *_paragraphs([page["reveals"]]))  # fmt: skip
    part("Sign-off", stated(SIGN_OFF))
    part("Origin of this card", _origin(contents))
    return FRONT_MATTER + "\n" + "\n\n".join(parts) + "\n"


_INTERVALS = (
    "Intervals are 95 %: over models, and for losses over models and test examples. n counts what "
    "was drawn independently. A test that finds nothing is not a proof."
)


def _opening(contents: Mapping[str, Any]) -> str:
    lines = [
        "Made from the report of an audit: what was measured is filled in by the tool, what only "
        f"people can state is {NOT_STATED} where nobody did.",
        f"{escaped(' · '.join(contents['facts']))} · {escaped(contents['profile'])} profile",
    ]
    if contents["incomplete"]:
        lines.append("**This run is not complete: every number below is preliminary.**")
    return "\n\n".join(lines)


def _origin(contents: Mapping[str, Any]) -> str:
    tool, attested = contents["tool"], contents["attestation"]["sha256"]
    digest = hashlib.sha256(document_json(contents).encode()).hexdigest()
    lines = [f"{escaped(tool.get('name'))} {escaped(tool.get('version'))}"]
    lines.append(f"SHA-256 of the attestation: `{attested}`" if attested else "No attestation")
    lines.append(f"SHA-256 of report.json: `{digest}`")
    return items(lines)


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [escaped(text) for text in texts]


def _groupings(contents: Mapping[str, Any]) -> str:
    results = contents["results"]
    counted: dict[str, int] = {}
    for row in results["subgroups"]:
        counted[row["grouping"]] = counted.get(row["grouping"], 0) + 1
    withheld = results["withheld"]
    names = [*counted, *(g for g in sorted(withheld) if g not in counted)]
    rows = [[g, counted.get(g, 0), len(withheld.get(g, ()))] for g in names]
    if not rows:
        return "No subgroups were looked at."
    return table(["Grouping", "Subgroups", "Withheld"], rows)


def _table(block: Mapping[str, Any] | None) -> str:
    """A table of the page; nothing where the page has none."""
    if block is None:
        return ""
    rows = table([column["label"] for column in block["columns"]], block["rows"])
    return f"{rows}\n\n{escaped(block['note'])}"


def _who_loses(page: Mapping[str, Any]) -> str:
    if page["losses"] is not None:
        return _table(page["losses"])
    lines = [
        f"**{escaped(x['label']['words'])}:** {escaped(x['words'])}" for x in page["who_loses"]
    ]
    return items(lines) if lines else "No accuracy loss was estimated in this run."
