"""What a learner answers, whatever its shape: who was right, and by how much.

Correctness is by the learner's own labels. The margin is LiRA's logit log(p_y / (1 − p_y)) (Carlini
et al. 2022, §IV) where there are probabilities; of decision values it is the own class's minus the
largest of the others (ibid., the hinge score), on the learner's own scale; of labels alone it is
undefined: NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int64

from audit.training.evaluation import Outputs

Margin = Literal["probabilities", "logits", "decision values", "none"]
"""What the margins were computed from."""

_LARGEST_MARGIN = 65504.0  # of float16
_ROUNDING = 1e-3


class WrongAnswer(Exception):
    """What a learner answered is not one label, or one score per class, for each example."""


@dataclass(frozen=True)
class Answers:
    """A learner's answers to some examples.

    ``labels``: class indices. ``scores``: one per class, higher for a likelier class; None where
    there are labels only. ``kind``: what the scores are.
    """

    labels: Int64[np.ndarray, " rows"]
    scores: Float64[np.ndarray, "rows classes"] | None
    kind: Margin


def ask(fitted: Any, x: np.ndarray, n_classes: int) -> Answers:
    """What ``fitted`` says of ``x`` [rows, features]: an estimator, or a function ``predict``.

    It gets copies: what it does to its argument must not reach the data of the next model.

    Raises:
        WrongAnswer: labels or scores of another shape or type, or of classes that do not exist.
    """
    if not hasattr(fitted, "predict"):
        return _from_function(fitted(x.copy()), len(x), n_classes)
    labels = _labels(fitted.predict(x.copy()), len(x), n_classes, "predict")
    if hasattr(fitted, "predict_proba"):
        found = _array(fitted.predict_proba(x.copy()), "predict_proba")
        scores = _spread(found, fitted, len(x), n_classes, missing=0.0)
        if np.nanmin(scores, initial=0.0) < -_ROUNDING:
            raise WrongAnswer("predict_proba gave probabilities below 0")
        return Answers(labels, np.maximum(scores, 0.0), "probabilities")
    if hasattr(fitted, "decision_function"):
        found = _array(fitted.decision_function(x.copy()), "decision_function")
        if found.ndim == 1:
            found = np.column_stack([-found / 2, found / 2])  # the margin is then the value itself
        if found.ndim == 2 and found.shape[1] == len(_classes(fitted, n_classes)):
            scores = _spread(found, fitted, len(x), n_classes, missing=-np.inf)
            return Answers(labels, scores, "decision values")
    return Answers(labels, None, "none")


def judge(answers: Answers, y: Int64[np.ndarray, " rows"]) -> tuple[Outputs, bool]:
    """Correctness and margins against the labels ``y``, one row, and whether all is finite.

    An example with a NaN score is answered wrong, and its margin is NaN.
    """
    correct = answers.labels == y
    if answers.scores is None:
        margin = np.full(len(y), np.nan, dtype=np.float16)
        return Outputs(correct[None], margin[None]), True
    undefined = np.isnan(answers.scores).any(axis=1)
    margin = _MARGINS[answers.kind](answers.scores, y)
    margin = np.clip(margin, -_LARGEST_MARGIN, _LARGEST_MARGIN)
    margin[undefined] = np.nan
    outputs = Outputs((correct & ~undefined)[None], margin.astype(np.float16)[None])
    return outputs, not undefined.any()


def _own_and_others(scores: np.ndarray, y: np.ndarray, nothing: float) -> tuple[np.ndarray, ...]:
    rows = np.arange(len(y))
    others = scores.copy()
    others[rows, y] = nothing
    return scores[rows, y], others


def _of_probabilities(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    own, others = _own_and_others(scores, y, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # The others' sum does not cancel as 1 − p_y does; 0 against 0 stays undefined.
        return np.log(own) - np.log(others.sum(axis=1))


def _of_logits(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    own, others = _own_and_others(scores, y, -np.inf)
    with np.errstate(invalid="ignore"):
        return own - np.logaddexp.reduce(others, axis=1)


def _of_decision_values(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    own, others = _own_and_others(scores, y, -np.inf)
    with np.errstate(invalid="ignore"):
        return own - others.max(axis=1)


_MARGINS: dict[Margin, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "probabilities": _of_probabilities,
    "logits": _of_logits,
    "decision values": _of_decision_values,
}


def _from_function(answer: Any, rows: int, n_classes: int) -> Answers:
    found = _array(answer, "predict")
    if found.ndim == 2 and found.shape == (rows, n_classes) and n_classes > 1:
        scores = found.astype(np.float64)
        # A NaN sorts first for argmax; the row counts as wrong anyway.
        labels = scores.argmax(axis=1)
        return Answers(labels, scores, "probabilities" if _are_probabilities(scores) else "logits")
    return Answers(_labels(found, rows, n_classes, "predict"), None, "none")


def _are_probabilities(scores: np.ndarray) -> bool:
    known = scores[~np.isnan(scores).any(axis=1)]
    sums = np.abs(known.sum(axis=1) - 1)
    return bool((known >= 0).all() and (sums <= _ROUNDING).all())


def _array(answer: Any, what: str) -> np.ndarray:
    try:
        found = np.asarray(answer)
    except (Exception, SystemExit) as error:
        raise WrongAnswer(f"{what} gave no array ({type(error).__name__}: {error})") from error
    if found.dtype.kind not in "biuf":
        raise WrongAnswer(
            f"{what} gave {type(answer).__name__} of type {found.dtype}, not class indices or "
            "scores"
        )
    return found


def _labels(answer: Any, rows: int, n_classes: int, what: str) -> np.ndarray:
    found = _array(answer, what)
    if found.shape == (rows, 1):
        found = found[:, 0]
    if found.shape != (rows,):
        raise WrongAnswer(
            f"{what} gave shape {found.shape} for {rows} examples, expected class indices "
            f"[{rows}] or scores [{rows}, {n_classes}]"
        )
    if not np.isfinite(found).all() or (found != np.floor(found)).any():
        raise WrongAnswer(f"{what} gave labels that are not whole numbers")
    labels = found.astype(np.int64)
    if rows and not (labels.min() >= 0 and labels.max() < n_classes):
        unknown = int(labels[(labels < 0) | (labels >= n_classes)][0])
        raise WrongAnswer(f"{what} gave label {unknown}; the classes are 0 to {n_classes - 1}")
    return labels


def _spread(
    found: np.ndarray, fitted: Any, rows: int, n_classes: int, *, missing: float
) -> np.ndarray:
    """Scores of the classes that ``fitted`` knows, at their places among all classes."""
    classes = _classes(fitted, n_classes)
    if found.shape != (rows, len(classes)):
        raise WrongAnswer(
            f"its scores have shape {found.shape} for {rows} examples and {len(classes)} classes"
        )
    scores = np.full((rows, n_classes), missing)
    scores[:, classes] = found
    return scores


def _classes(fitted: Any, n_classes: int) -> np.ndarray:
    """``classes_`` of a fitted estimator: the class index of each of its columns."""
    known = getattr(fitted, "classes_", None)
    classes = np.arange(n_classes) if known is None else np.asarray(known)
    if classes.ndim != 1 or classes.dtype.kind not in "biuf":
        raise WrongAnswer("its classes_ are not class indices")
    if len(np.unique(classes)) < len(classes) or not np.isin(classes, np.arange(n_classes)).all():
        raise WrongAnswer(f"its classes_ are not distinct indices from 0 to {n_classes - 1}")
    return classes.astype(np.int64)
