"""Learners that train themselves: scikit-learn estimators and callables, told apart and made.

``package.module:name`` may name, looked at in this order:

1. a subclass of ``torch.nn.Module``: a factory of modules, which this tool trains;
2. a class with ``fit`` and ``predict``, or an unfitted instance of one: an estimator;
3. a callable whose first parameters are called ``x, y, rng``: ``train(x, y, rng) -> predict``;
4. a callable that takes ``(input_shape, n_classes)``: a factory of modules;
5. a callable that needs no argument: a factory of estimators.

Python's built-in functions are none of these: to find out what ``os.fork`` returns is to fork.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import nn

from audit.errors import BadInput
from audit.training.arms import LearnerArm
from audit.training.imported import import_object

Kind = Literal["class", "instance", "factory", "callable", "module"]
"""``class``, ``instance``, ``factory`` of an estimator; ``callable``: train(x, y, rng);
``module``: a factory of torch modules, which is no learner."""

EXPECTED = (
    "a classifier class or instance with fit and predict, a function without required arguments "
    "that returns one, train(x, y, rng) that returns predict, or factory(input_shape, n_classes) "
    "that returns a torch module"
)
_NOT_CLASSIFIERS = frozenset({"regressor", "clusterer", "outlier_detector", "density_estimator"})
# What the tool gives itself: a fixed random_state would make all models draw the same numbers (and
# a private learner the same noise), and each core already has a process of its own.
_OURS = {
    "random_state": "is drawn from each model's own stream",
    "n_jobs": "is 1: each core already trains a model of its own",
    "epsilon": "comes from --epsilon",
    "delta": "comes from --delta",
}
# diffprivlib computes these from the training data where they are not given, and warns.
_PUBLIC_CONSTANTS = ("bounds", "data_norm")


@dataclass(frozen=True)
class Estimator:
    """A learner by the name of what makes it.

    Attributes:
        path: ``package.module:name``.
        n_classes: of the data set; a subset may hold fewer.
        field: the option that named it, ``model`` or ``dp_model``, for errors.
    """

    path: str
    n_classes: int
    field: str = "model"

    def describe(self) -> str:
        what = {
            "class": "estimator",
            "instance": "estimator",
            "factory": "estimator made by a function",
            "callable": "train(x, y, rng)",
        }
        return f"{self.path}, {what.get(self.kind, self.kind)}"

    @property
    def kind(self) -> Kind:
        return kind_of(self.path, field=self.field)

    @property
    def target(self) -> Any:
        """The imported object."""
        return import_object(self.path, field=self.field)

    @property
    def library(self) -> str:
        """The top-level package that trains: ``sklearn``, ``diffprivlib``, or the user's own."""
        made = self.target
        module = getattr(made, "__module__", None) or type(made).__module__
        return str(module).partition(".")[0]

    def accepts(self, name: str) -> bool:
        """Whether it has a parameter called ``name`` (catch-all parameters do not count)."""
        target = self.target
        if self.kind == "instance":
            return name in _parameters_of(target)
        found = inspect.signature(target).parameters.get(name)
        return found is not None and found.kind in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )

    def refusal(self, rule: str, next_step: str) -> BadInput:
        return BadInput(self.field, self.path, " ".join(rule.split()), next_step)


