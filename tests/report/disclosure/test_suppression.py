"""What is withheld, on tables made by hand and against every table that fits (naive oracle)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audit.report.disclosure import attack
from audit.report.disclosure.attack import Attack
from audit.report.disclosure.relations import Groups, relations
from audit.report.disclosure.suppression import FEWEST, primary, suppress, withheld
from tests.reference.naive_disclosure import possible_counts
from tests.report.disclosure.tables import Joint, frames, groups, named, subgroup, uniform

COLUMN = {"g": "column"}
CROSSED = {"sex": "column", "race": "column", "sex×race": "crossing"}


def one(**counts: int) -> Groups:
    """A single grouping with these counts."""
    return groups(uniform("g", {(name,): n for name, n in counts.items()}), COLUMN)


def gone(found: Groups) -> dict[str, list[str]]:
    return named(found, suppress(found))


def test_groups_of_3_7_and_12_people() -> None:
    """3 and 7 hide each other: they are 10 together, and each could be 0 to 10."""
    found = one(three=3, seven=7, twelve=12)
    mask = suppress(found)
    assert named(found, mask) == {"g": ["seven", "three"]}
    low, high = attack_on(found).deduced(mask)
    assert low[mask].tolist() == [0, 0]
    assert high[mask].tolist() == [10, 10]


def test_one_small_subgroup_needs_a_partner_the_smallest() -> None:
    assert gone(one(a=3, b=40, c=17, d=300)) == {"g": ["a", "c"]}


def test_a_small_sum_needs_a_partner_too() -> None:
    """3 and 4 would be known to be 7 together, a group of fewer than 10."""
    assert gone(one(a=3, b=4, c=17, d=300)) == {"g": ["a", "b", "c"]}


def test_all_small_or_one_subgroup_only() -> None:
    assert gone(one(a=3, b=4)) == {"g": ["a", "b"]}
    assert gone(one(a=6)) == {"g": ["a"]}
    assert gone(one(a=60)) == {}
    assert gone(one(a=60, b=10)) == {}


def test_no_test_examples_are_shown_and_few_are_not() -> None:
    joint = Joint(("g",), {("a",): 50, ("b",): 50, ("c",): 50, ("d",): 70}, {("a",): 30, ("c",): 3,
                  ("d",): 40})  # fmt: skip
    found = groups(joint, COLUMN)
    # b has no test examples: no partner in the test table, so a is taken.
    assert gone(found) == {"g": ["a", "c"]}
    assert primary(np.array([0, 9, 10, 10, 10]), np.array([50, 50, 0, 1, 10])).tolist() == [
        True, True, False, True, False,
    ]  # fmt: skip


def test_a_crossing_with_both_margins_withholds_a_rectangle() -> None:
    table = {("m", "w"): 100, ("m", "o"): 12, ("m", "b"): 40, ("f", "w"): 80, ("f", "o"): 3,
             ("f", "b"): 30}  # fmt: skip
    found = groups(uniform(("sex", "race"), table), CROSSED)
    mask = suppress(found)
    assert named(found, mask) == {"sex×race": ["f × b", "f × o", "m × b", "m × o"]}
    # Without the margins of race two cells would do.
    alone = groups(uniform(("sex", "race"), table), {"sex": "column", "sex×race": "crossing"})
    assert gone(alone) == {"sex×race": ["f × b", "f × o"]}


def test_a_small_margin_is_not_left_in_the_crossing() -> None:
    """Race o has 5 people: its cells, and those of another race, must go from the crossing too."""
    table = {("m", "w"): 100, ("m", "o"): 5, ("m", "b"): 40, ("f", "w"): 80, ("f", "b"): 30}
    found = groups(uniform(("sex", "race"), table), CROSSED)
    hidden = gone(found)
    assert hidden["race"] == ["b", "o"]
    assert {"m × o"} < set(hidden["sex×race"])
    check(uniform(("sex", "race"), table), CROSSED, FEWEST)


def test_styles_lie_within_classes() -> None:
    """A style of 4 hides behind another of its class: one of another class would not hide it."""
    table = {("0", "a"): 4, ("0", "b"): 60, ("0", "c"): 50, ("1", "d"): 20, ("1", "e"): 60}
    names = {"class": "class", "style": "subpopulation"}
    found = groups(uniform(("class", "style"), table), names)
    assert gone(found) == {"style": ["a", "c"]}
    check(uniform(("class", "style"), table), names, FEWEST)


def test_two_crossings_share_a_column_that_is_no_grouping_itself() -> None:
    """Σ over b of a×b is Σ over c of a×c: withholding in one of them alone would not hide."""
    table = {("x", "1", "p"): 4, ("x", "2", "p"): 30, ("x", "2", "q"): 25, ("y", "1", "p"): 40,
             ("y", "2", "q"): 60, ("y", "1", "q"): 35}  # fmt: skip
    joint = uniform("abc", table)
    check(joint, {"a×b": "crossing", "a×c": "crossing"}, FEWEST)
    alone = {"a×b": ["x × 1", "x × 2"]}
    found = groups(joint, {"a×b": "crossing", "a×c": "crossing"})
    assert gone(found) == alone


def test_a_subgroup_that_only_the_test_set_has_is_placed_by_its_name() -> None:
    """n × o occurs in test alone: the training examples do not tell that it is of race o."""
    train = {("m", "w"): 100, ("m", "o"): 40, ("f", "w"): 80, ("f", "o"): 30, ("n", "w"): 20}
    test = {("m", "w"): 50, ("m", "o"): 20, ("f", "w"): 40, ("f", "o"): 15, ("n", "w"): 10,
            ("n", "o"): 3}  # fmt: skip
    joint = Joint(("sex", "race"), train, test)
    found = groups(joint, CROSSED)
    assert "n × o" in gone(found)["sex×race"]
    check(joint, CROSSED, FEWEST)


def test_tables_that_somebody_changed_are_no_contradiction() -> None:
    """Sums that differ between groupings give no equation; each still adds up to its own total."""
    table = {("m", "w"): 100, ("m", "o"): 12, ("f", "w"): 80, ("f", "o"): 3}
    subgroups, examples = frames(uniform(("sex", "race"), table), CROSSED)
    subgroups.loc[subgroups["subgroup"] == "m", "n_train"] += 7
    gone = withheld(subgroups, examples)
    assert "f × o" in gone["sex×race"]


def test_crossings_that_close_a_cycle_are_withheld_altogether() -> None:
    table = {(a, b, c): 30 for a in "xy" for b in "12" for c in "pq"}
    names = {"a×b": "crossing", "b×c": "crossing", "a×c": "crossing"}
    found = groups(uniform("abc", table), names)
    assert set(gone(found)) == {"a×c"}
    chain = {"a": "column", "a×b": "crossing", "b×c": "crossing", "a×b×c": "crossing"}
    assert gone(groups(uniform("abc", table), chain)) == {}


def test_frequency_bins_are_no_grouping_and_no_groups_are_no_error() -> None:
    subgroups, examples = frames(uniform("g", {("a",): 3, ("b",): 30, ("c",): 40}), COLUMN)
    bins = subgroups.assign(grouping="g: frequency", kind="frequency", subgroup="1/2–1/1")
    both = subgroups.iloc[:3].copy()
    both = type(both)(np.concatenate([both.to_numpy(), bins.to_numpy()]), columns=both.columns)
    assert withheld(both, examples) == {"g": ("a", "b")}
    assert withheld(subgroups.iloc[:0], examples) == {}


def test_it_takes_few_programs_on_sixty_subgroups_and_their_margins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The work is bounded in linear programs solved (some ms each), whatever the machine."""
    solved = []
    milp = attack.milp
    monkeypatch.setattr(attack, "milp", lambda *a, **k: solved.append(1) or milp(*a, **k))
    table = {(s, f"r{r}"): 1 + n // (r + 1) for s, n in (("m", 90), ("f", 60)) for r in range(30)}
    found = groups(uniform(("sex", "race"), table), CROSSED)
    mask = suppress(found)
    hidden = [n for n in counts(found)[mask].tolist() if n >= FEWEST]
    assert 0 < len(hidden) < 10
    assert mask.sum() < len(mask)
    assert 0 < len(solved) < 300
    assert not list(attack_on(found).exposed(mask, FEWEST))


# --- against the oracle ---------------------------------------------------------------------------


def counts(found: Groups) -> np.ndarray:
    return found.table["n_train"].to_numpy(np.int64)


def attack_on(found: Groups) -> Attack:
    return Attack.on(relations(found, counts(found)), counts(found))


def possible(
    joint: Joint, table: Mapping[tuple[str, ...], int], found: Groups, mask: np.ndarray
) -> list[tuple[int, set[int]]]:
    """By withheld subgroup with examples: its true count, and every count that fits."""
    cells, names = joint.cells, found.table["subgroup"].to_numpy()
    members, published, rows = [], [], []
    for grouping in found.groupings:
        at = found.rows(grouping)
        place = {names[row]: i for i, row in enumerate(at)}
        members.append([place[subgroup(joint, grouping, cell)] for cell in cells])
        published.append({i for i, row in enumerate(at) if not mask[row]})
        rows.append(at)
    true = [table.get(cell, 0) for cell in cells]
    result = []
    for values, at, member in zip(possible_counts(true, members, published), rows, members,
                                  strict=True):  # fmt: skip
        for i, row in enumerate(at):
            n = sum(k for k, m in zip(true, member, strict=True) if m == i)
            if mask[row] and n:
                result.append((n, values[i]))
    return result


def leaks(joint: Joint, found: Groups, mask: np.ndarray, fewest: int) -> list[int]:
    """Counts that the oracle can deduce too well, of training and of test examples."""
    return [
        n
        for table in (joint.train, joint.test)
        for n, values in possible(joint, table, found, mask)
        if not (min(values) < n < max(values))
        or max(values) - min(values) < fewest
        or max(values) < fewest
    ]


def check(joint: Joint, groupings: Mapping[str, str], fewest: int) -> None:
    found = groups(joint, groupings)
    assert leaks(joint, found, suppress(found, fewest), fewest) == []


_PLANS: list[dict[str, str]] = [
    {"a": "column", "b": "column"},
    {"a": "column", "a×b": "crossing"},
    {"a×b": "crossing"},
    {"a": "column", "b": "column", "a×b": "crossing"},
    {"b": "class", "a×b": "crossing", "a": "column"},
]
_CELLS = [(x, y) for x in "xy" for y in "123"]
_TABLE = st.lists(st.integers(0, 6), min_size=6, max_size=6)


@settings(
    max_examples=80, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)  # fmt: skip
@given(plan=st.sampled_from(_PLANS), train=_TABLE, test=_TABLE)
def test_no_count_can_be_deduced_whatever_the_tables(
    plan: dict[str, str], train: list[int], test: list[int]
) -> None:
    """Of every crossing, of training and test examples, against every table that fits."""
    assume(4 <= sum(train) <= 20)
    assume(sum(test) <= 12)
    joint = Joint(("a", "b"), *(
        {cell: n for cell, n in zip(_CELLS, t, strict=True) if n} for t in (train, test)
    ))  # fmt: skip
    found = groups(joint, plan)
    mask = suppress(found, 3)
    names = found.table["grouping"].to_numpy()
    shown = {name for name, hidden in zip(names, mask, strict=True) if not hidden}
    # A grouping of which nothing is published cannot be protected further.
    assume(mask.any() and shown == set(names))
    assert leaks(joint, found, mask, 3) == []


@settings(max_examples=40, deadline=None, derandomize=True)
@given(plan=st.sampled_from(_PLANS), train=st.lists(st.integers(1, 4), min_size=6, max_size=6))
def test_the_attack_deduces_what_the_oracle_deduces(plan: dict[str, str], train: list[int]) -> None:
    """Where every joint cell is occupied the equations are all there is to know."""
    assume(sum(train) <= 14)
    joint = uniform("ab", dict(zip(_CELLS, train, strict=True)))
    found = groups(joint, plan)
    mask = primary(counts(found), counts(found), 3)
    low, high = attack_on(found).deduced(mask)
    deduced = sorted((int(n), int(a), int(b)) for n, a, b in
                     zip(counts(found)[mask], low[mask], high[mask], strict=True))  # fmt: skip
    oracle = [(n, min(v), max(v)) for n, v in possible(joint, joint.train, found, mask)]
    assert deduced == sorted(oracle)


@pytest.mark.parametrize("groupings", [COLUMN, CROSSED])
def test_the_oracle_catches_a_suppression_without_partners(groupings: dict[str, str]) -> None:
    """Planted: only what is small itself is withheld."""
    if groupings is COLUMN:
        joint = uniform("g", {("a",): 3, ("b",): 17, ("c",): 12})
    else:
        joint = uniform(("sex", "race"), {("m", "w"): 30, ("m", "o"): 12, ("f", "w"): 20,
                                          ("f", "o"): 3})  # fmt: skip
    found = groups(joint, groupings)
    broken = primary(counts(found), counts(found))
    assert leaks(joint, found, broken, FEWEST) == [3, 3]
    assert leaks(joint, found, suppress(found), FEWEST) == []
