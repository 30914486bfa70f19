"""The fields of a document for reviewers: what people stated, and what the tool itself can say.

Where nobody stated anything the row is there all the same, NOT STATED. Rows of the tool stand
beside the question they belong to, so that a reader can compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from audit.report import known_accounting as accounting
from audit.report import known_claim as claim
from audit.report import known_evidence as evidence
from audit.report.blocks import fields
from audit.report.fields import (
    BY_ID,
    FIELDS,
    LONGEST_STATEMENT,
    SIGNOFF,
    Field,
    fields_of,
    has_words,
)
from audit.report.inputs import ReportInputs
from audit.report.known import NO_CLAIM
from audit.report.planted import planted
from audit.report.words import Json, count, name

ATTESTED, COMPUTED = "attested", "computed"

_Known = Callable[[Any, Any], str]
# A field by its id, or a row of the tool: its label, and its value from (run, summary).
_Entry = str | tuple[str, _Known]

# A row as shown: label, value, source.
_Row = tuple[str, str | None, str]

_CLAIM: tuple[_Entry, ...] = (
    "claim.plain",
    ("What the claim does not say", claim.not_said),
    ("δ against 1/n", claim.delta_against_n),
    ("To convert ε once more", accounting.reconversion),
    ("Can the test of (ε, δ) fail at all?", claim.can_fail),
    "claim.unit_of_privacy",
    ("Unit in this run", claim.unit),
    "claim.rows_per_person",
    ("Rows per person in this run", claim.two_rows),
    ("Does the inclusion design match the neighbours?", claim.neighbours),
    "claim.protected",
    ("What enters and leaves in this run", claim.protected),
    "claim.trust_model",
    "claim.released",
    ("What the accounting covers", claim.covered_release),
    "claim.data_accesses",
    ("Outside ε in this run", claim.outside),
    "claim.composition",
    ("Models made for this audit", claim.models_made),
    "claim.non_dp_releases",
    ("Made without privacy in this run", claim.without_privacy),
    ("Sampling assumption of the accountant", accounting.sampling),
    ("Clipping, normalisation, minibatch", accounting.clipping),
    ("Layers that are not fit for DP-SGD", accounting.layers),
    "accounting.pretraining",
    ("Initial parameters in this run", accounting.pretraining),
    "accounting.random_source",
    ("Random source of this run", accounting.random_source),
    ("Floating point", accounting.floating_point),
    "accounting.raw_data",
    "accounting.retention",
    ("Kept by this run", accounting.kept),
    "accounting.necessity",
)
_MEMORIZATION: tuple[_Entry, ...] = (
    ("Estimator", evidence.estimator),
    ("Threat model", evidence.threat_model),
    ("Fixed before the run?", evidence.fixed_before),
    ("Models and subsets", evidence.size_of_run),
    ("Estimates above the bound", evidence.above_bounds),
    ("Smallest excess that would be found", evidence.detectable),
    ("If nothing is found", evidence.nothing_found),
)
_PROVENANCE: tuple[_Entry, ...] = (
    "data.source",
    ("Data of this run", evidence.data_here),
    "data.collected",
    ("Date of the data in this run", evidence.date_of_data),
)
_GOVERNANCE: tuple[_Entry, ...] = (
    "governance.system",
    "governance.purpose",
    "governance.version",
    "governance.provider",
    "governance.persons",
    "governance.why_epsilon",
    ("ε in this run", evidence.epsilons),
    "governance.alternatives",
    "governance.cost",
    ("Cost measured in this run", evidence.cost),
    "governance.risks",
    "governance.mitigations",
    "governance.decision",
    "governance.limits",
    ("Limits of this report", evidence.limits),
)
_CAPTIONS = {
    "claim": "Claim and accounting, field by field",
    "memorization": "Evidence, field by field",
    "subgroups": "Groups, field by field",
    "provenance": "Data, field by field",
    "crosswalk": "System and decision",
}
_NOTE = (
    "Attested: by a person, in attestation.toml, and not checked by this tool. Computed: by this "
    "tool, from the run."
)


def block_id(section_id: str) -> str:
    """The anchor of a section's fields."""
    return f"fields-{section_id}"


