"""The live cross-check: one model of each arm trained once more, by PyTorch or Opacus.

A test suite shows that the ensemble *was* right on the author's machine; this shows that it *is*
right in the run under audit. Three things are looked at, because each is blind to something:

- the **trajectory**: the cohort's model against the reference, early and at the end of training;
- **single steps**, each started from the reference's own state: no drift, whatever the training;
- the **streams** that both sides share (noise, minibatches), against what the accountant assumes:
  two programs that add the same wrong noise agree with each other (:mod:`audit.training.streams`).

docs/cross-check.md has the measurements behind the tolerance, and what remains shared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from audit.training.arms import Arm
from audit.training.augmentation import model_views
from audit.training.engines import Engine, program
from audit.training.ensemble import Data
from audit.training.evaluation import evaluate_cohort, evaluate_module
from audit.training.models import Model
from audit.training.noise import Noise
from audit.training.opacus_loop import (
    cheapest_mode,
    model_minibatches,
    tee_sizes,
    train_private,
    train_standard,
)
from audit.training.streams import StreamCheck, check_streams

TOLERANCE = 1e-4
# The trajectory is compared after this many steps, before any training can amplify rounding much.
EARLY_STEPS = 20
# Where training amplifies rounding, the reference does not even agree with itself once the rows of
# its minibatches are reordered. Up to this multiple of that, the end of training proves nothing.
_SELF_DISAGREEMENT = 10.0
_REORDERINGS = 3
# A step may differ by the rounding of the parameters themselves: a few units in the last place.
_ROUNDING = 4 * torch.finfo(torch.float32).eps
SHARED = (
    "membership, initial parameters and evaluation (same code)",
    "minibatch and noise streams (same draws, tested against the accountant's assumptions)",
)


@dataclass(frozen=True)
class CrossCheck:
    """Ensemble against reference for one model of one arm.

    ``parameters_relative_difference`` is ‖θ − θ_ref‖ / ‖θ_ref − θ_0‖ at the end, relative to how
    far training moved, so that a large initialisation cannot hide a wrong step;
    ``early_relative_difference`` the same after ``early_steps``;
    ``single_step_relative_difference`` for steps from a common state, root mean square over all
    steps. ``self_relative_difference``: of the reference with the rows of its minibatches reordered
    (the largest of a few), where the end was above ``tolerance`` (None elsewhere).
    ``predictions_differing`` counts training and test examples that one of the two gets right and
    the other wrong.

    ``verdict``: *fails* if the early trajectory (by more than rounding explains), the single steps
    or the streams are off;
    *inconclusive* if only the end is, by more than rounding explains; else *holds*.
    """

    model: int
    against: str
    steps: int
    parameters_relative_difference: float
    early_relative_difference: float
    early_steps: int
    single_step_relative_difference: float
    self_relative_difference: float | None
    outputs_max_difference: float
    predictions_differing: int
    predictions: int
    tolerance: float
    stream: StreamCheck
    verdict: Literal["holds", "fails", "inconclusive"]
    shared: tuple[str, ...] = field(default=SHARED)

    def to_json(self) -> dict[str, object]:
        """Plain JSON; a difference that is not finite (a diverged model) becomes null."""
        found = asdict(self)
        for name, value in found.items():
            if isinstance(value, float) and not np.isfinite(value):
                found[name] = None
        return {
            **found,
            "passed": self.verdict != "fails",
            "shared": list(self.shared),
            "stream": self.stream.to_json(),
        }


def cross_check(
    model: Model,
    arm: Arm,
    theta: Tensor,
    early: Tensor,
    k: int,
    member: Bool[np.ndarray, " n"],
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    seed: int,
    engine: Engine = "ensemble",
) -> CrossCheck:
    """Train model ``k`` of ``arm`` again in the loop and compare with the ensemble's ``theta``.

    Args:
        theta, early: the ensemble's parameters of model k [parameters], at the end and after
            min(``EARLY_STEPS``, steps) steps.
        member: its membership [n].
        train, test: inputs as ``model.prepare`` made them, and labels.
        engine: what trained the cohort.
    """
    theta, early = theta.cpu(), early.cpu()
    data = Data.of(train[0].cpu(), train[1].cpu())
    initial = torch.from_numpy(model.initial(seed, k))
    repeat = _Repeat(model, arm, k, member, data, initial, seed, engine)
    reference, early_reference, single_step = repeat.train_watched()
    relative = _relative(theta - reference, reference - initial)
    early_relative = _relative(early - early_reference, early_reference - initial)
    self_relative = None
    if not relative <= TOLERANCE:
        self_relative = repeat.self_disagreement(reference, arm.steps)
    early_allowed = TOLERANCE
    if not early_relative <= TOLERANCE:
        # Unscaled inputs amplify rounding within a few steps already.
        early_self = repeat.self_disagreement(early_reference, min(EARLY_STEPS, arm.steps))
        early_allowed = max(TOLERANCE, _SELF_DISAGREEMENT * early_self)
    stream = check_streams(model, arm, k, member, seed=seed)
    verdict: Literal["holds", "fails", "inconclusive"] = "holds"
    if not (early_relative <= early_allowed and single_step <= TOLERANCE and stream.passed):
        verdict = "fails"
    elif not relative <= max(TOLERANCE, _SELF_DISAGREEMENT * (self_relative or 0.0)):
        verdict = "inconclusive"
    x, y = torch.cat([data.x, test[0].cpu()]), torch.cat([data.y, test[1].cpu()])
    ours = evaluate_cohort(model, theta[None], x, y)
    theirs = evaluate_module(model.module(reference), model.plain(x), y)
    gap = np.abs(ours.margin.astype(np.float32) - theirs.margin.astype(np.float32))
    return CrossCheck(
        model=k,
        against=_against(model, arm),
        steps=arm.steps,
        parameters_relative_difference=relative,
        early_relative_difference=early_relative,
        early_steps=min(EARLY_STEPS, arm.steps),
        single_step_relative_difference=single_step,
        self_relative_difference=self_relative,
        outputs_max_difference=float(gap.max()),
        predictions_differing=int((ours.correct != theirs.correct).sum()),
        predictions=int(ours.correct.size),
        tolerance=TOLERANCE,
        stream=stream,
        verdict=verdict,
    )


def _reordered(rows: Iterator[Tensor], shift: int) -> Iterator[Tensor]:
    return (each.roll(7 * shift, dims=0).flip(0) for each in rows)


def _relative(difference: Tensor, moved: Tensor) -> float:
    size, scale = (torch.linalg.vector_norm(v.double()).item() for v in (difference, moved))
    return size / scale if scale > 0 else float(size > 0)


@dataclass(frozen=True)
class _Repeat:
    """The reference training of one model, in two versions."""

    model: Model
    arm: Arm
    k: int
    member: np.ndarray
    data: Data
    initial: Tensor
    seed: int
    engine: Engine

    def train_watched(self) -> tuple[Tensor, Tensor, float]:
        """Final and early parameters, and how the ensemble's single steps differ on the way."""
        module = self.model.module(self.initial)
        steps = _SingleSteps(self.model, self.arm, module, self.data, self.engine)
        views = self._views()
        self._train(
            module,
            steps.watch(self._minibatches()),
            steps.listen(self._noise()),
            None if views is None else steps.look(views),
        )
        return self._flat(module), steps.early, steps.relative_difference()

    def self_disagreement(self, reference: Tensor, steps: int) -> float:
        """How far the reference is from itself after ``steps`` when the rows of its minibatches are
        reordered: the same sums, rounded differently. The largest of a few reorderings."""
        moved, largest = reference - self.initial, 0.0
        for shift in range(1, _REORDERINGS + 1):
            module, views = self.model.module(self.initial), self._views()
            self._train(
                module,
                islice(_reordered(self._minibatches(), shift), steps),
                self._noise(),
                None if views is None else _reordered(views, shift),
            )
            largest = max(largest, _relative(self._flat(module) - reference, moved))
        return largest

    def _train(
        self,
        module: nn.Module,
        minibatches: Iterator[Tensor],
        noise: Iterator[Tensor],
        views: Iterator[Tensor] | None,
    ) -> None:
        x, y = self.model.plain(self.data.x), self.data.y
        if self.arm.kind == "standard":
            train_standard(module, self.arm, x, y, minibatches, views=views)
            return
        replay = ([part[0] for part in self.model.tensors(flat)] for flat in noise)
        mode = cheapest_mode(self.model.parameters, self.arm)
        train_private(module, self.arm, x, y, minibatches, replay=replay, mode=mode, views=views)

    def _minibatches(self) -> Iterator[Tensor]:
        return model_minibatches(self.member, self.k, self.arm, seed=self.seed)

    def _views(self) -> Iterator[Tensor] | None:
        """The ensemble's augmentations for the model, step by step; None without any."""
        if not self.arm.augmentation:
            return None
        _, sizes = tee_sizes(self._minibatches())
        return model_views(
            self.k,
            self.arm.augmentation,
            tuple(self.data.x.shape[1:]),
            sizes,
            arm=self.arm.name,
            seed=self.seed,
        )

    def _noise(self) -> Iterator[Tensor]:
        """The ensemble's noise for the model, step by step [1, parameters]."""
        noise = Noise(
            range(self.k, self.k + 1),
            self.model.parameters,
            std=self.arm.noise_std,
            arm=self.arm.name,
            seed=self.seed,
        )
        while True:
            yield noise.draw()

    def _flat(self, module: nn.Module) -> Tensor:
        return self.model.flatten(dict(module.named_parameters()))


