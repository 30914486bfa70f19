"""Model architectures: what the ensemble trains as stacked matrices, and the same as modules."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from audit.errors import BadInput
from audit.seeds import Purpose, generator
from audit.training.network import Network, resolve
from audit.training.zoo import ZOO

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True)
class Mlp:
    """A multilayer perceptron ``widths[0]-…-widths[-1]``; two widths make a linear model.

    A parameter vector holds the layers in order, each as a [fan_in + 1, fan_out] matrix whose last
    row is the bias: with a constant 1 appended to each layer's input, one product gives the affine
    map and one product its whole gradient. Inputs come first because the largest product of a small
    network, examples × first layer, then needs no transposed operand (2.6 times as fast with
    OpenBLAS's AVX-512 kernels, no difference with those for AVX2: benchmarks/kernels.py).
    """

    widths: tuple[int, ...]
    activation: str = "relu"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """[fan_in + 1, fan_out] of each layer."""
        return [(fan_in + 1, fan_out) for fan_in, fan_out in pairwise(self.widths)]

    @property
    def parameters(self) -> int:
        return sum(prod(shape) for shape in self.shapes)

    def describe(self) -> str:
        widths = "-".join(str(w) for w in self.widths)
        return widths if len(self.widths) == 2 else f"{widths}, {self.activation}"

    def layers(self, theta: Tensor) -> list[Tensor]:
        """Views of ``theta`` [models, parameters] as [models, fan_in + 1, fan_out] per layer."""
        sizes = [prod(shape) for shape in self.shapes]
        parts = theta.split(sizes, dim=1)
        return [
            part.view(len(theta), *shape) for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def tensors(self, theta: Tensor) -> list[Tensor]:
        """Views of ``theta`` [models, parameters], one for each parameter of :meth:`module` in its
        order: [models, *shape]."""
        layers = self.layers(theta)
        return [part for w in layers for part in (w[:, :-1].transpose(1, 2), w[:, -1])]

    def initial(self, seed: int, model: int) -> Float32[np.ndarray, " parameters"]:
        """Initial parameters of ``model``: U(±1/√fan_in), PyTorch's default for ``nn.Linear``.

        The stream is keyed by the model alone, so every arm starts model k from the same point.
        """
        rng = generator(seed, Purpose.INITIALISATION, model)
        blocks = []
        for inputs, outputs in self.shapes:
            bound = 1 / sqrt(inputs - 1)
            blocks.append(rng.uniform(-bound, bound, size=(outputs, inputs)).T.ravel())
        return np.concatenate(blocks).astype(np.float32)

    def module(self, theta: Tensor) -> nn.Sequential:
        """An independent ``nn.Module`` with the parameters ``theta`` [parameters]."""
        layers: list[nn.Module] = []
        weights = self.layers(theta[None])
        for i, matrix in enumerate(weights):
            linear = nn.Linear(matrix.shape[1] - 1, matrix.shape[2], dtype=theta.dtype)
            with torch.no_grad():
                linear.weight.copy_(matrix[0, :-1].t())
                linear.bias.copy_(matrix[0, -1])
            layers.append(linear)
            if i < len(weights) - 1:
                layers.append(ACTIVATIONS[self.activation]())
        return nn.Sequential(*layers)

    def flatten(self, named: dict[str, Tensor]) -> Tensor:
        """The parameter vector from tensors named like :meth:`module`'s parameters."""
        blocks = []
        for i in range(len(self.shapes)):
            weight, bias = named[f"{2 * i}.weight"], named[f"{2 * i}.bias"]
            blocks.append(torch.cat([weight.detach().t(), bias.detach()[None]]).reshape(-1))
        return torch.cat(blocks)

    def prepare(self, x: np.ndarray, device: torch.device) -> Tensor:
        """Inputs as the engine keeps them: the bias's constant 1 as a last column
        [rows, features + 1]."""
        extended = torch.empty(len(x), self.widths[0] + 1, dtype=torch.float32)
        extended[:, :-1] = torch.from_numpy(np.asarray(x))
        extended[:, -1] = 1.0
        return extended.to(device)

    def plain(self, prepared: Tensor) -> Tensor:
        """Inputs as :meth:`module` takes them, from what :meth:`prepare` returned."""
        return prepared[:, :-1]


Model = Mlp | Network


def make_model(
    name: str,
    *,
    input_shape: tuple[int, ...],
    n_classes: int,
    hidden: tuple[int, ...],
    activation: str,
    private: bool = True,
) -> Model:
    """The model called ``name``: ``linear``, ``mlp``, ``cnn``, ``resnet`` or
    ``package.module:factory``. ``private``: whether a private arm is to train it.

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
    if name in ZOO:
        return Network(name, input_shape, n_classes, private)
    if ":" in name:
        resolve(name)
        return Network(name, input_shape, n_classes, private)
    raise BadInput(
        "model",
        name,
        "must be linear, mlp, cnn, resnet or package.module:factory",
        "Use --model mlp, or name a factory(input_shape, n_classes) that can be imported",
    )
