"""What only people can say of a run: the fields that are asked, in the order of the document.

Each has an id (``claim.unit_of_privacy``: table and key in ``attestation.toml``), the section that
shows it, and the question as it is put to the person who answers. The order is that of the pages.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

CLAIM, SUBGROUPS, PROVENANCE = "claim", "subgroups", "provenance"
GOVERNANCE, SIGNOFF = "crosswalk", "summary"
LONGEST_STATEMENT, LONGEST_SIGNED = 5000, 200
"""Characters of one statement, and of one on page one, which has to stay one page."""


@dataclass(frozen=True)
class Field:
    """One question. ``section``: the id of the section that shows the answer. ``is_date``: the
    answer is a day."""

    id: str
    section: str
    label: str
    ask: str
    example: str
    is_date: bool = False

    @property
    def table(self) -> str:
        return self.id.partition(".")[0]

    @property
    def key(self) -> str:
        return self.id.partition(".")[2]

    @property
    def longest(self) -> int:
        return LONGEST_SIGNED if self.section == SIGNOFF else LONGEST_STATEMENT


FIELDS: tuple[Field, ...] = (
    Field(
        "claim.plain", CLAIM, "The claim in plain words",
        "What is claimed about privacy, in words that the people concerned understand, and what "
        "does the claim not say?",
        "Whether your record was used changes the odds of anything that the model does by a factor "
        "of 7.4 at most. What holds for people like you in general can still be learned.",
    ),
    Field(
        "claim.unit_of_privacy", CLAIM, "Unit of privacy",
        "Whose or what contribution does the claim cover: a row, a person, a household, a device?",
        "One person: each row is one person, duplicates were removed by customer number.",
    ),
    Field(
        "claim.rows_per_person", CLAIM, "Rows per person",
        "How many rows of the training data can come from one person at most, and how is that "
        "made so? With c rows, a person is covered by c times ε only.",
        "At most 1: the newest visit of each patient was kept.",
    ),
    Field(
        "claim.protected", CLAIM, "Features and labels, or labels only",
        "Does the claim cover features and labels, or labels only (features being public)?",
        "Features and labels.",
    ),
    Field(
        "claim.trust_model", CLAIM, "Trust model",
        "Who sees the raw data and is trusted with it (central), or does noise enter before anyone "
        "sees them (local, distributed)? Against whom is the claim meant to hold?",
        "Central: our data team sees the raw data. The claim is against users of the published "
        "model, also several together.",
    ),
    Field(
        "claim.released", CLAIM, "What is released",
        "What leaves the trusted place, and to whom: weights, every step of training, predictions, "
        "scores or labels only?",
        "The final weights of one model, to the public. No intermediate steps.",
    ),
    Field(
        "claim.data_accesses", CLAIM, "Uses of the data covered and not covered",
        "Which uses of the training data does ε cover, and which not: scaling, tuning, early "
        "stopping, choice of the model, this audit?",
        "Covered: DP-SGD itself. Not covered: settings were chosen on last year's data; this "
        "audit's results stay inside the company.",
    ),
    Field(
        "claim.composition", CLAIM, "Number of models, and which are released",
        "How many models or statistics were or will be made privately from the same data, which "
        "are released, and what ε have they together?",
        "One model a year from overlapping data, three so far: ε = 6 together.",
    ),
    Field(
        "claim.non_dp_releases", CLAIM, "Releases without privacy from the same data",
        "What else was released from the same data without differential privacy: statistics, "
        "standard models, reports such as this one?",
        "None. The standard models of this audit were deleted; this report is internal.",
    ),
    Field(
        "accounting.pretraining", CLAIM, "Public pre-training",
        "Did training begin from parameters that were learned elsewhere? From which data, and are "
        "these public beyond doubt, and without the people concerned?",
        "No: random initial parameters.",
    ),
    Field(
        "accounting.random_source", CLAIM, "Random source",
        "Which random source makes the noise of the model that is released, who knows its seed, "
        "and is the seed destroyed?",
        "Opacus with secure_mode (a cryptographic generator); no seed is kept.",
    ),
    Field(
        "accounting.raw_data", CLAIM, "Raw data at rest",
        "Where do the raw data lie, how are they protected, and who can read them?",
        "Encrypted database of the hospital; two named persons have access, logged.",
    ),
    Field(
        "accounting.retention", CLAIM, "Retention",
        "How long are raw data, models and this run's files kept, and who deletes them?",
        "Raw data until 2027-12-31; run directory 90 days, deleted by the data team.",
    ),
    Field(
        "accounting.necessity", CLAIM, "Necessity of the collection",
        "Why were these data collected for this purpose, and why would less not do?",
        "Income and age are needed to estimate demand; names and addresses were never collected.",
    ),
    Field(
        "fairness.groups", SUBGROUPS, "Why these groups",
        "Why were these subgroups looked at, which were left out, and who was asked?",
        "Sex and race, because the law names them. Disability is not recorded.",
    ),
    Field(
        "data.source", PROVENANCE, "Source of the data",
        "Where do the data come from, on what legal basis were they obtained, and how were they "
        "selected and labelled?",
        "Contracts of customers, Art. 6(1)(b) GDPR; all contracts of 2025; label: paid in time.",
    ),
    Field(
        "data.collected", PROVENANCE, "When the data were collected",
        "From when to when were the data collected, and as of which day do they stand?",
        "January to December 2025, as of 2026-01-15.",
    ),
    Field(
        "governance.system", GOVERNANCE, "System",
        "Which system is this about, and where does the audited model stand in it?",
        "Credit scoring, module “default risk”; the model gives one of three inputs.",
    ),
    Field(
        "governance.purpose", GOVERNANCE, "Purpose",
        "What is the system for, what is it not for, and who uses it?",
        "It sorts applications for review by clerks. It does not decide.",
    ),
    Field(
        "governance.version", GOVERNANCE, "Version",
        "Which version of the system and model does this report speak of, and how does it differ "
        "from the one before?",
        "Model 3.2 of 2026-02-01; 3.1 had no privacy.",
    ),
    Field(
        "governance.provider", GOVERNANCE, "Provider",
        "Who provides the system and answers for it, with contact?",
        "Example Bank, data science department, privacy@example.org.",
    ),
    Field(
        "governance.persons", GOVERNANCE, "Persons affected",
        "Whose data are in the training data, who is affected by the results, and who among them "
        "is vulnerable?",
        "Customers since 2020 (training), applicants (results); minors are excluded.",
    ),
    Field(
        "governance.why_epsilon", GOVERNANCE, "Why this ε",
        "Why this ε and δ, who chose them, and when: before or after seeing results?",
        "ε = 2 by the privacy board on 2026-01-10, before training, from the table of what it "
        "allows.",
    ),
    Field(
        "governance.alternatives", GOVERNANCE, "Alternatives",
        "Which alternatives were weighed: smaller ε, less data, no model, other methods?",
        "ε = 1 lost 6 points for the rarest group; a rule without training data was worse.",
    ),
    Field(
        "governance.cost", GOVERNANCE, "Cost accepted",
        "What does privacy cost here, who bears it, and is that acceptable?",
        "2 points of accuracy overall, 9 for the rarest group, whose applications are all "
        "reviewed by hand.",
    ),
    Field(
        "governance.risks", GOVERNANCE, "Risks",
        "Which risks to the rights and freedoms of people remain, and how large are they?",
        "That an applicant of a rare group is wrongly sorted last; moderate.",
    ),
    Field(
        "governance.mitigations", GOVERNANCE, "Mitigations",
        "What is done against these risks, by whom, and how is it seen that it works?",
        "Manual review for rare groups; error rates by group every quarter.",
    ),
    Field(
        "governance.decision", GOVERNANCE, "Decision",
        "What was decided on the grounds of this report: release, release with conditions, no "
        "release?",
        "Release of the private model with manual review; no release of the standard model.",
    ),
    Field(
        "governance.limits", GOVERNANCE, "Limits",
        "Where must the model or this report not be relied on?",
        "Not for applicants outside the country; the audit was made on data of 2025.",
    ),
    Field(
        "signoff.name", SIGNOFF, "Name", "Who signs?", "A. Example",
    ),
    Field(
        "signoff.role", SIGNOFF, "Role", "In which role?", "Data protection officer",
    ),
    Field(
        "signoff.date", SIGNOFF, "Date", "When was it signed?", "2026-03-02", is_date=True,
    ),
    Field(
        "signoff.signature", SIGNOFF, "Signature",
        "The signature as text: a name, or where the signed copy lies, or a digital signature.",
        "Signed copy: archive 2026/117.",
    ),
    Field(
        "signoff.next_review", SIGNOFF, "Next review", "When is it reviewed next, at the latest?",
        "2027-03-01", is_date=True,
    ),
)  # fmt: skip

BY_ID: dict[str, Field] = {field.id: field for field in FIELDS}

# Tables of attestation.toml, in order, with the heading that stands above each.
TABLES: dict[str, str] = {
    "claim": "What is claimed",
    "accounting": "How it was made, and what happens to the data",
    "fairness": "Groups",
    "data": "Data",
    "governance": "System and decision",
    "signoff": "Sign-off",
}


def fields_of(section: str) -> tuple[Field, ...]:
    """The fields that a section shows, in order."""
    return tuple(field for field in FIELDS if field.section == section)


def has_words(text: str) -> bool:
    """Whether a statement says anything: it has a character that leaves ink of its own."""
    return any(unicodedata.category(c)[0] in "LNPS" and c not in _BLANK for c in text)


# Letters and symbols to Unicode, blank to a reader: Hangul fillers, the Braille pattern of no dot.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
