"""The attestation of a run, on disk: the file that people fill in, and what the report reads."""

from __future__ import annotations

from pathlib import Path

from audit.errors import BadInput
from audit.files import require_regular
from audit.manifest import read_manifest
from audit.report.attestation import FILE_NAME, LARGEST_FILE, Statements, parse, template
from audit.report.planted import refuse_planted
from audit.results import read_results
from audit.store import write_bytes

_NAME_ONE = "Name an attestation file, or make one with `audit report --init-attestation`"


def init_attestation(path: Path) -> Path:
    """Write ``attestation.toml`` into the finished run in ``path``; returns the file.

    Raises:
        BadInput: ``path`` is no finished run, a bug is planted in it, or the file is there already.
    """
    run, summary = read_manifest(path), read_results(path).summary
    refuse_planted(run)
    target = path / FILE_NAME
    if target.exists() or target.is_symlink():
        raise BadInput(
            "attestation", str(target), "is there already",
            "Go on with it, or move it away for a new one",
        )  # fmt: skip
    write_bytes(target, template(run, summary).encode())
    return target


def read_attestation(path: Path, file: Path | None = None) -> Statements | None:
    """What is stated about the run in ``path``.

    Args:
        file: the attestation; by default the run's own, if there is one.

    Returns None where there is no file.

    Raises:
        BadInput: ``file`` cannot be read or is no attestation of this run, or a bug is planted in
            the run: it can be no evidence of compliance.
    """
    source = path / FILE_NAME if file is None else file
    if file is None and not source.exists():
        return None
    run = read_manifest(path)
    refuse_planted(run)
    require_regular("attestation", source, _NAME_ONE)
    try:
        with source.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    # A name with a null byte is a ValueError.
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise BadInput(
            "attestation", str(source), f"{reason} ({type(error).__name__})",
            _NAME_ONE,
        ) from error  # fmt: skip
    return parse(content, str(source), run)
