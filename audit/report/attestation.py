"""``attestation.toml``: what people state about a run, as text ↔ statements. PURE: no disk.

The file is made by :func:`template`, filled in by people, and read by :func:`parse`, which refuses
what would otherwise be lost or wrong without a word: unknown names, other runs, dates that are
none. What is empty is not stated.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import textwrap
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from audit.errors import BadInput
from audit.report.fields import BY_ID, FIELDS, TABLES, Field, has_words
from audit.report.words import arm_label, name, private_arms

FILE_NAME = "attestation.toml"
LARGEST_FILE = 1_000_000
"""Bytes of an attestation file."""

# Which run it is about: key in [run], where run.json has it, and what differs where it differs.
_BINDING = {
    "config_sha256": (("config_sha256",), "configuration"),
    "data_fingerprint": (("data", "fingerprint"), "data set"),
}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MEND = "Mend it there, or make a new one with `audit report --init-attestation`"


@dataclass(frozen=True)
class Statements:
    """What was stated, by the id of the field, and the SHA-256 of the file it stands in."""

    statements: dict[str, str]
    sha256: str


def template(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """An attestation file for ``run`` that states nothing yet: each question, an example, ``""``.

    Its first table names the configuration and the data, so that it cannot end up with another run.
    """
    claims = ", ".join(arm_label(arm, run) for arm in private_arms(summary, run))
    about = f"Data: {name(run['data'].get('name'))}. Claims: {claims or 'none'}."
    lines = [
        *_comment("What only people can say of this run, for its report: answer between the quotes "
                  "and leave empty what you do not want to state. An empty field is shown as NOT "
                  "STATED; no field is left out. Answers are shown as they are written here, and "
                  "nobody checks them."),
        *_comment(about),
        *_comment('Longer answers go between """ and """. A quotation mark inside "…" is written '
                  '\\", a backslash \\\\.'),
        "",
        *_comment("The run that this file belongs to. Do not change it: with another run the file "
                  "is refused."),
        "[run]",
        *(f'{key} = "{value}"' for key in _BINDING if _DIGEST.fullmatch(value := _own(run, key))),
    ]  # fmt: skip
    for table, heading in TABLES.items():
        lines += ["", "", f"# {heading}", f"[{table}]"]
        for field in FIELDS:
            if field.table == table:
                lines += ["", *_question(field)]
    return "\n".join(lines) + "\n"


def parse(content: bytes, source_name: str, run: Mapping[str, Any]) -> Statements:
    """The statements in ``content``, the bytes of an attestation file, about ``run``.

    Raises:
        BadInput: not UTF-8, not TOML, too large; an unknown table or field; a value that is no
            text, too long or with control characters; a date that is none, or a review that is not
            after the sign-off; an attestation of another run.
    """
    tables = _toml(content, source_name)
    _refuse_unknown(tables, ["run", *TABLES], "table", source_name)
    _refuse_other_run(tables.pop("run", {}), run, source_name)
    found: dict[str, str] = {}
    for table, entries in tables.items():
        keys = [field.key for field in FIELDS if field.table == table]
        _refuse_unknown(_as_table(entries, table, source_name), keys, f"field of [{table}]",
                        source_name)  # fmt: skip
        for key, value in entries.items():
            text = _text(value, BY_ID[f"{table}.{key}"], source_name)
            if text is not None:
                found[f"{table}.{key}"] = text
    _refuse_early_review(found, source_name)
    ordered = {field.id: found[field.id] for field in FIELDS if field.id in found}
    return Statements(ordered, hashlib.sha256(content).hexdigest())


def _question(field: Field) -> list[str]:
    date = " (a date: YYYY-MM-DD)" if field.is_date else ""
    return [
        *_comment(f"{field.label}{date}. {field.ask}"),
        *_comment(f"Example: {field.example}"),
        f'{field.key} = ""',
    ]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, 96)]


def _own(run: Mapping[str, Any], key: str) -> str:
    """What the run says of itself in the place of a key of [run]."""
    value: Any = run
    for part in _BINDING[key][0]:
        value = (value or {}).get(part)
    return str(value)


def _toml(content: bytes, source_name: str) -> dict[str, Any]:
    if len(content) > LARGEST_FILE:
        raise _refused(
            source_name, f"has {len(content):,} bytes, at most {LARGEST_FILE:,} are read"
        )
    try:
        # Some editors put a byte order mark first.
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _refused(source_name, f"is not UTF-8 text (line {line})") from error
    except RecursionError as error:
        raise _refused(source_name, "is not valid TOML: it is nested too deeply") from error
    # Also what Python's numbers refuse: a date of month 13, a number of ten thousand digits.
    except ValueError as error:
        raise _refused(source_name, f"is not valid TOML: {error}") from error


def _as_table(value: object, table: str, source_name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _refused(source_name, f"has {table} = …, and {table} is a table: write [{table}] above")


def _refuse_unknown(given: Iterable[str], known: list[str], what: str, source_name: str) -> None:
    for key in given:
        if key in known:
            continue
        near = get_close_matches(key[:200], known, n=1, cutoff=0.5)
        hint = f"the nearest is {near[0]}" if near else f"there are {', '.join(known)}"
        raise BadInput("attestation", key, f"in {name(source_name)} is no {what}; {hint}", _MEND)


def _refuse_other_run(named: object, run: Mapping[str, Any], source_name: str) -> None:
    named = _as_table(named, "run", source_name)
    _refuse_unknown(named, list(_BINDING), "field of [run]", source_name)
    for key, value in named.items():
        if value != (own := _own(run, key)):
            raise BadInput(
                f"run.{key}", _brief(value),
                f"in {name(source_name)} is of another run: the {_BINDING[key][1]} of this one is "
                f"{name(own)}",
                "Attest this run with a file of its own: `audit report --init-attestation`",
            )  # fmt: skip
    for key in _BINDING:
        # A run records both; where it does not there is nothing to be bound to.
        if key not in named and _DIGEST.fullmatch(_own(run, key)):
            raise BadInput(
                f"run.{key}", None,
                f"is missing in {name(source_name)}: without it the file would fit any run",
                _MEND,
            )  # fmt: skip


def _text(value: object, field: Field, source_name: str) -> str | None:
    """A statement; None where it says nothing."""
    if field.is_date:
        return _date(value, field, source_name)
    if not isinstance(value, str):
        rule = f"of {name(source_name)} must be text in quotes, not {_kind(value)}"
        raise BadInput(field.id, _brief(value), rule, f'Write {field.key} = "…"')
    text = value.strip()
    if len(text) > field.longest:
        raise BadInput(
            field.id, text,
            f"of {name(source_name)} has {len(text):,} characters, at most {field.longest:,} "
            "are shown",
            "Shorten it, and name the document where the rest stands",
        )  # fmt: skip
    control = next((c for c in text if unicodedata.category(c) == "Cc" and c not in "\n\t"), None)
    if control is not None:
        rule = f"of {name(source_name)} has the control character U+{ord(control):04X}"
        raise BadInput(field.id, text, rule, "Remove it; line breaks and tabs may stay")
    return text if has_words(text) else None


def _date(value: object, field: Field, source_name: str) -> str | None:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, str) and not has_words(value):
        return None
    text = value.strip() if isinstance(value, str) else ""
    # date.fromisoformat reads other forms too, 20260302 among them.
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            return datetime.date.fromisoformat(text).isoformat()
        except ValueError:
            pass
    rule = f"of {name(source_name)} is no date"
    raise BadInput(field.id, _brief(value), rule, f"Write {field.key} = 2026-03-02, say")


def _refuse_early_review(found: Mapping[str, str], source_name: str) -> None:
    signed, review = found.get("signoff.date"), found.get("signoff.next_review")
    if signed and review and review <= signed:
        raise BadInput(
            "signoff.next_review", review,
            f"of {name(source_name)} must be later than signoff.date = {signed}",
            "Give the day by which it is reviewed again",
        )  # fmt: skip


def _brief(value: object) -> object:
    """A value as an error may show it: Python refuses to write numbers of thousands of digits."""
    try:
        repr(value)
    except (ValueError, RecursionError):
        return _kind(value)
    return value


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "a list",
             dict: "a table"}  # fmt: skip
    return kinds.get(type(value), "a date or time")


def _refused(source_name: str, rule: str) -> BadInput:
    return BadInput("attestation", source_name, rule, _MEND)
