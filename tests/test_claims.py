"""Claims: what (ε, δ) says between in and out, and which claim the standard arm is held against."""

from __future__ import annotations

import math

import numpy as np
import pytest

from audit.accounting import PrivacyCurve
from audit.claims import make_claim, strictest
from audit.errors import BadInput

CURVE = PrivacyCurve(np.array([0.0, 1.0, 2.0]), np.array([0.1, 0.01, 0.001]))


def test_under_poisson_inclusion_the_claim_is_what_is_tested():
    claim = make_claim(2.0, 1e-5, design="poisson", source="the accountant", curve=CURVE)
    assert (claim.in_out_epsilon, claim.in_out_delta) == (2.0, 1e-5)
    assert claim.curve is CURVE


def test_under_fixed_inclusion_a_swap_is_tested_and_the_claim_stays():
    claim = make_claim(1.0, 1e-5, design="fixed", source="the accountant", curve=CURVE)
    assert (claim.epsilon, claim.delta) == (1.0, 1e-5)
    assert claim.in_out_epsilon == 2.0
    assert claim.in_out_delta == pytest.approx((1 + math.e) * 1e-5)
    assert claim.curve is not None
    np.testing.assert_allclose(claim.curve.epsilon, [0.0, 2.0, 4.0])
    np.testing.assert_allclose(claim.curve.delta[1], (1 + math.e) * 0.01)


def test_a_claim_without_a_curve_has_none_in_any_design():
    for design in ("poisson", "fixed"):
        assert make_claim(1.0, 1e-5, design=design, source="claimed").curve is None


def test_the_strictest_is_the_smallest_epsilon_or_what_was_asked():
    one, two, asked = (
        make_claim(e, 1e-5, design="poisson", source=s)
        for e, s in ((1.0, "a"), (2.0, "b"), (0.5, "asked about"))
    )
    assert strictest([None, two, one], asked=asked) is one
    assert strictest([None], asked=asked) is asked
    assert strictest([], asked=asked) is asked


def test_a_claim_about_replacing_stands_as_it_is_under_fixed_and_is_refused_under_poisson():
    claim = make_claim(
        1.0, 1e-5, design="fixed", source="claimed", curve=CURVE, adjacency="replace_one"
    )
    assert (claim.in_out_epsilon, claim.in_out_delta) == (1.0, 1e-5)
    assert claim.curve is CURVE
    with pytest.raises(BadInput, match="--inclusion fixed"):
        make_claim(1.0, 1e-5, design="poisson", source="claimed", adjacency="replace_one")
