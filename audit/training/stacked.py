"""The ensemble engine for networks: a cohort of any module that consists of known layers.

The module is traced once (torch.fx) and each layer with parameters is replaced by its stacked form
(:mod:`audit.training.stacked_layers`). What has no parameters treats every example by itself, so it
runs unchanged on the rows of all models together; autograd carries gradients through it, and a
stacked layer records the gradient that arrives at its output. Norms, clip factors and the one
weighted sum are then made from these records ("book-keeping", Bu et al. 2023, §3): DP-SGD takes one
backward pass, and no gradient of a single example is kept longer than a block.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from audit.training import kernels
from audit.training.arms import Arm
from audit.training.augmentation import augment
from audit.training.ensemble import CLIP_EPS, Data
from audit.training.network import Network
from audit.training.stacked_conv import StackedConv2d
from audit.training.stacked_layers import (
    Rows,
    StackedLayer,
    StackedLinear,
    StackedScale,
    Trace,
)

# Every kind of layer with parameters that a cohort can hold.
LAYERS: tuple[type[StackedLayer], ...] = (StackedLinear, StackedConv2d, StackedScale)

# Modules and functions without parameters that treat each example by itself. Dropout is not among
# them: its masks would depend on who else is in the cohort, and no reference could repeat them.
_PLAIN_MODULES = (
    *(nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.LeakyReLU, nn.Softplus),
    *(nn.SELU, nn.Mish, nn.Hardtanh, nn.ReLU6, nn.Hardswish, nn.Identity, nn.Flatten),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ZeroPad2d),
)
_PLAIN_FUNCTIONS: frozenset[Callable[..., Any]] = frozenset(
    [
        *(torch.relu, torch.tanh, torch.sigmoid, torch.flatten, torch.add, torch.sub, torch.mul),
        *(F.relu, F.tanh, F.sigmoid, F.gelu, F.silu, F.elu, F.leaky_relu, F.softplus, F.selu),
        *(F.mish, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d),
        *(operator.add, operator.iadd, operator.sub, operator.mul, operator.getitem, getattr),
    ]
)
_PLAIN_METHODS = frozenset(
    ["relu", "tanh", "sigmoid", "flatten", "view", "reshape", "mean", "size", "contiguous", "add"]
)
# Rows of a block: what one block touches should stay in a core's share of the cache.
_BLOCK_BYTES = 2**22
_FEWEST_ROWS, _MOST_ROWS = 32, 512


class NoStackedForm(Exception):
    """The module cannot be held by a cohort; the message says why, as half a sentence."""


class StackedNetwork:
    """A cohort of networks with their optimiser state; :meth:`step` is one (DP-)SGD step for all.

    Args:
        model: the architecture.
        theta: initial parameters [models, parameters]; owned and updated in place.
        arm: constants of the training.

    Raises:
        NoStackedForm: a layer or operation of the module is not known.
    """

    def __init__(self, model: Network, theta: Tensor, arm: Arm) -> None:
        self.model, self.arm, self.theta = model, arm, theta
        self.velocity = torch.zeros_like(theta)
        self._program = TracedCohort(model, theta, self.velocity)
        per_row = self._program.bytes_per_row()
        self._block_rows = max(_FEWEST_ROWS, min(_MOST_ROWS, _BLOCK_BYTES // per_row))

    @torch.no_grad()
    def step(
        self,
        data: Data,
        selected: Tensor,
        sizes: list[int],
        noise: Tensor | None = None,
        views: Tensor | None = None,
    ) -> None:
        """One step on the minibatches of all models.

        Args:
            data: the training set, ``x`` [n, *input_shape].
            selected: indices of the minibatches' examples, model by model [rows].
            sizes: rows of each model (sum = rows); a model may have none.
            noise: N(0, (zC)²) [models, parameters] in DP arms, None otherwise.
            views: augmentations of the rows [rows, 3], see :mod:`audit.training.augmentation`.
        """
        arm = self.arm
        self.velocity.mul_(arm.momentum)
        if arm.clip_norm is not None:
            assert noise is not None, "a DP step needs noise"
            self.velocity.add_(noise, alpha=1 / arm.expected_batch_size)
        if arm.weight_decay:
            self.velocity.add_(self.theta, alpha=arm.weight_decay)
        self._program.begin()
        start = 0
        for rows in _blocks(sizes, self._block_rows):
            end = start + sum(rows.sizes)
            chosen = selected[start:end]
            x = data.x[chosen]
            if views is not None:
                x = augment(x, views[start:end])
            self._block(x, data.y[chosen], rows)
            start = end
        self._program.end()
        self.theta.add_(self.velocity, alpha=-arm.learning_rate)

    def _block(self, x: Tensor, labels: Tensor, rows: Rows) -> None:
        arm = self.arm
        logits = self._program.forward(x, rows)
        delta = torch.softmax(logits.detach(), dim=1)
        delta.scatter_add_(1, labels[:, None], delta.new_full((len(labels), 1), -1.0))
        if arm.clip_norm is None:
            delta.mul_(1 / arm.expected_batch_size)
            logits.backward(delta)
            self._program.add_gradients(None, rows)
            return
        logits.backward(delta)
        total = self._program.squared_norms()
        finite = torch.isfinite(total)
        if not finite.all():
            # A gradient that is not finite is left out: clipping must hold for every example, and
            # 0 · ∞ would not leave it out.
            if finite.any():
                self._block(x[finite], labels[finite], rows.only(finite))
            return
        factors = (arm.clip_norm / total.sqrt_().add_(CLIP_EPS)).clamp_(max=1.0)
        self._program.add_gradients(factors.mul_(1 / arm.expected_batch_size), rows)


def _blocks(sizes: list[int], most: int) -> Iterator[Rows]:
    """The rows in order, in blocks of at most ``most``; a model may span several blocks."""
    models: list[int] = []
    parts: list[int] = []
    room = most
    for model, size in enumerate(sizes):
        while size > 0:
            taken = min(size, room)
            models.append(model)
            parts.append(taken)
            size, room = size - taken, room - taken
            if room == 0:
                yield Rows(models, parts)
                models, parts, room = [], [], most
    if models:
        yield Rows(models, parts)


class TracedCohort:
    """The traced module with its stacked layers, and what they recorded in a block.

    Args:
        model: the architecture.
        theta: parameters [models, parameters].
        gradients: where the layers add their gradients [models, parameters].
        finite: whether what layers record is made finite, so that a row without weight adds 0 to
            every sum whatever it overflowed to. On a CPU such rows are looked for, and left out.
    """

    def __init__(
        self, model: Network, theta: Tensor, gradients: Tensor, *, finite: bool = False
    ) -> None:
        self.finite = finite
        self.layers: list[StackedLayer] = []
        self.traces: list[tuple[StackedLayer, Trace]] = []
        self.rows = Rows([], [])
        self._anchor = torch.zeros((), requires_grad=True, device=theta.device)
        self._input_shape = model.input_shape
        self._graph = _trace(model.initial_module(0, 0)).to(theta.device)
        names = list(model.shapes)
        views = dict(zip(names, model.tensors(theta), strict=True))
        sums = dict(zip(names, model.tensors(gradients), strict=True))
        for target, layer in _stacked(self._graph, names).items():
            own = [f"{target}.{name}" for name, _ in layer.module.named_parameters()]
            layer.bind([views[name] for name in own], [sums[name] for name in own])
            self.layers.append(layer)
            self._graph.set_submodule(target, _Call(self, layer))

    def forward(self, x: Tensor, rows: Rows) -> Tensor:
        self.rows = rows
        self.traces.clear()
        with torch.enable_grad():
            return self._graph(x)

    def apply(self, layer: StackedLayer, x: Tensor) -> Tensor:
        if isinstance(layer, StackedScale):
            x = layer.normalise(x)
        return _Recorded.apply(x, self._anchor, layer, self)  # pyright: ignore[reportReturnType]

    def begin(self) -> None:
        for layer in self.layers:
            layer.refresh()

    def end(self) -> None:
        for layer in self.layers:
            layer.collect()
        self.traces.clear()

    def squared_norms(self) -> Tensor:
        return torch.stack([layer.squared_norms(trace) for layer, trace in self.traces]).sum(dim=0)

    def add_gradients(self, factors: Tensor | None, rows: Rows) -> None:
        for layer, trace in self.traces:
            layer.add_gradients(trace, factors, rows)

    def infer(self, x: Tensor, rows: Rows) -> Tensor:
        """Logits without records."""
        self.rows = rows
        logits = self._graph(x)
        self.traces.clear()
        return logits

    def bytes_per_row(self, *, even: bool = False) -> int:
        """What one row leaves in the layers' records."""
        self.begin()
        x = torch.zeros(1, *self._input_shape, device=self._anchor.device)
        self.forward(x, Rows(range(1), [1], even))
        per_row = sum(_bytes(trace.saved) for _, trace in self.traces)
        self.traces.clear()
        return max(1, per_row)


