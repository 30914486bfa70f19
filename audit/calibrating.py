"""Calibration at a run's own numbers: what ``audit calibrate`` and a report's figures rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audit.claims import ALPHA
from audit.errors import BadInput
from audit.estimates.calibration import PROCEDURES, Setting, calibrate_procedures
from audit.manifest import read_manifest
from audit.results import calibration_file
from audit.seeds import Purpose, generator
from audit.store import write_json

SCHEMA_VERSION = 1
MOST_TRIALS = 100_000
MOST_CELLS = 1_000_000_000
"""Models × (examples + canaries): each procedure draws as many coins in every trial."""


def setting_of(manifest: dict[str, Any]) -> Setting:
    """A run's numbers of models, examples and canaries, its p, and the δ that it is held against.

    Raises:
        BadInput: ``run.json`` lacks one of them.
    """
    try:
        found = Setting(
            models=int(manifest["plan"]["models"]),
            examples=int(manifest["data"]["n"]),
            p=float(manifest["inclusion"]["p"]),
            canaries=int((manifest.get("canaries") or {}).get("count") or 0),
            delta=float(manifest["judged_by"]["in_out_delta"]),
            alpha=ALPHA,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInput(
            "run", f"run.json: {error}", "does not say how many models or examples, p or δ",
            "Leave the run out for the default numbers",
        ) from error  # fmt: skip
    whole = found.models > 0 and found.examples > 0 and found.canaries >= 0
    likely = 0 < found.p < 1 and 0 <= found.delta < 1
    cells = found.models * (found.examples + found.canaries)
    if not (whole and likely and cells <= MOST_CELLS):
        raise BadInput(
            "run",
            f"run.json: {found.models} models, {found.examples} examples, {found.canaries} "
            f"canaries, p = {found.p:g}, δ = {found.delta:g}",
            "is no setting that can be calibrated (models times examples and canaries: at most "
            f"{MOST_CELLS:,})",
            "Leave the run out for the default numbers",
        )
    return found


def calibrate_run(run: Path | None, *, trials: int, seed: int) -> dict[str, Any]:
    """Calibrate every procedure and, with a ``run``, write ``results/calibration.json`` there.

    Raises:
        BadInput: fewer than 5 trials or too many, a negative seed, or an unreadable run.
    """
    if not 5 <= trials <= MOST_TRIALS:
        raise BadInput("trials", trials, f"must be from 5 to {MOST_TRIALS}", "Use --trials 100")
    if seed < 0:
        raise BadInput("seed", seed, "must not be negative", "Use --seed 0")
    manifest = {} if run is None else read_manifest(run)
    setting = setting_of(manifest) if manifest else Setting()
    # Of subsets of a fixed size memberships are not coins: that procedure is not used there.
    fixed = bool(manifest) and manifest["inclusion"]["design"] == "fixed"
    found = calibrate_procedures(
        setting,
        generator(seed, Purpose.CALIBRATION, "command"),
        trials=trials,
        known_trials=max(2, trials // 5),
        procedures=tuple(name for name in PROCEDURES if not (fixed and name == "examples")),
    )
    result = {
        "schema_version": SCHEMA_VERSION,
        "seed": seed,
        "setting": {
            "models": setting.models,
            "examples": setting.examples,
            "p": setting.p,
            "canaries": setting.canaries,
            "delta": setting.delta,
            "alpha": setting.alpha,
        },
        "procedures": [entry.to_json() for entry in found],
    }
    if run is not None:
        write_json(calibration_file(run), result)
    return result
