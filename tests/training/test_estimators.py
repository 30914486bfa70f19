"""Cohorts of learners that train themselves."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.tree import DecisionTreeClassifier

from audit.claims import make_claim
from audit.errors import BadInput
from audit.estimates.dp_test import dp_verdict
from audit.estimates.memorization import memorization
from audit.inclusion import membership
from audit.training.arms import LearnerArm
from audit.training.estimators import Trained, _global_randomness, train_estimators
from audit.training.learners import Estimator
from tests.training.learners import PATH

N, N_TEST, SEED = 40, 11, 3


def data(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that have nothing to do with the features: all that is right was memorized."""
    rng = np.random.default_rng(seed)
    return rng.random((n, 2)).astype(np.float32), rng.integers(2, size=n)


def trained(
    path: str,
    models: range = range(3),
    *,
    member: np.ndarray | None = None,
    arm: LearnerArm | None = None,
    train: tuple[np.ndarray, np.ndarray] | None = None,
    on_model: Callable[[int], None] = lambda done: None,
) -> Trained:
    train = data(N) if train is None else train
    if member is None:
        member = membership(len(train[0]), models, p=0.7, design="poisson", seed=SEED)
    return train_estimators(
        Estimator(path, 2),
        arm or LearnerArm("standard"),
        train,
        data(N_TEST, 1),
        member,
        models,
        seed=SEED,
        on_model=on_model,
    )


def test_a_tree_is_right_on_its_subset_as_by_hand():
    x, y = data(N)
    member = membership(N, range(3), p=0.7, design="poisson", seed=SEED)
    found = trained("sklearn.tree:DecisionTreeClassifier")
    assert found.train.correct[member].all()
    for k in range(3):
        tree = DecisionTreeClassifier(random_state=0).fit(x[member[k]], y[member[k]])
        # Ties between equal splits are broken at random: the trees agree on most other examples.
        assert (found.train.correct[k] == (tree.predict(x) == y)).mean() > 0.8
    assert found.train.correct.shape == (3, N)
    assert found.test.margin.shape == (3, N_TEST)
    assert found.notes.to_json() == {"margins": ["probabilities"]}


def test_nearest_neighbour_equals_a_loop_over_examples():
    x, y = data(N)
    member = membership(N, range(2), p=0.7, design="poisson", seed=SEED)
    found = trained(f"{PATH}nearest", range(2))
    for k in range(2):
        inside = [i for i in range(N) if member[k, i]]
        for i in range(N):
            best = min(inside, key=lambda j: float(((x[i] - x[j]) ** 2).sum()))
            assert found.train.correct[k, i] == (y[best] == y[i])


@pytest.mark.parametrize(
    "path",
    ["sklearn.ensemble:RandomForestClassifier", f"{PATH}instance", f"{PATH}chance", f"{PATH}svc"],
)
def test_a_model_is_the_same_whatever_else_is_trained(path: str):
    together = trained(path, range(4))
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    alone = trained(path, range(2, 3))
    np.testing.assert_array_equal(together.train.correct[2], alone.train.correct[0])
    np.testing.assert_array_equal(together.test.margin[2], alone.test.margin[0])


def test_models_and_arms_have_streams_of_their_own():
    found = trained(f"{PATH}chance", range(2))
    other = trained(f"{PATH}chance", range(2), arm=LearnerArm("other"))
    assert (found.train.correct[0] != found.train.correct[1]).any()
    assert (found.train.correct[0] != other.train.correct[0]).any()


def test_global_generators_are_put_back():
    # Not around the whole training: type checks in tests draw from Python's generator.
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), str(np.random.get_state())  # noqa: NPY002
    with _global_randomness(LearnerArm("a"), 0, SEED):
        inside = random.random(), np.random.random()  # noqa: NPY002
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002
    with _global_randomness(LearnerArm("a"), 0, SEED):
        assert (random.random(), np.random.random()) == inside  # noqa: NPY002


def test_the_data_survive_a_learner_that_writes_into_them():
    train = data(N)
    before = train[0].copy(), train[1].copy()
    trained(f"{PATH}writes", train=train)
    np.testing.assert_array_equal(train[0], before[0])
    np.testing.assert_array_equal(train[1], before[1])


def test_progress_counts_models():
    seen: list[int] = []
    trained(f"{PATH}nearest", range(4), on_model=seen.append)
    assert seen == [1, 2, 3, 4]


def test_words_are_kept_from_the_screen_and_warnings_counted_once_per_model(capfd):
    found = trained(f"{PATH}talks")
    assert capfd.readouterr() == ("", "")
    expected = {"ConvergenceWarning": {"models": 3, "first": "did not converge"}}
    assert found.notes.warnings == expected


def test_what_a_c_library_prints_in_a_worker_is_kept_from_the_screen(capfd, monkeypatch):
    trained(f"{PATH}prints_past_python", range(1))
    heard = capfd.readouterr()
    assert "PRINTED" in heard.out
    assert "PRINTED" in heard.err
    monkeypatch.setattr("multiprocessing.parent_process", lambda: "somebody")
    trained(f"{PATH}prints_past_python", range(2))
    os.write(1, b"the tool itself")
    assert capfd.readouterr() == ("the tool itself", "")


