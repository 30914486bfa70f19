"""Any CSV or Parquet file: what becomes of its columns, its label, its split."""

from __future__ import annotations

import datetime
import tracemalloc
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.data import encoding
from audit.data.dataset import Dataset
from audit.data.registry import load
from audit.errors import BadInput
from tests.data.helpers import ROWS, columns, write_csv


def _load(path: Path, **options: object) -> Dataset:
    return load(str(path), **({"label": "ill", "seed": 0} | options))  # type: ignore[arg-type]


def _column(data: Dataset, name: str) -> np.ndarray:
    """A feature of all rows, training rows first."""
    at = data.feature_names.index(name)
    return np.r_[data.x_train[:, at], data.x_test[:, at]]


def _split_column() -> list[str]:
    return ["test" if k % 4 == 0 else "train" for k in range(ROWS)]


def test_numbers_are_standardised_with_the_training_rows_only(tmp_path: Path) -> None:
    table = columns(split=_split_column())
    data = _load(write_csv(tmp_path / "a.csv", table))
    height = np.array(table["height"], dtype=float)
    train = np.array(_split_column()) == "train"
    expected = (height - height[train].mean()) / height[train].std()
    np.testing.assert_allclose(
        _column(data, "height"), np.r_[expected[train], expected[~train]], rtol=1e-5, atol=1e-6
    )
    assert any("mean and standard deviation" in line for line in data.fitted_on_train)
    assert any("levels of 'city'" in line for line in data.fitted_on_train)


def test_test_rows_do_not_change_the_training_matrix(tmp_path: Path) -> None:
    table = columns(split=_split_column())
    first = _load(write_csv(tmp_path / "a.csv", table))
    changed = dict(table)
    for name, odd in (("height", 1e6), ("city", "Atlantis")):
        changed[name] = [odd if k % 4 == 0 else value for k, value in enumerate(table[name])]
    second = _load(write_csv(tmp_path / "b.csv", changed))
    assert first.feature_names == second.feature_names
    np.testing.assert_array_equal(first.x_train, second.x_train)
    # The cut keeps a wild test value from reaching the model as 1e5 standard deviations.
    assert np.abs(second.x_test).max() == 10
    cities = [k for k, name in enumerate(second.feature_names) if name.startswith("city=")]
    assert not second.x_test[:, cities].any()


def test_categories_are_one_hot_and_missing_is_a_level(tmp_path: Path) -> None:
    city = [None if k % 10 == 0 else ("Rome", " Oslo ")[k % 2] for k in range(ROWS)]
    table = columns(city=city, split=_split_column())
    data = _load(write_csv(tmp_path / "a.csv", table), subgroups=["city"])
    names = [name for name in data.feature_names if name.startswith("city=")]
    assert names == ["city=Oslo", "city=Rome", "city=(missing)"]
    block = np.column_stack([_column(data, name) for name in names])
    np.testing.assert_array_equal(block.sum(axis=1), 1)
    assert block.sum(axis=0).tolist() == [30, 24, 6]
    assert data.groupings[0].subgroups == ("Oslo", "Rome", "(not recorded)")
    counts = data.groupings[0].train_counts() + data.groupings[0].test_counts()
    assert counts.tolist() == [30, 24, 6]


def test_a_missing_number_is_the_mean_with_a_flag(tmp_path: Path) -> None:
    weight = ["?" if k % 6 == 1 else k for k in range(ROWS)]
    data = _load(write_csv(tmp_path / "a.csv", columns(weight=weight, split=_split_column())))
    flag, value = _column(data, "weight is missing"), _column(data, "weight")
    assert flag.sum() == 10
    np.testing.assert_array_equal(value[flag == 1], 0)
    assert abs(value[: len(data.x_train)][flag[: len(data.x_train)] == 0].mean()) < 1e-6


def test_rare_levels_share_a_feature(tmp_path: Path) -> None:
    site = [f"s{k % 2}" if k % 3 else f"rare {k // 6}" for k in range(300)]
    table = {"site": site, "x": range(1, 900, 3), "ill": ["a", "b", "c"] * 100}
    many = {f"v00{k}": [f"{k}-{row % 150}" for row in range(300)] for k in range(3)}
    data = _load(write_csv(tmp_path / "a.csv", table | many))
    assert sum(name.startswith("v000=") for name in data.feature_names) == 101
    assert "v000=(other)" in data.feature_names
    assert any("100 most frequent" in warning for warning in data.warnings)
    block = [k for k, name in enumerate(data.feature_names) if name.startswith("v000=")]
    assert (data.x_train[:, block].sum(axis=1) == 1).all()


