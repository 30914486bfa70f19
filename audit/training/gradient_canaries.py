"""Gradient canaries: examples that exist only as a gradient, to audit DP-SGD from the inside.

A canary stands for a person whose gradient is as bad as DP-SGD allows: a fixed direction, long
enough to be clipped. It is "in" a model's training set by a fair coin, enters minibatches with the
same Poisson rate as any example, and is clipped as any example is. Whoever sees the parameters
after every step projects each step onto the canary's direction: that is the strongest position from
which (ε, δ) still has to hold (white box: Nasr et al. 2023; Steinke, Nasr & Jagielski 2023, §6).

Directions have disjoint supports, so that canaries do not disturb each other: within a layer of d
parameters and m canaries, canary i has the parameters i, i + m, i + 2m, … with random signs. Every
parameter belongs to at most one canary, every canary to one layer (noise that is missing in one
layer shows in the canaries of that layer), and adding or projecting all of them takes one pass over
the parameters, whatever their number.

In each step all canaries are multiplied by one public sign. Over the training the signs sum to
zero, so what the real examples' gradients put into a direction, which changes slowly, averages out
(as does noise that is the same in every step: it then hides nothing).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from audit.inclusion import fair_coins
from audit.seeds import Purpose, generator
from audit.training.arms import Arm
from audit.training.models import Model
from audit.training.plants import recipe

LENGTH = 10.0
"""‖gradient‖ of a canary in clip norms: a loss can be as steep as it likes, clipping must hold."""
# exp(80) is finite in float32.
_LARGEST_EXPONENT = 80.0
# Weight of the newest step in the running mean of what steps spread.
_NEWEST = 0.1


def most_canaries(parameters: int) -> int:
    """The most canaries that have directions of their own: two parameters each."""
    return parameters // 2


@dataclass(frozen=True)
class CanaryScores:
    """What a white-box attacker knows of each canary when training ends.

    ``coins`` [models, canaries]: who was in; the attacker is not told. ``total`` [models,
    canaries]: Σ_t x_t, where x_t is the step's gradient sum along the canary, over the clip norm:
    1 in steps that have the canary, 0 in others, and noise of standard deviation z. ``llr``
    [models, canaries]: log-likelihood ratio of in against out, Σ_t log(1 − q + q exp((x_t − ½) /
    v_t)), for steps that are what DP-SGD says they are; v_t is z² and what real examples add to it.
    Of both: higher = more likely in.
    """

    coins: Bool[np.ndarray, "models canaries"]
    total: Float32[np.ndarray, "models canaries"]
    llr: Float32[np.ndarray, "models canaries"]


def stack_scores(parts: list[CanaryScores]) -> CanaryScores:
    """The scores of several parts of a cohort, one below the other."""
    return CanaryScores(
        np.concatenate([part.coins for part in parts]),
        np.concatenate([part.total for part in parts]),
        np.concatenate([part.llr for part in parts]),
    )


@dataclass(frozen=True)
class _Layer:
    """Parameters ``first``… of one layer, and the canaries that live there.

    ``rows`` · ``count`` parameters lie in full rows; the first ``rest`` canaries have one more.
    """

    first: int
    canary: int
    count: int
    rows: int
    rest: int


class Directions:
    """Unit vectors v_i [parameters] of ``count`` canaries, the same in every model of a run.

    Args:
        model: whose parameters they are directions of.
        count: canaries, at most :func:`most_canaries`.
        seed: root of the random signs.
    """

    def __init__(self, model: Model, count: int, *, seed: int, device: torch.device) -> None:
        sizes = [layer[0].numel() for layer in model.layers(torch.empty(1, model.parameters))]
        self.count = count
        self.layers = list(_layers(sizes, count))
        rng = generator(seed, Purpose.CANARY_DIRECTIONS)
        weights = np.zeros(model.parameters, dtype=np.float32)
        for layer in self.layers:
            full = layer.rows * layer.count
            size = full + layer.rest
            support = np.full(layer.count, layer.rows)
            support[: layer.rest] += 1
            scale = 1 / np.sqrt(support)
            signs = rng.choice([-1.0, 1.0], size=size)
            weights[layer.first : layer.first + size] = signs * np.resize(scale, size)
        self._weights = torch.from_numpy(weights).to(device)

    def add(self, vectors: Tensor, coefficients: Tensor) -> None:
        """``vectors`` [models, ≥ parameters] += Σ_i ``coefficients`` [models, canaries] · v_i."""
        for layer in self.layers:
            own = coefficients[:, layer.canary : layer.canary + layer.count]
            middle = layer.first + layer.rows * layer.count
            weights = self._weights[layer.first : middle].view(layer.rows, layer.count)
            here = vectors[:, layer.first : middle].unflatten(1, (layer.rows, layer.count))
            here.addcmul_(own[:, None], weights)
            if layer.rest:
                end = middle + layer.rest
                last = vectors[:, middle:end]
                last.addcmul_(own[:, : layer.rest], self._weights[middle:end])

    def project(self, vectors: Tensor) -> Tensor:
        """⟨vector, v_i⟩ [models, canaries] of ``vectors`` [models, parameters]."""
        found = vectors.new_empty(len(vectors), self.count)
        for layer in self.layers:
            own = found[:, layer.canary : layer.canary + layer.count]
            middle = layer.first + layer.rows * layer.count
            parts = vectors[:, layer.first : middle] * self._weights[layer.first : middle]
            torch.sum(parts.unflatten(1, (layer.rows, layer.count)), dim=1, out=own)
            if layer.rest:
                end = middle + layer.rest
                own[:, : layer.rest].addcmul_(vectors[:, middle:end], self._weights[middle:end])
        return found


def _layers(sizes: list[int], count: int) -> Iterator[_Layer]:
    """Canaries shared out among layers by their sizes (largest remainders)."""
    shares = np.array(sizes) * count / sum(sizes)
    counts = shares.astype(int)
    remainders = np.argsort(counts - shares, kind="stable")
    counts[remainders[: count - counts.sum()]] += 1
    first = canary = 0
    for size, own in zip(sizes, counts.tolist(), strict=True):
        if own:
            yield _Layer(first, canary, own, size // own, size % own)
        first, canary = first + size, canary + own


def step_signs(arm: Arm, *, seed: int) -> np.ndarray:
    """The public sign of each step [steps]; as many of one as of the other, in random order."""
    signs = np.where(np.arange(arm.steps) % 2 == 0, 1.0, -1.0)
    return generator(seed, Purpose.CANARY_DIRECTIONS, arm.name).permutation(signs)


class PlantedCanaries:
    """The canaries of some models in training: added to each step's noise, seen in its result.

    For every step, in this order: :meth:`add` before it, :meth:`observe` after it.

    Args:
        model, arm: what is trained; ``arm.canaries`` of them, in an arm that clips and adds noise.
        models: the models of the cohort.
        scale: what the step's noise is multiplied by: 1 where it is noise on the *sum* of
            gradients, 1 / expected batch size where it is in units of their mean.
    """

    def __init__(
        self,
        model: Model,
        arm: Arm,
        models: range,
        *,
        seed: int,
        device: torch.device,
        scale: float = 1.0,
    ) -> None:
        assert arm.clip_norm is not None
        assert arm.noise_multiplier is not None
        self.arm = arm
        self.coins = fair_coins(arm.canaries, models, seed=seed)
        self._directions = Directions(model, arm.canaries, seed=seed, device=device)
        self._signs = step_signs(arm, seed=seed)
        self._device = device
        self._steps = self._selections(models, seed)
        size = scale * recipe(arm).clipped(LENGTH * arm.clip_norm, arm.clip_norm)
        # On the device: a number from the host would have to be waited for in every step.
        self._sizes = torch.tensor([-size, size], device=device)
        self._chosen = torch.zeros(len(models), arm.canaries, device=device)
        self._total, self._llr = torch.zeros_like(self._chosen), torch.zeros_like(self._chosen)
        self._done = 0
        self._last: Tensor | None = None
        self._velocity = torch.zeros_like(self._chosen)
        self._seen_variance = torch.full_like(self._chosen, arm.noise_multiplier**2)

    def start(self, theta: Tensor) -> None:
        """Look at the parameters [models, parameters] before the first step."""
        self._last = self._directions.project(theta)

    def skip(self) -> None:
        """Go on to the next step without a look at this one."""
        self._done += 1

    def add(self, noise: Tensor) -> None:
        """Add the clipped gradients of the canaries in this step's minibatch to its ``noise``
        [models, ≥ parameters], in place."""
        rows, canaries = next(self._steps)
        size = self._sizes[int(self._signs[self._done] > 0)]
        self._chosen.zero_().index_put_((rows, canaries), size)
        self._directions.add(noise, self._chosen)

    def observe(self, theta: Tensor) -> None:
        """Take what the parameters [models, parameters] say after the step.

        What the optimiser adds of its own (momentum, weight decay) is public, and taken off.
        """
        assert self._last is not None, "start() comes before the first step"
        arm = self.arm
        assert arm.clip_norm is not None
        assert arm.noise_multiplier is not None
        now = self._directions.project(theta)
        velocity = (self._last - now).div_(arm.learning_rate)
        seen = velocity
        if arm.momentum:
            seen = seen.sub(self._velocity, alpha=arm.momentum)
            self._velocity = velocity
        if arm.weight_decay:
            seen = seen.sub(self._last, alpha=arm.weight_decay)
        sign = float(self._signs[self._done])
        seen = seen.mul(sign * arm.expected_batch_size / arm.clip_norm)
        self._total.add_(seen)
        self._llr.add_(_log_likelihood_ratio(seen, arm.sample_rate, self._variance(seen)))
        self._last = now
        self._done += 1

    def _variance(self, seen: Tensor) -> Tensor:
        """Variance of a step's noise along the canaries [models, canaries]: z², or more where the
        real examples' gradients spread more than that.

        The attacker sees it: the mean square over a layer's canaries, less what those that are in
        and selected contribute, averaged over the last steps. Without it the tails of the
        likelihood ratio, where it is surest, would be wrong.
        """
        arm = self.arm
        assert arm.noise_multiplier is not None
        expected = arm.noise_multiplier**2
        for layer in self._directions.layers:
            here = slice(layer.canary, layer.canary + layer.count)
            square = seen[:, here].square().mean(dim=1, keepdim=True)
            own = self._seen_variance[:, here]
            own.lerp_((square - arm.sample_rate / 2).expand_as(own), _NEWEST)
        return self._seen_variance.clamp(min=expected)

    def scores(self) -> CanaryScores:
        """What was seen until now."""
        return CanaryScores(self.coins, self._total.cpu().numpy(), self._llr.cpu().numpy())

    def _selections(self, models: range, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Per step: which canaries of which model (its row) are in the minibatch. They come to the
        device a block of steps at a time."""
        purpose = Purpose.CANARY_MINIBATCHES
        blocks = recipe(self.arm).minibatches(
            self.coins, models, self.arm, seed=seed, purpose=purpose
        )
        for block in blocks:
            steps = len(block.sizes)
            rows = np.repeat(np.tile(np.arange(len(models)), steps), block.sizes.ravel())
            lengths = block.sizes.sum(axis=1).tolist()
            yield from zip(
                *(
                    torch.from_numpy(values).to(self._device).split(lengths)
                    for values in (rows, block.examples)
                ),
                strict=True,
            )


def _log_likelihood_ratio(x: Tensor, q: float, variance: Tensor) -> Tensor:
    """log of (1 − q) N(0, v) + q N(1, v) over N(0, v) at ``x``."""
    exponent = (x - 0.5).div_(variance).clamp_(max=_LARGEST_EXPONENT)
    if q == 1.0:
        return exponent
    if exponent.device.type == "cpu":
        # NumPy's exp and log take less than half of the time of PyTorch's (benchmarks/kernels.py).
        values = exponent.numpy()
        np.exp(values, out=values)
        values *= q
        values += 1 - q
        np.log(values, out=values)
        return exponent
    return exponent.exp_().mul_(q).add_(1 - q).log_()
