"""attestation.toml: made, filled in, read; what would be lost or wrong is refused in one line."""

from __future__ import annotations

import copy
import hashlib
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.errors import BadInput
from audit.report.attestation import LARGEST_FILE, Statements, parse, template
from audit.report.fields import FIELDS, TABLES, has_words
from tests.report.synthetic import HOSTILE, Run, make
from tests.report.test_fields import everything

RUN = make(seed=1, n=300, styles=9, hostile=False)
BINDING = f"""
[run]
config_sha256 = "{RUN.run["config_sha256"]}"
data_fingerprint = "{RUN.run["data"]["fingerprint"]}"
"""


def read(text: str | bytes, run: Run = RUN) -> Statements:
    """``text`` as an attestation of ``run``: bound to it, where it says nothing of a run."""
    content = text if isinstance(text, bytes) else text.encode()
    if b"run" not in content:
        content += BINDING.encode()
    return parse(content, "attestation.toml", run.run)


def refused(text: str | bytes, run: Run = RUN) -> str:
    with pytest.raises(BadInput) as caught:
        read(text, run)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert message.isprintable()
    assert len(message) < 1200
    return message


def quoted(text: str) -> str:
    """``text`` as a TOML basic string."""
    escaped = "".join(f"\\U{ord(c):08X}" if not c.isprintable() or c in '"\\' else c for c in text)
    return f'"{escaped}"'


def written(statements: dict[str, str]) -> str:
    lines: list[str] = []
    for table in TABLES:
        lines.append(f"[{table}]")
        lines += [f"{f.key} = {quoted(statements[f.id])}" for f in FIELDS if f.table == table]
    return "\n".join(lines)


def test_the_template_states_nothing_and_asks_everything() -> None:
    text = template(RUN.run, RUN.summary)
    assert read(text).statements == {}
    tables = tomllib.loads(text)
    run = tables.pop("run")
    assert run == {"config_sha256": "ab" * 32, "data_fingerprint": "cd" * 32}
    assert {t: set(keys) for t, keys in tables.items()} == {
        t: {f.key for f in FIELDS if f.table == t} for t in TABLES
    }
    assert {value for keys in tables.values() for value in keys.values()} == {""}
    flat = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for field in FIELDS:
        assert field.ask in flat
        assert f"Example: {field.example}" in flat
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("hostile", [*HOSTILE, "a\nplain = 'x'", "\r\n[claim]", "x" * 5000])
def test_a_hostile_name_adds_nothing_to_the_template(hostile: str) -> None:
    run = copy.deepcopy(RUN)
    run.run["data"]["name"] = hostile
    run.run["config_sha256"] = hostile
    text = template(run.run, run.summary)
    assert read(text, run).statements == {}
    assert tomllib.loads(text)["run"] == {"data_fingerprint": "cd" * 32}


def test_answers_come_back_as_they_were_written() -> None:
    said = everything()
    content = template(RUN.run, RUN.summary)
    for field in FIELDS:
        content = content.replace(
            f'\n{field.key} = ""', f"\n{field.key} = {quoted(said[field.id])}", 1
        )
    found = read(content)
    assert found.statements == said
    assert list(found.statements) == [f.id for f in FIELDS]
    assert found.sha256 == hashlib.sha256(content.encode()).hexdigest()


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([f.id for f in FIELDS if not f.is_date]),
        st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=60),
    )
)
def test_any_text_comes_back(said: dict[str, str]) -> None:
    complete = {f.id: said.get(f.id, "") for f in FIELDS}
    # With its binding: a text may say "run" too.
    found = read(written(complete) + BINDING).statements
    for ident, text in said.items():
        assert found.get(ident) == (text.strip() if has_words(text) else None)
    assert set(found) <= set(said)


# Lines of files that people might write, and of files that nobody should.
_KEYS = st.one_of(
    st.sampled_from([f.key for f in FIELDS] + ["claim.plain", "config_sha256", '""', "purpse"]),
    st.text(max_size=8),
)
_VALUES = st.one_of(
    st.sampled_from([
        '""', '"x"', "1", "0x" + "f" * 6000, "9" * 5000, "1e999", "nan", "true", "2026-02-30",
        "2026-03-02", "2026-03-02T10:00:00Z", "10:00:00", "[" * 500, "{" * 50, "[1, [2]]",
        "{a = 1}", '"""a\nb"""', "'\\u0000'", '"\\u0000"', '"\\ud800"', '"\\u202e"', "x" * 20,
        '"open', '"' + "y" * 6000 + '"',
    ]),
    st.text(max_size=12),
)  # fmt: skip
_LINES = st.one_of(
    st.sampled_from(
        [f"[{t}]" for t in TABLES] + ["[run]", "[[claim]]", "[x]", "[claim.plain]", "["]
    ),
    st.builds("{} = {}".format, _KEYS, _VALUES),
    st.text(max_size=20),
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.lists(_LINES, max_size=6).map("\n".join).map(
    lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=60)))  # fmt: skip
