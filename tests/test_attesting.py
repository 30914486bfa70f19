"""The attestation on disk: made once, never overwritten, read into the report and its JSON."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from audit.attesting import init_attestation, read_attestation
from audit.errors import BadInput
from audit.report.document import document
from audit.report.fields import FIELDS
from audit.reporting import report_inputs, write_report
from audit.results import Results, write_results
from audit.store import read_json, write_json
from tests.report.synthetic import make


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run, made up."""
    made = make(seed=1, n=300, styles=9, hostile=False)
    path = tmp_path / "r"
    write_json(path / "run.json", made.run)
    write_results(path, Results(made.examples, made.influence, made.subgroups, made.summary))
    return path


def test_a_run_without_an_attestation(run: Path) -> None:
    assert read_attestation(run) is None
    inputs = report_inputs(run)
    assert (inputs.statements, inputs.attestation_sha256) == ({}, None)


def bound(run: Path) -> str:
    """What binds an attestation to ``run``."""
    manifest = read_json(run / "run.json")
    return (
        f'[run]\nconfig_sha256 = "{manifest["config_sha256"]}"\n'
        f'data_fingerprint = "{manifest["data"]["fingerprint"]}"\n'
    )


def test_made_filled_in_and_read(run: Path) -> None:
    file = init_attestation(run)
    assert file == run / "attestation.toml"
    assert report_inputs(run).statements == {}
    text = file.read_text(encoding="utf-8").replace('\npurpose = ""', '\npurpose = "sorting <b>"')
    file.write_text(text, encoding="utf-8")
    inputs = report_inputs(run)
    assert inputs.statements == {"governance.purpose": "sorting <b>"}
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert document(inputs)["attestation"] == {
        "sha256": digest,
        "statements": {"governance.purpose": "sorting <b>"},
        "asked": [f.id for f in FIELDS],
    }
    page = write_report(run).read_text(encoding="utf-8")
    assert "sorting &lt;b&gt;" in page
    assert "33 of 34 statements" in page


def test_a_file_that_is_there_is_never_overwritten(run: Path) -> None:
    init_attestation(run).write_text(f"[claim]\nplain = 'mine'\n{bound(run)}")
    with pytest.raises(BadInput, match="is there already"):
        init_attestation(run)
    assert report_inputs(run).statements == {"claim.plain": "mine"}


def test_a_dangling_link_is_not_followed(run: Path, tmp_path: Path) -> None:
    (run / "attestation.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="neither a file nor a folder"):
        init_attestation(run)
    assert not (tmp_path / "elsewhere").exists()


def test_another_file_can_be_named(run: Path, tmp_path: Path) -> None:
    init_attestation(run)
    other = tmp_path / "other.toml"
    other.write_text(f"[claim]\nplain = 'theirs'\n{bound(run)}")
    assert report_inputs(run, attestation=other).statements == {"claim.plain": "theirs"}
    for missing in (tmp_path / "nothing.toml", tmp_path, Path("a\x00b")):
        with pytest.raises(BadInput, match=r"attestation = .*Name an attestation file") as caught:
            read_attestation(run, missing)
        assert str(caught.value).isprintable()


def test_a_file_of_another_run_stops_the_report(run: Path) -> None:
    init_attestation(run)
    manifest = read_json(run / "run.json")
    write_json(run / "run.json", {**manifest, "config_sha256": "12" * 32})
    with pytest.raises(BadInput, match="is of another run"):
        write_report(run)


def test_no_attestation_for_a_planted_bug(run: Path) -> None:
    file = init_attestation(run)
    manifest = read_json(run / "run.json")
    bug = {"name": "no_noise", "what": "w", "where": "x", "breaks": "b"}
    write_json(run / "run.json", {**manifest, "plant": bug})
    for attempt in (init_attestation, read_attestation):
        with pytest.raises(BadInput, match="no evidence of compliance"):
            attempt(run)
    file.unlink()
    assert "PLANTED BUG" in write_report(run).read_text(encoding="utf-8")
