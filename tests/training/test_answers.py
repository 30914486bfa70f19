"""Correctness and margins from whatever a learner answers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, LinearSVC

from audit.training.answers import WrongAnswer, ask, judge

X = np.zeros((3, 2), np.float32)
Y = np.array([0, 1, 2])


def naive_margin(p: float) -> float:
    """LiRA's logit of the probability of the own class, as the paper prints it."""
    return float(np.log(p / (1 - p)))


def estimator(labels: list[int], **methods: object) -> SimpleNamespace:
    found = {name: (lambda x, v=value: np.asarray(v)) for name, value in methods.items()
             if name != "classes_"}  # fmt: skip
    if "classes_" in methods:
        found["classes_"] = methods["classes_"]  # pyright: ignore[reportArgumentType]
    return SimpleNamespace(predict=lambda x: np.asarray(labels), **found)


def test_margins_of_probabilities_are_liras_logit():
    p = [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]
    outputs, finite = judge(ask(estimator([0, 0, 2], predict_proba=p), X, 3), Y)
    assert finite
    assert outputs.correct.tolist() == [[True, False, True]]
    wanted = [naive_margin(0.7), naive_margin(0.25), 65504.0]
    np.testing.assert_allclose(outputs.margin[0], wanted, rtol=1e-3)


def test_a_tiny_complement_does_not_cancel():
    p = [[1.0, 1e-20, 0.0]] * 3
    outputs, _ = judge(ask(lambda x: np.asarray(p), X, 3), np.zeros(3, dtype=np.int64))
    np.testing.assert_allclose(outputs.margin[0], np.log(1e20), rtol=1e-3)


def test_correctness_is_by_the_estimators_own_labels():
    """As for SVC, whose probabilities may contradict its labels."""
    p = [[0.9, 0.1, 0.0]] * 3
    outputs, _ = judge(ask(estimator([1, 1, 1], predict_proba=p), X, 3), Y)
    assert outputs.correct.tolist() == [[False, True, False]]
    assert outputs.margin[0, 0] > 0


def test_a_class_that_the_subset_lacked_has_probability_zero():
    answers = ask(estimator([0, 2, 2], predict_proba=[[0.4, 0.6]] * 3, classes_=[0, 2]), X, 3)
    assert answers.scores is not None
    np.testing.assert_allclose(answers.scores, [[0.4, 0, 0.6]] * 3)
    outputs, finite = judge(answers, Y)
    assert finite
    assert outputs.margin[0, 1] == -65504.0
    np.testing.assert_allclose(outputs.margin[0, 2], naive_margin(0.6), rtol=1e-3)


def test_decision_values_give_the_hinge_score():
    answers = ask(estimator([0, 0, 0], decision_function=[[2.0, -1.0, 0.5]] * 3), X, 3)
    outputs, _ = judge(answers, Y)
    assert answers.kind == "decision values"
    assert outputs.margin.tolist() == [[1.5, -3.0, -1.5]]


def test_one_decision_value_is_for_the_second_class():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]], np.float32)
    y = np.array([0, 0, 1, 1])
    fitted = LinearSVC().fit(x, y)
    outputs, _ = judge(ask(fitted, x, 2), y)
    wanted = fitted.decision_function(x) * [-1, -1, 1, 1]
    np.testing.assert_allclose(outputs.margin[0], wanted, rtol=1e-2)


def test_pairwise_decision_values_leave_the_margin_undefined():
    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    y = np.arange(40) % 4
    answers = ask(SVC(decision_function_shape="ovo").fit(x, y), x, 4)
    outputs, finite = judge(answers, y)
    assert answers.kind == "none"
    assert finite
    assert np.isnan(outputs.margin).all()


def test_labels_alone_leave_the_margin_undefined():
    outputs, finite = judge(ask(lambda x: [0.0, 1.0, 1.0], X, 3), Y)
    assert finite
    assert outputs.correct.tolist() == [[True, True, False]]
    assert np.isnan(outputs.margin).all()


def test_scores_that_do_not_sum_to_one_are_logits():
    z = np.array([[1.0, 2.0, 3.0]] * 3)
    answers = ask(lambda x: z, X, 3)
    softmax = np.exp(z[0]) / np.exp(z[0]).sum()
    outputs, _ = judge(answers, Y)
    assert answers.kind == "logits"
    np.testing.assert_allclose(outputs.margin[0], [naive_margin(p) for p in softmax], rtol=2e-3)


def test_a_row_with_nan_is_wrong_and_makes_the_model_count_as_undefined():
    p = np.array([[0.1, 0.9, 0.0], [np.nan, 0.5, 0.5], [0.0, 0.1, 0.9]])
    for answers in (ask(lambda x: p, X, 3), ask(estimator([1, 1, 2], predict_proba=p), X, 3)):
        outputs, finite = judge(answers, Y)
        assert not finite
        assert outputs.correct.tolist() == [[False, False, True]]
        assert np.isnan(outputs.margin[0]).tolist() == [False, True, False]


def test_margins_agree_with_the_logit_of_a_logistic_regression():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    fitted = LogisticRegression().fit(x, y)
    outputs, _ = judge(ask(fitted, x, 2), y)
    wanted = fitted.decision_function(x) * (2 * y - 1)
    np.testing.assert_allclose(outputs.margin[0], wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (np.zeros(2), r"shape \(2,\)"),
        (np.zeros((3, 3, 1)), "shape"),
        (np.full(3, 3), "label 3; the classes are 0 to 2"),
        (np.array([0, -1, 1]), "label -1"),
        (np.array([0.0, 0.5, 1.0]), "whole numbers"),
        (np.array([0.0, np.nan, 1.0]), "whole numbers"),
        (["a", "b", "c"], "not class indices"),
        (None, "not class indices"),
        ([[0], [1, 2]], "no array"),
    ],
)
def test_unusable_answers_are_told(answer: object, words: str):
    with pytest.raises(WrongAnswer, match=words):
        ask(lambda x: answer, X, 3)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"predict_proba": [[0.5, 0.5]] * 3}, "2\\) for 3 examples and 3 classes"),
        ({"predict_proba": [[-1.0, 1.0, 1.0]] * 3}, "below 0"),
        ({"predict_proba": [[0.5, 0.5]] * 3, "classes_": [0, 3]}, "distinct indices"),
        ({"predict_proba": [[0.5, 0.5]] * 3, "classes_": [0, 0]}, "distinct indices"),
        ({"predict_proba": [[0.5, 0.5]] * 3, "classes_": ["a", "b"]}, "not class indices"),
    ],
)
def test_unusable_scores_of_estimators_are_told(methods: dict, words: str):
    with pytest.raises(WrongAnswer, match=words):
        ask(estimator([0, 0, 0], **methods), X, 3)
