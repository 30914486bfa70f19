"""What is reviewed: the report of a run directory or file, and the policy it is held against."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from audit.errors import BadInput
from audit.files import read_text
from audit.report.policy import LARGEST_POLICY, Policy, parse_policy
from audit.report.reading import LARGEST_REPORT, parse_report
from audit.report.words import Json
from audit.resources import resource_dir
from audit.store import newest_run, write_bytes


def report_of(path: Path) -> Json:
    """The content of ``report.json``: of a run directory made anew from its results, of a file as
    it stands there.

    Raises:
        BadInput: neither a finished run nor a report that this program reads.
    """
    if not _there(path, Path.is_dir):
        return read_report(path)
    # Here, because a report in a file can be read without torch.
    from audit import reporting
    from audit.report.document import document_json

    return parse_report(document_json(reporting.report_of(path)), str(path))


def read_report(file: Path) -> Json:
    """The content of a ``report.json`` as it stands in ``file``.

    Raises:
        BadInput: it is not a report that this program reads.
    """
    return parse_report(read_text("report", file, LARGEST_REPORT), str(file))


def newest_or(run: Path | None) -> Path:
    """``run``, or the run directory under runs/ that changed last.

    Raises:
        BadInput: there is none.
    """
    return newest_run(Path("runs")) if run is None else run


def policy_of(name: str) -> tuple[Policy, str]:
    """The policy in a TOML file, or the shipped one of that name (``default``), and its SHA-256.

    Raises:
        BadInput: no such file or name, or not a policy.
    """
    folder = resource_dir("configs") / "policies"
    shipped = {path.stem: path for path in folder.glob("*.toml")}
    path = Path(name)
    there = _there(path, Path.exists)
    if name in shipped and not there:
        path = shipped[name]
    elif path.name == name and not path.suffix and not there:
        known = ", ".join(sorted(shipped))
        raise BadInput("policy", name, f"is neither a file nor one of {known}", "Check the path")
    text = read_text("policy", path, LARGEST_POLICY)
    return parse_policy(text, str(path)), hashlib.sha256(text.encode()).hexdigest()


def write_file(path: Path, data: bytes, name: str) -> None:
    """Write what an option ``name`` asks for.

    Raises:
        BadInput: ``path`` is there and no file, or cannot be written.
    """
    if _there(path, Path.exists) and not _there(path, Path.is_file):
        raise BadInput(name, str(path), "is not a file", "Choose another path")
    write_bytes(path, data)


def _there(path: Path, test: Callable[[Path], bool]) -> bool:
    """``test`` of ``path``; False for what no file can be called (too long, say)."""
    try:
        return test(path)
    except (OSError, ValueError):
        return False
