"""How numbers and names are written."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from audit.report import words
from tests.report.synthetic import HOSTILE


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.percent(0.9684), "96.8 %"),
        (words.percent(-0.004), "−0.4 %"),
        (words.points(0.0214), "2.1 points"),
        (words.points(0.01, 0), "1 point"),
        (words.number(-1e-9), "0.000"),
        (words.p_value(3e-9), "p < 0.0001"),
        (words.p_value(0.0131), "p = 0.013"),
        (words.p_value(None), "p not estimable"),
        (words.probability(0.9999), "over 99 %"),
        (words.probability(0.0001), "under 1 %"),
        (words.interval(0.1, 0.2), "0.100 to 0.200"),
        (words.interval(1.5, None, digits=1), "at least 1.5"),
        (words.interval(None, 1.5, digits=1), "at most 1.5"),
        (words.interval(math.nan, None), "no interval"),
        (words.joined([]), ""),
        (words.joined(["a"]), "a"),
        (words.joined(["a", "b", "c"]), "a, b and c"),
    ],
)
def test_shown(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("undefined", [None, math.nan, math.inf, np.float32("nan")])
def test_undefined_is_said_with_its_count(undefined: object) -> None:
    entry = {"value": undefined, "low": None, "high": None, "n": 0}
    assert words.estimate(entry, "percent") == "not estimable (n=0)"
    assert "not estimable" in words.percent(undefined)
    assert words.plain_number(undefined) is None


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), 0.5])
def test_numbers_from_tables_become_plain_json(value: object) -> None:
    assert json.dumps(words.plain_number(value)) == "0.5"
    assert words.plain_number(True) is None


def test_an_interval_with_one_side_missing_is_not_hidden() -> None:
    assert words.estimate({"value": 3.0, "low": 3.0, "high": None, "n": 9}, digits=1) == (
        "3.0 (at least 3.0)"
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_names_have_no_invisible_characters(text: str) -> None:
    shown = words.name(text)
    assert shown
    assert all(c.isprintable() for c in shown)
    assert len(shown) <= max(words.LONGEST_NAME, 10 * min(len(text), 8))


def test_invisible_characters_are_spelled_out() -> None:
    assert words.name("a\u202eb\x00\n") == "a\\u202eb\\x00\\n"
    assert words.name("نمی\u200cدانم") == "نمی\u200cدانم"
    assert words.name("") == "(empty name)"
    assert words.name("\ud800") == "\\ud800"


def test_epsilon_is_named_in_sentences_only_where_needed() -> None:
    one = {"arms": {"standard": {"kind": "standard"}, "dp-2": {"kind": "dp", "epsilon": 2.0}}}
    two = {"arms": {**one["arms"], "dp-0.5": {"kind": "dp", "epsilon": 0.5}}}
    assert words.arm_words("dp-2", one) == "private training"
    assert words.arm_words("dp-0.5", two) == "private training (ε = 0.5)"
    assert words.arm_label("dp-2", one) == "private training, ε = 2"


def test_an_estimate_without_a_value_is_its_interval() -> None:
    """A unanimous rate of the public profile; with one limit alone nothing is said of it."""
    limits = {"value": None, "low": 0.9712, "high": 1.0, "n": 50}
    assert words.estimate(limits, "percent") == "97.1 to 100.0 %"
    assert words.estimate({**limits, "value": float("nan")}, "percent") == "97.1 to 100.0 %"
    assert words.estimate(limits, "number") == "0.971 to 1.000"
    assert (
        words.estimate({"value": None, "low": 0.019, "high": 0.027}, "points")
        == "1.9 to 2.7 points"
    )
    assert words.estimate({**limits, "high": None}, "percent") == "not estimable (n=50)"


@pytest.mark.parametrize(
    ("bound", "shown"),
    [(1.25537, "1.25"), (2.31784, "2.31"), (4.49871, "4.49"), (4.5, "4.50"), (0.29, "0.29"),
     (0.0, "0.00"), (1.1 + 2.2, "3.30"), (None, "not estimable")],
)  # fmt: skip
def test_lower_bounds_are_rounded_down(bound: float | None, shown: str) -> None:
    assert words.at_least(bound) == shown
