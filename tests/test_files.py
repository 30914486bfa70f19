"""Files that are handed in: what is no file, endless or too large is refused before it is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from audit.errors import BadInput
from audit.files import home_expanded, read_bytes, read_text, require_regular


def refused(path: Path, *words: str) -> None:
    with pytest.raises(BadInput) as error:
        read_text("config", path, 10)
    text = str(error.value)
    assert text.startswith("config = ")
    assert text.isprintable()
    for word in words:
        assert word in text


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    assert read_bytes("config", tmp_path / "a", 10) == b"0123456789"
    assert read_text("config", tmp_path / "a", 10) == "0123456789"
    (tmp_path / "a").write_bytes(b"0123456789x")
    refused(tmp_path / "a", "larger than 10 bytes")


def test_what_never_ends_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero", ""):
        refused(tmp_path / name, "is not a file")
    # A link to a file is a file.
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to("a")
    assert read_text("config", tmp_path / "link", 10) == "x"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    refused(tmp_path / "none", "does not exist")
    refused(tmp_path / ("x" * 300), "cannot be read")
    refused(Path("a\0b"), "cannot be read")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop", "cannot be read")
    (tmp_path / "latin").write_bytes(b"\xe4")
    refused(tmp_path / "latin", "UTF-8")


def test_what_is_not_there_is_left_to_who_opens_it(tmp_path: Path) -> None:
    require_regular("data", tmp_path / "none")
    with pytest.raises(BadInput, match="Look elsewhere"):
        require_regular("data", tmp_path, "Look elsewhere")


def test_the_home_of_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home_expanded("data", "~/x") == tmp_path / "x"
    with pytest.raises(BadInput, match="home of nobody"):
        home_expanded("data", "~nobody-of-this-name/x")
