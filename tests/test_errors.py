"""One line, whatever the value is."""

from __future__ import annotations

import pickle
from typing import Any

from audit.errors import BadInput


def test_a_value_that_cannot_be_written_is_named_by_its_type() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (16**6000, deep):
        text = str(BadInput("models", value, "is not", "Use another"))
        assert text == (
            f"models = a value of type {type(value).__name__} that is too long to show: is not. "
            "Use another"
        )
    while deep:  # taken apart one by one: its end would be as deep
        (deep,) = deep or ([],)


def test_a_name_or_value_from_a_file_forges_no_line() -> None:
    error = BadInput("a\nb", "c\x1b[31m\nd\u202e", "e\rf", "Next")
    assert str(error) == "a b = 'c\\x1b[31m\\nd\\u202e': e f. Next"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
