"""Any ``torch.nn.Module`` as the architecture of a cohort: named, or a user's own factory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from audit.errors import BadInput
from audit.seeds import Purpose, seed_sequence
from audit.training.imported import import_object
from audit.training.noise import seeded_cpu_generator
from audit.training.zoo import ZOO, Factory

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class Network:
    """A factory's module; ``factory(input_shape, n_classes)`` maps examples to logits.

    A parameter vector holds the module's parameters in the order of ``named_parameters``.

    Attributes:
        factory: a name in :data:`audit.training.zoo.ZOO`, or ``package.module:factory``.
        private: whether an arm of the run is private. BatchNorm cannot be: it is then replaced by
            GroupNorm in **every** arm, or the cost of privacy would include that change.
    """

    factory: str
    input_shape: tuple[int, ...]
    n_classes: int
    private: bool = True

    def describe(self) -> str:
        return self.factory

    def initial_module(self, seed: int, model: int) -> nn.Module:
        """Model ``model`` as its factory makes it, under a torch seed of its own stream.

        Raises:
            BadInput: the factory fails, or returns something else than a module.
        """
        factory = ZOO.get(self.factory) or resolve(self.factory)
        words = seed_sequence(seed, Purpose.INITIALISATION, model).generate_state(624, np.uint32)
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(seeded_cpu_generator(words).get_state())
            try:
                module = factory(self.input_shape, self.n_classes)
            except BadInput:
                raise
            except (
                Exception,
                SystemExit,
            ) as error:  # whatever a user's code raises is the user's to mend
                raise self._refusal(
                    f"the factory fails: {type(error).__name__}: {error}"
                ) from error
            if not isinstance(module, nn.Module):
                kind = type(module).__name__
                raise self._refusal(f"the factory returned {kind}, not a torch module")
            module = without_batch_norm(module) if self.private else module
            self._materialise(module)
            for layer in module.modules():
                # The same function; but in place it would overwrite what per-example gradients need
                # (Opacus's hooks refuse it too).
                if getattr(layer, "inplace", False):
                    layer.inplace = False  # pyright: ignore[reportArgumentType]
            return module

    def __reduce__(self) -> tuple[type[Network], tuple[object, ...]]:
        # Without the cached template: tasks travel to worker processes.
        return Network, (self.factory, self.input_shape, self.n_classes, self.private)

    def _materialise(self, module: nn.Module) -> None:
        """Lazy layers learn their sizes from a first example."""
        if any(is_lazy(p) for p in module.parameters()):
            try:
                module.eval()(torch.zeros(1, *self.input_shape))
            except (Exception, SystemExit) as error:
                rule = f"its forward pass fails: {type(error).__name__}: {error}"
                raise self._refusal(rule) from error
            module.train()

    @cached_property
    def _template(self) -> nn.Module:
        return self.initial_module(0, 0)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, by name, in order."""
        return {name: tuple(p.shape) for name, p in self._template.named_parameters()}

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self._template.parameters())

    @cached_property
    def substituted(self) -> int:
        """Number of BatchNorm layers that were replaced by GroupNorm."""
        original = Network(self.factory, self.input_shape, self.n_classes, private=False)
        layers = original.initial_module(0, 0).modules()
        return sum(isinstance(m, BATCH_NORMS) for m in layers) if self.private else 0

    def initial(self, seed: int, model: int) -> Float32[np.ndarray, " parameters"]:
        """Initial parameters of ``model``; the stream is the model's own, the same in any arm."""
        return self.flatten(dict(self.initial_module(seed, model).named_parameters())).numpy()

    def module(self, theta: Tensor) -> nn.Module:
        """An independent ``nn.Module`` with the parameters ``theta`` [parameters]."""
        module = self.initial_module(0, 0).to(theta.device)
        with torch.no_grad():
            values = self.tensors(theta[None])
            for parameter, value in zip(module.parameters(), values, strict=True):
                parameter.copy_(value[0])
        return module

    def tensors(self, theta: Tensor) -> list[Tensor]:
        """Views of ``theta`` [models, parameters], one for each of the module's parameters in
        order: [models, *shape]."""
        sizes = [int(np.prod(shape)) for shape in self.shapes.values()]
        parts = theta.split(sizes, dim=1)
        return [
            part.view(len(theta), *shape)
            for part, shape in zip(parts, self.shapes.values(), strict=True)
        ]

    def layers(self, theta: Tensor) -> list[Tensor]:
        """The same: what is looked at part by part when random streams are tested."""
        return self.tensors(theta)

    def flatten(self, named: dict[str, Tensor]) -> Tensor:
        """The parameter vector from tensors named like the module's parameters."""
        return torch.cat([named[name].detach().reshape(-1).float() for name in self.shapes])

    def prepare(self, x: np.ndarray, device: torch.device) -> Tensor:
        """Inputs as the engines keep them: [rows, *input_shape]."""
        return torch.from_numpy(np.asarray(x)).reshape(len(x), *self.input_shape).to(device)

    def plain(self, prepared: Tensor) -> Tensor:
        """Inputs as the module takes them, from what :meth:`prepare` returned."""
        return prepared

    def check(self, module: nn.Module) -> None:
        """Refuse a module that does not map each example, by itself, to one logit per class.

        Raises:
            BadInput: the forward pass fails, gives another shape, or mixes the examples of a
                minibatch (per-example clipping would then bound nothing).
        """
        training = module.training
        module.eval()
        x = torch.rand(3, *self.input_shape, generator=torch.Generator().manual_seed(0))
        try:
            with torch.no_grad():
                together, alone = module(x), module(x[:1])
        except (Exception, SystemExit) as error:
            rule = f"its forward pass fails: {type(error).__name__}: {error}"
            raise self._refusal(rule) from error
        finally:
            module.train(training)
        if tuple(together.shape) != (3, self.n_classes):
            raise self._refusal(
                f"maps 3 examples to shape {tuple(together.shape)}, "
                f"expected {(3, self.n_classes)} (logits)"
            )
        if not torch.allclose(together[:1], alone, rtol=1e-3, atol=1e-4):
            raise self._refusal("gives an example other logits when others stand beside it")
        if self.private:
            self._refuse_running_statistics(module, x)

    def _refuse_running_statistics(self, module: nn.Module, x: Tensor) -> None:
        """Buffers that training fills are neither clipped nor noised. Opacus looks for them only in
        layers that also have parameters."""
        before = {name: value.clone() for name, value in module.named_buffers()}
        training = module.training
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                module.train()(x)
            changed = [n for n, v in module.named_buffers() if not torch.equal(v, before[n])]
        except (Exception, SystemExit):
            return  # how it fails in training is told where it is trained
        finally:
            module.train(training)
            with torch.no_grad():
                for name, value in module.named_buffers():
                    value.copy_(before[name])
        if changed:
            raise self._refusal(
                f"its buffer {changed[0]} collects statistics of the training data, which DP-SGD "
                "neither clips nor adds noise to"
            )

    def _refusal(self, rule: str) -> BadInput:
        return BadInput(
            "model",
            self.factory,
            " ".join(rule.split()),
            f"Make it return a module for input_shape={self.input_shape}, "
            f"n_classes={self.n_classes}",
        )


