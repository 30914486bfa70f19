"""The section on the long-tail model: what not memorizing should cost, beside what it did cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.blocks import NUMBER, TEXT, section, table, text
from audit.report.removal_blocks import removal_blocks
from audit.report.words import (
    STANDARD,
    Json,
    arm_label,
    arm_words,
    count,
    counted,
    estimate,
    general,
    name,
    part,
    percent,
    points,
    private_arms,
)

TITLE = "What the long tail predicts"


def longtail_section(
    run: Mapping[str, Any], summary: Mapping[str, Any], withheld: Mapping[str, Sequence[str]]
) -> Json:
    """The model's prediction from subgroup counts, and the measured loss of the private arms."""
    entries = [e for e in summary.get("longtail") or [] if e["grouping"] not in withheld]
    blocks = [
        text(
            "On long-tailed data a learner has to fit examples it has seen once: some of them "
            "stand for parts of the population that will come again (Feldman 2020). The model says "
            "what not fitting them costs at least: the number of subgroups seen once, times how "
            "common such a subgroup is expected to be (τ), times how often an unfitted one is "
            "labelled wrongly (a guess among equally likely classes).",
            *_why_nothing(summary, entries, withheld),
        )
    ]
    if entries:
        blocks += [_counts(entries), text(*(_reading(e, run) for e in entries))]
    blocks.append(_beside(run, summary, entries))
    return section("longtail", TITLE, [*blocks, *removal_blocks(summary)])


def _why_nothing(
    summary: Mapping[str, Any], entries: list[Json], withheld: Mapping[str, Sequence[str]]
) -> list[str]:
    if entries and not withheld:
        return []
    if withheld and "longtail" in summary:
        named = ", ".join(f"“{name(grouping)}”" for grouping in withheld)
        return [
            f"Not shown for {named}: the prediction rests on the sizes of the smallest subgroups, "
            "which this profile withholds."
        ]
    if "longtail" in summary:
        return ["Nothing is predicted: this run has no subgroups whose counts could serve."]
    return ["Nothing is predicted: these results were made by an earlier version of the tool."]


def _counts(entries: Sequence[Json]) -> Json:
    rows = [
        [
            name(e["grouping"]),
            count(e["groups"]),
            count(e["smallest"]),
            count(e["singletons"]),
            percent(e["weight_near_1_over_n"], 2),
            percent(e["unseen_mass"], 2),
            _tau(e),
            points(e["price"], 2),
        ]
        for e in entries
    ]
    columns = [("Grouping", TEXT), ("Subgroups", NUMBER), ("Smallest (n)", NUMBER)]
    columns += [("Seen once", NUMBER), ("Training set in subgroups of 1 or 2", NUMBER)]
    columns += [("Unseen mass (Good–Turing)", NUMBER), ("τ × n", NUMBER)]
    columns += [("Predicted price", NUMBER)]
    return table(
        "The long-tail model on this data set's own counts",
        columns,
        rows,
        "τ: expected frequency of a subgroup that was seen once, with the counts themselves as the "
        "prior (Feldman 2020, §2.3); around 1/n singletons are worth fitting. Unseen mass: the "
        "share of singletons estimates the probability that the next example belongs to a subgroup "
        "not seen yet (Good 1953). Predicted price: error added at least by fitting no singleton.",
    )


def _tau(entry: Mapping[str, Any]) -> str:
    if "tau" in entry.get("withheld", ()):
        return "withheld"
    tau = entry["tau"]
    return "not estimable" if tau is None else general(tau * entry["n"], 3)


def _reading(entry: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    grouping = f"“{name(entry['grouping'])}”"
    if not entry["singletons"]:
        return (
            f"By {grouping} no subgroup occurs once (the smallest has "
            f"{counted(entry['smallest'], 'training example')}), so at this resolution nothing has "
            "to be memorized and the model predicts no price. Where standard training memorizes "
            "examples all the same, the tail that makes it do so is finer than these subgroups."
        )
    once = "subgroup occurs" if entry["singletons"] == 1 else "subgroups occur"
    return (
        f"By {grouping} {count(entry['singletons'])} {once} once; leaving them unfitted is "
        f"predicted to cost at least {points(entry['price'], 2)} of accuracy."
        + "".join(
            f" The claim of {arm_words(limit['arm'], run)} lets an example that would else be "
            f"guessed be memorized by {general(limit['memorization'])} at most, so that at least "
            f"{points(limit['price'], 2)} are lost."
            for limit in entry.get("limited") or []
        )
    )


def _beside(run: Mapping[str, Any], summary: Mapping[str, Any], entries: Sequence[Json]) -> Json:
    """The measured side: what is memorized without privacy, what privacy cost."""
    rows = [
        [
            f"Accuracy loss of {arm_words(arm, run)}",
            estimate(summary["arms"][arm].get("loss"), "points"),
            _n(summary["arms"][arm].get("loss")),
        ]
        for arm in private_arms(summary, run)
    ]
    standard = summary["arms"].get(STANDARD)
    if standard is not None:
        key = "mem_share_above_0.25"
        label = f"Training examples memorized by 0.25 or more, {arm_label(STANDARD, run)}"
        rows.append([label, estimate(standard.get(key), "percent"), _n(standard.get(key))])
    rows += [
        [f"Predicted price, by “{name(e['grouping'])}”", points(e["price"], 2), count(e["n"])]
        for e in entries
    ]
    rows += [
        [
            f"Predicted price within the claim of {arm_words(limit['arm'], run)}, by "
            f"“{name(e['grouping'])}”",
            points(limit["price"], 2),
            count(e["n"]),
        ]
        for e in entries
        if e["singletons"]
        for limit in e.get("limited") or []
    ]
    return table(
        "Predicted and measured",
        [("Quantity", TEXT), ("Value (95 % interval)", NUMBER), ("n", NUMBER)],
        rows,
        "The prediction bounds from below what is lost by fitting no singleton, whatever the "
        "reason, and by memorizing none further than a claim allows; the measured loss has other "
        "causes too (noise and clipping on common examples). "
        "They need not agree, and a measured loss above the prediction contradicts nothing. n: "
        "models for what was measured, training examples for what is predicted.",
    )


def _n(e: Mapping[str, Any] | None) -> str:
    n = part(e, "n")
    return "–" if n is None else count(n)
