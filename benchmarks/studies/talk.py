"""The statements of the talk "Chasing the Long Tail" beside what one run measured of each.

    audit run --config talk --out RUN
    python -m benchmarks.studies.talk RUN [--pictures FOLDER]

``--pictures``: writes the figures that support them there, as SVG files. Nothing is decided by this
script: it prints estimates and verdicts of the run, and the long-tail model's own numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import audit
from audit.report.frames import records, rows_of, values
from audit.report.words import estimate, general, percent
from audit.theory import Question, theorize

# Chart of the report (its kind, and words of its title) → file name.
PICTURES = {
    ("histogram", "standard training"): "talk-memorization.svg",
    ("plane", "standard training"): "talk-plane-standard.svg",
    ("plane", "ε = 2"): "talk-plane-private.svg",
    ("trend", "ε = 2"): "talk-loss-by-frequency.svg",
    ("controls", ""): "talk-controls.svg",
    ("removal", ""): "talk-removal.svg",
    ("frontier", "Test accuracy"): "talk-frontier-accuracy.svg",
    ("frontier", "Memorized"): "talk-frontier-memorized.svg",
}
Row = tuple[str, str, str]


def statements(run: audit.Run) -> list[Row]:
    """(what the talk says, what was measured, figure or section that shows it)."""
    summary = run.summary_json
    arms, controls = summary["arms"], summary["controls"]
    standard, random = arms["standard"], controls["random-labels-100"]
    return [
        (
            "Training error is far below test error",
            f"accuracy on included {estimate(standard['accuracy_included'], 'percent')}, on test "
            f"examples {estimate(standard['accuracy_test'], 'percent')}",
            "section 3",
        ),
        (
            "Networks fit random labels, and then know nothing (Zhang et al. 2017)",
            f"labels at random: {estimate(random['accuracy_included'], 'percent')} of the included "
            f"known, {estimate(random['accuracy_excluded'], 'percent')} of the others",
            "controls",
        ),
        (
            "Mean memorization is the generalization gap",
            f"mean memorization {estimate(standard['mem_mean'])}, gap "
            f"{estimate(standard['generalization_gap'])}",
            "self-check, page one",
        ),
        (
            "Label memorization is ubiquitous: many examples are memorized",
            f"{estimate(standard['mem_share_above_0.25'], 'percent')} by .25 or more",
            "talk-memorization.svg",
        ),
        (
            "Random subsets make it possible to estimate with few models",
            f"{summary['models']} models for {len(run.examples) // _arms(run)} examples; "
            f"95 % interval of a single estimate: {_width(run)} wide in the median",
            "section 3",
        ),
        (*_influence(standard["influence"]), "section 7"),
        (
            "Memorized examples are useful: without them test accuracy falls",
            _removal(summary["removal"]),
            "talk-removal.svg",
        ),
        (
            "Frequencies around 1/n carry a significant part of a long-tailed population",
            *_theory(),
        ),
        (
            "(ε, δ)-DP limits memorization: e^ε and the trade-off allow no more",
            "; ".join(_claims(arms)),
            "talk-plane-private.svg",
        ),
        (
            "Standard training does what DP forbids",
            f"{standard['n_refuted']} training examples refute ε = "
            f"{general(standard['test']['epsilon'])} of it",
            "talk-plane-standard.svg",
        ),
        (
            "The cost of not memorizing depends on subgroup size",
            "; ".join(_trends(run, "loss_dp")),
            "talk-loss-by-frequency.svg",
        ),
        (
            "… and on hardness: at equal difficulty the slope is",
            "; ".join(_trends(run, "loss_dp", "slope_at_equal_difficulty")),
            "section 5",
        ),
        (
            "Limits that are not privacy have disparate effects too (pruning: Hooker et al. 2019)",
            _parts(run),
            "talk-controls.svg",
        ),
    ]


def _arms(run: audit.Run) -> int:
    return len(run.summary_json["arms"]) + len(run.summary_json["controls"])


def _width(run: audit.Run) -> str:
    rows = rows_of(run.examples, "arm", "standard")
    return general(float(np.nanmedian(values(rows, "mem_high") - values(rows, "mem_low"))), 2)


def _influence(found: dict[str, Any]) -> tuple[str, str]:
    said = "Many memorized examples each influence about one test example"
    return said, (
        f"{found['pairs_reported']} pairs (influence ≥ .15, memorization ≥ .25, FDR 10 %), "
        f"{found['pairs_one_to_one']} of them one to one; "
        f"{estimate(found['share_test_touched'], 'percent')} of the test set"
    )


def _removal(found: dict[str, Any]) -> str:
    return "; ".join(
        f"θ = {row['threshold']:g}: {row['removed']} removed, "
        f"{estimate(row['all']['difference'], 'points', 2)} more than at random"
        for row in found["thresholds"]
        if row["all"]
    )


def _theory() -> tuple[str, str]:
    found = theorize(Question(worlds=0))["cases"][0]["all"]
    return (
        f"Zipf, N = n = 50,000: {percent(found['weight'], 1)} of the mass between 1/(2n) and 2/n, "
        f"{percent(found['singletons'], 1)} of a sample seen once, and fitting none of it costs "
        f"{percent(found['unfitted'], 1)}",
        "audit theory",
    )


def _claims(arms: dict[str, Any]) -> list[str]:
    return [
        f"ε = {general(found['epsilon'])}: largest memorization {estimate(found['mem_max'])}, "
        f"allowed {general(found['above_bound']['memorization_cap'], 3)} and "
        f"{general(found['above_bound']['tradeoff_cap'], 3)}, {found['verdict'].replace('_', ' ')}"
        for name, found in arms.items()
        if name != "standard"
    ]


def _trends(run: audit.Run, outcome: str, key: str = "slope") -> list[str]:
    return [
        f"{t['arm']}: {estimate(t[key], 'points', 2)} per doubling of the frequency"
        for t in run.summary_json["trends"]
        if t["outcome"].startswith(outcome) and t["kind"] == "subpopulation" and t.get(key)
    ]


def _parts(run: audit.Run) -> str:
    """Losses of the rarest bin with ten or more test examples, arm by arm, and over all."""
    bins = records(rows_of(run.subgroups, "kind", "frequency"))
    rare = next(row for row in bins if "style" in str(row["grouping"]) and row["n_test"] >= 10)
    wholes = run.summary_json["arms"] | run.summary_json["controls"]
    said = [
        f"{arm} {_loss(rare, arm)} (all: {estimate(wholes[arm]['loss'], 'points')})"
        for arm in ("dp-2", "clip-only", "noise-only-2", "neither", "pruned-90")
    ]
    return f"subgroups of {rare['subgroup']} (n = {rare['n_test']}): " + "; ".join(said)


def _loss(row: Mapping[str, Any], arm: str) -> str:
    value = {
        key: float(row[f"loss_{arm}{end}"])
        for key, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    return estimate({**value, "n": int(row["n_test"])}, "points")


def draw(run: audit.Run, folder: Path) -> None:
    """Write the figures into ``folder``."""
    for (kind, words), name in PICTURES.items():
        found = next(c for c in run.charts if c.kind == kind and words in c.title)
        (folder / name).write_text(found.svg + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    run = audit.load(given.run)
    print("| the talk | measured | shown in |")
    print("|---|---|---|")
    for said, measured, where in statements(run):
        print(f"| {said} | {measured} | {where} |")
    if given.pictures is not None:
        draw(run, given.pictures)


if __name__ == "__main__":
    main()
