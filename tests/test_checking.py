"""What tests are given beside their own assertions: wrong shapes and types do not go unseen."""

from __future__ import annotations

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Int64, TypeCheckError

from audit.accounting import gaussian_mu
from audit.estimates import tradeoff
from audit.estimates.memorization import memorization
from tests import checking


def test_axes_that_do_not_agree_are_seen():
    inside = np.eye(4, dtype=bool)
    memorization(inside, inside)
    with pytest.raises(TypeCheckError):
        memorization(inside, inside[:, :3])


def test_a_wrong_type_is_seen_where_there_is_no_array():
    gaussian_mu(1.0, sample_rate=0.1, steps=10)
    with pytest.raises(BeartypeCallHintViolation):
        gaussian_mu(1.0, sample_rate=0.1, steps="10")  # pyright: ignore


def test_arrays_are_known_under_an_alias_too():
    """beartype alone would say it in its own words, and not see that axes disagree."""
    grid = np.linspace(0.5, 2, 4)
    assert tradeoff.gaussian_profile(1.0)(grid).shape == (4,)
    with pytest.raises(TypeCheckError):
        tradeoff.gaussian_profile(1.0)(grid[:, None])


def test_arrays_within_an_alias_are_known():
    pair = tuple[Int64[np.ndarray, " n"], int]
    assert checking._is_array(pair)
    assert checking._is_array(pair | None)
    assert not checking._is_array(tuple[int, str])
    assert not checking._is_array(dict)
