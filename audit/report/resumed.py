"""What changed between the sessions in which a run was trained."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from audit.report.words import joined, name

_HARDWARE = {"device": "trained on", "gpu": "GPU", "blas_kernels": "BLAS kernels"}


def resumed_words(run: Mapping[str, Any]) -> str:
    """When the run went on under other versions or with other code, and which; "" if never."""
    sessions = [run, *(run.get("resumed") or [])]
    return "; ".join(
        f"{name(after.get('time'))}: {joined(_changes(before, after)) or 'not recorded what'}"
        for before, after in pairwise(sessions)
    )


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    found = []
    old, new = (session.get("versions") or {} for session in (before, after))
    for package in dict.fromkeys([*old, *new]):
        if old.get(package) != new.get(package):
            found.append(f"{package} {old.get(package, '–')} → {new.get(package, '–')}")
    commits = [(session.get("tool") or {}).get("commit") for session in (before, after)]
    if commits[0] != commits[1]:
        found.append(f"this tool, commit {commits[0]} → {commits[1]}")
    old, new = (session.get("hardware") or {} for session in (before, after))
    for field, words in _HARDWARE.items():
        if field in old and field in new and old[field] != new[field]:
            found.append(f"{words} {old[field] or '–'} → {new[field] or '–'}")
    old, new = (session.get("code") or {} for session in (before, after))
    found += [f"the code of {path}" for path in new if path in old and old[path] != new[path]]
    return [name(change, 200) for change in found]
