"""Cohorts of learners that train themselves, one model at a time, on the same subsets.

Model k gets x[T_k], y[T_k] and a random stream of its own, keyed by purpose, arm and k. Labels are
given as they are, never renumbered to the classes of the subset: that would make every label
depend on who is in it. What is not covered by the stream (``secrets``, a C library's own generator)
makes a model that cannot be repeated to the bit; the estimates stay valid.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from threadpoolctl import threadpool_limits

from audit.errors import BadInput
from audit.seeds import Purpose, generator, seed_sequence
from audit.training.answers import Margin, WrongAnswer, ask, judge
from audit.training.arms import LearnerArm
from audit.training.evaluation import Outputs, stack_outputs
from audit.training.learners import Estimator, make_estimator
from audit.training.noise import seeded_cpu_generator

Arrays = tuple[np.ndarray, np.ndarray]
"""Features [rows, features] and labels [rows]."""

_LEAK = "PrivacyLeakWarning"
_KEPT = "Mend it and give the same command again: finished cohorts are kept"
# Python hides these by default too: they speak to a library's author.
_QUIET = (DeprecationWarning, PendingDeprecationWarning)


@dataclass
class Notes:
    """What there is to say of a cohort's training, for its entry in the manifest.

    ``warnings``: by category, the number of models in which it was raised and its first message.
    ``constant``: models whose subset held one class only and whose learner refuses that: they
    always say that class. ``margins``: what the margins were computed from.
    """

    warnings: dict[str, dict[str, Any]] = field(default_factory=dict)
    constant: int = 0
    margins: set[Margin] = field(default_factory=set)

    def count(self, raised: dict[str, str]) -> None:
        for category, message in raised.items():
            entry = self.warnings.setdefault(category, {"models": 0, "first": message})
            entry["models"] += 1

    def to_json(self) -> dict[str, Any]:
        said: dict[str, Any] = {"margins": sorted(self.margins)}
        if self.warnings:
            said["warnings"] = self.warnings
        if self.constant:
            said["constant"] = self.constant
        return said


@dataclass(frozen=True)
class Trained:
    """Outputs on training and test examples, models with undefined scores, notes."""

    train: Outputs
    test: Outputs
    diverged: int
    notes: Notes


def train_estimators(
    learner: Estimator,
    arm: LearnerArm,
    train: Arrays,
    test: Arrays,
    member: Bool[np.ndarray, "models n"],
    models: range,
    *,
    seed: int,
    on_model: Callable[[int], None] = lambda done: None,
) -> Trained:
    """Train ``models`` of ``arm`` one after the other, and ask each about all examples.

    Args:
        member: who is in each model's training set.
        on_model: called with the number of finished models.

    Raises:
        BadInput: the learner fails on a model, or its answers cannot be used; it names the model.
    """
    notes, rows, diverged = Notes(), [], 0
    _ = learner.target  # imported before the limit is set, or its libraries escape it
    with threadpool_limits(limits=1):
        for row, k in enumerate(models):
            raised: dict[str, str] = {}
            # The learner's own words would come from hundreds of models at once.
            with _global_randomness(arm, k, seed), _put_back(), _quiet(), _collected(raised):
                one = _Model(learner, arm, k, seed)
                fitted = one.fit(train[0][member[row]], train[1][member[row]])
                _refuse_leak(one, raised)
                found = [one.judged(fitted, *part) for part in (train, test)]
            notes.count(raised)
            notes.constant += isinstance(fitted, _Constant)
            notes.margins |= {kind for *_, kind in found}
            diverged += not all(finite for _, finite, _ in found)
            rows.append([outputs for outputs, *_ in found])
            on_model(row + 1)
    on_train, on_test = (stack_outputs(list(part)) for part in zip(*rows, strict=True))
    return Trained(on_train, on_test, diverged, notes)


@dataclass(frozen=True)
class _Model:
    """Model ``k`` of an arm in the making; every error names it."""

    learner: Estimator
    arm: LearnerArm
    k: int
    seed: int

    def fit(self, x: np.ndarray, y: np.ndarray) -> Any:
        """The fitted estimator, or the function ``predict``."""
        rng = generator(self.seed, Purpose.LEARNER, self.arm.name, self.k)
        try:
            if self.learner.kind == "callable":
                fitted = self.learner.target(x, y, rng, **self.arm.arguments)
            else:
                fitted = make_estimator(self.learner, self.arm, rng)
                fitted.fit(x, y)
        except (BadInput, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever a user's code raises, SystemExit too
            # One class can be learned in one way only. A private learner must see to this itself:
            # a stand-in would tell that the subset held one class.
            if self.arm.kind == "standard" and len(np.unique(y)) == 1:
                return _Constant(int(y[0]))
            raise self.refusal("training", error, y) from error
        if not callable(fitted) and not hasattr(fitted, "predict"):
            kind = type(fitted).__name__
            raise self.learner.refusal(
                f"model {self.k} of {self.arm.name}: train returned {kind}, not a function "
                "predict(x) or a fitted estimator",
                _KEPT,
            )
        return fitted

    def judged(self, fitted: Any, x: np.ndarray, y: np.ndarray) -> tuple[Outputs, bool, Margin]:
        try:
            answers = ask(fitted, x, self.learner.n_classes)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self.refusal("prediction", error, y) from error
        outputs, finite = judge(answers, y)
        return outputs, finite, answers.kind

    def refusal(self, stage: str, error: BaseException, y: np.ndarray) -> BadInput:
        said = str(error) if isinstance(error, WrongAnswer) else f"{type(error).__name__}: {error}"
        where = ""
        if stage == "training":
            classes = len(np.unique(y))
            held = "class" if classes == 1 else "classes"
            where = f" (its subset holds {len(y)} examples of {classes} {held})"
        return self.learner.refusal(
            f"model {self.k} of {self.arm.name} fails in {stage}{where}: {said}", _KEPT
        )


@dataclass(frozen=True)
class _Constant:
    """What any classifier learns from a single class."""

    label: int

    @property
    def classes_(self) -> list[int]:
        return [self.label]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.label)

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.ones((len(x), 1))


def _refuse_leak(one: _Model, raised: dict[str, str]) -> None:
    if one.arm.kind == "dp" and _LEAK in raised:
        raise BadInput(
            "dp.options",
            one.arm.options,
            f"make the claim false. The learner warns: {raised[_LEAK]}",
            "Give what it asks for in [dp.options], as public constants",
        )


@contextlib.contextmanager
def _collected(raised: dict[str, str]) -> Iterator[None]:
    """Warnings go to ``raised``, the first message of each category, instead of to the screen."""

    def note(
        message: Warning | str, category: type[Warning], *where: object, **how: object
    ) -> None:
        del where, how
        raised.setdefault(category.__name__, " ".join(str(message).split())[:300])

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        for category in _QUIET:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = note
        yield


@contextlib.contextmanager
def _put_back() -> Iterator[None]:
    """The folder and NumPy's handling of errors are again what they were before the learner.

    On one core it trains in the process that writes the run directory, by a relative path.
    """
    folder, process = os.getcwd(), os.getpid()
    with np.errstate():
        try:
            yield
        finally:
            if os.getpid() != process:
                # A copy of this process that the learner forked and did not end: left to go on, it
                # would train the rest and hand in every result a second time.
                os._exit(1)
            os.chdir(folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that a learner prints is shown, unless AUDIT_DEBUG is set."""
    if os.environ.get("AUDIT_DEBUG"):
        yield
        return
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        _descriptors_to(nowhere.fileno()),
    ):
        yield


@contextlib.contextmanager
def _descriptors_to(target: int) -> Iterator[None]:
    """What a C library or a child process prints goes to ``target`` too.

    In a worker process only: in the command's own one a thread draws the progress bar meanwhile.
    """
    if multiprocessing.parent_process() is None:
        yield
        return
    kept = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in kept:
            os.dup2(target, number)
        yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


@contextlib.contextmanager
def _global_randomness(arm: LearnerArm, k: int, seed: int) -> Iterator[None]:
    """Global generators start from the model's own stream, and are put back afterwards.

    A learner should use what it is given; one that draws from NumPy's, Python's or torch's global
    state would else depend on which process trains it after what.
    """
    words = seed_sequence(seed, Purpose.LEARNER, arm.name, k, "global").generate_state(
        624, np.uint32
    )
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            random.seed(words.tobytes())
            np.random.seed(words)  # noqa: NPY002
            torch.set_rng_state(seeded_cpu_generator(words).get_state())
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002
