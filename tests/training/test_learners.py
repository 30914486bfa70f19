"""What ``package.module:name`` is taken for, how it is made, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from audit.errors import BadInput
from audit.training.arms import LearnerArm
from audit.training.learners import Estimator, check_learner, is_learner, kind_of, make_estimator
from tests.training.learners import PATH


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("sklearn.tree:DecisionTreeClassifier", "class"),
        ("sklearn.ensemble:RandomForestClassifier", "class"),
        (f"{PATH}OwnClassifier", "class"),
        (f"{PATH}instance", "instance"),
        (f"{PATH}pipeline", "factory"),
        (f"{PATH}forest", "factory"),
        (f"{PATH}nearest", "callable"),
        (f"{PATH}liar", "callable"),
        (f"{PATH}with_delta", "callable"),
        (f"{PATH}Module", "module"),
        (f"{PATH}module_factory", "module"),
        (f"{PATH}module_with_defaults", "module"),
    ],
)
def test_kinds_are_told_apart(path: str, kind: str):
    assert kind_of(path) == kind
    assert is_learner(path) == (kind != "module")


def test_names_of_the_tools_own_models_are_not_imported():
    assert not is_learner("mlp")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"{PATH}seven", "fit and predict"),
        (f"{PATH}wrong_signature", "train(x, y, rng)"),
        (f"{PATH}missing", "AttributeError"),
        ("no_such_package:thing", "ModuleNotFoundError"),
        ("math:floor", "fit and predict"),
        # Nothing is called that ends, forks or aborts the process: these need no argument, either.
        ("sys:exit", "fit and predict"),
        ("os:abort", "fit and predict"),
    ],
)
def test_what_is_none_of_these_is_refused(path: str, words: str):
    with pytest.raises(BadInput) as refused:
        kind_of(path, field="dp_model")
    assert words in str(refused.value)
    assert str(refused.value).startswith(f"dp_model = {path!r}")


def test_an_error_travels_between_processes():
    with pytest.raises(BadInput) as refused:
        kind_of(f"{PATH}seven")
    again = pickle.loads(pickle.dumps(refused.value))  # what a process pool does
    assert str(again) == str(refused.value)
    assert (again.name, again.value) == (refused.value.name, refused.value.value)


@pytest.mark.parametrize(
    ("path", "options", "epsilon", "delta", "words"),
    [
        ("sklearn.tree:DecisionTreeClassifier", {"max_dept": 2}, None, None, "max_dept"),
        ("sklearn.tree:DecisionTreeClassifier", {"random_state": 0}, None, None, "own stream"),
        ("sklearn.tree:DecisionTreeClassifier", {"n_jobs": 2}, None, None, "each core"),
        ("sklearn.tree:DecisionTreeClassifier", {}, 1.0, None, "no argument epsilon"),
        ("sklearn.ensemble:VotingClassifier", {}, None, None, "estimators"),
        ("sklearn.linear_model:LinearRegression", {}, None, None, "of type regressor"),
        ("sklearn.cluster:KMeans", {}, None, None, "of type clusterer"),
        ("sklearn.ensemble:IsolationForest", {}, None, None, "of type outlier_detector"),
        (f"{PATH}regression", {}, None, None, "of type regressor"),
        (f"{PATH}instance", {"depth": 2}, None, None, "depth"),
        (f"{PATH}not_an_estimator", {}, None, None, "returned int"),
        (f"{PATH}nearest", {"k": 2}, None, None, "'k'"),
        (f"{PATH}nearest", {}, 1.0, None, "no argument epsilon"),
        (f"{PATH}liar", {"epsilon": 9}, 1.0, None, "--epsilon"),
        (f"{PATH}liar", {}, 1.0, 1e-5, "claims ε alone"),
    ],
)
def test_what_cannot_be_made_is_refused_before_training(path, options, epsilon, delta, words):
    with pytest.raises(BadInput) as refused:
        check_learner(Estimator(path, 2), LearnerArm("a", options, epsilon, delta))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("path", "options", "epsilon", "name"),
    [
        (f"{PATH}gives_up", {}, None, "model"),
        (f"{PATH}gives_up_privately", {}, 1.0, "dp_model"),
        ("sklearn.ensemble:VotingClassifier", {}, None, "model"),
        ("sklearn.tree:DecisionTreeClassifier", {"max_dept": 2}, None, "standard.options"),
        (f"{PATH}majority_of_cells", {"cell": 2}, 1.0, "dp.options"),
    ],
)
def test_the_error_names_what_the_user_gave(path, options, epsilon, name):
    """Options that nobody gave are not the ones to blame."""
    field = "model" if epsilon is None else "dp_model"
    with pytest.raises(BadInput) as refused:
        check_learner(Estimator(path, 2, field), LearnerArm("a", options, epsilon))
    assert (refused.value.name, path in str(refused.value)) == (name, True)
    assert "cannot be made" in str(refused.value)


@pytest.mark.parametrize(
    "path", ["sklearn.ensemble:RandomForestClassifier", f"{PATH}instance", f"{PATH}forest"]
)
def test_each_model_gets_its_own_random_state_and_one_thread(path: str):
    learner, arm, stream = Estimator(path, 2), LearnerArm("a"), rng()
    made = [make_estimator(learner, arm, stream) for _ in range(2)]
    found = [{k.rpartition("__")[2]: v for k, v in m.get_params(deep=True).items()} for m in made]
    assert found[0]["random_state"] != found[1]["random_state"]
    assert found[0]["n_jobs"] == found[1]["n_jobs"] == 1
    again = make_estimator(learner, arm, rng()).get_params(deep=True)
    assert {k.rpartition("__")[2]: v for k, v in again.items()}["random_state"] == (
        found[0]["random_state"]
    )


def test_options_reach_a_factory_and_an_instance():
    made = make_estimator(Estimator(f"{PATH}pipeline", 2), LearnerArm("a", {"depth": 7}), rng())
    assert made.get_params()["decisiontreeclassifier__max_depth"] == 7
    option = {"randomforestclassifier__n_estimators": 5}
    made = make_estimator(Estimator(f"{PATH}instance", 2), LearnerArm("a", option), rng())
    assert len(made.fit(np.eye(4), [0, 1, 0, 1])[-1].estimators_) == 5


def test_a_private_callable_is_given_its_claim():
    arm = LearnerArm("dp-1", {"cells": 2}, 1.0)
    check_learner(Estimator(f"{PATH}majority_of_cells", 2), arm)
    assert arm.arguments == {"cells": 2, "epsilon": 1.0}
    check_learner(Estimator(f"{PATH}with_delta", 2), LearnerArm("dp-1", {}, 1.0, 1e-4))
