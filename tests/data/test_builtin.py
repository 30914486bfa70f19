"""digits and adult: sizes, public scaling, splits and default groupings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from audit.data.registry import BUILTIN, load
from audit.errors import BadInput

SHARED_ADULT = Path(__file__).resolve().parents[2] / "../shared/data/adult/adult.csv"


def test_digits_are_sklearns_images_divided_by_16() -> None:
    data = load("digits", seed=0)
    pixels, labels = load_digits(return_X_y=True)
    assert (data.x_train.shape, data.x_test.shape) == ((1297, 64), (500, 64))
    found = np.concatenate([data.x_train, data.x_test]) * 16
    order = np.lexsort(np.column_stack([found, np.r_[data.y_train, data.y_test]]).T)
    expected = np.lexsort(np.column_stack([pixels, labels]).T)
    np.testing.assert_array_equal(found[order], pixels[expected])
    np.testing.assert_array_equal(np.r_[data.y_train, data.y_test][order], labels[expected])


def test_digits_split_is_stratified_and_the_same_for_every_seed() -> None:
    first, second = load("digits", seed=0), load("digits", seed=1)
    np.testing.assert_array_equal(first.x_train, second.x_train)
    share = np.bincount(first.y_test) / np.bincount(np.r_[first.y_train, first.y_test])
    assert np.abs(share - 500 / 1797).max() < 0.01


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_subpopulations_have_a_long_tail(seed: int) -> None:
    grouping = load("digits", seed=seed).groupings[0]
    counts = grouping.train_counts()
    assert grouping.kind == "subpopulation"
    assert grouping.uses_training_data
    assert len(counts) >= 30
    assert counts.min() >= 1
    assert counts.max() / counts.min() >= 8
    # Not by one freak group: the tenth part of the groups that is rarest is 8 × rarer than the top.
    low, high = np.quantile(counts, [0.1, 0.9])
    assert high / low >= 5


def test_adult_has_ucis_split_and_ten_sex_race_groups() -> None:
    data = load("adult", seed=0)
    assert (len(data.x_train), len(data.x_test)) == (32_561, 16_281)
    assert data.class_names == ("<=50K", ">50K")
    assert np.bincount(data.y_train).tolist() == [24_720, 7_841]
    assert [g.name for g in data.groupings] == ["sex", "race", "sex×race", "income"]
    crossed = data.groupings[2]
    sizes = dict(zip(crossed.subgroups, crossed.train_counts().tolist(), strict=True))
    assert len(sizes) == 10
    assert sizes["Female × Black"] == 1_555
    assert sum(sizes.values()) == 32_561
    assert not any(g.uses_training_data for g in data.groupings)


def test_adult_is_scaled_by_constants_only() -> None:
    data = load("adult", seed=0)
    assert data.fitted_on_train == ()
    assert data.x_train.min() >= 0
    assert data.x_train.max() <= 1
    assert not any("fnlwgt" in name for name in data.feature_names)
    assert not any(name.startswith("education=") for name in data.feature_names)
    # Every one-hot block says exactly one thing of each person, a missing value included.
    for column in ("workclass", "marital_status", "occupation", "race", "sex", "native_country"):
        at = [i for i, name in enumerate(data.feature_names) if name.startswith(column + "=")]
        assert (data.x_train[:, at].sum(axis=1) == 1).all()
    counts = {"workclass": 2_799, "occupation": 2_809, "native_country": 857}
    for column, count in counts.items():
        at = data.feature_names.index(f"{column}=(missing)")
        assert data.x_train[:, at].sum() + data.x_test[:, at].sum() == count


@pytest.mark.skipif(not SHARED_ADULT.is_file(), reason="the CSV adult came from is not here")
def test_adult_matches_the_csv_it_came_from() -> None:
    data = load("adult", subgroups=["native_country", "age", "education"], seed=0)
    table = pd.read_csv(SHARED_ADULT)
    train = table[table["split"] == "train"]
    age = data.feature_names.index("age")
    np.testing.assert_allclose(data.x_train[:, age] * 73 + 17, train["age"], atol=1e-4)
    gain = data.feature_names.index("capital_gain")
    back = np.expm1(data.x_train[:, gain].astype(float) * np.log1p(99_999))
    np.testing.assert_allclose(back, train["capital_gain"], rtol=1e-4, atol=1e-3)
    country, ages, education = data.groupings
    countries = [c if isinstance(c, str) else "(not recorded)" for c in train["native_country"]]
    assert [country.subgroups[code] for code in country.train] == countries
    bands = np.searchsorted([24, 34, 44, 54, 64], train["age"])
    np.testing.assert_array_equal(ages.train, bands)
    assert [education.subgroups[code] for code in education.train] == train["education"].tolist()


def test_the_list_names_every_builtin() -> None:
    assert set(BUILTIN) >= {"digits", "adult", "torchvision:MNIST", "torchvision:CIFAR100"}
    assert all("\n" not in text and len(text) < 120 for text in BUILTIN.values())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", "Did you mean 'digits'"),
        ("torchvision:MNITS", "Did you mean 'torchvision:MNIST'"),
        ("nowhere/data.csv", "is no file here"),
        ("a\0b.csv", "is no file here"),
        ("x" * 5_000 + ".csv", "is not a path"),
        ("", "is empty"),
    ],
)
def test_unknown_sources_are_refused_in_one_line(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as error:
        load(source, label=None, seed=0)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1_000


def test_a_label_is_refused_where_the_data_has_its_own() -> None:
    with pytest.raises(BadInput, match="label of its own"):
        load("adult", label="sex", seed=0)
