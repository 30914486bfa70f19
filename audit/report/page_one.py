"""Page one: what was claimed, tested and found, for a reader who has never heard of ε.

Every number is taken from the findings, the summary or the run; nothing is estimated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from audit.report.brought import ANSWERS_ALONE, AS_STATED, is_brought, not_verified
from audit.report.check_findings import is_learner, is_reference
from audit.report.disclosure.words import REVEALS_PUBLIC
from audit.report.epsilon_findings import CANARIES, canary_entry
from audit.report.exposure_section import attacked, not_attacked
from audit.report.findings import CLAIM
from audit.report.page_one_arms import (
    SELDOM,
    arms_table,
    factor,
    losses_table,
    most_after,
    share,
)
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

    Of several private arms there are tables of what each claims and does, and of what it costs
    (``arms``, ``losses``; None of a single one) in the place of paragraphs and cards that repeat
    each other.

    ``main``: the main grouping; the subgroup findings of others stay on the later pages.
    ``unstated``: how much of what only people can say nobody said. ``shows_records``: whether there
    are galleries of single training examples. ``public``: for the public profile.
    """
    private = private_arms(summary, run)
    several = len(private) > 1
    own = tuple(kind for kind in _CARDS if not several or kind not in (CLAIM, CANARIES))
    cards = [f for f in found if f["id"].startswith(own) or f["fails"]]
    return {
        "headline": _headline(run, summary, found),
        "claimed": _claims(run, private) if several else _claimed(run, summary),
        "tested": _tested(run, summary, several),
        "arms": arms_table(run, summary, found) if several else None,
        "cards": [{**f, "label": label(f)} for f in cards],
        "losses": losses_table(run, summary, found, main, private) if several else None,
        "who_loses": [] if several else _who_loses(run, summary, found, main),
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


_Line = Literal["canaries", "violates", "mechanism", "consistent", "could_not_tell"]


def _line(arm: str, found: Sequence[Json]) -> _Line:
    """Which line of the headline an arm belongs to: the gravest that was found of it."""
    by_id = {f["id"]: f for f in found}
    claim = by_id[f"{CLAIM}{arm}"]
    if (by_id.get(f"{CANARIES}{arm}") or {}).get("fails"):
        # Whatever single examples show: planted canaries have refuted it.
        return "canaries"
    if claim["verdict"] == "could_not_tell" and claim["fails"]:
        # The ε was not refuted, but the mechanism that it was computed from was.
        return "mechanism"
    return claim["verdict"]


def _line_words(
    line: _Line, arms: list[str], run: Mapping[str, Any], summary: Mapping[str, Any]
) -> str:
    several, subjects = len(arms) > 1, joined([arm_words(arm, run) for arm in arms])
    claims, are, have = (
        (f"privacy claims of {subjects}", "are", "have lost their ground")
        if several
        else (f"privacy claim of {subjects}", "is", "has lost its ground")
    )
    if line == "consistent":
        powers = [probability((summary["arms"][a].get("test") or {}).get("power")) for a in arms]
        same = len(set(powers)) == 1
        found = f"with {joined(powers[:1] if same else powers)} probability"
        respectively = "" if same else ", respectively"
        return (
            f"No violation of the {claims} was found, by "
            f"{'tests that find' if several else 'a test that finds'} an example memorized "
            f"outright {found}{respectively}."
        )
    return {
        "canaries": f"The {claims} {are} violated: planted canaries refute "
                    f"{'them' if several else 'it'}.",
        "violates": f"The {claims} {are} violated.",
        "mechanism": f"The {claims} {have}: what was measured contradicts the noise "
                     f"{'they were' if several else 'it was'} computed from.",
        "could_not_tell": f"The test could not tell whether the {claims} "
                          f"{'hold' if several else 'holds'}.",
    }[line]  # fmt: skip


def _headline(
    run: Mapping[str, Any], summary: Mapping[str, Any], found: Sequence[Json]
) -> list[str]:
    by_line: dict[_Line, list[str]] = {}
    for arm in private_arms(summary, run):
        by_line.setdefault(_line(arm, found), []).append(arm)
    lines = [_line_words(line, arms, run, summary) for line, arms in by_line.items()]
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
        most = most_after(epsilon, delta)
        limits = ", not more" if most < _MUCH else ": so large an ε limits single examples little"
        said.append(
            f"For {arm_words(arm, run)}: {_exchange(facts)} changes the chance of any outcome by a "
            f"factor of {factor(epsilon)} at most (ε = {general(epsilon)}, read: epsilon), "
            f"{_slack(delta)}. For instance, an example "
            f"that models get right in {percent(SELDOM, 0)} of cases without having seen it, they "
            f"may get right in {share(most)} of cases after having seen it{limits}. The smaller "
            f"ε, the stricter the claim. The claim is about the way of training."
            f"{AS_STATED if is_brought(run) else _claimant(facts)}"
        )
    return said or [_nothing_claimed(run)]


def _exchange(facts: Mapping[str, Any]) -> str:
    if facts.get("adjacency") == "replace_one":
        return "exchanging any single training example for another"
    return "taking any single example into the training data, or leaving it out,"


def _claims(run: Mapping[str, Any], arms: list[str]) -> list[str]:
    """What several arms claim in common; their numbers are in the table."""
    facts = [run["arms"][arm] for arm in arms]
    ways = " or ".join(dict.fromkeys(_exchange(each) for each in facts))
    claimants = set(filter(None, map(_claimant, facts)))
    return [
        f"For each of {len(arms)} private ways of training: {ways} changes the chance of any "
        f"outcome by a factor of e^ε at most (ε, read: epsilon), {_slacks(facts)}. The smaller ε, "
        "the stricter the claim. The claims are about the way of training."
        + ("".join(sorted(claimants)) if not is_brought(run) else AS_STATED)
    ]


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


def _slacks(facts: list[Mapping[str, Any]]) -> str:
    """The slack of several claims; the smallest and the largest where they differ."""
    deltas = [each["delta"] for each in facts]
    if min(deltas) == max(deltas):
        return _slack(deltas[0])
    ends = f"{percent(min(deltas), 3)} to {percent(max(deltas), 3)}"
    return f"apart from a slack of {ends} (δ, read: delta)"


def _claimant(facts: Mapping[str, Any]) -> str:
    """Who makes a claim that no accountant of this tool computed."""
    if facts.get("accountant") or not facts.get("claimed_by"):
        return ""
    return f" It is {name(facts['claimed_by'], 200)}."


def _tested(run: Mapping[str, Any], summary: Mapping[str, Any], in_table: bool) -> list[str]:
    data, inclusion = run["data"], run.get("inclusion") or {}
    arms = list(summary["arms"])
    ways = joined([arm_words(a, run) for a in arms])
    named = "" if in_table else f" ({ways})"
    how = f"in each of {len(arms)} ways{named}" if len(arms) > 1 else f"by {ways}"
    models = counted(summary.get("models"), "model")
    trained = f"We trained {models} {how}"
    if is_brought(run):
        were = "was" if summary.get("models") == 1 else "were"
        trained = f"{models} {were} trained elsewhere {how}"
    how_tested = [
        f"{trained}, each on a random part (about {percent(inclusion.get('p'), 0)}) of the "
        f"{count(data['n'])} training examples of “{name(data['name'])}”. We asked of each example "
        "whether models that saw it treat it differently from models that did not. An example is "
        "memorized if models get it right only because they have seen it."
        + (f" {ANSWERS_ALONE}" if is_brought(run) else "")
    ]
    if in_table:
        tried = attacked(summary)
        on = "each" if len(tried) == len(arms) else joined([arm_words(a, run) for a in tried])
        explained = [f"{_ATTACKER}, was tried on {on}."] if tried else []
        return [*how_tested, *explained]
    shares, correct = (
        joined([
            f"{arm_words(a, run)} {percent(part(result.get(key), 'value'))}"
            for a, result in summary["arms"].items()
        ])
        for key in ("mem_share_above_0.25", "accuracy_test")
    )  # fmt: skip
    return [
        *how_tested,
        f"Share of training examples memorized by 0.25 or more: {shares}."
        + (
            f" Right answers on {count(data['n_test'])} new examples: {correct}."
            if has_test(run)
            else ""
        ),
        *_attacks(run, summary),
    ]


_ATTACKER = (
    "An attacker who guesses whether an example was in the training data, with models of his own "
    "to compare"
)


def _attacks(run: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    """How often the default attack is right, arm by arm."""
    right = {a: part(e.get("balanced_accuracy"), "value") for a, e in attacked(summary).items()}
    said = [f"{arm_words(a, run)} {percent(v)}" for a, v in right.items() if v is not None]
    if not said:
        return []
    return [f"{_ATTACKER}, is right in this share of cases (a coin: 50 %): {joined(said)}."]


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
        "Near-copies: of an example that occurs twice, or of a person with two rows, a claim of ε "
        "says only 2 ε, and with a much larger δ. Whether a row is a person is not known here.",
    ]
    return items