def kind_of(path: str, *, field: str = "model") -> Kind:
    """What ``path`` names (see the head of this module).

    Raises:
        BadInput: it cannot be imported, or is none of these.
    """
    target = import_object(path, field=field)
    if inspect.isclass(target) and issubclass(target, nn.Module):
        return "module"
    if _has_fit_and_predict(target):
        return "class" if inspect.isclass(target) else "instance"
    refusal = BadInput(field, path, f"is not {EXPECTED}", "Name one of these")
    if not callable(target) or inspect.isbuiltin(target):
        raise refusal
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError) as error:
        raise refusal from error
    positional = [
        p.name.lower()
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if positional[:3] == ["x", "y", "rng"]:
        return "callable"
    if positional[:2] != ["input_shape", "n_classes"] and _binds(signature):
        return "factory"
    if {"x", "y", "rng"}.isdisjoint(positional) and _binds(signature, (1,), 2):
        return "module"
    raise refusal


def is_learner(model: str, *, field: str = "model") -> bool:
    """Whether ``--model`` names a learner that trains itself; imports what it names.

    Raises:
        BadInput: as :func:`kind_of`.
    """
    return ":" in model and kind_of(model, field=field) != "module"


def check_learner(learner: Estimator, arm: LearnerArm) -> None:
    """Refuse before training what cannot be made, or would make the claim of ``arm`` false.

    Raises:
        BadInput: an option it does not take or that the tool sets itself; a private learner that
            takes no ε or would read its bounds from the training data; no classifier.
    """
    table = _table(arm)
    for name, why in _OURS.items():
        if name in arm.options:
            value = arm.options[name]
            raise BadInput(
                f"{table}.{name}", value, f"is set by the tool: it {why}", "Leave it out"
            )
    if arm.epsilon is not None:
        _check_private(learner, arm)
    if learner.kind == "callable":
        try:
            inspect.signature(learner.target).bind(None, None, None, **arm.arguments)
        except TypeError as error:
            raise _not_made(learner, arm, error) from error
        return
    made = make_estimator(learner, arm, np.random.default_rng(0))
    what = _estimator_type(made)
    if what in _NOT_CLASSIFIERS:
        raise learner.refusal(f"is no classifier but of type {what}", "Name a classifier")
    if arm.epsilon is not None and learner.library == "diffprivlib":
        unset = [k for k in _PUBLIC_CONSTANTS if _parameters_of(made).get(k, 0) is None]
        for name in unset:
            raise BadInput(
                f"dp.options.{name}",
                None,
                "is missing: the library would then read it from the training data, and what it "
                "claims would be false",
                f"Give a public constant, not one computed from this data: [dp.options] {name} = …",
            )


def _check_private(learner: Estimator, arm: LearnerArm) -> None:
    if not learner.accepts("epsilon") and not _takes_any_keyword(learner):
        raise learner.refusal(
            "takes no argument epsilon, so it cannot be a private arm",
            "Give a private learner: train(x, y, rng, epsilon), or an estimator with epsilon",
        )
    if arm.delta is not None and not learner.accepts("delta"):
        raise BadInput(
            "delta",
            arm.delta,
            f"is not taken by {learner.path}, which claims ε alone (δ = 0)",
            "Leave it out, or give the learner a parameter delta",
        )


def make_estimator(learner: Estimator, arm: LearnerArm, rng: np.random.Generator) -> Any:
    """A fresh unfitted estimator with its options, randomness from ``rng``, and one thread.

    Raises:
        BadInput: it does not take the options, or what a factory returns is no estimator.
    """
    target, arguments = learner.target, dict(arm.arguments)
    private_library = learner.library == "diffprivlib"
    if private_library and learner.accepts("classes"):
        # The classes of a run are the same for all models, never read from a subset.
        arguments.setdefault("classes", tuple(range(learner.n_classes)))
    try:
        if learner.kind == "instance":
            made = _fresh_copy(target)
            if arguments:
                made.set_params(**arguments)
        else:
            made = target(**arguments)
    except (Exception, SystemExit) as error:
        raise _not_made(learner, arm, error) from error
    if not _has_fit_and_predict(made) or inspect.isclass(made):
        raise learner.refusal(
            f"returned {type(made).__name__}, not {EXPECTED}", "Return an unfitted classifier"
        )
    settings: dict[str, Any] = {}
    for name in sorted(_parameters_of(made)):
        last = name.rpartition("__")[2]
        if last == "random_state":
            settings[name] = int(rng.integers(2**31 - 1))
        elif last == "n_jobs":
            settings[name] = 1
    return made.set_params(**settings) if settings else made


def _fresh_copy(estimator: Any) -> Any:
    if hasattr(estimator, "get_params"):
        from sklearn.base import clone

        return clone(estimator)
    return copy.deepcopy(estimator)


def _parameters_of(estimator: Any) -> dict[str, Any]:
    get_params: Callable[..., dict[str, Any]] | None = getattr(estimator, "get_params", None)
    return {} if get_params is None else get_params(deep=True)


def _estimator_type(estimator: Any) -> str | None:
    try:
        from sklearn.utils import get_tags

        return get_tags(estimator).estimator_type
    except Exception:  # not one of scikit-learn's own, or an older scikit-learn
        return getattr(estimator, "_estimator_type", None)


def _has_fit_and_predict(target: Any) -> bool:
    return all(callable(getattr(target, name, None)) for name in ("fit", "predict"))


def _takes_any_keyword(learner: Estimator) -> bool:
    if learner.kind not in ("callable", "factory"):
        return False
    parameters = inspect.signature(learner.target).parameters.values()
    return any(p.kind is p.VAR_KEYWORD for p in parameters)


def _binds(signature: inspect.Signature, values: tuple[int, ...] = (), times: int = 0) -> bool:
    try:
        signature.bind(*values * times)
    except TypeError:
        return False
    return True


def _table(arm: LearnerArm) -> str:
    return "standard.options" if arm.epsilon is None else "dp.options"


def _not_made(learner: Estimator, arm: LearnerArm, error: BaseException) -> BadInput:
    table = _table(arm)
    why = f"({type(error).__name__}: {error})"
    option = "--option" if arm.epsilon is None else "--dp-option"
    step = f"Give what its signature asks for with {option} or [{table}], or name a function of it"
    if not arm.options:
        return learner.refusal(f"cannot be made as it is {why}", step)
    return BadInput(table, arm.options, f"{learner.path} cannot be made with it {why}", step)
