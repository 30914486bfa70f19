"""``audit report --verify``: every figure made again from the shards, every hash checked."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audit.accounting import achieved_epsilon
from audit.analysis import ArmOutputs
from audit.data.dataset import Dataset
from audit.errors import EXIT_FINDING_FAILS, EXIT_INCONCLUSIVE, EXIT_OK, BadInput
from audit.estimating import estimate_run
from audit.manifest import read_manifest
from audit.report.comparing import Difference, differences, figures, json_differences
from audit.report.document import document, document_json
from audit.report.formats import Format, file_name, render
from audit.report.inputs import Profile, ReportOptions
from audit.report.render import forget_drawn
from audit.report.schema import check_report
from audit.report.words import Json
from audit.reporting import report_inputs
from audit.results import Results, calibration_file, differing_results
from audit.reviewed import read_report
from audit.shards import Damaged, damaged_shards
from audit.store import read_json
from audit.stored_labels import labels_digest, read_labels
from audit.stored_outputs import read_outputs
from audit.verifying_manifest import ACCOUNTED, Check, manifest_checks

REPORTS: dict[str, Profile] = {"report.json": "internal", "report-public.json": "public"}
_FORMS: tuple[Format, ...] = ("html", "md", "pdf")


@dataclass(frozen=True)
class Verification:
    """What ``verify`` found.

    ``figures``: how many were made again and compared. ``differ``: those that come out otherwise.
    ``unchecked``: how many more are taken from the file of ``audit calibrate``, which was not made
    again. ``recorded``: how many are as run.json records them (the live cross-check, times,
    versions, hardware): nothing that is kept could make them again. ``rest_on``: by report, the
    places of the figures that change if the content of the damaged shards is left out: none of them
    can be relied on, whether it comes out otherwise or not.
    """

    checks: tuple[Check, ...]
    figures: int
    differ: tuple[Difference, ...]
    unchecked: int
    recorded: int
    rest_on: dict[str, tuple[str, ...]]

    @property
    def holds(self) -> bool:
        """Whether nothing was found wrong."""
        return all(check.holds is not False for check in self.checks) and not self.differ

    @property
    def exit_code(self) -> int:
        """1 if something is wrong, 3 if something could not be checked, else 0."""
        if not self.holds:
            return EXIT_FINDING_FAILS
        unknown = any(check.holds is None for check in self.checks)
        return EXIT_INCONCLUSIVE if unknown else EXIT_OK


def verify(path: Path, *, attestation: Path | None = None) -> Verification:
    """Make every figure of the reports in ``path`` again from its shards, and check each hash.

    Nothing is written. A damaged shard is read as it is, so that it shows which figures change.
    ``attestation``: of the reports, where it is not the run's own file.

    Raises:
        BadInput: ``path`` is no finished run, holds no report or no labels, a report that is not
            of this version, or an arm without a whole shard.
    """
    manifest = read_manifest(path)
    stated = {name: _stated(path / name, profile) for name, profile in REPORTS.items()
              if (path / name).exists()}  # fmt: skip
    if not stated:
        raise BadInput(
            "run", str(path), "holds no report.json to verify", "Make it with `audit report`"
        )
    data = read_labels(path, manifest)
    damaged = damaged_shards(path, manifest)
    # First, because it refuses what is no shard; then what takes longer.
    results = _estimated(path, manifest, data, "read")
    checks = [_config(manifest), _labels(path, manifest), _shards(manifest, damaged)]
    checks += manifest_checks(path, manifest)
    checks += [_accounted(arm, facts) for arm, facts in manifest["arms"].items()
               if facts.get("noise_multiplier") is not None]  # fmt: skip
    checks += _stored(path, results)
    without = _estimated(path, manifest, data, "blank") if damaged else None
    differ: list[Difference] = []
    rest_on: dict[str, tuple[str, ...]] = {}
    compared = unchecked = recorded = 0
    checks += _without_data(path, stated)
    for name, contents in stated.items():
        checks += [_canonical(path / name, contents), _listed(name, contents, manifest)]
        checks += _renderings(path, name, contents)
        again = _made_again(path, contents, results, attestation)
        differ += differences(contents, again)
        simulated = _from_calibration(path, contents, again, results, attestation)
        unchecked += simulated
        kept = _as_recorded(path, contents, again, results, attestation)
        recorded += kept
        compared += len(figures(contents)) - simulated - kept
        if without is not None:
            changed = differences(contents, _made_again(path, contents, without, attestation))
            rest_on[name] = tuple(each.where for each in changed)
    return Verification(tuple(checks), compared, tuple(differ), unchecked, recorded, rest_on)


def _stated(file: Path, profile: Profile) -> Json:
    contents = read_report(file)
    check_report(contents, file.name)
    if contents["profile"] != profile:
        raise BadInput(
            "profile", contents["profile"], f"in {file} is not {profile}, as the file's name says",
            "Make it anew with `audit report`",
        )  # fmt: skip
    return contents


def _estimated(path: Path, manifest: dict[str, Any], data: Dataset, damaged: Damaged) -> Results:
    def outputs(arm: str) -> ArmOutputs:
        return read_outputs(path, manifest, arm, damaged=damaged)

    return estimate_run(path, manifest, data, outputs_of=outputs)


def _made_again(
    path: Path,
    contents: Json,
    results: Results,
    attestation: Path | None,
    *,
    calibrated: bool = True,
    recorded: bool = True,
) -> Json:
    asked = contents.get("options") or {}
    options = ReportOptions(
        profile=contents.get("profile", "internal"),
        full_subgroups=bool(asked.get("full_subgroups")),
        examples=bool(asked.get("examples")),
    )
    inputs = report_inputs(path, results, attestation=attestation, calibrated=calibrated)
    if not recorded:
        inputs = replace(inputs, run={**inputs.run, **_otherwise(inputs.run)})
    if options.examples:
        from audit.showing import with_gallery  # and with it PyTorch

        inputs = with_gallery(path, inputs)
    return document(inputs, options)


def _from_calibration(
    path: Path, contents: Json, again: Json, results: Results, attestation: Path | None
) -> int:
    """How many figures would be others without what `audit calibrate` left."""
    if not calibration_file(path).exists():
        return 0
    plain = _made_again(path, contents, results, attestation, calibrated=False)
    return len(differences(again, plain))


# What run.json alone knows of a run.
_RECORDED = ("cross_check", "created", "finished", "timings", "versions", "hardware", "tool")


def _otherwise(run: Mapping[str, Any]) -> Json:
    """The same with other values wherever only run.json knows them."""

    def other(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: other(inner) for key, inner in value.items()}
        if isinstance(value, bool) or value is None or isinstance(value, list):
            return value
        return f"{value}?" if isinstance(value, str) else value * 1.5 + 1

    found = {key: other(run[key]) for key in _RECORDED if key in run}
    # Words that other code looks up.
    for arm, check in (found.get("cross_check") or {}).items():
        said = run["cross_check"][arm]
        found["cross_check"][arm] = {
            **check, **{k: v for k, v in said.items() if isinstance(v, str | int)}
        }  # fmt: skip
    found["shards"] = {
        key: {**entry, "trained_on": other(entry["trained_on"])} if "trained_on" in entry else entry
        for key, entry in run["shards"].items()
    }
    if "hardware" in found:
        found["hardware"]["device"] = run["hardware"].get("device")
    return found


def _as_recorded(
    path: Path, contents: Json, again: Json, results: Results, attestation: Path | None
) -> int:
    """How many figures would be others if run.json had recorded something else."""
    plain = _made_again(path, contents, results, attestation, recorded=False)
    return len(differences(again, plain))


def _config(manifest: dict[str, Any]) -> Check:
    text = json.dumps(manifest["config"], sort_keys=True, ensure_ascii=False)
    same = hashlib.sha256(text.encode()).hexdigest() == manifest["config_sha256"]
    return Check("configuration", same, "as hashed" if same else "SHA-256 differs")


def _accounted(arm: str, facts: dict[str, Any]) -> Check:
    """ε made again from the native parameters that a third party would start from."""
    found = achieved_epsilon(
        facts["accountant"],
        facts["noise_multiplier"],
        delta=facts["delta"],
        sample_rate=facts["sample_rate"],
        steps=facts["steps"],
    )
    same = math.isclose(found, facts["epsilon_achieved"], rel_tol=ACCOUNTED)
    return Check(
        f"ε of {arm} by {facts['accountant'].partition(' ')[0]}",
        same and found <= facts["epsilon"] * (1 + ACCOUNTED),
        f"{found:.4f} from noise multiplier, sampling rate and steps; "
        f"{facts['epsilon_achieved']:.4f} stated, {facts['epsilon']:g} claimed",
    )


def _stored(path: Path, results: Results) -> list[Check]:
    different = differing_results(path, results)
    stored = read_json(path / "results" / "summary.json")
    if json_differences(_without_prose(stored), _without_prose(results.summary)):
        different.append("summary.json")
    seen = f"others from the shards: {', '.join(different)}" if different else "as from the shards"
    found = [Check("files of results/", not different, seen)]
    if calibration_file(path).exists():
        seen = "simulated by audit calibrate, not made from the shards; not made again"
        found.append(Check("results/calibration.json", None, seen))
    return found


# How a finding is worded is the program's that drew it; the report's own words are compared.
_PROSE = ("question", "statement", "method", "needed")


def _without_prose(summary: Json) -> Json:
    findings = summary.get("findings")
    if not isinstance(findings, list):
        return summary
    told = [
        {k: v for k, v in f.items() if k not in _PROSE} for f in findings if isinstance(f, Mapping)
    ]
    return {**summary, "findings": told}


def _labels(path: Path, manifest: dict[str, Any]) -> Check:
    listed = (manifest.get("labels") or {}).get("sha256")
    same = listed is not None and labels_digest(path) == listed
    return Check("labels and groups", same, "as listed" if same else "SHA-256 differs")


def _shards(manifest: dict[str, Any], damaged: list[str]) -> Check:
    total = len(manifest["shards"])
    if not damaged:
        return Check("shards", True, f"all {total} have the SHA-256 that run.json lists")
    return Check("shards", False, f"{len(damaged)} of {total} differ: {', '.join(damaged)}")


def _canonical(file: Path, contents: Json) -> Check:
    same = file.read_bytes() == document_json(contents).encode()
    return Check(file.name, same, "canonical JSON" if same else "not as the tool writes it")


def _listed(name: str, contents: Json, manifest: dict[str, Any]) -> Check:
    """The report and run.json speak of the same shards."""
    stated = (contents.get("source") or {}).get("shards")
    listed = {
        key: entry["sha256"]
        for key, entry in manifest["shards"].items()
        # A public report does not tell of the removal experiment.
        if contents.get("profile") != "public" or key.partition("/")[0] in manifest["arms"]
    }
    same = stated == listed
    return Check(
        f"{name}: shards it was made from", same, "those of run.json" if same else "others"
    )


def _without_data(path: Path, stated: dict[str, Json]) -> list[Check]:
    """Files that look like reports, but were drawn from no report.json that is there."""
    return [
        Check(file_name(form, profile), False, f"there is no {name} that it was drawn from")
        for name, profile in REPORTS.items()
        if name not in stated
        for form in _FORMS
        if (path / file_name(form, profile)).exists()
    ]


def _renderings(path: Path, name: str, contents: Json) -> list[Check]:
    """Each file drawn from this report.json is what is drawn from it now, byte for byte."""
    forget_drawn()
    found = []
    for form in _FORMS:
        file = path / file_name(form, contents["profile"])
        if not file.exists():
            continue
        stated = file.read_bytes()
        try:
            same = stated == render(contents, form)
            if form == "html" and not same:
                same = stated == render(contents, form, static=True)
        except BadInput as error:
            found.append(Check(file.name, None, f"cannot be drawn here: {error.rule}"))
            continue
        seen = f"as drawn from {name}" if same else f"not what is drawn from {name}"
        found.append(Check(file.name, same, seen))
    return found