def stated_block(section_id: str, inputs: ReportInputs) -> Json | None:
    """The fields of one section, attested and computed; None for a section without any."""
    entries = _entries(section_id, inputs)
    if not entries:
        return None
    rows = _once([_row(entry, inputs) for entry in entries])
    notes = [evidence.CHANCE] if section_id == "memorization" else []
    if any(source == ATTESTED for _, _, source in rows):
        notes.append(_NOTE)
    if planted(inputs.run) is not None:
        notes.append("A bug is planted in this run: computed rows say what was planned.")
    return fields(_CAPTIONS[section_id], rows, " ".join(notes), ident=block_id(section_id))


def with_fields(shown: Json, inputs: ReportInputs) -> Json:
    """A section with its fields at its end, if any belong to it."""
    block = stated_block(shown["id"], inputs)
    if block is None:
        return shown
    return {**shown, "blocks": [*shown["blocks"], block]}


def signoff(inputs: ReportInputs) -> list[Json]:
    """The sign-off on page one: label and value, None where nobody stated it."""
    return [{"label": field.label, "value": _value(field, inputs)} for field in fields_of(SIGNOFF)]


def not_stated(inputs: ReportInputs) -> list[Field]:
    """The fields that nobody stated, in order."""
    return [field for field in FIELDS if not is_stated(field.id, inputs)]


def is_stated(ident: str, inputs: ReportInputs) -> bool:
    return has_words(inputs.statements.get(ident, ""))


def unstated_words(inputs: ReportInputs) -> str:
    """How much of what only people can say was said, for page one."""
    missing, asked = len(not_stated(inputs)), len(FIELDS)
    what = "only people can make (purpose, legal basis, who is affected, why this ε, sign-off)"
    if not missing:
        return f"Whether the {count(asked)} statements that {what} are true: nobody checked them."
    return (
        f"{count(missing)} of {count(asked)} statements that {what} are NOT STATED; the last "
        "section lists them. Without them this is no complete compliance document."
    )


def shown_statement(text: str) -> str:
    """A statement as it may be shown: its lines kept, invisible characters spelled out."""
    lines = text[:LONGEST_STATEMENT].strip().splitlines()
    return "\n".join(name(line, LONGEST_STATEMENT) if line.strip() else "" for line in lines)


def _entries(section_id: str, inputs: ReportInputs) -> tuple[_Entry, ...]:
    if section_id == "subgroups":
        groups = inputs.subgroups
        return (
            "fairness.groups",
            ("Accuracy of both arms", evidence.both_arms),
            ("Largest gap, without and with privacy",
             lambda run, summary: evidence.disparity(run, summary, groups)),
            ("Groups left out or not estimable",
             lambda run, summary: evidence.left_out(groups, inputs.withheld)),
        )  # fmt: skip
    return {
        "claim": _CLAIM,
        "memorization": _MEMORIZATION,
        "provenance": _PROVENANCE,
        "crosswalk": _GOVERNANCE,
    }.get(section_id, ())


def _once(rows: list[_Row]) -> list[_Row]:
    """Where nothing is claimed, that is said once; rows that people answer all stay."""
    first = next((i for i, row in enumerate(rows) if row[1] == NO_CLAIM), None)
    return [row for i, row in enumerate(rows) if i == first or row[1:] != (NO_CLAIM, COMPUTED)]


def _row(entry: _Entry, inputs: ReportInputs) -> _Row:
    if isinstance(entry, str):
        field = BY_ID[entry]
        return field.label, _value(field, inputs), ATTESTED
    label, say = entry
    return label, say(inputs.run, inputs.summary), COMPUTED


def _value(field: Field, inputs: ReportInputs) -> str | None:
    if not is_stated(field.id, inputs):
        return None
    text = shown_statement(inputs.statements[field.id])
    finished = str(inputs.run.get("finished") or "")[:10]
    if field.id == "signoff.date" and finished and text < finished:
        text += f" (before this run was finished, {name(finished)})"
    return text
