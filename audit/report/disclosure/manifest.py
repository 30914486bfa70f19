"""run.json as the public profile may see it: no example's number, no path, no warning. PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Any

from audit.report.disclosure import rounding
from audit.report.words import Json, counted

# An absolute or explicitly relative path inside a text: /data/x.csv, ~/x.csv, ../x.csv, C:\x.csv.
# Folders may have spaces in their names (words between a path and a later slash then go with it).
_STEP = r"[^\s/\\'\"=,;:()]+"
_PATH = re.compile(
    r"(?<![\w/\\.~])(?!(?<=:)//)(?:file:)?(?:~|\.{1,2}|[A-Za-z]:)?"
    rf"(?:[/\\]+{_STEP}(?: {_STEP})*(?=[/\\]))*[/\\]+{_STEP}[/\\]*"
)
_ADDRESS = re.compile(r"^(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_UNTOLD = "not shown in this profile"


def manifest(run: Mapping[str, Any]) -> Json:
    """``run`` for the public profile: a copy without what is withheld.

    Canaries' source examples and labels, warnings about the data and what learners warned of are
    taken out (these may quote the data); of paths the file names stay. The seed is not told.
    """
    shown = {key: _no_paths(value) for key, value in run.items()}
    # With --seed it names the seed, without it tells that the seed is the default one.
    if "command_line" in shown:
        shown["command_line"] = _UNTOLD
    data = dict(shown["data"])
    if data.get("source"):
        data["source"] = file_name(str(data["source"]))
    if warnings := data.get("warnings"):
        said = f"{counted(len(warnings), 'warning')} about the data in the internal report"
        data["warnings"] = [said]
    shown["data"] = data
    if shown.get("canaries"):
        shown["canaries"] = {
            k: v for k, v in shown["canaries"].items() if k not in {"source", "label"}
        }
    # How many examples are memorized, and by which thresholds some are.
    shown.pop("removal", None)
    if "shards" in shown:
        shown["shards"] = {
            key: entry for key, entry in shown["shards"].items()
            if key.partition("/")[0] in shown["arms"]
        }  # fmt: skip
    # Whoever knows the seed can draw noise and subsets again; the digest of a configuration whose
    # other fields are known tells the seed.
    shown["seed"], shown["config_sha256"], shown["config"] = None, None, {}
    if shown.get("cross_check"):
        shown["cross_check"] = {a: _checked(c) for a, c in shown["cross_check"].items()}
    for facts in _files(shown):
        facts["file"] = file_name(str(facts["file"]))
    for notes in (shown.get("learners") or {}).values():
        for raised in (notes.get("warnings") or {}).values():
            raised["first"] = _UNTOLD
    return shown


def _checked(check: Mapping[str, Any]) -> Json:
    """A cross-check without what a guessed seed could be tried on for next to nothing: which model
    was drawn for it, and what its random streams were like."""
    kept = {key: value for key, value in check.items() if key not in {"model", "stream"}}
    for key, value in kept.items():
        if isinstance(value, float) and key != "tolerance":
            kept[key] = rounding.significant(value, 1)
    return {**kept, "stream": {"passed": (check.get("stream") or {}).get("passed")}}


def _files(run: Mapping[str, Any]) -> list[Json]:
    origin = run.get("origin") or {}
    tables = [origin.get(key) or {} for key in ("arrays", "tables")]
    return [facts for files in tables for facts in files.values() if facts.get("file")]


def file_name(path: str) -> str:
    """The last part of a path; addresses and what is no path stay."""
    if _ADDRESS.match(path) or not ({"/", "\\"} & set(path)):
        return path
    return PureWindowsPath(path).name or path.strip("/\\")


def _no_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _no_paths(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_no_paths(v) for v in value]
    if not isinstance(value, str):
        return value
    return _PATH.sub(lambda found: file_name(found.group().rstrip("/\\")) or found.group(), value)
