"""What tests are given beside their own assertions: wrong shapes and types do not go unseen."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

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


def test_arrays_are_known_by_their_own_name_and_by_an_alias():
    def has_axes(function: Callable[..., object]) -> bool:
        return checking._has_axes(inspect.unwrap(function))

    assert has_axes(tradeoff.curve_profile)
    assert has_axes(tradeoff.Profile.__call__)
    assert not has_axes(tradeoff.dp_profile)
