"""What the tool itself can say beside the attested fields of evidence, groups, data and decision.

Each function takes run.json and summary.json and returns the value of one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audit.report.brought import is_brought
from audit.report.frames import records
from audit.report.known import Run, Summary, by_arm
from audit.report.subgroup_section import main_grouping
from audit.report.subgroup_tables import SMALL
from audit.report.words import (
    Json,
    arm_words,
    count,
    counted,
    estimate,
    finite,
    general,
    has_loss,
    name,
    no_loss_because,
    number,
    part,
    points,
    private_arms,
)


def estimator(run: Run, summary: Summary) -> str:
    del run, summary
    return (
        "share of right answers of models trained with an example, less that of models trained "
        "without it (Feldman & Zhang 2020); intervals: Newcombe's for one example, over models for "
        "averages"
    )


def threat_model(run: Run, summary: Summary) -> str:
    del run, summary
    return (
        "of the exact test: someone who knows all other examples and sees whether the finished "
        "models are right. Attackers who see scores, or every step, are in the section on attacks"
    )


def fixed_before(run: Run, summary: Summary) -> str:
    del summary
    digest, created = name(run.get("config_sha256")), name(run.get("created"))
    if is_brought(run):
        return (
            f"not known here: the outputs were there before. The settings of the estimate (SHA-256 "
            f"{digest}) were written on {created}"
        )
    return (
        f"yes: configuration with SHA-256 {digest}, written on {created}, before the first model "
        "was trained; going on with another one is refused"
    )


def size_of_run(run: Run, summary: Summary) -> str:
    inclusion = run.get("inclusion") or {}
    return (
        f"K = {count(summary.get('models'))} per arm; each example in a model's training data with "
        f"p = {general(inclusion.get('p'))} ({name(inclusion.get('design'))} inclusion)"
    )


def above_bounds(run: Run, summary: Summary) -> str:
    """Point estimates above the two bounds, and how many chance alone gives."""

    def say(arm: str) -> str:
        above = summary["arms"][arm].get("above_bound") or {}
        said = [
            f"{count(above[key])} above {words}, by chance {_chance(above.get(chance))}"
            for words, key, chance in (
                ("e^ε", "count", "by_chance"),
                ("the privacy curve", "above_tradeoff", "tradeoff_by_chance"),
            )
            if finite(above.get(key))
        ]
        return "; ".join(said) or "not estimated"

    return by_arm(run, list(summary["arms"]), say)


CHANCE = (
    "Above the bound by chance: how many estimates would lie there if having seen an example "
    "changed nothing (exact expectation, right answers dealt at random among the models). A claim "
    "that holds allows some difference and so more of them: the exact test alone decides."
)


def _chance(expected: Any) -> str:
    if not finite(expected):
        return "not recorded"
    return f"about {number(expected, 1 if expected < 10 else 0)}"


def detectable(run: Run, summary: Summary) -> str:
    """The smallest excess over each bound that this many models find, at p_out = .01."""
    entries = (summary.get("power") or {}).get("excess") or []
    lowest = min((entry["p_out"] for entry in entries), default=None)

    def say(arm: str) -> str:
        said = []
        for entry in entries:
            if entry["arm"] != arm or entry["p_out"] != lowest:
                continue
            rows = [r for r in entry["rows"] if r["models"] == summary.get("models")]
            excess = rows[0]["excess"] if rows else None
            found = f"+{number(excess, 2)}" if finite(excess) else "none, however large"
            said.append(f"{found} over {name(entry['bound'])}")
        return "; ".join(said) or "not estimated"

    judged = private_arms(summary, run) or list(summary["arms"])
    words = by_arm(run, judged, say)
    if "\n" in words:
        words = f"\n{words}"
    if words == "not estimated":
        return words
    return f"of an example right in {general(lowest)} of cases without it, with 80 % power: {words}"


def nothing_found(run: Run, summary: Summary) -> str:
    del run, summary
    return "that a test finds nothing is not a proof"


def both_arms(run: Run, summary: Summary) -> str:
    """Accuracy of each arm, and the paired difference."""
    said = [
        f"{arm_words(arm, run)}: {estimate(result.get('accuracy_test'), 'percent')}"
        for arm, result in summary["arms"].items()
    ]
    if run["data"].get("n_test") == 0:
        said = ["no test outputs"]
    if not has_loss(summary, run):
        return f"{'; '.join(said)}; no difference (there are {no_loss_because(summary, run)})"
    losses = by_arm(
        run,
        private_arms(summary, run),
        lambda arm: estimate(summary["arms"][arm].get("loss"), "points"),
        "; ",
    )
    return (
        f"{'; '.join(said)}. Standard less private, paired by training subset: {losses}. "
        f"K = {count(summary.get('models'))}"
    )


def disparity(run: Run, summary: Summary, subgroups: pd.DataFrame) -> str:
    """The largest gap in accuracy between subgroups with and without privacy."""
    main = main_grouping(subgroups)
    entries = [
        entry
        for entry in summary.get("fairlearn") or []
        if entry.get("metric") == "accuracy" and entry.get("grouping") == main
    ]
    gaps = {entry["arm"]: entry.get("value", entry.get("difference")) for entry in entries}
    known = {arm: gap for arm, gap in gaps.items() if finite(gap)}
    private = private_arms(summary, run)
    before = [gap for arm, gap in known.items() if arm not in private]
    if not known and any(entry.get("withheld") for entry in entries):
        return f"withheld in this profile (of “{name(main)}”)"
    if not known or main is None:
        return "not estimated (no accuracy by subgroup)"
    said = [f"{arm_words(arm, run)}: {points(gap)}" for arm, gap in known.items()]
    grown = [
        f"{points(gap - before[0])} under {arm_words(arm, run)}"
        for arm, gap in known.items()
        if before and arm in private
    ]
    change = f"; privacy changes it by {', '.join(grown)}" if grown else ""
    shown = " of the subgroups shown" if any(e.get("of_shown") for e in entries) else ""
    return f"between the best and the worst{shown} by “{name(main)}”: {'; '.join(said)}{change}"


def left_out(subgroups: pd.DataFrame, withheld: Mapping[str, tuple[str, ...]]) -> str:
    """Subgroups without an estimate, marked, or kept out of a public report, and the rule."""
    sizes = [row["n_test"] for row in records(subgroups) if row["kind"] != "frequency"]
    empty, small = sum(n == 0 for n in sizes), sum(0 < n < SMALL for n in sizes)
    text = (
        f"{counted(len(sizes), 'subgroup')} in all; {count(empty)} without test examples (not "
        f"estimable), {count(small)} more with fewer than {SMALL} (marked †); none is dropped"
    )
    kept = sum(len(names) for names in withheld.values())
    return f"{text}; {count(kept)} more are withheld from a public report" if kept else text


def data_here(run: Run, summary: Summary) -> str:
    del summary
    data = run["data"]
    return (
        f"{name(data.get('source') or 'not recorded', 400)}; {count(data.get('n'))} training and "
        f"{count(data.get('n_test'))} test examples; SHA-256 {name(data.get('fingerprint'))}"
    )


def date_of_data(run: Run, summary: Summary) -> str:
    del summary
    return f"read on {name(run.get('created'))}; the data carry no date known here"


def epsilons(run: Run, summary: Summary) -> str:
    tried = sorted({run["arms"][arm]["epsilon"] for arm in private_arms(summary, run)})
    return f"ε audited in this run: {', '.join(general(e) for e in tried) or 'none'}"


def cost(run: Run, summary: Summary) -> str:
    if not has_loss(summary, run):
        return f"not estimated (there are {no_loss_because(summary, run)})"

    def say(arm: str) -> str:
        overall = f"{estimate(summary['arms'][arm].get('loss'), 'points')} of test accuracy"
        worst = [_worst(d) for d in summary.get("disparity") or [] if d.get("arm") == arm]
        return "; ".join([overall, *filter(None, worst[:1])])

    return by_arm(run, private_arms(summary, run), say)


def _worst(found: Json) -> str:
    loss = found.get("worst_loss")
    if part(loss, "value") is None:
        return ""
    return f"subgroup “{name(found.get('worst_subgroup'))}” {estimate(loss, 'points')}"


def limits(run: Run, summary: Summary) -> str:
    del run, summary
    return "page one lists what this report does not cover"
