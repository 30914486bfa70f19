"""Labels and subgroups of examples whose features are not known here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.data.dataset import Dataset
from audit.data.group_tables import without_features
from audit.errors import BadInput
from tests.data.helpers import write_csv

N, N_TEST = 40, 24


def table(folder: Path, name: str, rows: int, **columns) -> Path:
    every = {
        "sex": [("f", "m")[k % 2] for k in range(rows)],
        "site": [f"s{k % 3}" for k in range(rows)],
        "y": [k % 2 for k in range(rows)],
        **{key: list(values(rows)) for key, values in columns.items()},
    }
    return write_csv(folder / f"{name}.csv", every)


def made(folder: Path, n_test: int = N_TEST, **options) -> Dataset:
    chosen = {
        "train_table": table(folder, "train", N),
        "test_table": table(folder, "test", N_TEST),
        **options,
    }
    return without_features(N, n_test, name="made", source="arrays", **chosen)


def test_nothing_is_known_without_tables():
    data = without_features(N, 0, name="made", source="arrays")
    assert data.groupings == ()
    assert data.class_names == ("(not recorded)",)
    assert (len(data.y_train), len(data.y_test)) == (N, 0)
    assert data.fingerprint() != without_features(N + 1, 0, name="made", source="a").fingerprint()


def test_labels_columns_and_crossings(tmp_path: Path):
    data = made(tmp_path, label="y", subgroups=("sex", "sex×site", "class"))
    assert [(g.name, g.kind, len(g.subgroups)) for g in data.groupings] == [
        ("sex", "column", 2), ("sex×site", "crossing", 6), ("y", "class", 2),
    ]  # fmt: skip
    np.testing.assert_array_equal(data.y_train, np.arange(N) % 2)
    np.testing.assert_array_equal(data.groupings[0].test, np.arange(N_TEST) % 2)


def test_a_label_alone_groups_by_class(tmp_path: Path):
    assert [g.kind for g in made(tmp_path, label="y").groupings] == ["class"]


def test_missing_groups_and_values_of_one_side_stay(tmp_path: Path):
    train = table(tmp_path, "a", N, age=lambda r: [None if k == 3 else k % 4 for k in range(r)])
    test = table(tmp_path, "b", N_TEST, age=lambda r: ["old" if k < 9 else k % 4 for k in range(r)])
    data = made(tmp_path, train_table=train, test_table=test, subgroups=("age",))
    (grouping,) = data.groupings
    assert {"(not recorded)", "old"} <= set(grouping.subgroups)
    assert grouping.train_counts().sum() == N


def test_text_read_as_numbers_is_said(tmp_path: Path):
    train = table(tmp_path, "a", N, age=lambda r: [k % 4 for k in range(r)])
    test = table(tmp_path, "b", N_TEST, age=lambda r: ["old", *(k % 4 for k in range(r - 1))])
    data = made(tmp_path, train_table=train, test_table=test, subgroups=("age",))
    assert any("'age'" in w and "1 values" in w for w in data.warnings)


def test_hostile_names_are_kept_as_text(tmp_path: Path):
    evil = "</script><script>alert(1)</script>"
    train, test = (
        table(tmp_path, side, rows, **{"a\tb": lambda r: [evil, "x"] * (r // 2)})
        for side, rows in (("a", N), ("b", N_TEST))
    )
    data = made(tmp_path, train_table=train, test_table=test, subgroups=("a\tb",))
    assert evil in data.groupings[0].subgroups
    assert data.groupings[0].name.isprintable()


def test_what_does_not_fit_is_refused(tmp_path: Path):
    short = table(tmp_path, "short", N - 1)
    other = write_csv(tmp_path / "other.csv", {"sex": ["f", "m"] * (N_TEST // 2)})
    cases: list[tuple[dict[str, Any], str]] = [
        ({"label": "y", "train_table": short}, "train-table.*has 39 rows for 40 examples"),
        ({"label": "y", "test_table": None}, "test-table.*is missing"),
        ({"label": "y", "test_table": other}, "does not have the columns"),
        ({"label": "y", "n_test": 0}, "no test outputs to group"),
        ({}, "nothing of it is asked for"),
        ({"label": "z"}, "no column of the data"),
        ({"subgroups": ("class",)}, "needs labels"),
        ({"subgroups": ("sex×class",)}, "needs labels"),
        ({"subgroups": ("subpopulations",)}, "found from features"),
        ({"subgroups": ("sx",)}, "Did you mean 'sex'"),
        ({"label": "y", "train_table": tmp_path / "no.csv"}, "train-table.*cannot be read"),
        ({"label": "y", "train_table": tmp_path / "a.xlsx"}, "train-table.*is no table"),
        ({"label": "y", "train_table": None}, "test-table.*needs a table of the training"),
    ]
    for options, rule in cases:
        with pytest.raises(BadInput, match=rule):
            made(tmp_path, **options)
