"""Convolutional networks by name: ``cnn`` and ``resnet``, as factories like a user's own."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd
from typing import Any

import torch
from torch import nn

from audit.errors import BadInput

Factory = Callable[[tuple[int, ...], int], nn.Module]

_SMALL_IMAGE = 16
_RESNET_WIDTHS = (16, 32, 64)


def cnn(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """The tanh network that is hard to beat under DP at small ε, 26,010 parameters on MNIST.

    Papernot et al. 2021 (tempered sigmoids, Table 1); Tramèr & Boneh 2021 (App. C, Table 8).
    Images under 16 pixels get 3 × 3 kernels, since its 8 × 8 and 4 × 4 do not fit.

    Raises:
        BadInput: examples that are not images [channels, height, width].
    """
    channels, height, width = _image(input_shape, "cnn")
    if min(height, width) < _SMALL_IMAGE:
        first, second = nn.Conv2d(channels, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        pool: nn.Module = nn.MaxPool2d(2)
    else:
        first = nn.Conv2d(channels, 16, 8, stride=2, padding=3)
        second, pool = nn.Conv2d(16, 32, 4, stride=2), nn.MaxPool2d(2, stride=1)
    features = nn.Sequential(first, nn.Tanh(), pool, second, nn.Tanh(), pool, nn.Flatten())
    with torch.no_grad():
        flat = features(torch.zeros(1, channels, height, width)).shape[1]
    head = (nn.Linear(flat, 32), nn.Tanh(), nn.Linear(32, n_classes))
    return nn.Sequential(*features, *head)


class _Block(nn.Module):
    """Two 3 × 3 convolutions with GroupNorm beside a shortcut (He et al. 2016, §3.3, option B)."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.first_norm = _group_norm(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = _group_norm(channels)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Any) -> Any:
        """[rows, channels, height, width], or torch.fx's stand-in for it while it is traced."""
        out = self.relu(self.first_norm(self.first(x)))
        out = self.second_norm(self.second(out))
        return self.relu(out + self.shortcut(x))


def resnet(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """ResNet-8 with GroupNorm: a stem and one residual block at each of 16, 32 and 64 channels.

    He et al. 2016 (§4.2, n = 1, with one block less deep per stage); GroupNorm (Wu & He 2018) in
    place of BatchNorm, which mixes the examples of a minibatch, so that both arms can share it.

    Raises:
        BadInput: examples that are not images [channels, height, width].
    """
    channels, _, _ = _image(input_shape, "resnet")
    width = _RESNET_WIDTHS[0]
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        _group_norm(width),
        nn.ReLU(),
    ]
    for stage, channels_out in enumerate(_RESNET_WIDTHS):
        layers.append(_Block(width, channels_out, stride=1 if stage == 0 else 2))
        width = channels_out
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_classes))
    return nn.Sequential(*layers, *head)


ZOO: dict[str, Factory] = {"cnn": cnn, "resnet": resnet}


def _group_norm(channels: int) -> nn.GroupNorm:
    # Eight groups: at least two channels each at these widths.
    return nn.GroupNorm(gcd(8, channels), channels)


def _image(input_shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    if len(input_shape) != 3 or min(input_shape[1:]) < 4:
        raise BadInput(
            "model",
            name,
            f"needs images [channels, height, width] of 4 pixels and more, got {input_shape}",
            "Use --model mlp, or data whose examples are images",
        )
    channels, height, width = input_shape
    return channels, height, width
