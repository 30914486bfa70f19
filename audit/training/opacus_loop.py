"""The reference loop: one model at a time, any ``nn.Module``, private steps by Opacus itself.

``PrivacyEngine.make_private`` derives the sampling rate and the normaliser from ``len(dataset)``,
here |T|, which is itself private (Opacus issues #571, #819). So its parts are put together with the
plan's constants: ``GradSampleModule`` for per-example gradients, ``DPOptimizer`` for clipping,
noise and scaling, and the same Poisson minibatches that the ensemble draws.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from audit.errors import BadInput
from audit.training.arms import Arm
from audit.training.augmentation import augment
from audit.training.plants import recipe
from audit.training.pruning import Pruner

GradSampleMode = Literal["hooks", "functorch", "ghost"]

# Per-example gradients of a minibatch up to this many numbers are cheaper to keep than a second
# backward pass is.
_KEPT_GRADIENTS = 2**24


def model_minibatches(
    member: Bool[np.ndarray, " n"], model: int, arm: Arm, *, seed: int
) -> Iterator[Tensor]:
    """The minibatches of one model, step by step, as index tensors."""
    blocks = recipe(arm).minibatches(member[None], range(model, model + 1), arm, seed=seed)
    for block in blocks:
        for examples, _ in block.steps():
            yield torch.from_numpy(examples)


def pruned(minibatches: Iterator[Tensor], module: nn.Module, arm: Arm) -> Iterator[Tensor]:
    """The minibatches, for a training that is pruned between them where the arm is."""
    if not arm.pruned:
        return minibatches
    weights = [parameter.data[None] for parameter in module.parameters()]
    return Pruner(weights, arm.pruned, arm.steps).between(minibatches)


def tee_sizes(minibatches: Iterator[Tensor]) -> tuple[Iterator[Tensor], Iterator[int]]:
    """The minibatches, and beside them their sizes, for who draws views in step with them."""
    first, second = tee(minibatches)
    return first, (len(batch) for batch in second)


def train_standard(
    module: nn.Module,
    arm: Arm,
    x: Tensor,
    y: Tensor,
    minibatches: Iterable[Tensor],
    on_step: Callable[[int], None] = lambda done: None,
    *,
    views: Iterator[Tensor] | None = None,
) -> nn.Module:
    """Plain SGD on ``module``, in place: the loop anyone would write.

    ``views``: augmentations of each minibatch's rows, step by step; None for none.
    """
    optimizer = _sgd(module, arm)
    module.train()
    for done, batch in enumerate(minibatches, start=1):
        optimizer.zero_grad()
        inputs = _inputs(x, batch, views)
        if len(batch) == 0:
            # Modules differ in what they do with no rows at all; the gradient is zero for all.
            for parameter in module.parameters():
                parameter.grad = torch.zeros_like(parameter)
        else:
            loss = cross_entropy(module(inputs), y[batch], reduction="sum")
            (loss / arm.expected_batch_size).backward()
        optimizer.step()
        on_step(done)
    return module


def train_private(
    module: nn.Module,
    arm: Arm,
    x: Tensor,
    y: Tensor,
    minibatches: Iterable[Tensor],
    *,
    generator: torch.Generator | None = None,
    replay: Iterator[list[Tensor]] | None = None,
    mode: GradSampleMode = "hooks",
    on_step: Callable[[int], None] = lambda done: None,
    views: Iterator[Tensor] | None = None,
) -> nn.Module:
    """DP-SGD by Opacus on ``module``, in place.

    Args:
        generator: source of Opacus's noise; one per model.
        replay: noise to use instead, per step one tensor for each parameter in order, each
            N(0, (zC)²): how an engine's run is repeated noise for noise.
        mode: Opacus's way to per-example gradients: layer hooks, torch.func for every layer, or
            none at all (``ghost``: their norms, then a second backward pass of weighted losses).
        views: augmentations of each minibatch's rows, step by step; None for none.
    """
    with warnings.catch_warnings():
        # Opacus registers backward hooks on the first layer, whose input needs no gradient.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        hooks = [_contiguous_inputs(layer) for layer in module.modules() if _is_conv(layer)]
        wrapped, optimizer, loss = _wrapped(module, arm, generator, replay, mode)
        wrapped.train()
        for done, batch in enumerate(minibatches, start=1):
            optimizer.zero_grad()
            inputs = _inputs(x, batch, views)
            if len(batch) == 0:
                # Layers differ in what they do with zero rows; the clipped sum is zero for all.
                for parameter in module.parameters():
                    if mode == "ghost":
                        parameter.grad = torch.zeros_like(parameter)
                    else:
                        parameter.grad_sample = parameter.new_zeros(0, *parameter.shape)  # pyright: ignore
            else:
                loss(wrapped(inputs), y[batch]).backward()
            optimizer.step()
            on_step(done)
    wrapped.to_standard_module()
    for hook in hooks:
        hook.remove()
    return module


def cheapest_mode(model_parameters: int, arm: Arm) -> GradSampleMode:
    """``ghost`` where the per-example gradients of a minibatch would fill the memory bus."""
    large = model_parameters * arm.expected_batch_size > _KEPT_GRADIENTS
    return "ghost" if large else "hooks"


def _wrapped(
    module: nn.Module,
    arm: Arm,
    generator: torch.Generator | None,
    replay: Iterator[list[Tensor]] | None,
    mode: GradSampleMode,
) -> tuple[Any, Any, Callable[[Tensor, Tensor], Any]]:
    """Opacus's module, optimiser and loss; the latter's ``backward`` leaves what a step needs."""
    if mode != "ghost":
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        wrapped = GradSampleModule(
            module, loss_reduction="sum", force_functorch=mode == "functorch"
        )
        optimizer = _dp_optimizer(DPOptimizer, module, arm, generator, replay)
        return wrapped, optimizer, lambda logits, y: cross_entropy(logits, y, reduction="sum")
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

    # "mean" throughout, as its loss demands: norms are those of single examples all the same.
    wrapped = GradSampleModuleFastGradientClipping(
        module,
        loss_reduction="mean",
        max_grad_norm=arm.clip_norm or 0.0,  # pyright: ignore[reportArgumentType]
        use_ghost_clipping=True,
    )
    optimizer = _dp_optimizer(DPOptimizerFastGradientClipping, module, arm, generator, replay)
    loss = DPLossFastGradientClipping(wrapped, optimizer, nn.CrossEntropyLoss())
    return wrapped, optimizer, loss


def _is_conv(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)


def _contiguous_inputs(layer: nn.Module) -> Any:
    """Opacus 1.6 computes wrong per-example gradients, without a word, where a convolution's input
    is in channels-last memory order (its ``unfold2d`` assumes the other); so give it the other."""
    return layer.register_forward_pre_hook(lambda _, args: (args[0].contiguous(), *args[1:]))


def _inputs(x: Tensor, batch: Tensor, views: Iterator[Tensor] | None) -> Tensor:
    return x[batch] if views is None else augment(x[batch], next(views))


def refuse_unsafe_layers(module: nn.Module, name: str) -> None:
    """Refuse a module with layers for which DP-SGD is undefined, in Opacus's own words.

    Raises:
        BadInput: e.g. BatchNorm, which mixes the examples of a minibatch.
    """
    from opacus.validators import ModuleValidator

    problems = ModuleValidator.validate(module, strict=False)
    if problems:
        raise BadInput(
            "model",
            name,
            f"Opacus refuses it under DP: {' '.join(str(problems[0]).split())}",
            "Replace the layer (GroupNorm for BatchNorm) in the factory, for both arms",
        )


def _sgd(module: nn.Module, arm: Arm) -> torch.optim.SGD:
    return torch.optim.SGD(
        module.parameters(),
        lr=arm.learning_rate,
        momentum=arm.momentum,
        weight_decay=arm.weight_decay,
    )


def _dp_optimizer(
    kind: Any,
    module: nn.Module,
    arm: Arm,
    generator: torch.Generator | None,
    replay: Iterator[list[Tensor]] | None,
) -> Any:
    class ReplayedNoise(kind):
        """Opacus's optimiser with given noise in place of fresh noise; all else is its own."""

        def add_noise(self) -> None:
            assert replay is not None
            for parameter, noise in zip(self.params, next(replay), strict=True):
                parameter.grad = (parameter.summed_grad + noise).view_as(parameter)

    return (kind if replay is None else ReplayedNoise)(
        _sgd(module, arm),
        noise_multiplier=arm.noise_multiplier or 0.0,
        max_grad_norm=arm.clip_norm or 0.0,
        expected_batch_size=arm.expected_batch_size,
        loss_reduction="mean",
        generator=generator,
    )
