"""Which controls can be asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.config import identity, make_config
from audit.controls import parse_control
from audit.errors import BadInput


@pytest.mark.parametrize(
    ("asked", "name", "share"),
    [
        ("clip-only", "clip-only", 0.0),
        ("noise-only", "noise-only", 0.0),
        ("neither", "neither", 0.0),
        ("pruned", "pruned-90", 0.9),
        ("pruned-99.5", "pruned-99.5", 0.995),
        ("random-labels", "random-labels-100", 1.0),
        ("random-labels-20.0", "random-labels-20", 0.2),
    ],
)
def test_a_control_has_one_name(asked: str, name: str, share: float):
    control = parse_control(asked)
    assert (control.name, control.share) == (name, pytest.approx(share))
    assert parse_control(control.name) == control


@pytest.mark.parametrize(
    "wrong",
    ["", "clip", "clip-only-2", "pruned-100", "pruned-0", "pruned-0.5", "pruned90", "pruned-9O",
     "pruned--9", "pruned-1e1", "pruned-nan", "pruned-²", "random-labels-101", "random-labels-",
     "random-labels-20.55", "../x", "standard", "dp-2"],
)  # fmt: skip
def test_anything_else_is_refused_in_the_words_of_the_configuration(wrong: str):
    with pytest.raises(BadInput, match="controls") as refused:
        make_config([{"controls": [wrong]}])
    assert "\n" not in str(refused.value)


def test_twice_the_same_is_refused_whatever_it_is_called():
    with pytest.raises(BadInput, match="named twice"):
        make_config([{"controls": ["pruned", "pruned-90"]}])


@given(st.text(max_size=20))
def test_no_text_gives_a_name_that_is_no_folder_of_its_own(text: str):
    try:
        name = parse_control(text).name
    except ValueError:
        return
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz-0123456789.")
    assert "/" not in name


def test_a_run_without_any_is_the_run_it_was_before_there_were_any():
    assert "controls" not in identity(make_config([{}]))
    assert identity(make_config([{"controls": ["pruned"]}]))["controls"] == ["pruned-90"]
