"""Gaussian noise for DP-SGD: one stream per (arm, model), and generators with their full state."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from audit.seeds import Purpose, seed_sequence

# Layout of torch's CPU generator state (at::CPUGeneratorImpl): the_initial_seed (8 bytes), left
# (4), seeded (4), next (8), then the 624 words of MT19937 in 8 bytes each. A test compares the
# stream with NumPy's MT19937 under the same key, so a changed layout cannot go unnoticed.
_LEFT, _NEXT, _WORDS, _N_WORDS = 8, 16, 24, 624
# Numbers made at once: calls cost little, and what is worked on stays in the second-level cache.
_BLOCK = 2**15


def noise_generator(seed: int, arm: str, model: int, device: torch.device) -> torch.Generator:
    """The noise stream of ``model`` in ``arm`` where Opacus draws it, in the loop.

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
    """Gaussian noise of standard deviation ``std`` [models, parameters], a fresh draw per step.

    Each model has a stream of its own (SFC64 under its ``SeedSequence``), from which numbers are
    taken for several steps at once: small models would else spend more on calls than on numbers.
    """

    def __init__(self, models: range, parameters: int, *, std: float, arm: str, seed: int) -> None:
        self._streams = [
            NormalStream(seed_sequence(seed, Purpose.NOISE, arm, model)) for model in models
        ]
        self._std = std
        # A constant of the parameters: a model's stream must not depend on its cohort.
        self._steps = max(1, _BLOCK // parameters)
        self._drawn = np.empty((len(models), self._steps, parameters), dtype=np.float32)
        self._next = self._steps

    def draw(self) -> Tensor:
        """N(0, std²) for the next step; the tensor is good until the next call."""
        if self._next == self._steps:
            for stream, rows in zip(self._streams, self._drawn, strict=True):
                stream.fill(rows.reshape(-1), self._std)
            self._next = 0
        self._next += 1
        return torch.from_numpy(self._drawn[:, self._next - 1])


class NormalStream:
    """Independent normal numbers (Box & Muller 1958) from the bits of an SFC64 generator.

    One 64-bit word gives a radius and an angle, 32 bits each, and they two numbers; the largest is
    6.8 standard deviations. All work is done by NumPy's vectorised functions in blocks: four fifths
    of the time that torch's ``normal_`` takes, 30 % of that of NumPy's own normals
    (benchmarks/kernels.py).
    """

    # One set for all streams of a process: they are filled one after the other.
    _radius, _angle, _wave = (np.empty(_BLOCK // 2, dtype=np.float32) for _ in range(3))

    def __init__(self, sequence: np.random.SeedSequence) -> None:
        self._bits = np.random.SFC64(sequence)

    def fill(self, out: np.ndarray, std: float) -> None:
        """Fill ``out`` [size] (float32) with N(0, std²)."""
        for start in range(0, len(out), _BLOCK):
            self._fill_block(out[start : start + _BLOCK], std)

    def _fill_block(self, out: np.ndarray, std: float) -> None:
        half = (len(out) + 1) // 2
        rest = len(out) - half
        radius, angle, wave = self._radius[:half], self._angle[:half], self._wave[:half]
        words = self._bits.random_raw(half).view(np.uint32)
        np.copyto(radius, words[:half], casting="unsafe")
        # A uniform number between 2⁻³³ and 1, whose logarithm is finite.
        np.multiply(radius, np.float32(2.0**-32), out=radius)
        np.add(radius, np.float32(2.0**-33), out=radius)
        np.log(radius, out=radius)
        np.multiply(radius, np.float32(-2.0 * std**2), out=radius)
        np.sqrt(radius, out=radius)
        np.copyto(angle, words[half:].view(np.int32), casting="unsafe")
        np.multiply(angle, np.float32(np.pi * 2.0**-31), out=angle)
        np.multiply(radius, np.sin(angle, out=wave), out=out[:half])
        np.cos(angle[:rest], out=wave[:rest])
        np.multiply(radius[:rest], wave[:rest], out=out[half:])
