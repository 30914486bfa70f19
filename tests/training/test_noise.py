"""The noise streams: full-state seeding, independence of models, and the right distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import stats

from audit.seeds import Purpose, seed_sequence
from audit.training.noise import Noise, seeded_cpu_generator


def test_the_whole_mersenne_twister_state_is_set():
    # NumPy's MT19937 under the same 624-word key is the oracle for the layout of torch's state.
    key = seed_sequence(3, Purpose.NOISE, "dp-2", 7).generate_state(624, np.uint32)
    oracle = np.random.MT19937()
    words = key.copy()
    words[0] |= 0x80000000
    state: Any = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    oracle.state = state
    ours = torch.randint(
        -(2**63), 2**63 - 1, (2000,), dtype=torch.int64, generator=seeded_cpu_generator(key)
    )
    theirs = oracle.random_raw(4000).astype(np.uint64)
    raw = (theirs[0::2] << np.uint64(32)) | theirs[1::2]
    expected = (raw % np.uint64(2**64 - 1)).astype(np.uint64)
    shifted = ours.numpy().astype(np.uint64) - np.uint64(2**63)
    np.testing.assert_array_equal(shifted, expected)


def test_models_arms_and_seeds_have_streams_of_their_own():
    draws = [
        Noise(range(2), 50, std=1.0, arm=arm, seed=seed).draw().clone()
        for arm, seed in (("dp-2", 0), ("dp-8", 0), ("dp-2", 1))
    ]
    rows = torch.cat(draws)
    assert len(torch.unique(rows, dim=0)) == len(rows)
    correlation = np.corrcoef(rows.numpy()) - np.eye(len(rows))
    assert np.abs(correlation).max() < 0.6


def test_a_model_alone_has_the_noise_it_has_in_a_cohort_step_by_step():
    cohort = Noise(range(5), 33, std=2.0, arm="dp-2", seed=0)
    alone = Noise(range(3, 4), 33, std=2.0, arm="dp-2", seed=0)
    for _ in range(3):
        torch.testing.assert_close(cohort.draw()[3], alone.draw()[0], rtol=0, atol=0)


def test_noise_is_normal_with_the_asked_standard_deviation_and_fresh_each_step():
    noise = Noise(range(4), 5000, std=2.5, arm="dp-2", seed=0)
    first = noise.draw().clone()
    second = noise.draw().clone()
    assert not torch.equal(first, second)
    values = torch.cat([first, second]).numpy().ravel() / 2.5
    assert stats.kstest(values, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03
