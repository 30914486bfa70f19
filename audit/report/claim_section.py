"""The section on the privacy claim and its accounting: what a third party needs to reconvert it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, section, table, text
from audit.report.brought import is_brought
from audit.report.words import (
    Json,
    arm_label,
    count,
    finite,
    general,
    is_swap,
    name,
    number,
    percent,
    private_arms,
)

CURVE_ROWS = 8
# Under `fixed` inclusion ε is on two scales: the claim's (add/remove) and that of a swap.
BETWEEN = ", between in and out"
_FLOOR = 1e-12
_UNKNOWN = "–"

_MOST = "Most memorization e^ε allows any example"
_MOST_CURVE = "Most the whole privacy curve allows"
_FORBIDS = "Examples for which e^ε forbids anything"
_IN_OUT = frozenset({_MOST, _MOST_CURVE, _FORBIDS})


def _source(facts: Json) -> str:
    """Who states a claim that no accountant of this tool computed."""
    if facts.get("accountant"):
        return _UNKNOWN
    return name(facts.get("claimed_by") or "not recorded", 200)


def _known(value: object, digits: int = 3, write: Callable[[Any, int], str] = general) -> str:
    """A number of the mechanism; a claim of (ε, δ) alone has none."""
    return write(value, digits) if finite(value) else _UNKNOWN


# One row: label, and its cell from (run.arms[arm], summary.arms[arm].above_bound).
_ROWS: tuple[tuple[str, Callable[[Json, Json], str]], ...] = (
    ("ε claimed", lambda f, _: general(f.get("epsilon"))),
    ("Where the claim comes from", lambda f, _: _source(f)),
    ("ε achieved by the noise used", lambda f, _: _known(f.get("epsilon_achieved"), 4)),
    ("δ", lambda f, _: general(f.get("delta"), 3)),
    ("δ × number of training examples", lambda f, _: number(f.get("delta_times_n"), 2)),
    ("ε, δ between “in” and “out” in this design", lambda f, _: _in_out(f)),
    ("Accountant", lambda f, _: str(f.get("accountant") or _UNKNOWN)),
    ("Noise multiplier", lambda f, _: _known(f.get("noise_multiplier"), 4)),
    ("Sampling rate per step (Poisson)", lambda f, _: _known(f.get("sample_rate"), 4)),
    ("Steps", lambda f, _: count(f["steps"]) if finite(f.get("steps")) else _UNKNOWN),
    ("Clipping norm", lambda f, _: _known(f.get("clip_norm"))),
    (_MOST, lambda _, a: number(a.get("memorization_cap"))),
    (_MOST_CURVE, lambda _, a: _known(a.get("tradeoff_cap"), 3, number)),
    (_FORBIDS, lambda _, a: percent(a.get("informative_share"))),
)


_NATIVE = (
    "The native parameters (noise multiplier, sampling rate, steps, clipping norm) let a third "
    "party convert the claim with another accountant. ε printed by different accountants is not "
    "comparable."
)
_NOT_NATIVE = (
    "Where only (ε, δ) is stated, nothing here lets a third party compute it again: ask for the "
    "mechanism, its parameters and the accountant. ε printed by different accountants is not "
    "comparable."
)


def claim_section(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Json | None:
    """Claim, native parameters and privacy curve of each private arm; ``None`` without one."""
    arms = private_arms(summary, run)
    if not arms:
        return None
    facts = {arm: run["arms"][arm] for arm in arms}
    above = {arm: summary["arms"][arm].get("above_bound") or {} for arm in arms}
    inclusion = run.get("inclusion") or {}
    between = BETWEEN if is_swap(run) else ""
    rows = [
        [label + (between if label in _IN_OUT else ""), *cells]
        for label, cell in _ROWS
        if set(cells := [cell(facts[a], above[a]) for a in arms]) != {_UNKNOWN}
    ]
    rows.append(["Neighbouring relation", *(_relation(facts[a], inclusion) for a in arms)])
    rows.append(["How it was tuned", *(str(facts[a].get("tuning", "not recorded")) for a in arms)])
    columns = [("Quantity", TEXT), *((arm_label(a, run), NUMBER) for a in arms)]
    native = all(finite(facts[a].get("noise_multiplier")) for a in arms)
    note = _NATIVE if native else _NOT_NATIVE
    blocks = [
        text(
            "A claim of (ε, δ) limits how much any one training example can change the odds of any "
            "outcome of training: by a factor of e^ε at most, apart from a slack of δ. It belongs "
            "to the training procedure. It covers neither what was fitted on the data beforehand "
            "nor the choice of settings by looking at results.",
            ("As stated by whoever brought the outputs: " if is_brought(run) else "")
            + _design_words(inclusion, facts.values()),
        ),
        table("Claim and accounting", columns, rows, note),
    ]
    blocks += [curve for a in arms if (curve := _curve(facts[a], arm_label(a, run), is_swap(run)))]
    return section("claim", "The privacy claim and its accounting", blocks)


def _in_out(facts: Mapping[str, Any]) -> str:
    return f"{general(facts.get('in_out_epsilon'))}, {general(facts.get('in_out_delta'), 3)}"


_RELATIONS = {"add_remove": "add/remove one example", "replace_one": "replace one example"}


def _relation(facts: Mapping[str, Any], inclusion: Mapping[str, Any]) -> str:
    """What the arm's claim is about; of older runs, what the inclusion design exchanges."""
    own = _RELATIONS.get(str(facts.get("adjacency")))
    return own or str(inclusion.get("adjacency", "not recorded"))