def without_batch_norm(module: nn.Module) -> nn.Module:
    """``module`` with each BatchNorm replaced by a GroupNorm, in place where it can be.

    Opacus's own substitute puts one channel in each group up to 32 channels; after a linear layer
    a group is then a single value, and its normalised value always 0. Here a group has at least two
    channels, and eight where there is nothing but channels (BatchNorm1d).
    """
    if isinstance(module, BATCH_NORMS):
        return _group_norm(module)
    for name, child in module.named_children():
        setattr(module, name, without_batch_norm(child))
    return module


def batch_norm_explanation() -> str:
    """Why BatchNorm cannot be private, in Opacus's words (its first two sentences)."""
    from opacus.validators import ModuleValidator

    problem = ModuleValidator.validate(nn.BatchNorm1d(2), strict=False)[0]
    return ". ".join(" ".join(str(problem).split()).split(". ")[:2]) + "."


def _group_norm(norm: Any) -> nn.GroupNorm:
    channels = norm.num_features
    least = 8 if isinstance(norm, nn.BatchNorm1d) else 2
    groups = [g for g in range(1, 33) if channels % g == 0 and channels // g >= least]
    return nn.GroupNorm(max(groups, default=1), channels, eps=norm.eps, affine=norm.affine)


def resolve(path: str) -> Factory:
    """The callable that ``package.module:name`` names.

    Raises:
        BadInput: it cannot be imported, or is not callable.
    """
    factory = import_object(path)
    if not callable(factory):
        raise BadInput("model", path, "is not callable", "Name a function that returns a module")
    return cast("Factory", factory)
