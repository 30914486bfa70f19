"""Reports of a finished run: what they are made of, and the files they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audit.attesting import read_attestation
from audit.errors import BadInput
from audit.manifest import read_manifest
from audit.report.document import document
from audit.report.formats import Format, file_name, render
from audit.report.inputs import ReportInputs, ReportOptions
from audit.report.words import Json
from audit.results import Results, calibration_file, read_results
from audit.store import read_json, write_bytes


def report_inputs(
    path: Path,
    results: Results | None = None,
    *,
    attestation: Path | None = None,
    calibrated: bool = True,
) -> ReportInputs:
    """What the report of the finished run in ``path`` is made of.

    ``results``: in place of those that are stored there. ``attestation``: what people state of the
    run; by default its own file, if there is one. ``calibrated``: with what `audit calibrate` left.

    Raises:
        BadInput: ``path`` is no finished run, or the attestation cannot be used for it.
    """
    manifest = read_manifest(path)
    results = results or read_results(path)
    stated = read_attestation(path, attestation)
    return ReportInputs(
        manifest,
        _with_calibration(results.summary, path) if calibrated else results.summary,
        results.examples,
        results.influence,
        results.subgroups,
        statements={} if stated is None else stated.statements,
        attestation_sha256=None if stated is None else stated.sha256,
    )


def report_of(
    path: Path, options: ReportOptions | None = None, *, attestation: Path | None = None
) -> Json:
    """The content of ``report.json`` of the finished run in ``path``, made anew.

    Raises:
        BadInput: ``path`` is no finished run, its results cannot be made into a report, or the
            attestation or the examples to show cannot be had.
    """
    options = options or ReportOptions()
    inputs = report_inputs(path, attestation=attestation)
    if options.examples:
        # It reads the run's data, and the code that does brings PyTorch with it.
        from audit.showing import with_gallery

        inputs = with_gallery(path, inputs)
    try:
        return document(inputs, options)
    except BadInput:
        raise
    except Exception as error:
        raise _undrawable(path, error) from error


def write_report(
    path: Path,
    options: ReportOptions | None = None,
    *,
    form: Format = "html",
    static: bool = False,
    attestation: Path | None = None,
) -> Path:
    """Write the report of the finished run in ``path``, and the ``report.json`` it is drawn from.

    ``static``: HTML without scripts.

    Raises:
        BadInput: as ``report_of``, or the form cannot be made here.
    """
    options = options or ReportOptions()
    contents = report_of(path, options, attestation=attestation)
    try:
        forms = {file_name(f, options.profile): render(contents, f, static=static)
                 for f in dict.fromkeys((form, "json"))}  # fmt: skip
    except BadInput:
        raise
    except Exception as error:
        raise _undrawable(path, error) from error
    for name, content in forms.items():
        write_bytes(path / name, content)
    return path / file_name(form, options.profile)


def _undrawable(path: Path, error: Exception) -> BadInput:
    """Results are files that anyone may have edited, and drawing them is all that was done:
    whatever a chart or a template misses is named, not traced (AUDIT_DEBUG=1 traces it)."""
    return BadInput(
        "run",
        str(path),
        f"holds results that no report can be drawn from ({type(error).__name__}: {error})",
        "Give the command of the run again: it makes them anew from the shards",
    )


def _with_calibration(summary: dict[str, Any], path: Path) -> dict[str, Any]:
    """The figures of ``audit calibrate`` in place of the run's own, where it was given: it makes
    more trials."""
    file = calibration_file(path)
    if not file.exists():
        return summary
    found = read_json(file)
    try:
        examples = found["setting"]["examples"]
    except (KeyError, TypeError) as error:
        raise BadInput(
            "run",
            str(file),
            "is not what `audit calibrate` writes",
            "Give `audit calibrate` again, or take the file away",
        ) from error
    return {**summary, "calibration": {"examples_of_run": examples, **found}}
