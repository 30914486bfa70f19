"""Seed streams: every random draw is keyed by its purpose and index, never by arithmetic on seeds.

``SeedSequence(root, spawn_key=(purpose, …))`` gives statistically independent streams (NumPy,
"Parallel random number generation"), so model k is the same model whatever else is trained.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of the file format: never renumber them."""

    MEMBERSHIP = 1
    INITIALISATION = 2
    MINIBATCHES = 3
    NOISE = 4
    SPLIT = 5
    SUBPOPULATIONS = 6
    CROSS_CHECK = 7
    PERMUTATION = 8
    LAYERS = 9
    AUGMENTATION = 11
    LEARNER = 12
    CANARY_MEMBERSHIP = 13
    CANARY_MINIBATCHES = 14
    CANARY_DIRECTIONS = 15
    CANARY_EXAMPLES = 16
    CALIBRATION = 18
    LONG_TAIL = 19
    RANDOM_LABELS = 20
    REMOVAL = 21


def generator(root: int, purpose: Purpose, *key: int | str) -> np.random.Generator:
    """A generator for ``purpose`` and ``key`` (model index, arm name, …) under the root seed."""
    return np.random.Generator(np.random.PCG64DXSM(seed_sequence(root, purpose, *key)))


def seed_sequence(root: int, purpose: Purpose, *key: int | str) -> np.random.SeedSequence:
    """The ``SeedSequence`` behind :func:`generator`."""
    words = tuple(_word(part) for part in key)
    return np.random.SeedSequence(root, spawn_key=(int(purpose), *words))


def _word(part: int | str) -> int:
    """A non-negative integer for one part of a key; names by SHA-256 (stable, unlike hash)."""
    if isinstance(part, str):
        return int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "little")
    if part < 0:
        raise ValueError(f"seed key {part} is negative")
    return int(part)
