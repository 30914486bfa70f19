"""Learners for tests: honest ones with a known answer, and all the ways to be wrong.

Named by path (``tests.training.learners:nearest``), as ``--model`` names them.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import psutil
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

Predict = Callable[[np.ndarray], np.ndarray]
PATH = "tests.training.learners:"


def nearest(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """The label of the nearest training example: memorizes all of them."""
    del rng

    def predict(rows: np.ndarray) -> np.ndarray:
        distance = ((rows[:, None, :] - x[None]) ** 2).sum(axis=2)
        return y[distance.argmin(axis=1)]

    return predict


def majority_of_cells(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, epsilon: float, cells: int = 3
) -> Predict:
    """The most frequent label of each cell of the first feature, by counts with Laplace(1/ε) noise.

    One example changes one count by one, so this is ε-DP under adding or removing an example
    (Dwork & Roth 2014, Theorem 3.6); cells and classes are constants.
    """
    edges = np.linspace(0, 1, cells + 1)[1:-1]
    counts = np.zeros((cells, 2))
    np.add.at(counts, (np.digitize(x[:, 0], edges), y), 1)
    winner = (counts + rng.laplace(scale=1 / epsilon, size=counts.shape)).argmax(axis=1)
    return lambda rows: winner[np.digitize(rows[:, 0], edges)]


def liar(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, epsilon: float) -> Predict:
    """Claims ε and memorizes everything."""
    del epsilon
    return nearest(x, y, rng)


def with_delta(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, epsilon: float, delta: float
) -> Predict:
    assert 0 < delta < 1
    return majority_of_cells(x, y, rng, epsilon)


def scores(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """Probabilities [rows, 2] that depend on the number of examples only."""
    del x, rng
    share = y.mean()
    return lambda rows: np.tile([1 - share, share], (len(rows), 1))


def logits(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    del x, y, rng
    return lambda rows: np.tile([-1.0, 3.0], (len(rows), 1))


def undefined(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """NaN for the first row."""
    del x, y, rng

    def predict(rows: np.ndarray) -> np.ndarray:
        out = np.tile([0.25, 0.75], (len(rows), 1))
        out[0] = np.nan
        return out

    return predict


def chance(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """Labels at random: from its own generator, and from every global one."""
    del x, y
    own = rng.integers(2, size=1000)
    other = np.random.randint(2, size=1000)  # noqa: NPY002
    third = random.getrandbits(1000)

    def predict(rows: np.ndarray) -> np.ndarray:
        mixed = own[: len(rows)] + other[: len(rows)]
        return (mixed + np.array([third >> i & 1 for i in range(len(rows))])) % 2

    return predict


def talks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    print("PRINTED BY THE LEARNER")
    print("PRINTED BY THE LEARNER", file=sys.stderr)
    for _ in range(3):
        warnings.warn("did not converge", ConvergenceWarning, stacklevel=1)
    return nearest(x, y, rng)


def writes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """Changes all that it is given, in place."""
    del rng
    x[:] = 0
    y[:] = 0

    def predict(rows: np.ndarray) -> np.ndarray:
        rows[:] = -1
        return np.zeros(len(rows), dtype=int)

    return predict


def fitted_tree(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> DecisionTreeClassifier:
    return DecisionTreeClassifier(random_state=int(rng.integers(99))).fit(x, y)


def patient(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """A tree that takes seconds on a cluster: time for all nodes to have one, and for the test."""
    if psutil.Process().cmdline()[0].startswith("ray::"):
        time.sleep(6)
    return fitted_tree(x, y, rng).predict


def returning(answer: Callable[[int], object]) -> Callable[..., Predict]:
    def train(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
        del x, y, rng
        return lambda rows: answer(len(rows))  # pyright: ignore[reportReturnType]

    return train


three_columns = returning(lambda n: np.zeros((n, 3)))
too_few = returning(lambda n: np.zeros(n - 1))
unknown_label = returning(lambda n: np.full(n, 2))
negative_label = returning(lambda n: np.full(n, -1))
half_a_label = returning(lambda n: np.full(n, 0.5))
nan_label = returning(lambda n: np.full(n, np.nan))
words = returning(lambda n: ["yes"] * n)
nothing = returning(lambda n: None)


def no_predict(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> int:
    del x, y, rng
    return 7


def raises(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    del x, y, rng
    raise ValueError("the learner's\nown words")


def raises_for_one_class(
    x: np.ndarray, y: np.ndarray, rng: np.random.Generator, epsilon: float
) -> Predict:
    if len(np.unique(y)) < 2:
        raise ValueError("two classes are needed")
    return majority_of_cells(x, y, rng, epsilon)


def leaves(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    del x, y, rng
    raise SystemExit(0)


def generator_leaves(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    del x, y, rng
    raise GeneratorExit


def wanders(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """Changes what the process shares: the folder and how NumPy takes errors."""
    os.chdir("/")
    np.seterr(all="raise")
    return nearest(x, y, rng)


def forks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """Leaves a copy of the process that goes on like the process itself."""
    if (child := os.fork()) != 0:
        os.waitpid(child, 0)
    return nearest(x, y, rng)


def prints_past_python(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """As a C library or a child process prints."""
    os.write(1, b"PRINTED BY THE LEARNER\n")
    os.write(2, b"PRINTED BY THE LEARNER\n")
    return nearest(x, y, rng)


class PrivacyLeakWarning(RuntimeWarning):
    """As diffprivlib names it."""


def leaks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, epsilon: float) -> Predict:
    warnings.warn("Bounds have not been specified", PrivacyLeakWarning, stacklevel=1)
    return majority_of_cells(x, y, rng, epsilon)


class OwnClassifier:
    """fit and predict, and nothing else that scikit-learn has."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> None:
        del x
        self.label = np.bincount(y).argmax()

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.label)


class Module(nn.Linear):
    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__(int(np.prod(input_shape)), n_classes)


def module_factory(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    return Module(input_shape, n_classes)


def module_with_defaults(input_shape: tuple[int, ...] = (2,), n_classes: int = 2) -> nn.Module:
    return Module(input_shape, n_classes)


def not_an_estimator() -> int:
    return 7


def gives_up() -> object:
    raise SystemExit


def gives_up_privately(epsilon: float = 1.0) -> object:
    raise SystemExit(f"not with {epsilon}")


def wrong_signature(x: np.ndarray, y: np.ndarray) -> Predict:
    return nearest(x, y, np.random.default_rng(0))


def pipeline(depth: int = 2) -> object:
    return make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=depth))


forest = partial(RandomForestClassifier, n_estimators=3, n_jobs=-1)
instance = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=2, n_jobs=2))
svc = LinearSVC()
regression = LinearRegression()
seven = 7


def dies(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Predict:
    """As a process that is killed for lack of memory."""
    del x, y, rng
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")
