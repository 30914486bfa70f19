"""Planted examples: what they are made of, and that they are never what they must not be."""

from __future__ import annotations

import numpy as np
import pytest

from audit.data.canaries import COPIES, example_canaries
from audit.data.dataset import Dataset
from audit.errors import BadInput


def data(n: int = 60, classes: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 4)).astype(np.float32)
    y = (np.arange(n) % classes).astype(np.int64)
    names = ("a", "b", "c", "d")
    return Dataset(
        "made up", x, y, x[:9], y[:9], names[:classes], names, (4,), (), "nowhere", "none"
    )


@pytest.mark.parametrize("kind", ["mislabeled", "duplicates"])
def test_a_mislabeled_canary_never_has_the_true_label(kind):
    found = example_canaries(data(), kind, 60, seed=0)
    assert (found.y != data().y_train[found.source]).all()
    assert np.array_equal(found.x, data().x_train[found.source])
    assert len(set(found.source.tolist())) == 60
    assert found.copies == (COPIES if kind == "duplicates" else 1)
    assert set(found.y.tolist()) == {0, 1, 2}


def test_ood_inputs_lie_within_each_features_range_and_have_no_source():
    found, whole = example_canaries(data(), "ood", 50, seed=0), data().x_train
    assert (found.x >= whole.min(axis=0)).all()
    assert (found.x <= whole.max(axis=0)).all()
    assert (found.source == -1).all()
    assert not any((whole == row).all(axis=1).any() for row in found.x)


def test_canaries_depend_on_the_seed_alone():
    one, same, other = (example_canaries(data(), "mislabeled", 20, seed=s) for s in (0, 0, 1))
    assert np.array_equal(one.source, same.source)
    assert np.array_equal(one.y, same.y)
    assert not np.array_equal(one.source, other.source)


def test_more_canaries_than_examples_are_refused():
    with pytest.raises(BadInput, match="canaries = 61"):
        example_canaries(data(), "mislabeled", 61, seed=0)
