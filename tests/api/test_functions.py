"""The estimates as functions: they say what ``audit.estimates`` says, refuse what nearly fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import audit
from tests.reference import naive_memorization

RNG = np.random.default_rng(5)
MEMBER = RNG.random((40, 12)) < 0.7
# Examples 0 and 1 are right only where they were seen; the others mostly, everywhere.
RIGHT = np.where(np.arange(12) < 2, MEMBER, RNG.random((40, 12)) < 0.9)
TEST = RNG.random((40, 9)) < 0.8
WORSE = TEST & (RNG.random((40, 9)) < 0.8)
GROUPS = np.array(["b", "a", None] * 3, dtype=object)


def test_memorization_against_the_naive_oracle():
    found = audit.memorization(MEMBER, RIGHT)
    expected = naive_memorization.memorization(MEMBER, RIGHT)
    np.testing.assert_allclose(found.mem, expected)
    assert found.mem[0] == found.mem[1] == 1.0


@pytest.mark.parametrize(
    "kind", [lambda a: a.astype(np.uint8), lambda a: a.astype(float), lambda a: a.tolist()]
)
def test_zeros_and_ones_of_any_type_count_as_false_and_true(kind: Any):
    # ~ of a uint8 is 254: taken unchecked, every "out" would be wrong and look like a number.
    expected = audit.memorization(MEMBER, RIGHT)
    found = audit.memorization(kind(MEMBER), kind(RIGHT))
    np.testing.assert_array_equal(found.mem, expected.mem)
    np.testing.assert_array_equal(
        audit.influence(kind(MEMBER), kind(TEST)), audit.influence(MEMBER, TEST)
    )


def test_influence_is_the_difference_it_is_defined_as():
    found = audit.influence(MEMBER, TEST)
    assert found.shape == (12, 9)
    inside = MEMBER[:, 3]
    assert found[3, 4] == pytest.approx(TEST[inside, 4].mean() - TEST[~inside, 4].mean())


def test_a_memorized_example_refutes_a_small_epsilon_and_noise_does_not():
    member = np.random.default_rng(0).random((400, 3)) < 0.5
    right = member.copy()
    right[:, 2] = np.random.default_rng(1).random(400) < 0.5
    test = audit.dp_test(member, right, epsilon=1, delta=1e-5)
    assert test.verdict == "violates"
    assert set(test.witnesses) == {0, 1}
    assert audit.certified_epsilon(member, right, delta=1e-5).value > 1
    assert audit.dp_test(member[:, 2:], right[:, 2:], epsilon=1, delta=1e-5).n_refuted == 0
    assert audit.dp_test(member[:10], right[:10], epsilon=1, delta=0).verdict == "could_not_tell"


def test_subgroup_tables_are_named_and_paired():
    table = audit.subgroup_loss(TEST, WORSE, GROUPS)
    assert list(table.index) == ["a", "b", "(not recorded)"]
    of_b = GROUPS == "b"
    assert table.loc["b", "loss"] == pytest.approx(TEST[:, of_b].mean() - WORSE[:, of_b].mean())
    accuracy = audit.subgroup_accuracy(TEST, pd.Series(GROUPS))
    assert accuracy.loc["a", "accuracy"] == pytest.approx(TEST[:, GROUPS == "a"].mean())
    mem = audit.subgroup_memorization(MEMBER, RIGHT, np.arange(12) < 2)
    assert mem.loc["True", "mem"] == 1.0
    assert mem["n"].to_dict() == {"False": 10, "True": 2}


def test_the_rest_of_the_names():
    assert audit.accuracy(TEST).value == pytest.approx(TEST.mean())
    loss = audit.accuracy_loss(TEST, WORSE)
    assert loss.value == pytest.approx(TEST.mean() - WORSE.mean())
    gap = audit.generalization_gap(MEMBER, RIGHT)
    assert gap.n == 40
    assert audit.mean_memorization(MEMBER, RIGHT).value == pytest.approx(
        audit.memorization(MEMBER, RIGHT).mem.mean()
    )
    assert audit.share_memorized(MEMBER, RIGHT, threshold=0.9).value == pytest.approx(2 / 12)
    assert audit.largest_memorization(MEMBER, RIGHT).value == 1.0
    pairs = audit.influential_pairs(MEMBER, RIGHT, TEST)
    assert pairs.n_tested == 12 * 9
    found = audit.heterogeneity(TEST, WORSE, GROUPS, rng=np.random.default_rng(0))
    assert found.n_groups == 3
    slope = audit.trend([0.1, 0.2, 0.3, 0.4], [0.01] * 4, [800, 400, 200, 100])
    assert slope.slope.value == pytest.approx(-0.1)
    assert audit.power(20, 1000, epsilon=2, delta=1e-5) < 0.01
    assert audit.power(400, 1000, epsilon=2, delta=1e-5) > 0.9


def test_bounds():
    assert audit.dp_bound([0.0, 0.1], epsilon=0, delta=0.2).tolist() == pytest.approx([0.2, 0.3])
    assert audit.memorization_cap(epsilon=2, delta=0) == pytest.approx(np.tanh(1))
    curve = audit.privacy_curve(1.0, sample_rate=0.05, steps=100)
    tight = audit.tradeoff_bound(0.1, curve.epsilon, curve.delta)
    assert 0.1 < tight < 0.6


def test_drawn_membership_does_not_depend_on_how_many_models_there_are():
    few, many = (audit.draw_membership(50, k, seed=3) for k in (4, 9))
    np.testing.assert_array_equal(few, many[:4])
    assert 0.5 < many.mean() < 0.9
    fixed = audit.draw_membership(50, 4, p=0.5, design="fixed", seed=3)
    assert set(fixed.sum(axis=1)) == {25}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: audit.memorization(MEMBER, RIGHT.T), ("correct", "row k")),
        (lambda: audit.memorization(MEMBER, RIGHT[:, :-1]), ("correct", "column i")),
        (lambda: audit.memorization(MEMBER, RIGHT * 7), ("correct", "0 to 7")),
        (lambda: audit.memorization(MEMBER, RIGHT * 0.5), ("correct", "predicted == y")),
        (lambda: audit.memorization(MEMBER, np.full(RIGHT.shape, np.nan)), ("correct",)),
        (lambda: audit.memorization(MEMBER[0], RIGHT[0]), ("membership", "(12,)")),
        (lambda: audit.memorization(MEMBER[:0], RIGHT[:0]), ("membership", "none empty")),
        (lambda: audit.memorization([["a"]], [["b"]]), ("membership",)),
        (lambda: audit.memorization([[1, 0], [1]], [[1]]), ("membership",)),
        (lambda: audit.influence(MEMBER[:3], TEST), ("test_correct",)),
        (lambda: audit.accuracy_loss(TEST, WORSE[:5]), ("dp_correct", "paired")),
        (lambda: audit.subgroup_loss(TEST, WORSE, ["a"]), ("groups", "9 rows")),
        (lambda: audit.subgroup_accuracy(TEST, [[1]] * 9), ("groups",)),
        (lambda: audit.dp_test(MEMBER, RIGHT, epsilon=-1, delta=0), ("epsilon", "-1")),
        (lambda: audit.dp_test(MEMBER, RIGHT, epsilon=1, delta=2), ("delta",)),
        (lambda: audit.certified_epsilon(MEMBER, RIGHT, delta=0, confidence=95), ("confidence",)),
        (lambda: audit.certified_epsilon(MEMBER, RIGHT, delta=-1), ("delta",)),
        (lambda: audit.dp_bound(1.5, epsilon=1, delta=0), ("p_out", "1.5")),
        (lambda: audit.memorization_cap(epsilon=-1, delta=0), ("epsilon",)),
        (lambda: audit.power(0, 10, epsilon=1, delta=0), ("models",)),
        (lambda: audit.trend([0.1], [0.1, 0.1], [1]), ("error",)),
        (lambda: audit.trend([0.1], [0.1], [1.5]), ("n_train",)),
        (lambda: audit.draw_membership(0, 3, seed=0), ("n",)),
        (lambda: audit.draw_membership(3, 3, p=1.0, seed=0), ("p",)),
    ],
)  # fmt: skip
def test_what_nearly_fits_is_refused_in_one_line(call: Any, words: tuple[str, ...]):
    with pytest.raises(audit.BadInput) as refused:
        call()
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message


MARGIN = RNG.normal(size=(40, 12)) + 3 * MEMBER


def test_attacks_as_functions_take_what_fits():
    scores = audit.lira(MARGIN, MEMBER.astype(np.uint8))
    assert audit.roc(scores, MEMBER).auc.low > 0.8
    assert audit.roc(scores, MEMBER, threshold=0).balanced_accuracy.value > 0.8
    assert np.nanmean(audit.exposure(scores, MEMBER)) > 0.8
    population = RNG.normal(size=(40, 100)).tolist()
    assert audit.roc(audit.rmia(MARGIN.tolist(), MEMBER, population), MEMBER).auc.low > 0.6


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: audit.lira(MARGIN.T, MEMBER), "margin"),
        (lambda: audit.lira(RIGHT, MEMBER), "margin"),
        (lambda: audit.lira(MARGIN[0], MEMBER), "margin"),
        (lambda: audit.lira([["a"]], [[1]]), "margin"),
        (lambda: audit.lira(MARGIN, MARGIN), "membership"),
        (lambda: audit.lira(MARGIN, MEMBER, variance="own"), "variance"),  # type: ignore[arg-type]
        (lambda: audit.lira(MARGIN, MEMBER, centre="mode"), "centre"),  # type: ignore[arg-type]
        (lambda: audit.rmia(MARGIN, MEMBER, MARGIN[:3]), "population_margin"),
        (lambda: audit.rmia(MARGIN, MEMBER, MARGIN, gamma=0), "gamma"),
        (lambda: audit.rmia(MARGIN, MEMBER, MARGIN, offline_a=2), "offline_a"),
        (lambda: audit.roc(MARGIN, MEMBER, confidence=1), "confidence"),
        (lambda: audit.roc(MARGIN, MEMBER, threshold=np.nan), "threshold"),
        (lambda: audit.exposure(MARGIN, MEMBER[:, :3]), "scores"),
    ],
)
def test_attacks_refuse_what_nearly_fits(call: Any, name: str):
    with pytest.raises(audit.BadInput, match=f"^{name} ="):
        call()
