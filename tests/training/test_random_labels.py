"""Labels drawn at random: how many, the same for all models, and asked about afterwards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortTask, TrainingData
from audit.training.models import Mlp
from audit.training.random_labels import random_labels

ARM = Arm("random-labels-30", 0.3, 80, 20.0, 0.3, 0.5, 0.0, random_labels=0.3)
MODEL = Mlp((12, 40, 4))


def test_the_share_that_was_asked_for_is_drawn_uniformly_from_all_classes():
    y = np.zeros(40_000, dtype=np.int64)
    found = random_labels(y, ARM, MODEL, seed=5)
    counts = np.bincount(found, minlength=4)
    # A label drawn at random may be the one that was there.
    expected = 40_000 * np.array([0.7 + 0.3 / 4, 0.3 / 4, 0.3 / 4, 0.3 / 4])
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_labels_depend_on_the_seed_alone_and_a_larger_share_holds_a_smaller_one():
    y = np.random.default_rng(0).integers(0, 4, 500)
    found = random_labels(y, ARM, MODEL, seed=5)
    assert np.array_equal(found, random_labels(y, replace(ARM, name="other"), MODEL, seed=5))
    assert not np.array_equal(found, random_labels(y, ARM, MODEL, seed=6))
    more = random_labels(y, replace(ARM, random_labels=0.6), MODEL, seed=5)
    changed = found != y
    assert np.array_equal(more[changed], found[changed])
    assert np.array_equal(random_labels(y, replace(ARM, random_labels=0.0), MODEL, seed=5), y)


def test_models_are_asked_about_the_labels_they_were_trained_on_and_tests_about_the_true_ones():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(120, 12)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64) + 2 * (x[:, 1] > 0)
    data = TrainingData(x, y, x, y, (12,))
    arm = replace(ARM, random_labels=1.0, steps=400)
    task = CohortTask(arm, MODEL, 0, 3, "ensemble", "poisson", 0.7, 0, "cpu", checked_model=1)
    out = train_cohort(task, data)
    drawn = random_labels(y, arm, MODEL, seed=0)
    assert out.cross_check is not None
    assert out.cross_check.verdict == "holds"
    # What a model has seen it knows by heart; of the others it knows nothing.
    assert out.train_correct[out.membership].mean() > 0.7
    assert out.train_correct[~out.membership].mean() < 0.45
    # The test examples are the same rows under their true labels.
    agree = drawn == y
    assert np.array_equal(out.train_correct[:, agree], out.test_correct[:, agree])
    assert out.train_correct[:, ~agree].mean() > out.test_correct[:, ~agree].mean() + 0.2


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_canaries_keep_their_planted_labels(share: float):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 12)).astype(np.float32)
    y = rng.integers(0, 4, 60)
    data = TrainingData(x, y, x, y, (12,), x_canary=x[:5] + 3, y_canary=np.arange(5) % 4)
    arm = replace(ARM, random_labels=share, steps=300)
    task = CohortTask(arm, MODEL, 0, 3, "ensemble", "poisson", 0.7, 0, "cpu")
    out = train_cohort(task, data)
    assert out.canaries is not None
    assert out.canaries.correct is not None
    assert out.canaries.correct[out.canaries.coins].mean() > 0.7