class _Recorded(torch.autograd.Function):
    """A stacked layer in autograd's graph; its backward pass records the output's gradient.

    ``anchor`` is a scalar that requires a gradient, so that the first layer is visited on the way
    back although its input requires none.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, x: Tensor, anchor: Tensor, layer: StackedLayer, program: TracedCohort
    ) -> Tensor:
        del anchor
        x = torch.nan_to_num(x) if program.finite else x
        out, saved = layer.forward(x, program.rows)
        # Kept gradients may have overflowed where inputs and output gradients have not.
        trace = Trace(saved, keeps_gradients=not program.finite)
        ctx.layer, ctx.rows, ctx.trace, ctx.finite = layer, program.rows, trace, program.finite
        program.traces.append((layer, ctx.trace))
        return out

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        if ctx.finite:
            delta = torch.nan_to_num(delta, nan=0.0, posinf=0.0, neginf=0.0)
        ctx.trace.output_gradient = delta
        back = None
        if ctx.needs_input_grad[0]:
            back = ctx.layer.input_gradient(ctx.trace.saved, delta, ctx.rows)
        return back, None, None, None


class _Call(nn.Module):
    """What stands in the traced module where a layer with parameters was."""

    def __init__(self, program: TracedCohort, layer: StackedLayer) -> None:
        super().__init__()
        self._run = program.apply
        self._layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self._run(self._layer, x)


def _trace(module: nn.Module) -> fx.GraphModule:
    try:
        graph = fx.symbolic_trace(module.train())
    except Exception as error:  # control flow that depends on values, and whatever else users write
        reason = " ".join(str(error).split())[:120]
        raise NoStackedForm(f"it cannot be traced ({type(error).__name__}: {reason})") from error
    for node in graph.graph.nodes:
        _refuse_unknown(node, graph)
        if _is_tanh(node, graph):
            node.op, node.target, node.kwargs = "call_function", kernels.differentiable_tanh, {}
    graph.recompile()
    return graph


def _is_tanh(node: fx.Node, graph: fx.GraphModule) -> bool:
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))) is nn.Tanh
    functions = (torch.tanh, F.tanh)
    return node.target in functions or (node.op == "call_method" and node.target == "tanh")


def _refuse_unknown(node: fx.Node, graph: fx.GraphModule) -> None:
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        kind = next((k for k in LAYERS if type(module) in k.kinds), None)
        has_parameters = any(True for _ in module.parameters())
        if kind is None and (has_parameters or type(module) not in _PLAIN_MODULES):
            if not has_parameters and type(module) in (nn.GroupNorm, nn.LayerNorm):
                return
            raise NoStackedForm(f"no stacked form of {type(module).__name__} is known")
        if kind is not None and has_parameters and (why := kind.refusal(module)):
            raise NoStackedForm(f"it has {why}")
    elif node.op == "call_function" and node.target not in _PLAIN_FUNCTIONS:
        name = getattr(node.target, "__name__", str(node.target))
        raise NoStackedForm(f"no stacked form of the function {name} is known")
    elif node.op == "call_method" and node.target not in _PLAIN_METHODS:
        raise NoStackedForm(f"no stacked form of the method {node.target} is known")
    elif node.op == "get_attr":
        raise NoStackedForm(f"it uses {node.target} outside a layer")
    elif node.op == "placeholder" and sum(n.op == "placeholder" for n in graph.graph.nodes) > 1:
        raise NoStackedForm("its forward takes more than one argument")


def _stacked(graph: fx.GraphModule, names: list[str]) -> dict[str, StackedLayer]:
    """The stacked form of each layer with parameters, by its place; all ``names`` must be used."""
    found: dict[str, StackedLayer] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        target = str(node.target)
        module = graph.get_submodule(target)
        if not any(True for _ in module.parameters()):
            continue
        if target in found:
            raise NoStackedForm(f"its layer {target} is used twice")
        if not all(p.requires_grad for p in module.parameters()):
            raise NoStackedForm(f"its layer {target} has frozen parameters")
        found[target] = next(k for k in LAYERS if type(module) in k.kinds)(module)
    used = {
        f"{t}.{name}" for t, layer in found.items() for name, _ in layer.module.named_parameters()
    }
    if used != set(names):
        odd = sorted(used ^ set(names))[0]
        raise NoStackedForm(f"its parameter {odd} is shared between layers or used by none")
    return found


def _bytes(saved: Any) -> int:
    tensors = saved if isinstance(saved, tuple) else (saved,)
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, Tensor))
