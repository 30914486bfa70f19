"""Rows as the file has them: the values, the columns that say most, and nothing no model saw."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from audit.data.examples import Examples
from audit.data.registry import load, load_examples
from audit.data.rows import MOST_CELLS, Rows
from tests.data.helpers import ROWS, columns, write_csv


def rows_of(examples: Examples) -> Rows:
    assert examples.rows is not None
    return examples.rows()


def cells(rows: Rows, number: int, side: str = "train") -> dict[str, str]:
    names = rows.table.column_names
    return dict(rows.cells(side, {number: names})[number])  # type: ignore[arg-type]


def test_values_are_those_of_the_file_on_both_sides_of_the_split(tmp_path: Path) -> None:
    split = ["test" if k % 4 == 0 else "train" for k in range(ROWS)]
    table = columns(
        split=split,
        price=[f"$ {k + 1},000" for k in range(ROWS)],
        born=[f"19{10 + k:02d}-03-0{1 + k % 9}" for k in range(ROWS)],
        smokes=[(True, False, None)[k % 3] for k in range(ROWS)],
    )
    rows = rows_of(load_examples(str(write_csv(tmp_path / "a.csv", table)), label="ill", seed=0))
    sides = {s: [k for k in range(ROWS) if split[k] == s] for s in ("train", "test")}
    for side, at in sides.items():
        for number, k in enumerate(at):
            assert cells(rows, number, side) == {
                "height": str(table["height"][k]).removesuffix(".0"),
                "weight": str(table["weight"][k]).removesuffix(".0"),
                "city": table["city"][k],
                "price": table["price"][k],
                "born": table["born"][k],
                "smokes": ("true", "false", "(missing)")[k % 3],
            }


def test_what_no_model_saw_is_not_shown(tmp_path: Path) -> None:
    """Neither label nor split, nor columns left out: identifiers, free text, constants."""
    table = columns(
        split=["test" if k % 4 == 0 else "train" for k in range(ROWS)],
        person_id=[900_000 + 37 * k for k in range(ROWS)],
        name=[f"Person {k}" for k in range(ROWS)],
        country=["NO"] * ROWS,
        row=list(range(ROWS)),
    )
    rows = rows_of(load_examples(str(write_csv(tmp_path / "a.csv", table)), label="ill", seed=0))
    assert rows.table.column_names == ["height", "weight", "city"]


def test_the_rows_are_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns())
    plain = load(str(path), label="ill", seed=0).fingerprint()
    again = load_examples(str(path), label="ill", seed=0)
    rows_of(again)
    assert load(str(path), label="ill", seed=0).fingerprint() == plain


def test_adult_says_education_in_words_and_leaves_its_weights_out() -> None:
    first = cells(rows_of(load_examples("adult", seed=0)), 0)
    assert list(first.items())[:4] == [
        ("age", "39"), ("workclass", "State-gov"), ("education", "Bachelors"),
        ("marital_status", "Never-married"),
    ]  # fmt: skip
    assert len(first) == MOST_CELLS
    assert {"income", "fnlwgt", "split", "education_num"}.isdisjoint(first)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int64"])
@pytest.mark.parametrize("split", [True, False])
def test_arrays_show_the_numbers_they_hold(tmp_path: Path, dtype: str, split: bool) -> None:
    rng = np.random.default_rng(0)
    x = (10 * rng.random((40, 3))).astype(dtype)
    y = np.arange(40) % 2
    if split:
        given = {"x_train": x[:30], "y_train": y[:30], "x_test": x[30:], "y_test": y[30:]}
    else:
        given = {"x": x, "y": y}
    np.savez(tmp_path / "a.npz", **given)  # pyright: ignore[reportArgumentType]
    examples = load_examples(str(tmp_path / "a.npz"), seed=0)
    rows = rows_of(examples)
    scale = 255 if dtype == "uint8" else 1
    for side, features in (("train", examples.x_train), ("test", examples.x_test)):
        for number, row in enumerate(features):
            shown = cells(rows, number, side)
            assert list(shown) == ["x[0]", "x[1]", "x[2]"]
            found = [float(value) for value in shown.values()]
            np.testing.assert_allclose(found, scale * row, rtol=2e-6)
            assert max(map(len, shown.values())) <= 12


def naive_likeness(values: list, members: list[int], row: int) -> float:
    """The share of the members at least as unusual as the row, by its definition."""
    own = [values[m] for m in members]
    if isinstance(values[row], str) or values[row] is None:
        counts = {v: own.count(v) for v in own}
        at_most = counts.get(values[row], 0)
        return sum(counts[v] <= at_most for v in own) / len(own)
    known = sorted(v for v in own if v is not None)
    middle = (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2
    away = abs(values[row] - middle)
    return sum(v is not None and abs(v - middle) >= away for v in own) / len(own)


def test_of_many_columns_a_row_shows_those_in_which_it_is_least_like_its_class() -> None:
    rng = np.random.default_rng(3)
    n = 80
    table: dict[str, list] = {f"n{k}": rng.normal(size=n).tolist() for k in range(10)}
    table |= {f"c{k}": rng.choice(["a", "b", "c", "d"], n, p=[0.6, 0.3, 0.08, 0.02]).tolist()
              for k in range(8)}  # fmt: skip
    table["n0"][5] = None
    train, y = np.arange(n) % 4 != 0, np.arange(n) % 3 % 2
    rows = Rows(pa.table(table), train, y)
    numbers = [0, 4, 17, 33]
    found = rows.telling_columns(numbers)
    assert list(found) == numbers
    for number in numbers:
        row = int(np.flatnonzero(train)[number])
        members = [k for k in range(n) if train[k] and y[k] == y[row]]
        like = {name: naive_likeness(values, members, row) for name, values in table.items()}
        names = list(table)
        expected = sorted(names, key=lambda c: (like[c], names.index(c)))[:MOST_CELLS]
        assert found[number] == sorted(expected, key=names.index)


def test_a_planted_oddity_is_among_the_columns_shown() -> None:
    n = 200
    table = {f"v{k:02d}": [float(j % 7) for j in range(n)] for k in range(30)}
    table["v27"][11] = 1e6
    table["v29"] = [math.nan if j == 11 else 1.0 + j % 2 for j in range(n)]
    rows = Rows(pa.table(table), np.ones(n, dtype=bool), np.zeros(n, dtype=np.int64))
    (shown,) = rows.telling_columns([11]).values()
    assert {"v27", "v29"} <= set(shown)
    assert len(shown) == MOST_CELLS


def test_columns_that_are_empty_or_row_numbers_do_not_stop_it() -> None:
    n = 60
    table = pa.table(
        {f"v{k}": np.arange(n) % (k + 2) for k in range(12)}
        | {"number": np.arange(n), "empty": pa.nulls(n, pa.float64())}
    )
    rows = Rows(table, np.arange(n) < 50, np.arange(n) % 2)
    assert len(rows.telling_columns([0])[0]) == MOST_CELLS


def test_a_number_that_is_not_there_is_an_error() -> None:
    rows = Rows(pa.table({"a": [1.0, 2.0]}), np.array([True, False]), np.array([0, 1]))
    with pytest.raises(IndexError):
        rows.cells("train", {1: ["a"]})
