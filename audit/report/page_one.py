"""Page one: what was claimed, tested and found, for a reader who has never heard of ε.

Every number is taken from the findings, the summary or the run; nothing is estimated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from audit.report.brought import ANSWERS_ALONE, is_brought, not_verified
from audit.report.check_findings import is_learner, is_reference
from audit.report.disclosure.words import REVEALS_PUBLIC
from audit.report.epsilon_findings import CANARIES, canary_entry
from audit.report.exposure_section import attacked, not_attacked
from audit.report.findings import CLAIM
from audit.report.page_one_arms import (
    arms_table,
    losses_table,
)
from audit.report.page_one_claims import claimed, claimed_in_common
from audit.report.page_one_losses import no_loss, who_loses
from audit.report.verdicts import label
from audit.report.words import (
    Json,
    arm_words,
    count,
    counted,
    has_test,
    joined,
    name,
    part,
    percent,
    private_arms,
    probability,
)

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
        "claimed": claimed_in_common(run, private) if several else claimed(run, summary),
        "tested": _tested(run, summary, several),
        "arms": arms_table(run, summary, found) if several else None,
        "cards": [{**f, "label": label(f)} for f in cards],
        "losses": losses_table(run, summary, found, main, private) if several else None,
        "who_loses": [] if several else who_loses(run, summary, found, main),
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
    items += no_loss(run, summary, main)
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
