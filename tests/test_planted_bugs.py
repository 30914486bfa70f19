"""The small twin of benchmarks/planted_bugs.py: strong bugs are caught, right training is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit.configuring import configure
from audit.planned_arm import PlannedArm
from audit.resolve import load_data
from benchmarks.planted_bugs import RIGHT, planned_arm, tables, trial

MODELS, CANARIES = 24, 300
STRONG = ("no_clipping", "no_noise", "clip_norm_ignored", "same_noise_every_step")


@pytest.fixture(scope="module")
def arms() -> dict[str, PlannedArm]:
    return {
        name: planned_arm("digits", 2.0, plant, CANARIES)
        for name, plant in (
            (RIGHT, None),
            ("sampling_rate_misreported", "sampling_rate_misreported"),
        )
    }


@pytest.fixture(scope="module")
def data():
    return load_data(configure(None, {"data": "digits"}))


@pytest.mark.parametrize("bug", STRONG)
def test_gradient_canaries_catch_a_strong_bug(bug: str, arms, data):
    found = trial(arms, data, bug, 1, MODELS, False)["procedures"]["gradient canaries"]
    assert found["refutes"]
    assert found["epsilon"] > 2


@pytest.mark.parametrize("seed", [0, 1])
def test_right_training_is_refuted_by_nothing(seed: int, arms, data):
    line = trial(arms, data, RIGHT, seed, MODELS, seed == 0)
    assert not any(found["refutes"] for found in line["procedures"].values())
    assert 0 < line["procedures"]["gradient canaries"]["epsilon"] < 2
    assert ("cross-check" in line["procedures"]) == (seed == 0)


def test_a_misreported_rate_leaves_too_little_noise(arms):
    told, right = arms["sampling_rate_misreported"], arms[RIGHT]
    assert told.arm.sample_rate == right.arm.sample_rate
    assert told.arm.noise_multiplier < 0.7 * right.arm.noise_multiplier
    assert told.mechanism.sample_rate == pytest.approx(right.mechanism.sample_rate / 2)
    assert told.claim.epsilon == right.claim.epsilon == 2


def test_the_table_counts_seeds_and_leaves_out_what_was_not_asked(arms, data):
    line = trial(arms, data, "no_noise", 1, 16, False)
    other = {**line, "seed": 2, "procedures": {"witness": {"refutes": True, "epsilon": 3.0}}}
    header, _, row = tables([line, other]).splitlines()
    assert header.startswith("| bug | accuracy | witness | trade-off curve |")
    assert row.startswith("| no_noise | ")
    assert "| 1/2, ε ≥ " in row
    assert "cross-check" not in header


def test_a_trial_is_the_same_again(arms, data):
    """Every draw hangs on the seed: a table can be made again, line by line."""
    first, again = (trial(arms, data, "no_clipping", 5, 16, False) for _ in range(2))
    assert first["procedures"] == again["procedures"]
    planned = arms[RIGHT]
    assert replace(planned.arm, plant=None) == planned.arm
    assert np.isfinite(first["accuracy"])
