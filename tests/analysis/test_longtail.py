"""What a data set's own counts predict, without memorization and within a claim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit.accounting import privacy_curve
from audit.analysis.arms import AnalysedArm
from audit.analysis.longtail import predict
from audit.claims import make_claim
from audit.data.dataset import Dataset, Grouping
from tests.analysis.test_run import claim, data


def tailed() -> Dataset:
    """Two classes, and subgroups of 30, 8, 1 and 1 of 40 examples."""
    codes = np.repeat(np.arange(4), [30, 8, 1, 1]).astype(np.int32)
    grouping = Grouping("town", "column", ("a", "b", "c", "d"), codes, codes[:30])
    return replace(data(), groupings=(grouping,))


def test_a_claim_leaves_a_part_of_the_price() -> None:
    """ε = .5 lets p_in be e^.5/2 + δ at p_out = ½ by one outcome, 1 − e^−.5(½ − δ) by the other."""
    arms = [AnalysedArm("standard"), AnalysedArm("dp-0.5", claim(0.5))]
    (found,) = predict(tailed(), arms)
    assert found["singletons"] == 2
    (limited,) = found["limited"]
    assert limited["arm"] == "dp-0.5"
    allowed = 1 - np.exp(-0.5) * (1 - 1e-3 - 0.5) - 0.5
    assert limited["memorization"] == pytest.approx(allowed)
    assert limited["price"] == pytest.approx(found["price"] * (0.5 - allowed) / 0.5)


def test_the_privacy_curve_allows_less_and_so_costs_more() -> None:
    curve = privacy_curve(1.0, sample_rate=0.1, steps=50)
    stated = make_claim(2.0, 1e-3, design="poisson", source="a test")
    arms = [AnalysedArm("dp-2", replace(stated, curve=curve)), AnalysedArm("own", stated)]
    (found,) = predict(tailed(), arms)
    with_curve, without = found["limited"]
    assert with_curve["memorization"] < without["memorization"]
    assert with_curve["price"] > without["price"] > 0


def test_without_singletons_no_claim_costs_anything() -> None:
    (found,) = predict(data(), [AnalysedArm("dp-2", claim(2.0))])
    assert found["price"] == 0
    assert [limit["price"] for limit in found["limited"]] == [0]
