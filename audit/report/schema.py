"""The shape of ``report.json``, as types: what is checked before a report is believed.

``docs/report.schema.json`` is written from these (a test holds the two together). The version
counts up when a field changes its meaning or goes; ``results`` may gain fields at any time.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit.errors import BadInput
from audit.report.document import SCHEMA_VERSION


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class Label(_Strict):
    """How a verdict is shown; the words carry the meaning, the tone only repeats it."""

    words: str
    sign: str
    tone: Literal["bad", "open", "calm"]


class Finding(_Strict):
    """A number, its interval, its threshold, its verdict (docs/report.md has the verdicts)."""

    id: str
    question: str
    statement: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None = Field(description="independent units: models, or what the question names")
    threshold: float | None
    verdict: str
    method: str
    fails: bool = Field(description="a claim or a check is refuted")
    inconclusive: bool = Field(description="the data could not decide")
    needed: str | None = Field(description="what would decide an open question")
    withheld: bool = Field(False, description="the number is kept back in this profile")


class Card(Finding):
    """A finding shown on page one."""

    label: Label


class Sentence(_Strict):
    """A sentence with the verdict it rests on."""

    label: Label
    words: str


class SignOff(_Strict):
    """A line of the sign-off block; null is NOT STATED."""

    label: str
    value: str | None


class Text(_Strict):
    """Paragraphs."""

    type: Literal["text"]
    paragraphs: list[str]


class Heading(_Strict):
    """A heading inside a section; ``id`` is its anchor."""

    type: Literal["heading"]
    words: str
    id: str | None


class Column(_Strict):
    """A column of a table."""

    label: str
    kind: Literal["text", "number"]


class Table(_Strict):
    """Formatted cells; the first of each row is the row's header."""

    type: Literal["table"]
    caption: str
    columns: list[Column]
    rows: list[list[str]]
    note: str


class PageOne(_Strict):
    """The page for a reader who has never heard of ε."""

    headline: list[str]
    claimed: list[str]
    tested: list[str]
    arms: Table | None = Field(description="of several private arms: what each claims and does")
    cards: list[Card]
    losses: Table | None = Field(description="of several private arms: what each costs")
    who_loses: list[Sentence]
    not_covered: list[str]
    reveals: str
    signoff: list[SignOff]


class Chart(_Strict):
    """What a picture shows; ``kind`` says how it is drawn (audit/report/charts.py)."""

    id: str
    kind: str
    title: str
    description: str
    colour: str
    data: dict[str, Any]


class Figure(_Strict):
    """Charts, their caption, and the table with the same numbers."""

    type: Literal["figure"]
    charts: list[Chart]
    caption: str
    table: Table
    wide: bool


class FieldRow(_Strict):
    """One field of the document; a value of null is NOT STATED."""

    label: str
    value: str | None
    source: str


class Fields(_Strict):
    """Fields that a person attested or the tool computed."""

    type: Literal["fields"]
    id: str
    caption: str
    rows: list[FieldRow]
    note: str


class Link(_Strict):
    """A link inside the page."""

    href: Annotated[str, Field(pattern=r"^#[A-Za-z0-9_-]+$")]
    words: str


class CrosswalkRow(_Strict):
    """One point of a framework, and where the report answers it."""

    point: str
    asks: str
    state: Literal["stated", "partly", "not_stated"]
    links: list[Link]
    missing: list[str]


class Crosswalk(_Strict):
    """The points of one framework."""

    type: Literal["crosswalk"]
    id: str
    framework: str
    rows: list[CrosswalkRow]
    note: str


class Shown(_Strict):
    """One example: an image (base64 PNG) or the cells of a row."""

    words: str
    png: str | None
    width: int | None
    height: int | None
    cells: list[Pair]


class GalleryItem(_Strict):
    """One or two examples, and what is said of them."""

    title: str
    lines: list[str]
    examples: list[Shown]


class Gallery(_Strict):
    """Single examples (internal profile, only where asked for)."""

    type: Literal["gallery"]
    caption: str
    items: list[GalleryItem]
    note: str
    wide: bool


Block = Annotated[
    Text | Heading | Table | Figure | Fields | Crosswalk | Gallery, Field(discriminator="type")
]


class Section(_Strict):
    """A numbered section of the page; ``id`` is its anchor."""

    id: str
    number: str
    title: str
    blocks: list[Block]


class Options(_Strict):
    """What was asked for."""

    full_subgroups: bool
    examples: bool


class Attestation(_Strict):
    """What people attested: ``asked`` are the ids of all fields, ``statements`` those stated."""

    sha256: str | None
    statements: dict[str, str]
    asked: list[str]


class Planted(_Strict):
    """A bug that was planted on purpose: no such report is evidence of anything."""

    mark: str
    words: str
    details: str


class Report(_Strict):
    """``report.json``: everything on the page, the numbers behind it, and where they come from."""

    schema_: Literal["audit-report"] = Field(alias="schema")
    schema_version: Literal[2]
    profile: Literal["internal", "public"]
    options: Options
    title: str
    planted: Planted | None
    facts: list[str]
    incomplete: bool
    page_one: PageOne
    sections: list[Section]
    glossary: list[Pair]
    findings: list[Finding]
    attestation: Attestation
    results: dict[str, Any] = Field(
        description="the estimates as numbers: those of summary.json, and a record per subgroup"
    )
    source: dict[str, Any] = Field(
        description="configuration, data and shards by SHA-256, seed, versions, command line"
    )
    tool: dict[str, Any]


def check_report(contents: Any, name: str) -> None:
    """Refuse what is no report of this version.

    Raises:
        BadInput: naming the first field that is missing, unknown or of another type.
    """
    try:
        Report.model_validate(contents)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            name,
            place,
            f"is not what a report of schema version {SCHEMA_VERSION} has there ({first['msg']})",
            "Make it anew with `audit report`",
        ) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of ``report.json`` (docs/report.schema.json)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "audit report",
        **Report.model_json_schema(by_alias=True),
    }
