"""Crops and flips against slicing by hand, and their streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from audit.training.augmentation import Views, augment


def by_hand(image: np.ndarray, down: int, right: int, mirrored: int) -> np.ndarray:
    channels, height, width = image.shape
    shown = np.zeros_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                from_y, from_x = y - down, x - right
                if 0 <= from_y < height and 0 <= from_x < width:
                    source = width - 1 - from_x if mirrored else from_x
                    shown[c, y, x] = image[c, from_y, source]
    return shown


def test_views_are_what_slicing_by_hand_makes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 2, 5, 7)).astype(np.float32)
    views = np.array([[0, 0, 0], [2, 0, 0], [0, -3, 0], [-1, 2, 1], [0, 0, 1], [4, 6, 0]])
    shown = augment(torch.from_numpy(x), torch.from_numpy(views)).numpy()
    for image, view, found in zip(x, views, shown, strict=True):
        np.testing.assert_array_equal(found, by_hand(image, *view))


@pytest.mark.parametrize("kinds", [("crop",), ("flip",), ("crop", "flip")])
def test_views_hold_what_was_asked_for_and_spread_evenly(kinds):
    views = Views(range(1), kinds, (3, 32, 16), arm="standard", seed=0).draw([4000]).numpy()
    down, right, mirrored = views.T
    if "crop" in kinds:
        assert set(down) == set(range(-4, 5))
        assert set(right) == set(range(-2, 3))
        assert np.bincount(down + 4).min() > 4000 / 9 * 0.8
    else:
        assert not down.any()
        assert not right.any()
    assert mirrored.mean() == pytest.approx(0.5 if "flip" in kinds else 0.0, abs=0.04)


def test_each_model_arm_and_step_has_views_of_its_own():
    def drawn(models: range, arm: str) -> list[torch.Tensor]:
        views = Views(models, ("crop", "flip"), (1, 32, 32), arm=arm, seed=3)
        return [views.draw([50] * len(models)) for _ in range(2)]

    first, second = drawn(range(2), "standard")
    assert not torch.equal(first, second)
    assert not torch.equal(first[:50], first[50:])
    assert torch.equal(first[50:], drawn(range(1, 2), "standard")[0])
    assert not torch.equal(first, drawn(range(2), "dp-2")[0])


def test_no_rows_no_views():
    views = Views(range(2), ("crop",), (1, 8, 8), arm="standard", seed=0).draw([0, 0])
    assert views.shape == (0, 3)
    assert augment(torch.zeros(0, 1, 8, 8), views).shape == (0, 1, 8, 8)