def _design_words(inclusion: Mapping[str, Any], claims: Iterable[Mapping[str, Any]]) -> str:
    about = {facts.get("adjacency", "add_remove") for facts in claims}
    if inclusion.get("design") == "poisson":
        return (
            f"Each example is in each model's training subset independently with probability "
            f"{general(inclusion.get('p'))}, so “in” and “out” are neighbours that differ by "
            "adding or removing one example: the relation the claim speaks about."
        )
    if inclusion.get("design") == "fixed" and about == {"replace_one"}:
        return (
            "All subsets have the same size, so “in” against “out” exchanges one example for "
            "another: the relation the claim speaks about. It says nothing about adding or "
            "removing an example, that is, about who took part at all."
        )
    if inclusion.get("design") == "fixed":
        return (
            "All subsets have the same size, so “in” against “out” exchanges one example for "
            "another: the claim then gives only (2ε, (1 + e^ε)δ), and that is what is tested. An ε "
            "marked “between in and out” is on this doubled scale, not on that of the claim."
        )
    return ""


def _curve(facts: Mapping[str, Any], label: str, swap: bool) -> Json | None:
    curve = facts.get("privacy_curve") or {}
    pairs = [
        (e, d)
        for e, d in zip(curve.get("epsilon") or [], curve.get("delta") or [], strict=True)
        if finite(e) and finite(d)
    ]
    if not pairs:
        return None
    # Far out the curve is flat at the accountant's numerical floor and says nothing.
    telling = [pair for pair in pairs if pair[1] > _FLOOR] or pairs[:1]
    shown = telling[:: -(-len(telling) // CURVE_ROWS)]
    # The curve is that of "in" against "out", like what is tested.
    target = facts["in_out_epsilon"] if swap else facts["epsilon"]
    nearest = min(pairs, key=lambda pair: abs(pair[0] - target))
    rows = [[general(e, 4), general(d, 3)] for e, d in sorted({*shown, nearest})]
    return table(
        f"Privacy curve, {label}: δ that belongs to each ε{BETWEEN if swap else ''}",
        [("ε", TEXT), ("δ", NUMBER)],
        rows,
        f"{count(len(rows))} of {count(len(pairs))} points of the curve, from the accountant; all "
        "are in run.json. The trade-off bound uses all of them.",
    )