def test_level_cap_shrinks_before_memory_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_COMFORTABLE_BYTES", 4 * 300 * 60)
    many = {f"v{k}": [f"{k}-{row % 150}" for row in range(300)] for k in range(3)}
    data = _load(write_csv(tmp_path / "a.csv", {"ill": ["a", "b", "c"] * 100} | many))
    assert data.x_train.shape[1] == 33
    assert any("10 most frequent" in warning for warning in data.warnings)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,234", "999", "1,234,567.5"], [1234, 999, 1234567.5]),
        (["3,5", "1.000,25", "1,234"], [3.5, 1000.25, 1.234]),
        (["$1,200", "€ 3", "-7"], [1200, 3, -7]),
        (["12 %", "7%", "1e3"], [12, 7, 1000]),
        (["0,5", "12", "-3,25"], [0.5, 12, -3.25]),
    ],
)
def test_numbers_written_as_text_are_numbers(
    tmp_path: Path, cells: list[str], expected: list[float]
) -> None:
    amount = [cells[k % 3] for k in range(ROWS)]
    data = _load(write_csv(tmp_path / "a.csv", columns(amount=amount, split=_split_column())))
    assert "amount" in data.feature_names
    values = np.array([expected[k % 3] for k in range(ROWS)])
    train = np.array(_split_column()) == "train"
    standardised = (values - values[train].mean()) / values[train].std()
    np.testing.assert_allclose(
        _column(data, "amount"), np.r_[standardised[train], standardised[~train]], rtol=1e-4
    )
    assert any("'amount'" in w and "text read as numbers" in w for w in data.warnings)


def test_stray_words_among_numbers_count_as_missing_and_are_told(tmp_path: Path) -> None:
    amount = ["unknown" if k == 7 else f"{k},000" for k in range(ROWS)]
    data = _load(write_csv(tmp_path / "a.csv", columns(amount=amount)))
    assert "amount" in data.feature_names
    assert any("1 values that are none count as missing" in w for w in data.warnings)
    for code in ("0{} 12", "01{}", "12:0{}", "1.2.{}"):
        text = [code.format(k % 5) for k in range(ROWS)]
        table = pa.table(columns() | {"code": text})
        pq.write_table(table, tmp_path / "code.parquet")
        assert f"code={text[0]}" in _load(tmp_path / "code.parquet").feature_names
    words = ["unknown" if k % 3 == 0 else str(k % 5) for k in range(ROWS)]
    data = _load(write_csv(tmp_path / "b.csv", columns(amount=words)))
    assert "amount=unknown" in data.feature_names


def test_identifiers_row_numbers_and_constants_are_left_out_with_a_warning(tmp_path: Path) -> None:
    table = {
        "": list(range(ROWS)),
        "name": [f"person {k}" for k in range(ROWS)],
        "patient_id": [(k * 7919) % 100_003 for k in range(ROWS)],
        "always": ["same"] * ROWS,
        "empty": [None] * ROWS,
        "zero": [0] * ROWS,
    }
    data = _load(write_csv(tmp_path / "a.csv", columns() | table))
    assert {name.split("=")[0] for name in data.feature_names} == {"height", "weight", "city"}
    text = "\n".join(data.warnings)
    for name in ("(unnamed 1)", "name", "patient_id", "always", "empty", "zero"):
        assert repr(name) in text
    assert len(data.warnings) <= 6


def test_a_number_that_is_constant_but_for_missing_keeps_only_its_flag(tmp_path: Path) -> None:
    data = _load(
        write_csv(tmp_path / "a.csv", columns(flag=[1 if k % 3 else None for k in range(60)]))
    )
    assert "flag is missing" in data.feature_names
    assert "flag" not in data.feature_names