class _SingleSteps:
    """Repeats every step of a reference training in the ensemble, from the reference's own state.

    Wraps the iterators that the training consumes: when the next minibatch is asked for, the step
    on the last one is done and can be compared.
    """

    def __init__(
        self, model: Model, arm: Arm, module: nn.Module, data: Data, engine: Engine
    ) -> None:
        self._model, self._arm, self._module, self._data = model, arm, module, data
        self._ensemble = program(model, engine, torch.zeros(1, model.parameters), arm)
        self._noise: Tensor | None = None
        self._views: Tensor | None = None
        self._velocity = torch.zeros(model.parameters)
        self._differences = self._moves = 0.0
        self._done = 0
        self.early = self._parameters()
        """Parameters after min(EARLY_STEPS, steps) steps."""

    def watch(self, minibatches: Iterator[Tensor]) -> Iterator[Tensor]:
        for batch in minibatches:
            before = self._parameters()
            yield batch
            self._compare(batch, before, self._parameters())

    def listen(self, noise: Iterator[Tensor]) -> Iterator[Tensor]:
        for self._noise in noise:
            yield self._noise

    def look(self, views: Iterator[Tensor]) -> Iterator[Tensor]:
        for self._views in views:
            yield self._views

    def relative_difference(self) -> float:
        """Root of (sum of squared differences / sum of squared steps)."""
        return float(np.sqrt(self._differences / self._moves)) if self._moves > 0 else 0.0

    def _parameters(self) -> Tensor:
        return self._model.flatten(dict(self._module.named_parameters())).clone()

    def _compare(self, batch: Tensor, before: Tensor, after: Tensor) -> None:
        self._ensemble.theta.copy_(before)
        self._ensemble.velocity.copy_(self._velocity)
        self._ensemble.step(self._data, batch, [len(batch)], self._noise, self._views)
        difference = torch.linalg.vector_norm((self._ensemble.theta[0] - after).double()).item()
        rounding = _ROUNDING * torch.linalg.vector_norm(after.double()).item()
        moved = torch.linalg.vector_norm((after - before).double()).item()
        # `max` would drop a NaN; this keeps it, and a NaN is never within the tolerance.
        self._differences += (difference - rounding) ** 2 if not difference <= rounding else 0.0
        self._moves += moved**2
        # The optimiser's momentum, from what it did to the parameters.
        velocity = (before.double() - after.double()) / self._arm.learning_rate
        self._velocity = velocity.float()
        self._done += 1
        if self._done <= EARLY_STEPS:
            self.early = after


def _against(model: Model, arm: Arm) -> str:
    if arm.kind == "standard":
        return f"a plain PyTorch {torch.__version__} loop (torch.optim.SGD)"
    import opacus

    if cheapest_mode(model.parameters, arm) == "ghost":
        return f"Opacus {opacus.__version__} (ghost clipping, DPOptimizerFastGradientClipping)"
    return f"Opacus {opacus.__version__} (GradSampleModule, DPOptimizer)"