def test_the_folder_and_numpys_errors_are_put_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = np.geterr()
    trained(f"{PATH}wanders", range(2))
    assert (os.getcwd(), np.geterr()) == (str(tmp_path), before)


def test_a_copy_that_the_learner_forks_hands_in_nothing(tmp_path):
    told = tmp_path / "told"
    trained(f"{PATH}forks", range(2), on_model=lambda done: _append(told, done))
    assert told.read_text() == "12"


def _append(path, done: int) -> None:
    with path.open("a") as file:
        file.write(str(done))


def test_with_debug_on_the_learner_is_heard(capfd, monkeypatch):
    monkeypatch.setenv("AUDIT_DEBUG", "1")
    trained(f"{PATH}talks", range(1))
    assert "PRINTED BY THE LEARNER" in capfd.readouterr().out


def one_class(models: int = 2) -> np.ndarray:
    y = data(N)[1]
    return np.stack([y == 1, *[np.ones(N, dtype=bool)] * (models - 1)])


@pytest.mark.parametrize(
    ("path", "constant"),
    [
        ("sklearn.tree:DecisionTreeClassifier", 0),  # copes by itself
        ("sklearn.linear_model:LogisticRegression", 1),  # refuses one class
    ],
)
def test_a_subset_of_one_class_is_learned_as_that_class(path: str, constant: int):
    found = trained(path, range(2), member=one_class())
    np.testing.assert_array_equal(found.train.correct[0], data(N)[1] == 1)
    assert (found.train.margin[0][data(N)[1] == 0] == -65504.0).all()
    assert found.notes.constant == constant


def test_a_private_learner_gets_no_stand_in():
    arm = LearnerArm("dp-1", {}, 1.0)
    with pytest.raises(BadInput, match="1 class"):
        trained(f"{PATH}raises_for_one_class", range(2), member=one_class(), arm=arm)


def test_an_empty_subset_is_told():
    with pytest.raises(BadInput, match=r"model 0 of standard fails .* holds 0"):
        trained("sklearn.tree:DecisionTreeClassifier", range(1), member=np.zeros((1, N), bool))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "fails in training (its subset holds .* ValueError: the learner's own words"),
        ("leaves", "SystemExit"),
        ("generator_leaves", "GeneratorExit"),
        ("no_predict", "returned int"),
        ("three_columns", "shape (40, 3) for 40 examples"),
        ("too_few", "shape (39,)"),
        ("unknown_label", "label 2"),
        ("negative_label", "label -1"),
        ("half_a_label", "whole numbers"),
        ("nan_label", "whole numbers"),
        ("words", "not class indices"),
        ("nothing", "not class indices"),
    ],
)
def test_a_failing_learner_is_named_with_its_model(name: str, words: str):
    with pytest.raises(BadInput) as refused:
        trained(f"{PATH}{name}", range(5, 7))
    line = str(refused.value)
    assert "\n" not in line
    assert "model 5 of standard" in line
    assert PATH + name in line
    for part in words.split(".*"):
        assert part in line


def test_undefined_scores_are_wrong_and_counted():
    found = trained(f"{PATH}undefined")
    assert found.diverged == 3
    assert not found.train.correct[:, 0].any()
    assert np.isnan(found.train.margin[:, 0]).all()
    assert np.isfinite(found.train.margin[:, 1:]).all()


def test_a_leak_warning_fails_a_private_arm_and_only_that():
    with pytest.raises(BadInput, match="Bounds have not been specified"):
        trained(f"{PATH}leaks", arm=LearnerArm("dp-1", {}, 1.0))
    found = trained(f"{PATH}leaks", arm=LearnerArm("standard", {"epsilon": 1.0}))
    assert found.notes.warnings["PrivacyLeakWarning"]["models"] == 3


def test_a_fitted_estimator_may_be_returned_by_train():
    assert trained(f"{PATH}fitted_tree").notes.margins == {"probabilities"}


def verdict(path: str, epsilon: float, models: int, seed: int) -> str:
    x, y = data(N, seed)
    member = membership(N, range(models), p=0.7, design="poisson", seed=seed)
    arm = LearnerArm(f"dp-{epsilon:g}", {}, epsilon)
    done = trained(path, range(models), member=member, arm=arm, train=(x, y))
    mem = memorization(member, done.train.correct)
    claim = make_claim(epsilon, 0.0, design="poisson", source="a test")
    test = dp_verdict(
        mem.n_in,
        mem.correct_in,
        mem.n_out,
        mem.correct_out,
        epsilon=claim.in_out_epsilon,
        delta=claim.in_out_delta,
        alpha=0.05,
    )
    return test.verdict


def test_a_mechanism_of_known_epsilon_is_not_accused():
    """ε-DP by construction: at most 5 % of runs may accuse it, here none of 12 (P < 0.54)."""
    verdicts = [verdict(f"{PATH}majority_of_cells", 0.5, 60, seed) for seed in range(12)]
    assert verdicts.count("violates") == 0


def test_a_planted_lie_is_caught():
    assert [verdict(f"{PATH}liar", 0.5, 60, seed) for seed in range(3)] == ["violates"] * 3
