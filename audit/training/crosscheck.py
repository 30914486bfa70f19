"""The live cross-check: one model of each arm trained once more, by PyTorch or Opacus.

A test suite shows that the ensemble *was* right on the author's machine; this shows that it *is*
right in the run under audit. Three things are looked at, because each is blind to something:

- the **trajectory**: the cohort's model against the reference, early and at the end of training;
- **single steps**, each started from the reference's own state: no drift, whatever the training; a
  cohort that trains with rounded products takes each step in both ways;
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
from audit.training.device.precision import (
    TF32_ROUNDING,
    Precision,
    products,
    training_precision,
)
from audit.training.draws import Form, Replay, replay
from audit.training.engines import EARLY_STEPS, Engine
from audit.training.ensemble import Data
from audit.training.evaluation import evaluate_cohort, evaluate_module
from audit.training.models import Model
from audit.training.opacus_loop import cheapest_mode, pruned, train_private, train_standard
from audit.training.single_steps import OnDevice, OneModel, OnHost, SingleSteps
from audit.training.streams import StreamCheck, check_streams

TOLERANCE = 1e-4
# A step whose products round their operands may differ from the exact one by this share of what the
# gradient contributes (docs/cross-check.md derives it).
TF32_TOLERANCE = 64 * TF32_ROUNDING
# Where training amplifies rounding, the reference does not even agree with itself once the rows of
# its minibatches are reordered. Up to this multiple of that, the end of training proves nothing.
_SELF_DISAGREEMENT = 10.0
_REORDERINGS = 3
SHARED = (
    "membership, initial parameters and evaluation (same code)",
    "minibatch and noise streams (same draws, tested against the accountant's assumptions)",
    "gradient canaries, where the run has some (same clipped gradients, added with the noise)",
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
    ``precision``: of the products in training. Where it is ``tf32``, ``precision_difference`` is
    that of single steps taken so from exact ones, relative to what their gradients contribute, and
    ``precision_tolerance`` its bound (None elsewhere).
    ``form``: where the cohort drew (:mod:`audit.training.draws`), and so which program was checked.
    ``predictions_differing`` counts training and test examples that one of the two gets right and
    the other wrong.

    ``verdict``: *fails* if the early trajectory (by more than rounding explains), the single steps
    (exact or rounded) or the streams are off;
    *inconclusive* if only the end is, by more than rounding explains, or if both sides diverged and
    have no end to compare; else *holds*.
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
    precision: Precision = "float32"
    precision_difference: float | None = None
    precision_tolerance: float | None = None
    form: Form = "host"

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
    form: Form = "host",
) -> CrossCheck:
    """Train model ``k`` of ``arm`` again in the loop and compare with the ensemble's ``theta``.

    Args:
        theta, early: the ensemble's parameters of model k [parameters], at the end and after
            min(``EARLY_STEPS``, steps) steps.
        member: its membership [n].
        train, test: inputs as ``model.prepare`` made them, and labels.
        engine: what trained the cohort.
        form: how it trained: in ``host`` form both sides are repeated on the CPU, in ``device``
            form where the data lies, by the program and with the draws of the cohort.
    """
    device = torch.device("cpu") if form == "host" else train[0].device
    theta, early = theta.to(device), early.to(device)
    data = Data.of(train[0].to(device), train[1].to(device))
    initial = torch.from_numpy(model.initial(seed, k)).to(device)
    draws = replay(form, model, arm, k, member, seed=seed, device=device)
    precision = "float32" if form == "host" else training_precision(arm, model.parameters)
    repeat = _Repeat(model, arm, draws, data, initial, engine, form, precision, member)
    reference, steps = repeat.train_watched()
    single_step, rounded = steps.relative_difference(), steps.precision_difference()
    relative = _relative(theta - reference, reference - initial)
    early_relative = _relative(early - steps.early, steps.early - initial)
    ended, early_ended = _both_diverged(theta, reference), _both_diverged(early, steps.early)
    self_relative = None
    if not (ended or relative <= TOLERANCE):
        self_relative = repeat.self_disagreement(reference, arm.steps, precision)
    early_allowed = TOLERANCE
    if not (early_ended or early_relative <= TOLERANCE):
        # Unscaled inputs amplify rounding within a few steps already.
        early_self = repeat.self_disagreement(steps.early, min(EARLY_STEPS, arm.steps), "float32")
        early_allowed = max(TOLERANCE, _SELF_DISAGREEMENT * early_self)
    stream = check_streams(model, arm, k, member, seed=seed, form=form, device=device)
    steps_hold = single_step <= TOLERANCE and (rounded is None or rounded <= TF32_TOLERANCE)
    verdict: Literal["holds", "fails", "inconclusive"] = "holds"
    early_holds = early_ended or early_relative <= early_allowed
    if not (early_holds and steps_hold and stream.passed):
        verdict = "fails"
    elif not relative <= max(TOLERANCE, _SELF_DISAGREEMENT * (self_relative or 0.0)):
        verdict = "inconclusive"
    x, y = torch.cat([data.x, test[0].to(device)]), torch.cat([data.y, test[1].to(device)])
    ours = evaluate_cohort(model, theta[None], x, y, engine=engine)
    theirs = evaluate_module(model.module(reference).to(device), model.plain(x), y)
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
        precision=precision,
        precision_difference=rounded,
        precision_tolerance=None if rounded is None else TF32_TOLERANCE,
        form=form,
    )


def _reordered(rows: Iterator[Tensor], shift: int) -> Iterator[Tensor]:
    return (each.roll(7 * shift, dims=0).flip(0) for each in rows)


def _relative(difference: Tensor, moved: Tensor) -> float:
    size, scale = (torch.linalg.vector_norm(v.double()).item() for v in (difference, moved))
    if scale == 0:
        return float(size > 0)
    # NaN where either diverged: that is never within a tolerance.
    return size / scale


def _both_diverged(ours: Tensor, theirs: Tensor) -> bool:
    """Two trainings that both left the finite numbers agree, as far as can be told."""
    return not bool(torch.isfinite(ours).all() | torch.isfinite(theirs).all())


@dataclass(frozen=True)
class _Repeat:
    """The reference training of one model, in two versions."""

    model: Model
    arm: Arm
    draws: Replay
    data: Data
    initial: Tensor
    engine: Engine
    form: Form
    precision: Precision
    member: np.ndarray

    def train_watched(self) -> tuple[Tensor, SingleSteps]:
        """Final parameters, and the ensemble's single steps on the way."""
        module = self._module()
        one: OneModel = (
            OnHost(self.model, self.arm, self.engine, self.data, self.member)
            if self.form == "host"
            else OnDevice(self.model, self.arm, self.engine, self.data)
        )
        steps = SingleSteps(self.model, self.arm, module, one, self.precision)
        views = self.draws.views()
        self._train(
            module,
            # Inside: a single step is compared as it was, before anything is pruned.
            steps.watch(pruned(self.draws.minibatches(), module, self.arm)),
            steps.listen(self.draws.added()),
            None if views is None else steps.look(views),
            "float32",
        )
        return self._flat(module), steps

    def self_disagreement(self, reference: Tensor, steps: int, precision: Precision) -> float:
        """How far the reference is from itself after ``steps`` when the rows of its minibatches are
        reordered: the same sums, rounded differently. The largest of a few reorderings; one where
        products are rounded as in the training under check, which says as much."""
        moved, largest = reference - self.initial, 0.0
        for shift in range(1, (_REORDERINGS if precision == "float32" else 1) + 1):
            module, views = self._module(), self.draws.views()
            self._train(
                module,
                pruned(
                    islice(_reordered(self.draws.minibatches(), shift), steps), module, self.arm
                ),
                self.draws.added(),
                None if views is None else _reordered(views, shift),
                precision,
            )
            largest = max(largest, _relative(self._flat(module) - reference, moved))
        return largest

    def _module(self) -> nn.Module:
        return self.model.module(self.initial).to(self.initial.device)

    def _train(
        self,
        module: nn.Module,
        minibatches: Iterator[Tensor],
        noise: Iterator[Tensor],
        views: Iterator[Tensor] | None,
        precision: Precision,
    ) -> None:
        x, y = self.model.plain(self.data.x), self.data.y
        with products(precision):
            if self.arm.kind == "standard":
                train_standard(module, self.arm, x, y, minibatches, views=views)
                return
            replayed = ([part[0] for part in self.model.tensors(flat[None])] for flat in noise)
            mode = cheapest_mode(self.model.parameters, self.arm)
            train_private(
                module, self.arm, x, y, minibatches, replay=replayed, mode=mode, views=views
            )

    def _flat(self, module: nn.Module) -> Tensor:
        return self.model.flatten(dict(module.named_parameters()))


def _against(model: Model, arm: Arm) -> str:
    if arm.kind == "standard":
        return f"a plain PyTorch {torch.__version__} loop (torch.optim.SGD)"
    import opacus

    if cheapest_mode(model.parameters, arm) == "ghost":
        return f"Opacus {opacus.__version__} (ghost clipping, DPOptimizerFastGradientClipping)"
    return f"Opacus {opacus.__version__} (GradSampleModule, DPOptimizer)"