def test_parquet_types(tmp_path: Path) -> None:
    day = datetime.date(2020, 1, 1)
    table = pa.table(
        {
            "day": pa.array([day + datetime.timedelta(days=k % 7) for k in range(ROWS)]),
            "at": pa.array([datetime.datetime(2020, 1, 1, k % 24) for k in range(ROWS)]),
            "clock": pa.array([datetime.time(k % 24) for k in range(ROWS)]),
            "price": pa.array([None if k == 3 else Decimal(k) / 4 for k in range(ROWS)]),
            "ok": pa.array([None if k % 7 == 0 else k % 2 == 0 for k in range(ROWS)]),
            "kind": pa.array([("a", "b")[k % 2] for k in range(ROWS)]).dictionary_encode(),
            "big": pa.array([1e300 * (k % 3) for k in range(ROWS)]),
            "inf": pa.array([np.inf if k % 9 == 0 else float(k) for k in range(ROWS)]),
            "nested": pa.array([[k] for k in range(ROWS)]),
            "bytes": pa.array([b"\xff\x00"] * ROWS),
            "small": pa.array([k % 5 for k in range(ROWS)]).cast(pa.uint8()),
            "ill": pa.array([k % 3 == 0 for k in range(ROWS)]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    data = _load(tmp_path / "a.parquet", subgroups=["ok", "day"])
    for name in ("day", "at", "clock", "price", "ok", "kind=a", "big", "inf", "small"):
        assert name in data.feature_names
    assert np.isfinite(data.x_train).all()
    assert np.isfinite(data.x_test).all()
    assert not any(name.startswith(("nested", "bytes")) for name in data.feature_names)
    assert data.class_names == ("false", "true")
    assert data.groupings[0].subgroups == ("false", "true", "(not recorded)")
    assert (
        data.groupings[1].subgroups[0].startswith("2020-01-01")
        or len(data.groupings[1].subgroups) == 7
    )
    assert any("infinite" in warning for warning in data.warnings)
    big = _column(data, "big")
    assert len(np.unique(big)) == 3


def test_parquet_from_pandas_equals_its_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame(columns(split=_split_column()))
    frame["city"] = frame["city"].astype("category")
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    left, right = _load(tmp_path / "a.parquet"), _load(tmp_path / "a.csv")
    assert left.fingerprint() == right.fingerprint()


def test_the_split_is_stratified_repeats_and_follows_the_seed(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns(ill=["yes"] * 45 + ["no"] * 15))
    first, again, other = _load(path), _load(path), _load(path, seed=1)
    assert len(first.x_test) == 15
    assert np.bincount(first.y_test).tolist() == [4, 11]
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert len(_load(path, test_fraction=0.5).x_test) == 30
    for fraction in (0.0, 1.0, -1.0, float("nan"), 1e-9):
        with pytest.raises(BadInput, match="test_fraction"):
            _load(path, test_fraction=fraction)


def test_numeric_group_columns_are_levels_or_training_quartiles(tmp_path: Path) -> None:
    table = columns(
        # 45 training ages, so that the quartiles are ages that occur: ties must go down.
        age=[None if k == 56 else 20 + k for k in range(ROWS)],
        ward=[k % 4 for k in range(ROWS)],
        split=_split_column(),
    )
    data = _load(write_csv(tmp_path / "a.csv", table), subgroups=["age", "ward", "age×ward"])
    age, ward, crossed = data.groupings
    assert ward.subgroups == ("0", "1", "2", "3")
    assert not ward.uses_training_data
    assert age.uses_training_data
    assert crossed.uses_training_data
    train = np.array([20 + k for k in range(ROWS) if k % 4])
    cuts = np.quantile(train, [0.25, 0.5, 0.75])
    assert age.subgroups == (
        f"up to {cuts[0]:g}",
        f"over {cuts[0]:g} to {cuts[1]:g}",
        f"over {cuts[1]:g} to {cuts[2]:g}",
        f"over {cuts[2]:g}",
        "(not recorded)",
    )
    assert set(cuts) <= set(train)
    assert age.train.tolist() == [int((cuts < value).sum()) for value in train]
    assert age.test.tolist()[-1] == 4
    assert any("quartiles" in warning for warning in data.warnings)


def test_any_column_can_group_and_the_label_is_never_a_feature(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns())
    data = _load(path, subgroups=["city", "ill", "city×ill"])
    assert [g.kind for g in data.groupings] == ["column", "class", "crossing"]
    assert any(name.startswith("city=") for name in data.feature_names)
    assert not any(name.startswith("ill") for name in data.feature_names)


def test_large_integers_are_told_apart(tmp_path: Path) -> None:
    site = [2**62 + k % 3 for k in range(ROWS)]
    ill = [(2**53 + 1, 2**53, -5)[k % 3] for k in range(ROWS)]
    path = write_csv(tmp_path / "a.csv", columns(site=site, ill=ill))
    data = _load(path, subgroups=["site", "ill"])
    assert data.groupings[0].subgroups == tuple(str(2**62 + k) for k in range(3))
    assert data.class_names == ("-5", str(2**53), str(2**53 + 1))


def test_more_classes_than_styles_fit_drops_the_default_styles(tmp_path: Path) -> None:
    label = [f"c{k % 250}" for k in range(1_000)]
    path = write_csv(tmp_path / "a.csv", {"x": [k * 0.3 for k in range(1_000)], "ill": label})
    assert [g.kind for g in _load(path).groupings] == ["class"]
    with pytest.raises(BadInput, match="between 1 and 4"):
        _load(path, subgroups=["subpopulations"])


def test_a_column_called_class_wins_over_the_word(tmp_path: Path) -> None:
    data = _load(
        write_csv(tmp_path / "a.csv", columns(**{"class": ["u", "v", "w"] * 20})),
        subgroups=["class"],
    )
    assert data.groupings[0].subgroups == ("u", "v", "w")
    assert data.groupings[0].kind == "column"


def test_csv_habits_of_other_programs(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns(), separator=";")
    data = _load(path)
    assert any("semicolons" in warning for warning in data.warnings)
    bom = tmp_path / "bom.csv"
    text = write_csv(tmp_path / "b.csv", columns()).read_text().replace("\n", "\r\n")
    bom.write_bytes(b"\xef\xbb\xbf" + text.encode())
    plain = _load(tmp_path / "b.csv")
    assert _load(bom).fingerprint() == plain.fingerprint()
    tabs = write_csv(tmp_path / "c.tsv", columns(), separator="\t")
    np.testing.assert_array_equal(_load(tabs).x_train, plain.x_train)


def test_quoted_line_breaks_and_hostile_values_are_only_values(tmp_path: Path) -> None:
    bad = ["</script><script>alert(1)</script>", "a\nb", '"; rm -rf', "=1+1", "\u202e", "\x1b[31m"]
    path = write_csv(tmp_path / "a.csv", columns(city=[bad[k % 6] for k in range(ROWS)]))
    data = _load(path, subgroups=["city"])
    assert len(data.groupings[0].subgroups) == 6
    assert all(name.isprintable() for name in data.groupings[0].subgroups)
    assert bad[0] in data.groupings[0].subgroups
    assert (data.groupings[0].train_counts() + data.groupings[0].test_counts()).tolist() == [10] * 6


def test_many_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 10_000)).round(3)).add_prefix("x")
    frame["ill"] = ["a", "b"] * 20
    pq.write_table(pa.Table.from_pandas(frame), tmp_path / "wide.parquet")
    data = _load(tmp_path / "wide.parquet")
    assert data.x_train.shape[1] == 10_000
    assert [g.name for g in data.groupings] == ["ill"]


def test_memory_of_a_small_twin_of_the_benchmark(tmp_path: Path) -> None:
    """benchmarks/load_csv.py in small: NumPy holds little beside the two matrices it returns."""
    rng = np.random.default_rng(0)
    rows = 20_000
    frame = pd.DataFrame({f"n{k}": rng.normal(size=rows).round(4) for k in range(10)})
    for k in range(10):
        frame[f"c{k}"] = np.char.mod("level %d", (300 * rng.random(rows) ** 3).astype(int))
        frame.loc[rng.random(rows) < 0.05, [f"n{k}", f"c{k}"]] = None
    frame["ill"] = rng.choice(["a", "b"], size=rows)
    frame.to_csv(tmp_path / "a.csv", index=False)
    tracemalloc.start()
    data = _load(tmp_path / "a.csv", subgroups=["c0"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    matrices = data.x_train.nbytes + data.x_test.nbytes
    assert data.x_train.shape[1] > 800
    assert peak < 1.5 * matrices + 20e6
