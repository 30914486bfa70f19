"""Model architectures: what the ensemble trains as stacked matrices, and the same as modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from audit.errors import BadInput
from audit.seeds import Purpose, generator, seed_sequence

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
Factory = Callable[[tuple[int, ...], int], nn.Module]


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron ``widths[0]-…-widths[-1]``; two widths make a linear model.

    A parameter vector holds the layers in order, each as a [fan_out, fan_in + 1] matrix whose last
    column is the bias: with a constant 1 appended to each layer's input, one product gives the
    affine map and one product its whole gradient.
    """

    widths: tuple[int, ...]
    activation: str = "relu"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """[fan_out, fan_in + 1] of each layer."""
        return [(fan_out, fan_in + 1) for fan_in, fan_out in pairwise(self.widths)]

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.shapes)

    def describe(self) -> str:
        widths = "-".join(str(w) for w in self.widths)
        return widths if len(self.widths) == 2 else f"{widths}, {self.activation}"

    def layers(self, theta: Tensor) -> list[Tensor]:
        """Views of ``theta`` [models, parameters] as [models, fan_out, fan_in + 1] per layer."""
        sizes = [prod(shape) for shape in self.shapes]
        parts = theta.split(sizes, dim=1)
        return [
            part.view(len(theta), *shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def initial(self, seed: int, model: int) -> Float32[np.ndarray, " parameters"]:
        """Initial parameters of ``model``: U(±1/√fan_in), PyTorch's default for ``nn.Linear``.

        The stream is keyed by the model alone, so every arm starts model k from the same point.
        """
        rng = generator(seed, Purpose.INITIALISATION, model)
        blocks = []
        for rows, columns in self.shapes:
            bound = 1 / sqrt(columns - 1)
            blocks.append(rng.uniform(-bound, bound, size=rows * columns))
        return np.concatenate(blocks).astype(np.float32)

    def module(self, theta: Tensor) -> nn.Sequential:
        """An independent ``nn.Module`` with the parameters ``theta`` [parameters]."""
        layers: list[nn.Module] = []
        weights = self.layers(theta[None])
        for i, matrix in enumerate(weights):
            linear = nn.Linear(matrix.shape[2] - 1, matrix.shape[1], dtype=theta.dtype)
            with torch.no_grad():
                linear.weight.copy_(matrix[0, :, :-1])
                linear.bias.copy_(matrix[0, :, -1])
            layers.append(linear)
            if i < len(weights) - 1:
                layers.append(ACTIVATIONS[self.activation]())
        return nn.Sequential(*layers)

    def flatten(self, named: dict[str, Tensor]) -> Tensor:
        """The parameter vector from tensors named like :meth:`module`'s parameters."""
        blocks = []
        for i in range(len(self.shapes)):
            weight, bias = named[f"{2 * i}.weight"], named[f"{2 * i}.bias"]
            blocks.append(torch.cat([weight.detach(), bias.detach()[:, None]], dim=1).reshape(-1))
        return torch.cat(blocks)


@dataclass(frozen=True)
class CustomModel:
    """A user's ``package.module:factory``; ``factory(input_shape, n_classes)`` returns a module.

    It has no stacked form here, so it trains in the loop, one model at a time.
    """

    factory: str
    input_shape: tuple[int, ...]
    n_classes: int

    def describe(self) -> str:
        return self.factory

    def initial_module(self, seed: int, model: int) -> nn.Module:
        """Model ``model`` as its factory makes it, under a torch seed of its own stream.

        Raises:
            BadInput: the factory fails, or returns something else than a module.
        """
        factory = _resolve(self.factory)
        state = int(seed_sequence(seed, Purpose.INITIALISATION, model).generate_state(1)[0])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(state)
            try:
                module = factory(self.input_shape, self.n_classes)
            except (
                Exception,
                SystemExit,
            ) as error:  # whatever a user's code raises is the user's to mend
                raise self._refusal(
                    f"the factory fails: {type(error).__name__}: {error}"
                ) from error
        if not isinstance(module, nn.Module):
            raise self._refusal(f"the factory returned {type(module).__name__}, not a torch module")
        return module

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

    def _refusal(self, rule: str) -> BadInput:
        return BadInput(
            "model",
            self.factory,
            " ".join(rule.split()),
            f"Make it return a module for input_shape={self.input_shape}, "
            f"n_classes={self.n_classes}",
        )


Model = Mlp | CustomModel


def make_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    n_classes: int,
    hidden: tuple[int, ...],
    activation: str,
) -> Model:
    """The model called ``name``: ``linear``, ``mlp`` or ``package.module:factory``.

    Raises:
        BadInput: unknown name or activation, or a factory that cannot be imported.
    """
    features = prod(input_shape)
    if activation not in ACTIVATIONS:
        raise BadInput(
            "activation",
            activation,
            f"must be one of {', '.join(ACTIVATIONS)}",
            "Choose one of them",
        )
    if name == "linear":
        return Mlp((features, n_classes), activation)
    if name == "mlp":
        return Mlp((features, *hidden, n_classes), activation)
    if ":" in name:
        _resolve(name)
        return CustomModel(name, input_shape, n_classes)
    raise BadInput(
        "model",
        name,
        "must be linear, mlp or package.module:factory",
        "Use --model mlp, or name a factory(input_shape, n_classes) that can be imported",
    )


def _resolve(path: str) -> Factory:
    module_name, _, attribute = path.partition(":")
    # A user's module lies where the command is given; the console script does not look there.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory: Any = getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise BadInput(
            "model",
            path,
            f"cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})",
            "Give package.module:factory, with the package on PYTHONPATH",
        ) from error
    if not callable(factory):
        raise BadInput("model", path, "is not callable", "Name a function that returns a module")
    return cast("Factory", factory)
