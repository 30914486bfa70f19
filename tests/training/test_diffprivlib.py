"""diffprivlib's models as private learners; skipped where the installed versions do not work.

They do with scikit-learn below 1.8 (``pip install 'longtail-audit[diffprivlib]'``).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from audit.config import RunConfig
from audit.errors import BadInput
from audit.plan_learners import learner_arms
from audit.training.arms import LearnerArm
from audit.training.estimators import train_estimators
from audit.training.learners import Estimator, check_learner, make_estimator

NAIVE_BAYES = "diffprivlib.models:GaussianNB"
TREE = "diffprivlib.models:DecisionTreeClassifier"
LOGISTIC = "diffprivlib.models:LogisticRegression"
FOREST = "diffprivlib.models:RandomForestClassifier"
STANDARD = "sklearn.naive_bayes:GaussianNB"


def broken() -> str | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import diffprivlib.models  # pyright: ignore[reportMissingImports] # noqa: F401
    except ImportError as error:
        return str(error)
    return None


needs_diffprivlib = pytest.mark.skipif(broken() is not None, reason=f"diffprivlib: {broken()}")


@pytest.mark.skipif(broken() is None, reason="diffprivlib works here")
def test_a_library_that_cannot_be_imported_is_told_with_what_works():
    with pytest.raises(BadInput, match=r"longtail-audit\[diffprivlib\]") as refused:
        check_learner(Estimator(NAIVE_BAYES, 2, "dp_model"), LearnerArm("dp-1", {}, 1.0))
    assert refused.value.name == "dp_model"


def data(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    x = np.clip(rng.normal(y[:, None] / 2, 0.2, (n, 2)), 0, 1).astype(np.float32)
    return x, y


@needs_diffprivlib
@pytest.mark.parametrize("path", [NAIVE_BAYES, TREE, FOREST])
def test_models_learn_and_are_the_same_each_time(path: str):
    arm = LearnerArm("dp-50", {"bounds": (0, 1)}, 50.0)
    member = np.random.default_rng(1).random((3, 200)) < 0.7
    runs = [
        train_estimators(Estimator(path, 3), arm, data(), data(), member[first:], range(first, 3),
                         seed=1)
        for first in (0, 1)
    ]  # fmt: skip
    np.testing.assert_array_equal(runs[0].train.margin[1:], runs[1].train.margin)
    assert runs[0].test.correct.mean() > 0.5
    assert "PrivacyLeakWarning" not in runs[0].notes.warnings


@needs_diffprivlib
@pytest.mark.parametrize(("path", "missing"), [(NAIVE_BAYES, "bounds"), (LOGISTIC, "data_norm")])
def test_what_would_be_read_from_the_data_is_asked_for(path: str, missing: str):
    with pytest.raises(BadInput, match="read it from the training data") as refused:
        check_learner(Estimator(path, 3), LearnerArm("dp-1", {}, 1.0))
    assert refused.value.name == f"dp.options.{missing}"


@needs_diffprivlib
def test_classes_are_those_of_the_run_not_of_a_subset():
    arm = LearnerArm("dp-1", {"bounds": (0, 1)}, 1.0)
    made = make_estimator(Estimator(TREE, 3), arm, np.random.default_rng(0))
    assert made.classes == (0, 1, 2)


@needs_diffprivlib
@pytest.mark.parametrize(
    ("path", "adjacency"), [(NAIVE_BAYES, "replace_one"), (TREE, "add_remove")]
)
def test_claims_are_about_what_the_source_can_bear(path: str, adjacency: str):
    config = RunConfig(
        model=STANDARD,
        dp_model=path,
        design="fixed",
        dp={"options": {"bounds": [0, 1]}},  # pyright: ignore[reportArgumentType]
    )
    claim = learner_arms(config, 3, 1e-4)[1].claim
    assert claim is not None
    assert claim.adjacency == adjacency
    assert claim.delta == 0
    assert claim.source.startswith("claimed by diffprivlib 0.")
