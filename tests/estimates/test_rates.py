"""fairlearn's point values: reproducible from the predictions, averaged over models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equalized_odds_difference,
    equalized_odds_ratio,
    true_positive_rate,
)

from audit.errors import BadInput
from audit.estimates.rates import group_rates

NAMES = ("a", "b", "(not recorded)")


def records(correct, y, codes, names=NAMES, n_classes=2) -> dict[Any, dict[str, Any]]:
    rows = group_rates(
        correct, y, codes, names, n_classes=n_classes, grouping="sex", arm="standard"
    )
    assert all((row["grouping"], row["arm"]) == ("sex", "standard") for row in rows)
    return {row["metric"]: row for row in rows}


def test_one_model_gives_fairlearns_own_values():
    rng = np.random.default_rng(0)
    y, codes = rng.integers(0, 2, 200), rng.integers(0, 3, 200)
    correct = rng.random((1, 200)) < 0.8
    predicted = np.where(correct[0], y, 1 - y)
    found = records(correct, y, codes)
    for metric, function in (
        ("demographic_parity_difference", demographic_parity_difference),
        ("demographic_parity_ratio", demographic_parity_ratio),
        ("equalized_odds_difference", equalized_odds_difference),
        ("equalized_odds_ratio", equalized_odds_ratio),
    ):
        expected = function(y, predicted, sensitive_features=codes)
        assert found[metric]["value"] == pytest.approx(expected)
    assert found["accuracy"]["by_group"]["b"] == pytest.approx(correct[0, codes == 1].mean())


def test_many_models_give_the_average_of_their_rates():
    rng = np.random.default_rng(1)
    y, codes = rng.integers(0, 2, 90), np.arange(90) % 3
    correct = rng.random((7, 90)) < 0.7
    found = records(correct, y, codes)["true_positive_rate"]
    each = [
        MetricFrame(
            metrics=true_positive_rate,
            y_true=y,
            y_pred=np.where(right, y, 1 - y),
            sensitive_features=codes,
        ).by_group.to_numpy()
        for right in correct
    ]
    average = np.mean(each, axis=0)
    np.testing.assert_allclose([found["by_group"][name] for name in NAMES], average)
    assert found["difference"] == pytest.approx(average.max() - average.min())
    assert found["ratio"] == pytest.approx(average.min() / average.max())


def test_undefined_is_null_not_zero():
    y = np.array([0, 0, 1, 1])
    codes = np.array([0, 0, 1, 1])
    found = records(np.ones((2, 4), dtype=bool), y, codes)
    assert found["true_positive_rate"]["by_group"] == {"a": None, "b": 1.0, "(not recorded)": None}
    assert found["true_positive_rate"]["difference"] is None
    assert found["equalized_odds_difference"]["value"] is None
    assert found["accuracy"]["by_group"]["(not recorded)"] is None
    assert found["demographic_parity_difference"]["value"] == 1


def test_several_classes_have_an_accuracy_and_no_rates():
    y, codes = np.array([0, 1, 2, 2]), np.array([0, 0, 1, 1])
    correct = np.array([[True, False, True, True], [True, True, False, True]])
    found = records(correct, y, codes, n_classes=3)
    assert list(found) == ["accuracy"]
    assert found["accuracy"]["by_group"]["a"] == pytest.approx(0.75)
    assert found["accuracy"]["difference"] == pytest.approx(0.0)


def test_no_test_example_and_bad_input():
    empty = records(np.ones((2, 0), dtype=bool), np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    assert empty["accuracy"]["difference"] is None
    with pytest.raises(BadInput, match="not recorded"):
        records(np.ones((2, 1), dtype=bool), np.array([1]), np.array([-1]))
    with pytest.raises(BadInput, match="models = 0"):
        records(np.ones((0, 1), dtype=bool), np.array([1]), np.array([0]))
