"""The public profile: the inputs of a report without anything that the report may not tell.

It is made before the document is: no section, chart, sentence or number ever sees what is withheld.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from audit.report.disclosure import frames, rounding
from audit.report.disclosure.comparisons import comparisons
from audit.report.disclosure.manifest import manifest
from audit.report.disclosure.suppression import open_counts, withheld
from audit.report.findings import findings
from audit.report.inputs import ReportInputs
from audit.report.words import Json, finite

# Parts of summary.json that are of no subgroup; what is added to it later has to be added here.
_KEPT = ("models", "arms", "controls", "plant", "calibration")
# Of a control: what is said of subgroups, which others take out of the arms of the audit.
_OF_SUBGROUPS = ("trends", "disparity", "fairlearn")
# Decimals of the arms' estimates and the step of the largest memorization, the coarsest first: the
# first pair that changes no verdict is taken.
_PRECISIONS = ((3, 0.05), (3, 0.01), (4, 0.01), (5, 0.001), (9, 1e-9))
# Attack rates that rest on fewer pairs of model and example are those of a few examples.
_FEWEST_PAIRS = 10
_TREND_DECIMALS = 4


def public(inputs: ReportInputs) -> ReportInputs:
    """``inputs`` as the public profile may see them (docs/disclosure.md); a copy.

    Subgroups that must not be told are in ``withheld`` and nowhere else.
    """
    run = manifest(inputs.run)
    gone = withheld(inputs.subgroups, inputs.examples)
    shown = frames.subgroups(inputs.subgroups, gone, int(run["data"]["n"]))
    kept = {key: inputs.summary[key] for key in _KEPT if key in inputs.summary}
    still_open = open_counts(inputs.subgroups, inputs.examples, gone)
    summary = kept | comparisons(inputs.summary, gone, still_open, shown)
    return replace(
        inputs,
        run=run,
        summary=_rounded(summary, run, _verdicts(inputs.summary, inputs.run)),
        examples=frames.examples(inputs.examples),
        influence=inputs.influence.iloc[:0],
        subgroups=shown,
        withheld=gone,
        # Of a file that names the digest of the configuration, and with it the seed.
        attestation_sha256=None,
    )


def _rounded(
    summary: Mapping[str, Any], run: Mapping[str, Any], told: list[tuple[object, ...]]
) -> Json:
    """Estimates rounded as far as no verdict changes by it; ``told``: verdicts on all the data."""
    for decimals, step in _PRECISIONS:
        shown = {
            **summary,
            "arms": {a: _arm(result, decimals, step) for a, result in summary["arms"].items()},
            **_controls(summary, decimals, step),
            **{
                key: rounding.estimates(summary[key], max(decimals, least))
                for key, least in (("trends", _TREND_DECIMALS), ("disparity", rounding.RATES))
                if key in summary
            },
        }
        if _verdicts(shown, run) == told:
            return shown
    raise RuntimeError("the public profile would change a verdict")


def _verdicts(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[object, ...]]:
    told = ("id", "verdict", "fails", "inconclusive")
    return [tuple(f[key] for key in told) for f in findings(summary, run)]


def _controls(summary: Mapping[str, Any], decimals: int, step: float) -> Json:
    """Controls as wholes, as the arms are; nothing where there are none."""
    if "controls" not in summary:
        return {}
    wholes = {
        arm: {key: value for key, value in result.items() if key not in _OF_SUBGROUPS}
        for arm, result in summary["controls"].items()
    }
    return {"controls": {arm: _arm(result, decimals, step) for arm, result in wholes.items()}}


def _arm(result: Mapping[str, Any], decimals: int, step: float) -> Json:
    """One arm's results: rounded, without numbers of examples and points of few attacks."""
    shown = rounding.estimates(dict(result), decimals)
    if result.get("witnesses") is not None:
        shown["witnesses"] = None
    if result.get("mem_max"):
        shown["mem_max"] = rounding.largest(result["mem_max"], step)
    exposure = result.get("exposure") or {}
    if exposure.get("roc"):
        shown["exposure"]["roc"] = _roc(exposure)
    for key in ("n_in", "n_out"):
        # Pairs of model and example: drawn from the seed, so that it could be tried on them.
        if finite(exposure.get(key)):
            shown["exposure"][key] = int(rounding.significant(float(exposure[key]), 2))
    return shown


def _roc(exposure: Mapping[str, Any]) -> Json:
    """The points of an ROC curve at which enough pairs are accused on either side."""
    roc, n_in, n_out = exposure["roc"], exposure.get("n_in") or 0, exposure.get("n_out") or 0
    points = [
        (rounding.significant(x, 3), rounding.significant(y, 3))
        for x, y in zip(roc["fpr"], roc["tpr"], strict=True)
        if x is not None and y is not None
        and x * n_out >= _FEWEST_PAIRS and y * n_in >= _FEWEST_PAIRS
    ]  # fmt: skip
    return {"fpr": [x for x, _ in points], "tpr": [y for _, y in points]}