def test_hostile_files_are_read_or_refused_in_one_line(content: bytes) -> None:
    message, found = "", None
    try:
        found = parse(content, "a\nb.toml", RUN.run)
    except BadInput as error:
        message = str(error)
    assert message == "" or message.isprintable()
    assert len(message) < 1200
    if found is not None:
        assert set(found.statements) <= {f.id for f in FIELDS}
        assert all(isinstance(text, str) for text in found.statements.values())


def test_unknown_names_are_refused_with_the_nearest() -> None:
    assert "is no field of [governance]; the nearest is purpose" in refused(
        "[governance]\npurpse = ''"
    )
    assert "is no table; the nearest is governance" in refused("[goverance]\npurpose = ''")
    assert "there are run, claim, accounting" in refused("[zzz]\n")
    assert "is no field of [run]; the nearest is config_sha256" in refused("[run]\nconfig_sha = ''")


def test_what_is_no_text_is_refused() -> None:
    for value, kind in (("1", "a number"), ("true", "true or false"), ("[1]", "a list"),
                        ("{x = 1}", "a table"), ("2026-03-02", "a date or time")):  # fmt: skip
        assert f"must be text in quotes, not {kind}" in refused(f"[claim]\nplain = {value}")
    assert "claim is a table: write [claim] above" in refused("claim = 'x'")
    assert "claim is a table" in refused("[[claim]]\nplain = 'x'")


def test_long_texts_and_control_characters_are_refused() -> None:
    assert read(f"[claim]\nplain = '{'x' * 5000}'").statements == {"claim.plain": "x" * 5000}
    assert "has 5,001 characters, at most 5,000" in refused(f"[claim]\nplain = '{'x' * 5001}'")
    assert "has 201 characters, at most 200" in refused(f"[signoff]\nrole = '{'x' * 201}'")
    assert "has the control character U+0000" in refused('[claim]\nplain = "a\\u0000b"')
    assert "U+001B" in refused('[claim]\nplain = "\\u001b[31m"')
    kept = read('[claim]\nplain = """\none\n\ttwo\u202e"""').statements["claim.plain"]
    assert kept == "one\n\ttwo\u202e"


def test_invalid_toml_names_the_line() -> None:
    assert "line 3" in refused("[claim]\nplain = 'x'\nunit_of_privacy = oops\n")
    assert "line 2" in refused(b"[claim]\nplain = '\xff'")
    assert "line 3" in refused("[claim]\nplain = 'a'\nplain = 'b'\n")
    assert "nested too deeply" in refused("[claim]\nplain = " + "[" * 100_000)
    assert "at most 1,000,000 are read" in refused(b"#" * (LARGEST_FILE + 1))
    assert read("\ufeff[claim]\r\nplain = 'x'\r\n").statements == {"claim.plain": "x"}


def test_dates() -> None:
    signed = "[signoff]\ndate = {}\nnext_review = {}\n"
    expected = {"signoff.date": "2026-03-02", "signoff.next_review": "2027-03-02"}
    assert read(signed.format("2026-03-02", '"2027-03-02"')).statements == expected
    assert read(signed.format('" "', '""')).statements == {}
    for wrong in (
        '"20260302"',
        '"2 March"',
        '"2026-02-30"',
        "2026-03-02T10:00:00",
        "10:00:00",
        "7",
    ):
        assert "is no date" in refused(signed.format(wrong, '""'))
    for review in ("2026-03-02", "2025-01-01"):
        message = refused(signed.format("2026-03-02", review))
        assert "must be later than signoff.date = 2026-03-02" in message


def test_a_name_without_a_date_is_shown_without_a_date() -> None:
    assert read("[signoff]\nname = 'A. Example'").statements == {"signoff.name": "A. Example"}


def test_the_attestation_of_another_run_is_refused_naming_both() -> None:
    other = "12" * 32
    message = refused(f'[run]\nconfig_sha256 = "{other}"\n[claim]\nplain = "x"')
    assert other in message
    assert "ab" * 32 in message
    assert "is of another run: the configuration of this one" in message
    assert "data set of this one is" in refused(f'[run]\ndata_fingerprint = "{other}"')
    assert "run.config_sha256 = 'a number'" in refused("[run]\nconfig_sha256 = 0x" + "f" * 9000)
    run = copy.deepcopy(RUN)
    run.run["config_sha256"] = other
    assert "is of another run" in refused(template(RUN.run, RUN.summary), run)
    assert read("[claim]\nplain = 'x'").statements == {"claim.plain": "x"}


def test_an_attestation_of_no_run_is_refused() -> None:
    for left in ("", f'config_sha256 = "{RUN.run["config_sha256"]}"\n'):
        with pytest.raises(BadInput, match="without it the file would fit any run"):
            parse(f"[run]\n{left}[claim]\nplain = 'x'\n".encode(), "attestation.toml", RUN.run)
