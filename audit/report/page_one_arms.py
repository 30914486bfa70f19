"""Page one of a run with several private arms: what each claims and costs, a row per arm. PURE.

Paragraphs that differ in two numbers each are read by nobody; side by side they answer what a run
of several ε is made for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.blocks import NUMBER, TEXT, table
from audit.report.epsilon_findings import CANARIES, canary_entry
from audit.report.exposure_section import attacked
from audit.report.findings import CLAIM
from audit.report.subgroup_findings import SLOPE_DIGITS
from audit.report.subgroup_tables import SMALL
from audit.report.verdicts import label
from audit.report.words import (
    Json,
    arm_label,
    at_least,
    count,
    estimate,
    finite,
    general,
    has_test,
    name,
    part,
    percent,
    probability,
)

SELDOM = 0.01
"""How often models that never saw an example get it right, in the worked example of a claim."""
_NONE = "–"


def most_after(epsilon: float, delta: float) -> float:
    """How often they may get it right at most after having seen it, under (ε, δ)."""
    return min(
        math.exp(epsilon) * SELDOM + delta,
        1 - math.exp(-epsilon) * (1 - delta - SELDOM),
    )


def factor(epsilon: float) -> str:
    """e^ε as it is written: "7.39", "2,981"."""
    x = math.exp(epsilon)
    return general(x) if x < 100 else count(round(x))


def share(x: float) -> str:
    """A share of right answers that a claim leaves room for."""
    return percent(x) if x < 0.9995 else "over 99.9 %"


def arms_table(run: Mapping[str, Any], summary: Mapping[str, Any], found: Sequence[Json]) -> Json:
    """What each arm claims, in numbers, the verdicts on it, and what was measured of it."""
    by_id = {f["id"]: f for f in found}
    exposed, tested = attacked(summary), has_test(run)
    rows = []
    for arm, result in summary["arms"].items():
        row = [arm_label(arm, run), *_claim(run["arms"][arm], by_id, arm, result)]
        row.append(_percent(result.get("mem_share_above_0.25")))
        if exposed:
            row.append(_percent(exposed.get(arm, {}).get("balanced_accuracy")))
        if tested:
            row.append(_percent(result.get("accuracy_test")))
        rows.append(row)
    seldom = percent(SELDOM, 0)
    columns = [
        ("Way of training", TEXT), ("Factor at most (e^ε)", NUMBER),
        (f"From {seldom} right to at most", NUMBER),
        ("Claim, on single examples", TEXT), ("Claim, on planted canaries", TEXT),
        ("Memorized by 0.25 or more", NUMBER),
        *([("Attacker right (a coin: 50 %)", NUMBER)] if exposed else []),
        *([(f"Right on {count(run['data']['n_test'])} new examples", NUMBER)] if tested else []),
    ]  # fmt: skip
    return table(
        "What each way of training claims, whether a test contradicts it, and what was measured",
        columns,
        rows,
        f"From {seldom} right, of models that never saw an example, to at most so many of those "
        "that saw it. In brackets: how probably an example memorized outright would have been "
        "found, and the least ε that the canaries show. That a test finds nothing is not a proof.",
    )


def _claim(
    facts: Mapping[str, Any], by_id: Mapping[str, Json], arm: str, result: Mapping[str, Any]
) -> list[str]:
    """The cells of a claim; dashes for an arm that makes none."""
    claim = by_id.get(f"{CLAIM}{arm}")
    if claim is None:
        return [_NONE] * 4
    epsilon, delta = facts["epsilon"], facts["delta"]
    return [
        factor(epsilon),
        share(most_after(epsilon, delta)),
        _with_power(claim, result),
        _on_canaries(by_id.get(f"{CANARIES}{arm}"), canary_entry(result)),
    ]


def _with_power(claim: Json, facts: Mapping[str, Any]) -> str:
    if claim["fails"]:
        return _said(claim)
    return f"{_said(claim)} ({probability(part(facts.get('test'), 'power'))})"


def _on_canaries(found: Json | None, entry: Mapping[str, Any] | None) -> str:
    if found is None:
        return _NONE
    certified, copies = found["value"], (entry or {}).get("copies") or 1
    if not finite(certified) or certified <= 0:
        return _said(found)
    # Of an example planted several times, (ε, δ) is another than that of a single one.
    of = f" of {count(copies)} copies" if copies > 1 else ""
    return f"{_said(found)} (ε ≥ {at_least(certified)}{of})"


def _percent(e: Mapping[str, Any] | None) -> str:
    value = part(e, "value")
    return _NONE if value is None else percent(value)


def losses_table(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    found: Sequence[Json],
    main: str | None,
    arms: list[str],
) -> Json | None:
    """What each arm costs: overall, for rare subgroups, and for the one with the clearest excess.

    None where no loss was estimated. ``main``: the grouping that is looked at.
    """
    by_id = {f["id"]: f for f in found}
    measured = [arm for arm in arms if f"loss-{arm}" in by_id]
    if not measured:
        return None
    columns = [("Way of training", TEXT), ("Accuracy loss, overall", TEXT)]
    grouped = main is not None
    if grouped:
        columns += [("Loss of rare subgroups", TEXT), ("Subgroups lose unequally", TEXT)]
    rows = []
    for arm in measured:
        overall = by_id[f"loss-{arm}"]
        row = [arm_label(arm, run), f"{_said(overall)}: {_in_points(overall)}"]
        if main is not None:
            trends = {t["outcome"]: t for t in summary.get("trends") or [] if t["grouping"] == main}
            equal = {d["arm"]: d for d in summary.get("disparity") or [] if d["grouping"] == main}
            row += [
                _rare(by_id, trends.get(f"loss_{arm}"), main),
                _unequal(by_id, equal.get(arm), main),
            ]
        rows.append(row)
    return table(f"Who loses? {_UNIT}", columns, rows, _note(main))


_UNIT = "Points of test accuracy against standard training, with 95 % intervals"


def _note(main: str | None) -> str:
    if main is None:
        return ""
    return (
        f"Subgroups by “{name(main)}”. Rare: by how much the loss grows each time a subgroup is "
        "half as common, and among subgroups that are equally hard. Unequally: the clearest excess "
        f"over the rest (n: test examples, † under {SMALL}); the verdict allows for its having "
        "been picked, the interval does not."
    )


def _in_points(e: Mapping[str, Any] | None, digits: int = 1) -> str:
    """An estimate in points without the word, which the caption says: "5.8 (4.4 to 7.2)"."""
    scaled = {k: None if part(e, k) is None else 100 * part(e, k) for k in ("value", "low", "high")}
    return estimate({**scaled, "n": part(e, "n")}, "number", digits)


def _rare(by_id: Mapping[str, Json], trend: Mapping[str, Any] | None, main: str) -> str:
    if trend is None:
        return _NONE
    verdict = by_id[f"trend-{trend['outcome']}-{name(main)}"]
    said = _said(verdict)
    numbers_gone = "slope" in trend.get("withheld", ())
    slope = None if numbers_gone else part(trend.get("slope"), "value")
    if trend["verdict"] == "shown":
        falling = trend["falling"] if numbers_gone else slope is not None and slope < 0
        said += ", they lose more" if falling else ", they lose less"
    if numbers_gone:
        return f"{said} (numbers withheld)"
    if slope is None:
        return said
    equal = trend.get("slope_at_equal_difficulty")
    if part(equal, "value") is None:
        return f"{said}: {_halved(trend.get('slope'))}"
    return f"{said}: {_halved(trend.get('slope'))}; equally hard: {_halved(equal)}"


def _halved(slope: Mapping[str, Any] | None) -> str:
    """A slope per doubling of frequency, told per halving."""
    value, low, high = (part(slope, k) for k in ("value", "low", "high"))
    turned = {"value": -value, "low": _negated(high), "high": _negated(low)}
    return _in_points(turned, SLOPE_DIGITS)


def _negated(x: float | None) -> float | None:
    return None if x is None else -x


def _unequal(by_id: Mapping[str, Json], entry: Mapping[str, Any] | None, main: str) -> str:
    if entry is None:
        return _NONE
    said = _said(by_id[f"disparity-{entry['arm']}-{name(main)}"])
    if "worst_subgroup" in entry.get("withheld", ()):
        return f"{said}: a subgroup that this profile withholds"
    if entry.get("worst_subgroup") is None:
        return said
    excess = _in_points(entry.get("worst_minus_rest"))
    n = part(entry.get("worst_loss"), "n")
    few = f", n = {count(n)}{' †' if n < SMALL else ''}" if n is not None else ""
    return f"{said}: “{name(entry['worst_subgroup'])}” by {excess}{few}"


def _said(found: Json) -> str:
    shown = label(found)
    return f"{shown['sign']} {shown['words']}"
