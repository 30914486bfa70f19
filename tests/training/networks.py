"""Factories of networks for tests: what a cohort can hold, and what it cannot."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def plain_conv(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Stride, padding, dilation, no bias, both poolings."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 3, padding=1, bias=False),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, stride=1),
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2)),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(n_classes),
    )


class Everything(nn.Module):
    """Functions, methods, a residual connection, both normalisations, several linear layers."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.branch = nn.Conv2d(8, 8, 3, padding=1)
        self.frozen_norm = nn.GroupNorm(4, 8, affine=False)
        self.hidden = nn.Linear(8, 12, bias=False)
        self.layer_norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = x + torch.tanh(self.frozen_norm(self.branch(x)))
        x = F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)
        return self.head(F.gelu(self.layer_norm(self.hidden(x))))


def everything(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return Everything(input_shape[0], n_classes)


def large_images(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Patches too large to be copied out: PyTorch's convolution and chunked norms."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 5, padding=2),
        nn.Tanh(),
        nn.Conv2d(8, 8, 5, padding=2),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, n_classes),
    )


def with_batch_norm(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.BatchNorm1d(8),
        nn.Linear(8, n_classes),
    )


def with_dropout(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    features = int(np.prod(input_shape))
    return nn.Sequential(
        nn.Flatten(), nn.Linear(features, 16), nn.Dropout(0.5), nn.Linear(16, n_classes)
    )


class ScaledLinear(nn.Module):
    """A bare parameter outside a layer."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))
        self.linear = nn.Linear(features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1) * self.scale)


def scaled_linear(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return ScaledLinear(int(np.prod(input_shape)), n_classes)


class TwiceUsed(nn.Module):
    """One layer called twice: its norm is not the sum of the two calls' norms."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__()
        self.square = nn.Linear(features, features)
        self.head = nn.Linear(features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.square(x.flatten(1)))
        return self.head(torch.tanh(self.square(x)))


def twice_used(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return TwiceUsed(int(np.prod(input_shape)), n_classes)


class Branching(nn.Module):
    """Control flow that depends on values: neither traced nor transformed."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        parts = [row * 2 if bool(row.sum() > 0) else row for row in x]
        return self.linear(torch.stack(parts) if parts else x)


def branching(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return Branching(int(np.prod(input_shape)), n_classes)


class Sneaky(nn.Module):
    """Every operation is known, but together they mix examples in training."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x.flatten(1))
        return x - x.mean(0) if self.training else x


def sneaky(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return Sneaky(int(np.prod(input_shape)), n_classes)


class RandomFeatures(nn.Module):
    """A buffer that is drawn: no two models share it."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("projection", torch.randn(features, 8))
        self.linear = nn.Linear(8, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.tanh(x.flatten(1) @ self.get_buffer("projection")))


def random_features(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return RandomFeatures(int(np.prod(input_shape)), n_classes)


def running_mean(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    channels, height, width = input_shape
    norm = nn.InstanceNorm2d(channels, track_running_stats=True)
    return nn.Sequential(norm, nn.Flatten(), nn.Linear(channels * height * width, n_classes))
