"""The network of Bagdasaryan & Shmatikov's MNIST experiments: PyTorch's MNIST example of 2019.

Two 5 × 5 convolutions of 20 and 50 channels, each followed by ReLU and a 2 × 2 maximum, and 500
units before the classes: 431,080 parameters ("Caffe's LeNet"). Its authors feed it pixels of mean 0
and standard deviation 1, and train with momentum .5 (their repository, differential-privacy-vs-
fairness: ``models/simple.py``, ``image_helper.py``, ``params/params_mnist.yaml``).
"""

from __future__ import annotations

import numpy as np
from torch import nn

MEAN, SD = 0.1307, 0.3081
"""Of MNIST's training pixels."""


def lenet(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A factory as ``--model package.module:factory`` names it; for images of 28 × 28."""
    channels = input_shape[0]
    return nn.Sequential(
        nn.Conv2d(channels, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, n_classes),
    )


def normalised(pixels: np.ndarray) -> np.ndarray:
    """Pixels of [0, 1] as the network is fed them."""
    return ((pixels - np.float32(MEAN)) / np.float32(SD)).astype(np.float32)
