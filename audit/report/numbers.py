"""The numbers behind the page, for programs: ``results`` and ``source`` of ``report.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.frames import records
from audit.report.inputs import ReportInputs
from audit.report.words import Json, finite

_SUMMARY = (
    *("models", "arms", "controls", "trends", "disparity", "fairlearn", "longtail"),
    *("power", "calibration", "removal"),
)
_SOURCE = (
    *("config_sha256", "seed", "created", "finished", "command_line", "versions", "status"),
    *("model", "engine", "inclusion"),
)


def results(inputs: ReportInputs) -> Json:
    """The estimates as numbers: the summary's, and a record per subgroup; undefined is null."""
    found = {key: inputs.summary[key] for key in _SUMMARY if key in inputs.summary}
    found["subgroups"] = [plain(row) for row in records(inputs.subgroups)]
    found["withheld"] = {grouping: list(names) for grouping, names in inputs.withheld.items()}
    return found


def source(run: Mapping[str, Any]) -> Json:
    """Which run this is, and what of it a reader can check by hash."""
    found = {key: run.get(key) for key in _SOURCE}
    data, shards = run.get("data") or {}, run.get("shards") or {}
    found["data"] = {key: data.get(key) for key in ("name", "fingerprint", "n", "n_test")}
    found["shards"] = {key: entry.get("sha256") for key, entry in shards.items()}
    return found


def plain(row: Mapping[str, Any]) -> Json:
    """A record as JSON: numbers that are not finite become null, NumPy's become Python's."""
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if not finite(value):
        return None
    return (
        int(value) if float(value).is_integer() and not isinstance(value, float) else float(value)
    )
