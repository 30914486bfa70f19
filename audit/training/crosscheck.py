"""The live cross-check: one model of each arm trained once more, by PyTorch and Opacus themselves.

A test suite shows that the ensemble *was* right on the author's machine. This shows that it *is*
right in the run under audit: same membership, minibatches and noise, another program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from audit.training.arms import Arm
from audit.training.evaluation import evaluate_ensemble, evaluate_module
from audit.training.models import Mlp
from audit.training.noise import Noise
from audit.training.opacus_loop import model_minibatches, train_private, train_standard

# The comparison runs in float32 on both sides; rounding in a different order grows along the
# training trajectory. docs/cross-check.md has the measurements behind this number: honest drift
# stays two orders of magnitude below it, a clip norm wrong by 1 % lies an order above.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class CrossCheck:
    """Ensemble against reference for one model of one arm.

    ``parameters_relative_difference`` is ‖θ − θ_ref‖ / ‖θ_ref − θ_0‖: relative to how far training
    moved, so that a large initialisation cannot hide a wrong step. ``predictions_differing`` counts
    training and test examples that one of the two gets right and the other wrong.
    """

    model: int
    against: str
    steps: int
    parameters_relative_difference: float
    outputs_max_difference: float
    predictions_differing: int
    predictions: int
    tolerance: float
    passed: bool

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def cross_check(
    model: Mlp,
    arm: Arm,
    theta: Tensor,
    k: int,
    member: Bool[np.ndarray, " n"],
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    seed: int,
) -> CrossCheck:
    """Train model ``k`` of ``arm`` again in the loop and compare with the ensemble's ``theta``.

    Args:
        theta: the ensemble's parameters of model k [parameters].
        member: its membership [n].
        train, test: inputs with a last column of ones, and labels.
    """
    initial = torch.from_numpy(model.initial(seed, k))
    reference = _reference(model, arm, initial, k, member, train, seed=seed)
    theta = theta.cpu()
    moved = torch.linalg.vector_norm(reference - initial).item()
    difference = torch.linalg.vector_norm(theta - reference).item()
    relative = difference / moved if moved > 0 else float(difference > 0)
    x, y = torch.cat([train[0], test[0]]).cpu(), torch.cat([train[1], test[1]]).cpu()
    ours = evaluate_ensemble(model, theta[None], x, y)
    theirs = evaluate_module(model.module(reference), x[:, :-1], y)
    gap = np.abs(ours.margin.astype(np.float32) - theirs.margin.astype(np.float32))
    return CrossCheck(
        model=k,
        against=_against(arm),
        steps=arm.steps,
        parameters_relative_difference=relative,
        outputs_max_difference=float(gap.max()),
        predictions_differing=int((ours.correct != theirs.correct).sum()),
        predictions=int(ours.correct.size),
        tolerance=TOLERANCE,
        passed=bool(relative <= TOLERANCE),
    )


def _reference(
    model: Mlp,
    arm: Arm,
    initial: Tensor,
    k: int,
    member: np.ndarray,
    train: tuple[Tensor, Tensor],
    *,
    seed: int,
) -> Tensor:
    """Parameters of model ``k`` as PyTorch (standard) or Opacus (DP) trains it."""
    x, y = train[0][:, :-1].cpu(), train[1].cpu()
    module = model.module(initial)
    minibatches = model_minibatches(member, k, arm, seed=seed)
    if arm.kind == "standard":
        train_standard(module, arm, x, y, minibatches)
    else:
        replay = _replayed(model, arm, k, train[0].device, seed=seed)
        train_private(module, arm, x, y, minibatches, replay=replay)
    return model.flatten(dict(module.named_parameters()))


def _replayed(
    model: Mlp, arm: Arm, k: int, device: torch.device, *, seed: int
) -> Iterator[list[Tensor]]:
    """The ensemble's noise for model ``k``, step by step, shaped like the module's parameters."""
    noise = Noise(range(k, k + 1), model.parameters, arm=arm.name, seed=seed, device=device)
    while True:
        blocks = model.layers(noise.draw(arm.noise_std).cpu())
        yield [part for block in blocks for part in (block[0, :, :-1], block[0, :, -1])]


def _against(arm: Arm) -> str:
    if arm.kind == "standard":
        return f"a plain PyTorch {torch.__version__} loop (torch.optim.SGD)"
    import opacus

    return f"Opacus {opacus.__version__} (GradSampleModule, DPOptimizer)"
