"""Counts, and one planted defect per check; a sound data set raises none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from audit.data.dataset import Dataset, Grouping
from audit.data.inspect import inspect
from audit.data.registry import load


def _sound() -> Dataset:
    rng = np.random.default_rng(0)
    y, y_test = np.arange(200) % 2, np.arange(100) % 2
    side = Grouping(
        "side", "column", ("left", "right"), y.astype(np.int32), y_test.astype(np.int32)
    )
    return Dataset(
        name="made up",
        x_train=rng.normal(size=(200, 3)).astype(np.float32),
        y_train=y,
        x_test=rng.normal(size=(100, 3)).astype(np.float32),
        y_test=y_test,
        class_names=("a", "b"),
        feature_names=("f", "g", "h"),
        input_shape=(3,),
        groupings=(side,),
        source="test",
        licence="none",
    )


def test_counts() -> None:
    seen = inspect(_sound())
    assert seen.concerns == ()
    assert (seen.n_train, seen.n_test, seen.features) == (200, 100, 3)
    assert [(c.name, c.n_train, c.n_test) for c in seen.classes] == [("a", 100, 50), ("b", 100, 50)]
    assert seen.groupings[0].subgroups == (("left", 100, 50), ("right", 100, 50))
    assert seen.fingerprint == _sound().fingerprint()


def _concern(dataset: Dataset, part: str) -> str:
    found = [concern for concern in inspect(dataset).concerns if part in concern]
    assert len(found) == 1, inspect(dataset).concerns
    return found[0]


def test_each_planted_defect_is_found() -> None:
    sound = _sound()
    x = sound.x_train.copy()
    x[5] = x[4]
    assert _concern(replace(sound, x_train=x), "repeat").startswith("1 training")
    x_test = sound.x_test.copy()
    x_test[:3] = sound.x_train[7]
    assert _concern(replace(sound, x_test=x_test), "being right").startswith("3 test")
    x = sound.x_train.copy()
    x[:, 1] = 4
    assert "'g'" in _concern(replace(sound, x_train=x), "the same in all")
    x[:, 1] = np.nan
    assert "200 feature values" in _concern(replace(sound, x_train=x), "NaN or infinite")
    x[:, 1] = sound.y_train * 3 - 1
    assert "'g'" in _concern(replace(sound, x_train=x), "give the label away")
    x[:, 1] = 1e5 * sound.x_train[:, 1]
    assert "scale" in _concern(replace(sound, x_train=x), "features reach")


def test_unequal_classes_and_small_groups_are_found() -> None:
    sound = _sound()
    y = np.zeros(200, dtype=np.int64)
    y[:5] = 1
    text = _concern(replace(sound, y_train=y), "fewer than 10 training")
    assert "'b'" in text
    assert "97.5%" in _concern(replace(sound, y_train=y), "always answering")
    three = replace(sound, class_names=("a", "b", "c"))
    assert "'c'" in _concern(three, "no test example")
    few = replace(sound.groupings[0], test=np.r_[np.zeros(92), np.ones(8)].astype(np.int32))
    assert "'right'" in _concern(replace(sound, groupings=(few,)), "fewer than 10 test")


def test_builtin_sets_are_inspected_quickly_and_their_copies_told() -> None:
    concerns = inspect(load("adult", seed=0)).concerns
    assert any("repeat" in concern for concern in concerns)
    assert not any("NaN" in concern or "give the label" in concern for concern in concerns)


def test_names_from_files_stay_on_one_line() -> None:
    sound = _sound()
    x = sound.x_train.copy()
    x[:, 0] = 1
    hostile = replace(sound, x_train=x, feature_names=("a\n\x1b[31m", "g", "h"))
    assert all(concern.isprintable() for concern in inspect(hostile).concerns)
