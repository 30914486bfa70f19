"""Findings about subgroups: trends with frequency, and whether all groups lose equally (§7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report import needed
from audit.report.verdicts import finding
from audit.report.words import (
    NO_INTERVAL,
    Json,
    arm_words,
    count,
    finite,
    interval,
    name,
    number,
    p_value,
    part,
    points,
    span,
)

# Slopes per doubling are small: a tenth of a point per doubling is a point over ten doublings.
SLOPE_DIGITS = 2
# Above this corrected p-value the clearest excess of a subgroup may be chance.
_ALPHA = 0.05
# The hypothesis that random relabelling tests; it says more than "equal means".
NULL = "null: the loss of an example does not depend on its subgroup"
_UNDECIDED = frozenset({"inconclusive", "too_few_groups"})


def trends(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """One finding per fitted trend of an outcome against log2 of the training frequency."""
    return [_trend(t, run) for t in summary.get("trends") or []]


def disparities(summary: Mapping[str, Any], run: Mapping[str, Any]) -> list[Json]:
    """One finding per grouping and private arm: do all subgroups lose equally?"""
    return [_disparity(d, summary, run) for d in summary.get("disparity") or []]


def is_loss(trend: Mapping[str, Any]) -> bool:
    """Whether a trend is one of accuracy loss, which is shown in percentage points."""
    return trend["outcome"].startswith("loss")


def groups_words(entry: Mapping[str, Any]) -> str:
    """How many subgroups enter, of how many there are: "39 of 40 subgroups"."""
    entered, given = entry.get("n_groups"), entry.get("n_given")
    of = f" of {count(given)}" if finite(given) and given != entered else ""
    return f"{count(entered)}{of} subgroups"


def outcome_words(trend: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[str, str, str]:
    """What a trend is about: the noun, how rarer groups fare if it falls, and if it rises."""
    label = arm_words(trend["arm"], run)
    if is_loss(trend):
        return f"accuracy loss under {label}", "lose more", "lose less"
    if trend["outcome"].startswith("mem"):
        return f"memorization in {label}", "are memorized more", "are memorized less"
    if trend["outcome"].startswith("exposure"):
        return f"attack exposure in {label}", "are more exposed", "are less exposed"
    return f"{name(trend['outcome'])} in {label}", "have more of it", "have less of it"


def slope_words(trend: Mapping[str, Any], key: str = "slope") -> tuple[str, str]:
    """A slope per doubling and its interval: in points for a loss, as a number for memorization."""
    slope = trend.get(key)
    value = part(slope, "value")
    if is_loss(trend):
        return points(value, SLOPE_DIGITS), span(slope, SLOPE_DIGITS)
    return number(value), interval(part(slope, "low"), part(slope, "high"))


def at_equal_difficulty(trend: Mapping[str, Any]) -> str:
    """What remains of a slope when subgroups of equal difficulty are compared; empty if not fitted.

    Frequency and difficulty are confounded (method §7): a rare subgroup may also be a hard one.
    """
    key = "slope_at_equal_difficulty"
    if part(trend.get(key), "value") is None:
        return ""
    slope, ends = slope_words(trend, key)
    p = p_value(trend.get("p_value_at_equal_difficulty"))
    return f"; among subgroups of equal difficulty {slope}, 95 % interval {ends}, {p}"


def _trend(trend: Mapping[str, Any], run: Mapping[str, Any]) -> Json:
    verdict, groups = trend["verdict"], groups_words(trend)
    noun, if_falling, if_rising = outcome_words(trend, run)
    grouping = name(trend["grouping"])
    slope, ends = slope_words(trend)
    value = part(trend.get("slope"), "value")
    detail = f"slope {slope} per doubling of frequency, 95 % interval {ends}"
    detail += f", {p_value(trend.get('p_value'))}, {groups}{at_equal_difficulty(trend)}"
    kept_back = "slope" in trend.get("withheld", ())
    if kept_back:
        text = _without_numbers(trend, noun, if_falling, if_rising)
    elif value is None:
        text = f"No trend of {noun} could be estimated over “{grouping}” ({groups})."
        verdict = verdict if verdict in _UNDECIDED else "inconclusive"
    elif verdict == "shown":
        text = f"Rare subgroups {if_falling if value < 0 else if_rising} than common ones: {noun}"
        text += f" over “{grouping}”: {detail}."
    elif verdict == "equivalent":
        text = f"No trend of {noun} with frequency beyond the stated margin over “{grouping}”: "
        text += f"{detail}."
    elif verdict == "too_few_groups":
        text = f"Too few groups for a verdict on {noun} over “{grouping}”: {detail}."
    else:
        text = f"Whether rare subgroups {if_falling} than common ones over “{grouping}” could not "
        text += f"be decided ({noun}): {detail}."
    return finding(
        f"trend-{trend['outcome']}-{grouping}",
        f"Does {noun} depend on how common a subgroup is (“{grouping}”)?",
        text,
        verdict,
        trend.get("method") or "random-effects meta-regression, Knapp–Hartung",
        estimate={**(trend.get("slope") or {}), "n": trend.get("n_groups")},
        threshold=0.0,
        inconclusive=verdict in _UNDECIDED,
        needed=needed.for_trend(trend) if verdict in _UNDECIDED else None,
        withheld=kept_back,
    )


def _without_numbers(trend: Mapping[str, Any], noun: str, if_falling: str, if_rising: str) -> str:
    """A trend whose numbers the public profile keeps back: they could be solved for a count."""
    grouping, kept = name(trend["grouping"]), "the numbers are withheld in this profile"
    if trend["verdict"] == "shown":
        way = if_falling if trend["falling"] else if_rising
        return f"Rare subgroups {way} than common ones: {noun} over “{grouping}”; {kept}."
    said = {
        "equivalent": f"No trend of {noun} with frequency beyond the stated margin over",
        "too_few_groups": f"Too few groups for a verdict on {noun} over",
    }.get(trend["verdict"])
    if said is not None:
        return f"{said} “{grouping}”; {kept}."
    return (
        f"Whether rare subgroups {if_falling} than common ones over “{grouping}” could not be "
        f"decided ({noun}); {kept}."
    )


def _disparity(
    entry: Mapping[str, Any], summary: Mapping[str, Any], run: Mapping[str, Any]
) -> Json:
    verdict, grouping = entry["verdict"], name(entry["grouping"])
    label, margin = arm_words(entry["arm"], run), entry.get("equivalence_margin")
    worst = _worst_words(entry)
    kept_back = "worst_subgroup" in entry.get("withheld", ())
    if entry.get("worst_subgroup") is None and not kept_back:
        text = f"Losses by “{grouping}” under {label} could not be compared."
        verdict = verdict if verdict in _UNDECIDED else "inconclusive"
    elif verdict == "shown":
        spread = (
            ""
            if "tau" in entry.get("withheld", ())
            else f" (spread beyond noise {points(entry.get('tau'))}; Cochran Q "
            f"{p_value(entry.get('q_p_value'))})"
        )
        text = f"Subgroups by “{grouping}” do not lose equally under {label}{spread}. {worst}"
    elif verdict == "equivalent":
        text = f"Subgroups by “{grouping}” lose the same under {label} to within {points(margin)}. "
        text += worst
    else:
        few = "too few groups" if verdict == "too_few_groups" else "the data do not decide"
        text = f"Whether subgroups by “{grouping}” lose equally under {label} is open ({few}). "
        text += worst
        if finite(entry.get("smallest_detectable")):
            text += " A subgroup of typical size would have had to lose "
            text += f"{points(entry['smallest_detectable'])} more than the rest to be noticed."
    return finding(
        f"disparity-{entry['arm']}-{grouping}",
        f"Do all subgroups by “{grouping}” lose equally under {label}?",
        text,
        verdict,
        f"{NULL}; {count(entry.get('relabellings'))} random relabellings of the test examples; "
        "excess of each group over the rest (pooled variance, max-t over groups) and Cochran Q; "
        f"two one-sided tests within ±{points(margin)}",
        estimate=entry.get("worst_minus_rest"),
        threshold=margin,
        inconclusive=verdict in _UNDECIDED,
        needed=needed.for_disparity(entry, summary, run) if verdict in _UNDECIDED else None,
        withheld=kept_back,
    )


def _worst_words(entry: Mapping[str, Any]) -> str:
    """The clearest excess, whether it is beyond chance, and the largest loss if that is another's.

    The largest of many losses is often that of a subgroup with very few test examples.
    """
    excess, p = entry.get("worst_minus_rest"), entry.get("worst_p_adjusted")
    alone = finite(p) and p <= _ALPHA  # pyright: ignore[reportOptionalOperand]
    worst, largest = entry.get("worst_subgroup"), entry.get("largest_subgroup")
    gone = entry.get("withheld", ())
    if "worst_subgroup" in gone:
        return "The clearest excess is that of a subgroup that this profile withholds."
    chance = (
        f"its p, corrected for having picked it among {groups_words(entry)}, is withheld"
        if "worst_p_adjusted" in gone
        else f"{p_value(p)} corrected for having picked it among {groups_words(entry)}"
        f"{'' if alone else ': it may be chance'}"
    )
    text = (
        f"The clearest excess: “{name(worst)}” ({_test_examples(entry.get('worst_loss'))}) loses "
        f"{points(part(entry.get('worst_loss'), 'value'))}, {points(part(excess, 'value'))} more "
        f"than the rest ({_interval_words(excess)}; {chance})."
    )
    if "largest_subgroup" in gone:
        return f"{text} The largest loss is that of a subgroup that this profile withholds."
    if largest is None or largest == worst:
        return text
    loss = entry.get("largest_loss")
    return (
        f"{text} The largest loss is that of “{name(largest)}” ({_test_examples(loss)}): "
        f"{points(part(loss, 'value'))} ({_interval_words(loss)})."
    )


def _interval_words(estimate: Mapping[str, Any] | None) -> str:
    ends = span(estimate)
    return ends if ends == NO_INTERVAL else f"95 % interval {ends}"


def _test_examples(estimate: Mapping[str, Any] | None) -> str:
    n = part(estimate, "n")
    return f"{count(n)} test {'example' if n == 1 else 'examples'}"
