"""Page one's words for who loses accuracy, and for why that was not estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.subgroup_findings import SLOPE_DIGITS, groups_words
from audit.report.verdicts import label, with_needed
from audit.report.words import (
    Json,
    arm_words,
    has_loss,
    has_test,
    name,
    no_loss_because,
    part,
    points,
    private_arms,
    span,
)


def who_loses(
    run: Mapping[str, Any], summary: Mapping[str, Any], found: Sequence[Json], main: str | None
) -> list[Json]:
    """Sentences with the verdict each rests on: overall, by frequency, the clearest excess."""
    by_id = {f["id"]: f for f in found}
    said = []
    for arm in private_arms(summary, run):
        overall = by_id.get(f"loss-{arm}")
        if overall is None:
            continue
        said.append({"label": label(overall), "words": with_needed(overall)})
        for trend in summary.get("trends") or []:
            if trend["grouping"] == main and trend["outcome"] == f"loss_{arm}":
                verdict = label(by_id[f"trend-loss_{arm}-{name(main)}"])
                said.append({"label": verdict, "words": _trend_words(trend, arm_words(arm, run))})
        equal = by_id.get(f"disparity-{arm}-{name(main)}")
        if equal:
            said.append({"label": label(equal), "words": with_needed(equal)})
    return said


def _trend_words(trend: Mapping[str, Any], subject: str) -> str:
    slope = trend.get("slope")
    value, low, high = (part(slope, k) for k in ("value", "low", "high"))
    groups = f"{groups_words(trend)} by “{name(trend['grouping'])}”"
    if "slope" in trend.get("withheld", ()):
        return _trend_without_numbers(trend, subject, groups)
    if value is None:
        return (
            f"Whether rare subgroups lose more under {subject} could not be estimated ({groups})."
        )
    size = (
        f"each time a subgroup is half as common, the loss changes by "
        f"{points(-value, SLOPE_DIGITS)} on average (95 % interval "
        f"{span({'low': _negated(high), 'high': _negated(low)}, SLOPE_DIGITS)})"
    )
    size += _difficulty_words(trend)
    if trend["verdict"] == "shown":
        more = "more" if value < 0 else "less"
        return f"Among {groups}, rare ones lose {more} than common ones under {subject}: {size}."
    if trend["verdict"] == "equivalent":
        return f"Among {groups}, rare and common ones lose about the same under {subject}: {size}."
    return (
        f"Whether rare subgroups lose more than common ones under {subject} is open ({groups}): "
        f"{size}."
    )


def _trend_without_numbers(trend: Mapping[str, Any], subject: str, groups: str) -> str:
    kept = "the numbers are withheld in this profile"
    if trend["verdict"] == "shown":
        more = "more" if trend["falling"] else "less"
        return f"Among {groups}, rare ones lose {more} than common ones under {subject}; {kept}."
    if trend["verdict"] == "equivalent":
        return f"Among {groups}, rare and common ones lose about the same under {subject}; {kept}."
    return (
        f"Whether rare subgroups lose more than common ones under {subject} is open ({groups}); "
        f"{kept}."
    )


def _difficulty_words(trend: Mapping[str, Any]) -> str:
    """Whether the trend could be one of difficulty: rare subgroups are often hard ones too."""
    slope = trend.get("slope_at_equal_difficulty")
    value, low, high = (part(slope, k) for k in ("value", "low", "high"))
    if value is None:
        return ""
    ends = span({"low": _negated(high), "high": _negated(low)}, SLOPE_DIGITS)
    size = points(-value, SLOPE_DIGITS)
    return f". Among subgroups that are equally hard it changes by {size} ({ends})"


def _negated(x: float | None) -> float | None:
    return None if x is None else -x


def no_loss(run: Mapping[str, Any], summary: Mapping[str, Any], main: str | None) -> list[str]:
    """Why what privacy costs was not estimated; empty where it was."""
    said = []
    if not has_loss(summary, run):
        missing = no_loss_because(summary, run)
        said.append(f"What privacy costs in accuracy: not estimated (there are {missing}).")
    if not has_test(run):
        said.append(
            "Test accuracy and influence on test examples: not estimated (no test outputs)."
        )
    if main is None:
        grouped = (run.get("data") or {}).get("groupings")
        why = (
            "nothing is shown by subgroup: every one is withheld in this profile."
            if grouped
            else "nothing was estimated by subgroup, because no groups were given."
        )
        said.append(f"Subgroups: {why}")
    return said
