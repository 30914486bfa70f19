"""Plans of learners that train themselves: arms, claims, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.config import LearnerConfig
from audit.configuring import configure
from audit.data.dataset import Dataset, Grouping
from audit.errors import BadInput
from audit.plan import Plan, make_plan
from audit.resolve import training_device
from audit.training.arms import LearnerArm
from tests.training.learners import PATH

TREE = {"model": "sklearn.tree:DecisionTreeClassifier"}
CELLS = {"model": f"{PATH}nearest", "dp_model": f"{PATH}majority_of_cells"}
N = 60


def data() -> Dataset:
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=2 * N)
    codes = np.zeros(N, dtype=np.int32)
    x = rng.random((2 * N, 2)).astype(np.float32)
    return Dataset(
        name="toy",
        x_train=x[:N],
        y_train=y[:N],
        x_test=x[N:],
        y_test=y[N:],
        class_names=("a", "b"),
        feature_names=("u", "v"),
        groupings=(Grouping("all", "column", ("all",), codes, codes),),
        source="made for a test",
        licence="none",
        input_shape=(2,),
    )


def plan(options: dict[str, Any], file: Path | None = None) -> Plan:
    config = configure(file, {"models": 7, **options})
    return make_plan(config, data(), device=training_device(config))


def test_shipped_settings_of_networks_do_not_reach_a_learner():
    config = configure(None, {"data": "digits", **TREE})
    assert config.standard is None
    assert config.dp is None
    assert config.clusters_per_class == 4
    assert configure(None, {"data": "digits", "model": f"{PATH}module_factory"}).dp is not None


def test_without_a_private_learner_there_is_the_standard_arm_alone():
    made = plan({**TREE, "epsilon": (3.0, 1.0)})
    assert [arm.name for arm in made.arms] == ["standard"]
    assert made.arms[0].claim is None
    assert made.judged_by.epsilon == 1.0
    assert "--dp-model" in (made.no_private_arm or "")
    assert {task.engine for task in made.tasks} == {"estimator"}
    assert {task.checked_model for task in made.tasks} == {None}


def test_a_private_learner_gives_an_arm_for_each_epsilon():
    made = plan({**CELLS, "epsilon": (2.0, 0.5), "dp": {"options": {"cells": 2}}})
    assert [arm.name for arm in made.arms] == ["standard", "dp-0.5", "dp-2"]
    assert made.no_private_arm is None
    arms = [arm.arm for arm in made.arms]
    assert all(isinstance(arm, LearnerArm) for arm in arms)
    assert arms[1].arguments == {"cells": 2, "epsilon": 0.5}  # pyright: ignore
    claim = made.arms[1].claim
    assert claim is not None
    assert (claim.epsilon, claim.delta, claim.adjacency) == (0.5, 0.0, "add_remove")
    assert claim.source == (f"claimed by {PATH}majority_of_cells, not verified by this tool")
    assert made.judged_by == claim


def test_delta_goes_to_a_learner_that_takes_it():
    made = plan({**CELLS, "dp_model": f"{PATH}with_delta"})
    claim = made.arms[1].claim
    assert claim is not None
    np.testing.assert_allclose(claim.delta, N**-1.1)
    assert made.arms[1].arm.arguments["delta"] == claim.delta  # pyright: ignore
    explicit = plan({**CELLS, "dp_model": f"{PATH}with_delta", "delta": 0.01}).arms[1].claim
    assert explicit is not None
    assert explicit.delta == 0.01


@pytest.mark.parametrize(
    ("adjacency", "design", "scale"), [("add_remove", "fixed", 2), ("replace_one", "fixed", 1)]
)
def test_the_relation_decides_what_is_tested(adjacency: str, design: str, scale: int):
    made = plan({**CELLS, "design": design, "epsilon": (1.5,), "dp": {"adjacency": adjacency}})
    claim = made.arms[1].claim
    assert claim is not None
    assert (claim.epsilon, claim.in_out_epsilon, claim.in_out_delta) == (1.5, scale * 1.5, 0.0)


def test_lists_become_tuples():
    settings = {"options": {"priors": [0.5, 0.5]}}
    made = plan({"model": "sklearn.naive_bayes:GaussianNB", "standard": settings})
    assert made.arms[0].arm.arguments == {"priors": (0.5, 0.5)}  # pyright: ignore
    assert isinstance(made.arms[0].hyperparameters, LearnerConfig)


SGD = {"learning_rate": 1, "batch_size": 2, "epochs": 4}


@pytest.mark.parametrize(
    ("options", "name", "words"),
    [
        ({"model": "sklearn.tree:NoSuchTree"}, "model", "cannot be imported"),
        ({"model": "sklearn.linear_model:Ridge"}, "model", "no classifier"),
        ({**TREE, "standard": {"options": {"max_dept": 2}}}, "standard.options", "max_dept"),
        ({**TREE, "standard": {"options": {"random_state": 1}}},
         "standard.options.random_state", "own stream"),
        ({**TREE, "standard": {"options": {"ccp_alpha": float("inf")}}},
         "standard.options", "finite numbers"),
        ({**TREE, "standard": SGD}, "standard.learning_rate", "setting of networks"),
        ({**TREE, "standard": {**SGD, "options": {}}}, "standard.options", "settings of a network"),
        ({**TREE, "standard": {"adjacency": "add_remove"}}, "standard.adjacency", "claims nothing"),
        ({**TREE, "hidden": (8,)}, "hidden", "trains itself"),
        ({**TREE, "activation": "relu"}, "activation", "trains itself"),
        ({**TREE, "engine": "opacus"}, "engine", "trains itself"),
        ({**TREE, "device": "cuda"}, "device", "trains itself"),
        ({**TREE, "dp": {"options": {"bounds": [0, 1]}}}, "dp", "--dp-model"),
        ({**TREE, "dp_model": "mlp"}, "dp_model", "is a network"),
        ({**TREE, "dp_model": f"{PATH}module_factory"}, "dp_model", "is a network"),
        ({**TREE, "dp_model": f"{PATH}nearest"}, "dp_model", "no argument epsilon"),
        ({**CELLS, "delta": 1e-4}, "delta", "claims ε alone"),
        ({**CELLS, "dp": {"adjacency": "replace_one"}}, "inclusion", "--inclusion fixed"),
        ({**CELLS, "dp": {"adjacency": "neighbours"}}, "dp.adjacency", "add_remove"),
        ({**CELLS, "dp": {"options": {"epsilon": 9}}}, "dp.options.epsilon", "--epsilon"),
        ({"dp_model": CELLS["dp_model"]}, "dp_model", "mlp is a network"),
        ({"standard": {"options": {"max_depth": 2}}}, "standard.options", "of a network"),
        ({"data": "x.csv", "standard": {"options": {"max_depth": 2}}},
         "standard.options", "the model is a network"),
        ({"data": "x.csv", "standard": {"tuning": "none"}}, "standard.learning_rate", "is missing"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(options: dict[str, Any], name: str, words: str):
    with pytest.raises(BadInput) as refused:
        plan(options)
    assert refused.value.name == name
    assert words in str(refused.value)
