"""Calibration: it counts what it says, keeps the level, and shows a procedure that does not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from audit.errors import BadInput
from audit.estimates import calibration
from audit.estimates.calibration import (
    PROCEDURES,
    Setting,
    Trial,
    calibrate_procedures,
    quick_calibration,
)

SMALL = Setting(models=20, examples=12, p=0.7, canaries=20, delta=1e-3)


@pytest.mark.parametrize("name", list(PROCEDURES))
def test_every_procedure_keeps_its_level(name):
    trials = 150
    (found,) = calibrate_procedures(
        SMALL,
        np.random.default_rng(1),
        trials=trials,
        known_trials=25,
        epsilons=(1.0, 8.0),
        procedures=(name,),
    )
    assert found.false_alarms.n == trials
    assert found.false_alarms.value <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert [a.epsilon for a in found.at] == [0.0, 1.0, 8.0]
    assert all(a.wrong.value <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 25) for a in found.at[1:])
    if name in ("examples", "canaries", "witness"):
        assert 0.01 < found.at[2].share.value < 1
    json.dumps([found.to_json()], allow_nan=False)


def test_a_procedure_that_raises_false_alarms_is_shown(monkeypatch):
    """Planted: the largest of the scores' differences is called a leak half of the time."""

    def eager(_, epsilon, rng):
        return Trial(epsilon + rng.normal(), False)

    monkeypatch.setitem(calibration.PROCEDURES, "eager", ("eager", eager))
    (found,) = calibrate_procedures(
        SMALL,
        np.random.default_rng(2),
        trials=200,
        known_trials=200,
        epsilons=(2.0,),
        procedures=("eager",),
    )
    assert found.false_alarms.low > 0.4
    assert found.at[1].wrong.value > 0.4
    assert found.at[1].share.low < 1 < found.at[1].share.high


def test_what_a_run_affords_is_the_same_for_the_same_seed():
    one, two = (
        quick_calibration(
            Setting(models=16, examples=400, canaries=400, delta=1e-3),
            np.random.default_rng(3),
            epsilon=2.0,
        )
        for _ in range(2)
    )
    assert one == two
    assert [entry["id"] for entry in one] == ["witness", "examples", "canaries"]
    none = Setting(models=16, examples=4000, canaries=0, delta=1e-3)
    ids = [e["id"] for e in quick_calibration(none, np.random.default_rng(3), epsilon=2.0)]
    assert ids == ["witness", "examples"]


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        (SMALL, {"trials": 0}),
        (SMALL, {"procedures": ("best of all",)}),
        (Setting(models=0), {}),
        (Setting(delta=0.0), {}),
        (Setting(p=1.0), {}),
    ],
)
def test_impossible_settings_are_refused(setting, options):
    with pytest.raises(BadInput):
        calibrate_procedures(
            setting, np.random.default_rng(0), **{"trials": 5, "known_trials": 0, **options}
        )
