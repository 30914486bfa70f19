"""Page one: what was claimed, tested and found, for a reader who has never heard of ε.

Every number is taken from the findings, the summary or the run; nothing is estimated here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from audit.report.brought import ANSWERS_ALONE, AS_STATED, is_brought, not_verified
from audit.report.check_findings import is_learner, is_reference
from audit.report.disclosure.words import REVEALS_PUBLIC
from audit.report.epsilon_findings import CANARIES, canary_entry
from audit.report.exposure_section import attacked, not_attacked
from audit.report.findings import CLAIM
from audit.report.subgroup_findings import SLOPE_DIGITS, groups_words
from audit.report.verdicts import label, with_needed
from audit.report.words import (
    Json,
    arm_words,
    count,
    counted,
    finite,
    general,
    has_loss,
    has_test,
    joined,
    name,
    no_loss_because,
    part,
    percent,
    points,
    private_arms,
    probability,
    span,
)

# How often models that never saw an example get it right, in the worked example of a claim.
_SELDOM = 0.01
# From here on a limit on the share of right answers is hardly one.
_MUCH = 0.9
# Findings with a card of their own on page one, by the beginning of their id; a failed one has too.
_CARDS = (CLAIM, CANARIES, "forbidden-")


def page_one(
    run: Mapping[str, Any],
    summary: Mapping[str, Any],
    found: Sequence[Json],
    main: str | None,
    unstated: str,
    *,
    shows_records: bool = False,
    public: bool = False,
) -> Json:
    """Headline, plain answers, verdict cards, and what the report does not cover.

    ``main``: the main grouping; the subgroup findings of others stay on the later pages.
    ``unstated``: how much of what only people can say nobody said. ``shows_records``: whether there
    are galleries of single training examples. ``public``: for the public profile.
    """
    cards = [f for f in found if f["id"].startswith(_CARDS) or f["fails"]]
    return {
        "headline": _headline(run, summary, found),
        "claimed": _claimed(run, summary),
        "tested": _tested(run, summary),
        "cards": [{**f, "label": label(f)} for f in cards],
        "who_loses": _who_loses(run, summary, found, main),
        "not_covered": [*_not_covered(run, summary, main), unstated],
        "reveals": f"{_REVEALS} {_what_it_shows(shows_records, public)}",
    }


_REVEALS = (
    "This report was computed from the training data without privacy protection: its memorization "
    "scores say something about single training examples."
)


def _what_it_shows(records: bool, public: bool) -> str:
    if public:
        return REVEALS_PUBLIC
    shown = (
        "It shows training records themselves, as images or rows, with what models memorized of "
        "them."
        if records
        else "It shows no training record, but examples are named by number."
    )
    return f"{shown} Treat it as internal."


def _headline(
    run: Mapping[str, Any], summary: Mapping[str, Any], found: Sequence[Json]
) -> list[str]:
    claims = {f["id"]: f for f in found if f["id"].startswith(CLAIM)}
    lines = []
    for arm in private_arms(summary, run):
        subject = arm_words(arm, run)
        power = probability((summary["arms"][arm].get("test") or {}).get("power"))
        claim = claims[f"{CLAIM}{arm}"]
        if any(f["fails"] for f in found if f["id"] == f"{CANARIES}{arm}"):
            # Whatever single examples show: planted canaries have refuted it.
            lines.append(f"The privacy claim of {subject} is violated: planted canaries refute it.")
            continue
        undecided = (
            # The ε was not refuted, but the mechanism that it was computed from was.
            f"The privacy claim of {subject} has lost its ground: what was measured contradicts "
            "the noise it was computed from."
            if claim["fails"]
            else f"The test could not tell whether the privacy claim of {subject} holds."
        )
        lines.append({
            "violates": f"The privacy claim of {subject} is violated.",
            "consistent": f"No violation of the privacy claim of {subject} was found, by a test "
                          f"that finds an example memorized outright with {power} probability.",
            "could_not_tell": undecided,
        }[claim["verdict"]])  # fmt: skip
    if not lines:
        lines.append(
            "No arm of this run makes a privacy claim; the report shows what training memorizes, "
            "and what privacy would have forbidden it."
        )
    broken = [f for f in found if f["fails"] and not f["id"].startswith((CLAIM, CANARIES))]
    if broken:
        lines.append(
            f"{len(broken)} {'check' if len(broken) == 1 else 'checks'} of this run failed; read "
            "their cards before any number."
        )
    return lines


def _claimed(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    said = []
    for arm in private_arms(summary, run):
        facts = run["arms"][arm]
        epsilon, delta = facts["epsilon"], facts["delta"]
        most = min(
            math.exp(epsilon) * _SELDOM + delta,
            1 - math.exp(-epsilon) * (1 - delta - _SELDOM),
        )
        limits = ", not more" if most < _MUCH else ": so large an ε limits single examples little"
        exchange = (
            "exchanging any single training example for another"
            if facts.get("adjacency") == "replace_one"
            else "taking any single example into the training data, or leaving it out,"
        )
        said.append(
            f"For {arm_words(arm, run)}: {exchange} changes the chance of any outcome by a factor "
            f"of {_factor(math.exp(epsilon))} at most (ε = {general(epsilon)}, read: epsilon), "
            f"{_slack(delta)}. For instance, an example "
            f"that models get right in {percent(_SELDOM, 0)} of cases without having seen it, they "
            f"may get right in {_share(most)} of cases after having seen it{limits}. The smaller "
            f"ε, the stricter the claim. The claim is about the way of training."
            f"{AS_STATED if is_brought(run) else _claimant(facts)}"
        )
    return said or [_nothing_claimed(run)]


def _nothing_claimed(run: Mapping[str, Any]) -> str:
    asked = run.get("judged_by") or {}
    text = "No arm of this run makes a privacy claim."
    if run.get("no_private_arm"):
        text += f" Why: {name(run['no_private_arm'], 600)}."
    if not finite(asked.get("epsilon")):
        return text
    return (
        f"{text} What was measured is held against ε = {general(asked['epsilon'])} all the same: "
        "what a claim of that size would have forbidden."
    )


def _slack(delta: float) -> str:
    if delta == 0:
        return "without any slack (δ = 0)"
    return f"apart from a slack of {percent(delta, 3)} (δ, read: delta)"


def _claimant(facts: Mapping[str, Any]) -> str:
    """Who makes a claim that no accountant of this tool computed."""
    if facts.get("accountant") or not facts.get("claimed_by"):
        return ""
    return f" It is {name(facts['claimed_by'], 200)}."


def _factor(x: float) -> str:
    return general(x) if x < 100 else count(round(x))


def _share(x: float) -> str:
    return percent(x) if x < 0.9995 else "over 99.9 %"


def _tested(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    data, inclusion = run["data"], run.get("inclusion") or {}
    arms = list(summary["arms"])
    ways = joined([arm_words(a, run) for a in arms])
    how = f"in each of {len(arms)} ways ({ways})" if len(arms) > 1 else f"by {ways}"
    models = counted(summary.get("models"), "model")
    trained = f"We trained {models} {how}"
    if is_brought(run):
        were = "was" if summary.get("models") == 1 else "were"
        trained = f"{models} {were} trained elsewhere {how}"
    shares, correct = (
        joined([
            f"{arm_words(a, run)} {percent(part(result.get(key), 'value'))}"
            for a, result in summary["arms"].items()
        ])
        for key in ("mem_share_above_0.25", "accuracy_test")
    )  # fmt: skip
    return [
        f"{trained}, each on a random part (about {percent(inclusion.get('p'), 0)}) of the "
        f"{count(data['n'])} training examples of “{name(data['name'])}”. We asked of each example "
        "whether models that saw it treat it differently from models that did not. An example is "
        "memorized if models get it right only because they have seen it."
        + (f" {ANSWERS_ALONE}" if is_brought(run) else ""),
        f"Share of training examples memorized by 0.25 or more: {shares}."
        + (
            f" Right answers on {count(data['n_test'])} new examples: {correct}."
            if has_test(run)
            else ""
        ),
        *_attacks(run, summary),
    ]


def _attacks(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """How often the default attack is right, arm by arm."""
    right = {a: part(e.get("balanced_accuracy"), "value") for a, e in attacked(summary).items()}
    said = [f"{arm_words(a, run)} {percent(v)}" for a, v in right.items() if v is not None]
    if not said:
        return []
    return [
        "An attacker who guesses whether an example was in the training data, with models of his "
        f"own to compare, is right in this share of cases (a coin: 50 %): {joined(said)}."
    ]


def _who_loses(
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


def _no_loss(run: Mapping[str, Any], summary: Mapping[str, Any], main: str | None) -> list[str]:
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


def _looked_at(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    with_canaries = [canary_entry(summary["arms"][arm]) for arm in private_arms(summary, run)]
    if any(entry and entry["on"].startswith("gradient") for entry in with_canaries):
        return (
            "The steps of private training were looked at along the canaries' directions; "
            "otherwise only the finished models' answers were tested."
        )
    return "Only the finished models' answers were tested, not the steps of training."


def _not_covered(run: Mapping[str, Any], summary: Mapping[str, Any], main: str | None) -> list[str]:
    data = run["data"]
    items = [
        "That a test finds nothing is not a proof: another example, attack, data set or model "
        "could show more. " + _looked_at(run, summary),
    ]
    if missing := not_attacked(summary):
        items.append(missing)
    if not (run.get("canaries") or {}).get("count"):
        items.append("Planted examples (canaries) that an attack looks for: none in this run.")
    fitted = [name(x) for x in data.get("fitted_on_train") or []]
    fitted += [f"the grouping “{name(g['name'])}”" for g in data.get("groupings") or []
               if g.get("uses_training_data")]  # fmt: skip
    if is_brought(run):
        items.append(not_verified(run, summary))
        fitted.append("whatever was fitted before training (scaling, features), unknown here")
    if fitted:
        items.append(f"Computed from the training data outside every claim: {joined(fitted)}.")
    items.append(
        "The choice of settings by looking at results, the models of standard training, and this "
        "report itself are outside every claim."
    )
    items += _no_loss(run, summary, main)
    learners = [arm_words(arm, run) for arm in summary["arms"] if is_learner(arm, run)]
    if learners:
        items.append(
            f"How the models of {joined(learners)} train: their learners train themselves, and "
            "this tool looked at their answers alone."
        )
    unchecked = [
        arm
        for arm in summary["arms"]
        if arm not in (run.get("cross_check") or {}) and not is_reference(arm, run)
    ]
    if unchecked:
        named = joined([arm_words(arm, run) for arm in unchecked])
        items.append(f"The training code was not checked against the reference loop for {named}.")
    items += [
        "Near-copies: an example that occurs several times, or people with several rows, are "
        "covered only by that many times ε. Whether a row is a person is not known here.",
    ]
    return items
