"""Gaussian noise for DP-SGD: one stream per (arm, model), with its full generator state seeded."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from audit.seeds import Purpose, seed_sequence

# Layout of torch's CPU generator state (at::CPUGeneratorImpl): the_initial_seed (8 bytes), left
# (4), seeded (4), next (8), then the 624 words of MT19937 in 8 bytes each. A test compares the
# stream with NumPy's MT19937 under the same key, so a changed layout cannot go unnoticed.
_LEFT, _NEXT, _WORDS, _N_WORDS = 8, 16, 24, 624


def noise_generator(seed: int, arm: str, model: int, device: torch.device) -> torch.Generator:
    """The noise stream of ``model`` in ``arm``.

    ``torch.Generator.manual_seed`` keeps 32 bits of the seed on the CPU: among some ten thousand
    models two would likely share their noise. The whole MT19937 state is set instead, from the
    model's own ``SeedSequence``. On CUDA the generator (Philox) takes the full 64-bit seed.
    """
    sequence = seed_sequence(seed, Purpose.NOISE, arm, model)
    generator = torch.Generator(device=device)
    if device.type != "cpu":
        generator.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
        return generator
    return seeded_cpu_generator(sequence.generate_state(_N_WORDS, np.uint32))


def seeded_cpu_generator(key: np.ndarray) -> torch.Generator:
    """A CPU generator whose MT19937 state is ``key`` (624 words of uint32)."""
    generator = torch.Generator()
    state = generator.get_state().numpy().copy()
    words = key.astype(np.uint64)
    # MT19937 needs its first word's top bit set so that the state is never all zero.
    words[0] |= np.uint64(0x80000000)
    state[_WORDS : _WORDS + 8 * _N_WORDS] = words.view(np.uint8)
    state[_LEFT : _LEFT + 4] = np.array([1], dtype=np.int32).view(np.uint8)
    state[_NEXT : _NEXT + 8] = np.array([0], dtype=np.uint64).view(np.uint8)
    generator.set_state(torch.from_numpy(state))
    return generator


class Noise:
    """Standard normal noise [models, parameters], one fresh draw per step."""

    def __init__(
        self, models: range, parameters: int, *, arm: str, seed: int, device: torch.device
    ) -> None:
        self._generators = [noise_generator(seed, arm, model, device) for model in models]
        self._buffer = torch.empty(len(models), parameters, device=device)

    def draw(self, std: float) -> Tensor:
        """N(0, std²) for the next step; the tensor is reused by the next call."""
        for row, generator in zip(self._buffer, self._generators, strict=True):
            row.normal_(0.0, std, generator=generator)
        return self._buffer
