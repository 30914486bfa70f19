"""Random crops and flips of images, drawn per model, step and example.

A row of ``views`` [rows, 3] says how one image is shown: shifted by so many pixels down and right
(empty pixels are 0), and mirrored or not. An example gets one view per step, so its clipped
gradient, and with it the privacy accounting, is that of one example.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from audit.seeds import Purpose, generator

Augmentation = Literal["crop", "flip"]
_CROP_SHARE = 1 / 8
"""Largest shift as a share of the image's side: 4 pixels of CIFAR's 32 (He et al. 2016, §4.2)."""


class Views:
    """The views of some models' minibatches; each model draws from a stream of its own.

    Args:
        input_shape: [channels, height, width] of an example.
    """

    def __init__(
        self,
        models: range,
        kinds: tuple[Augmentation, ...],
        input_shape: tuple[int, ...],
        *,
        arm: str,
        seed: int,
    ) -> None:
        self._rngs = [generator(seed, Purpose.AUGMENTATION, arm, model) for model in models]
        self._kinds = kinds
        self._most = largest_shifts(input_shape)

    def draw(self, sizes: list[int]) -> Tensor:
        """Views for the next step [sum(sizes), 3], model by model."""
        parts = [self._draw(rng, size) for rng, size in zip(self._rngs, sizes, strict=True)]
        return torch.from_numpy(np.concatenate(parts))

    def _draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        # Everything is drawn whatever is asked for, so that kinds do not shift each other's draws.
        down, right = (rng.integers(-m, m + 1, size) for m in self._most)
        mirrored = rng.integers(0, 2, size)
        crop, flip = "crop" in self._kinds, "flip" in self._kinds
        return np.stack([down * crop, right * crop, mirrored * flip], axis=1)


def largest_shifts(input_shape: tuple[int, ...]) -> list[int]:
    """The most pixels by which an image [channels, height, width] is shifted down and right."""
    return [ceil(side * _CROP_SHARE) for side in input_shape[1:]]


def restrict(views: Tensor, kinds: tuple[Augmentation, ...]) -> Tensor:
    """``views`` [..., 3] with only the changes that were asked for."""
    crop, flip = "crop" in kinds, "flip" in kinds
    return views * torch.tensor([crop, crop, flip], device=views.device)


def model_views(
    model: int,
    kinds: tuple[Augmentation, ...],
    input_shape: tuple[int, ...],
    sizes: Iterator[int],
    *,
    arm: str,
    seed: int,
) -> Iterator[Tensor]:
    """The views of one model's minibatches of these ``sizes``, step by step."""
    views = Views(range(model, model + 1), kinds, input_shape, arm=arm, seed=seed)
    for size in sizes:
        yield views.draw([size])


def augment(x: Tensor, views: Tensor) -> Tensor:
    """Images ``x`` [rows, channels, height, width] as ``views`` [rows, 3] say."""
    height, width = x.shape[2:]
    views = views.to(x.device)
    rows = torch.arange(len(x), device=x.device)[:, None, None]
    down = torch.arange(height, device=x.device) - views[:, :1]
    right = torch.arange(width, device=x.device) - views[:, 1:2]
    inside = ((down >= 0) & (down < height))[:, :, None] & ((right >= 0) & (right < width))[:, None]
    mirrored = torch.where(views[:, 2:] == 1, width - 1 - right, right)
    # Advanced indices around a slice come first in the result: [rows, height, width, channels].
    picked = x[
        rows, :, down.clamp(0, height - 1)[:, :, None], mirrored.clamp(0, width - 1)[:, None]
    ]
    return (picked * inside[..., None]).permute(0, 3, 1, 2)
