"""Arrays, DataFrames and tensors in memory become what the same data in a file would become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from audit.data.dataset import NOT_RECORDED, Dataset
from audit.data.given import given
from audit.data.registry import load
from audit.errors import BadInput
from tests.data.helpers import ROWS, columns, write_csv

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 2
ONE_EACH = np.arange(40) % 4


def build(x: Any, y: Any, **more: Any) -> Dataset:
    settings = {"name": "mine", "subgroups": (), "clusters_per_class": 2, "seed": 0}
    return given(x, y, **{**settings, "test_fraction": 0.25, **more})


def subgroups(data: Dataset, name: str) -> tuple[str, ...]:
    return next(g for g in data.groupings if g.name == name).subgroups


def assert_same(one: Dataset, other: Dataset) -> None:
    assert one.fingerprint() == other.fingerprint()
    assert one.warnings == other.warnings
    assert one.fitted_on_train == other.fitted_on_train


def test_a_data_frame_is_encoded_as_the_csv_file_is(tmp_path: Path):
    ages = [float(k) if k % 7 else None for k in range(ROWS)]
    table = columns(age=ages, site=[None, "x", "y"] * (ROWS // 3))
    file = write_csv(tmp_path / "mine.csv", table)
    asked = {"subgroups": ("city", "age", "city×site", "class"), "seed": 0}
    expected = load(str(file), label="ill", test_fraction=0.25, clusters_per_class=2, **asked)
    frame = pd.DataFrame(table)
    assert_same(build(frame, "ill", **asked), expected)
    # The same with the labels apart, and with pandas' own missing values and categories.
    apart = frame.drop(columns="ill").astype({"city": "category", "age": "Float64"})
    separate = build(apart, frame["ill"], **{**asked, "subgroups": ("city", "age", "city×site")})
    assert separate.x_train.tobytes() == expected.x_train.tobytes()
    assert separate.y_test.tobytes() == expected.y_test.tobytes()


def test_arrays_are_taken_as_an_npz_file_is(tmp_path: Path):
    groups = {"site": ONE_EACH, "weight": np.where(ONE_EACH, 1.5, np.nan)}
    np.savez(tmp_path / "mine.npz", x=X, y=Y, **groups)
    names = ("site", "weight", "site×weight")
    expected = load(str(tmp_path / "mine.npz"), subgroups=names, seed=3, clusters_per_class=2)
    assert_same(build(X, Y, groups=groups, subgroups=names, seed=3), expected)
    lists = {key: values.tolist() for key, values in groups.items()}
    assert_same(build(X.tolist(), Y.tolist(), groups=lists, subgroups=names, seed=3), expected)
    tensors = {key: torch.tensor(values) for key, values in groups.items()}
    x, y = torch.tensor(X, requires_grad=True), torch.tensor(Y)
    assert_same(build(x, y, groups=tensors, subgroups=names, seed=3), expected)


def test_a_test_set_stays_a_test_set_and_groups_follow_their_rows():
    groups, other = {"site": ONE_EACH}, {"site": np.full(9, 7)}
    data = build(X, Y, x_test=X[:9], y_test=Y[:9], groups=groups, groups_test=other)
    assert (len(data.x_train), len(data.x_test)) == (40, 9)
    (site,) = data.groupings
    assert site.subgroups == ("0", "1", "2", "3", "7")
    assert site.train.tolist() == ONE_EACH.tolist()
    assert set(site.test.tolist()) == {4}
    frames = build(
        pd.DataFrame(X, columns=list("abc")), Y, x_test=pd.DataFrame(X[:9], columns=list("abc")),
        y_test=Y[:9], groups=groups, groups_test=other,
    )  # fmt: skip
    assert frames.groupings[0].train.tolist() == ONE_EACH.tolist()
    assert set(frames.groupings[0].test.tolist()) == {4}
    assert frames.notes["split"] == data.notes["split"] == "as given (x_test)"


def test_held_out_rows_keep_their_groups():
    data = build(X, Y, groups={"row": np.arange(40)})
    (row,) = data.groupings
    np.testing.assert_array_equal(data.x_train, X.astype(np.float32)[row.train])
    np.testing.assert_array_equal(data.x_test, X.astype(np.float32)[row.test])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", None, "a", float("nan")] * 10, ("a", "b", NOT_RECORDED)),
        (np.array(["b", None, "a", pd.NA] * 10, dtype=object), ("a", "b", NOT_RECORDED)),
        (pd.Categorical(["b", None, "a", "a"] * 10), ("a", "b", NOT_RECORDED)),
        (pd.Series([10, 9, None, 9] * 10, dtype="Int64"), ("9", "10", NOT_RECORDED)),
        ([10, 9, 9, 2.5] * 10, ("2.5", "9", "10")),
        (np.ma.masked_equal([1, 2, 3, 3] * 10, 2), ("1", "3", NOT_RECORDED)),
        ([True, False] * 20, ("False", "True")),
        ([NOT_RECORDED, None] * 20, (NOT_RECORDED, f"{NOT_RECORDED} (2)")),
        ([1, "1"] * 20, ("1", "1 (2)")),
        ([b"x", b"\xff"] * 20, ("\\xff", "x")),
        (["</script>", "\u202ea"] * 20, ("</script>", "\\u202ea")),
    ],
)
def test_values_of_groups(values: Any, expected: tuple[str, ...]):
    assert subgroups(build(X, Y, groups={"g": values}), "g") == expected


def test_images_keep_their_shape_and_bytes_become_shares():
    data = build(np.full((40, 1, 4, 5), 255, dtype=np.uint8), Y)
    assert data.input_shape == (1, 4, 5)
    assert data.x_train.shape == (30, 20)
    assert data.x_train.max() == 1.0


def test_many_columns_and_labels_of_every_kind():
    wide = build(RNG.normal(size=(40, 10_000)), Y, subgroups=("class",))
    assert len(wide.feature_names) == 10_000
    for labels in (Y.astype(float), Y.astype(bool), np.where(Y, "b</b>", "a").astype(object)):
        assert build(X, labels).y_train.tolist() == build(X, Y).y_train.tolist()
    assert build(X, Y.astype(str)[:, None]).class_names == ("0", "1")


def test_a_group_called_like_a_column_or_a_word_wins():
    frame = pd.DataFrame({"sex": Y + 5.0, "b": X[:, 0]})
    data = build(frame, Y, groups={"sex": ONE_EACH, "class": ONE_EACH})
    assert subgroups(data, "sex") == subgroups(data, "class") == ("0", "1", "2", "3")


FRAME = pd.DataFrame(X, columns=list("abc"))
SHUFFLED = pd.Series(Y, index=np.arange(40)[::-1])
REFUSED: list[tuple[Callable[[], Any], tuple[str, ...]]] = [
    (lambda: build(X, Y[:-1]), ("y", "(39,)", "40 rows")),
    (lambda: build(X[:0], Y[:0]), ("x", "(0, 3)")),
    (lambda: build(X[:, :0], Y), ("x", "(40, 0)")),
    (lambda: build(X[:, 0], Y), ("x", "reshape")),
    (lambda: build(np.where(X > 2, np.nan, X), Y), ("x", "NaN")),
    (lambda: build(np.where(X > 2, np.inf, X), Y), ("x", "infinite")),
    (lambda: build(X * 1e300, Y), ("x", "float32")),
    (lambda: build(X + 1j, Y), ("x", "complex128")),
    (lambda: build(X.astype(str), Y), ("x", "not real numbers")),
    (lambda: build(X.astype(object), Y), ("x", "object")),
    (lambda: build([[1, 2], [3]], [0, 1]), ("x", "rectangular")),
    (lambda: build(np.ma.masked_greater(X, 1), Y), ("x", "masked")),
    (lambda: build(torch.zeros(40, 2, dtype=torch.bfloat16), Y), ("x", "bfloat16")),
    (lambda: build("digits", Y), ("x", "data='digits'")),
    (lambda: build(X, Y * 0), ("1 class",)),
    (lambda: build(X, Y + 0.5), ("y", "whole numbers")),
    (lambda: build(X, X[:, 0]), ("y", "whole numbers")),
    (lambda: build(X, np.arange(40)), ("y", "40 different labels")),
    (lambda: build(X, [None, 1] * 20), ("y", "20 missing")),
    (lambda: build(X, np.where(Y, np.nan, 1)), ("y", "20 missing")),
    (lambda: build(X, [1, "1"] * 20), ("y", "int, str")),
    (lambda: build(X, np.eye(2)[Y]), ("y", "(40, 2)")),
    (lambda: build(X, "label"), ("y", "no DataFrame")),
    (lambda: build(X, None), ("y", "None")),
    (lambda: build(X, {0, 1}), ("y", "sequence")),
    (lambda: build(X, Y, x_test=X), ("y_test", "missing")),
    (lambda: build(X, Y, y_test=Y), ("y_test", "without x_test")),
    (lambda: build(X, Y, groups_test={"a": Y}), ("groups_test", "without x_test")),
    (lambda: build(X, Y, x_test=X[:, :2], y_test=Y), ("x_test", "(2,)")),
    (lambda: build(X, Y, x_test=FRAME, y_test=Y), ("x_test", "DataFrame")),
    (lambda: build(X, Y, x_test=X, y_test=Y.astype(str)), ("y_test", "kind")),
    (lambda: build(X, Y, x_test=X, y_test=Y, groups={"a": Y}), ("groups_test", "a")),
    (lambda: build(X, Y, groups={"a": Y[:-1]}), ("groups['a']", "(39,)")),
    (lambda: build(X, Y, groups={"a": X}), ("groups['a']", "(40, 3)")),
    (lambda: build(X, Y, groups={" ": Y}), ("groups", "empty")),
    (lambda: build(X, Y, groups={1: Y, "1": Y}), ("groups", "'1'")),
    (lambda: build(X, Y, groups={"a" * 130: Y, "a" * 131: Y}), ("groups", "reads like")),
    (lambda: build(X, Y, groups=pd.DataFrame(X[:, [0, 0]], columns=["a", "a"])), ("twice",)),
    (lambda: build(X, Y, groups={"a": [[1]] * 40}), ("cannot be compared",)),
    (lambda: build(X, Y, groups="sex"), ("groups", "dict")),
    (lambda: build(X, Y, groups={"a": Y}, subgroups=("a×nothing",)), ("nothing",)),
    (lambda: build(FRAME, "labels"), ("label", "'labels'")),
    (lambda: build(FRAME[["a", "a"]], Y), ("x", "more than once", "'a'")),
    (lambda: build(FRAME, SHUFFLED), ("y", "index")),
    (lambda: build(FRAME, Y, groups={"g": SHUFFLED}), ("groups['g']", "index")),
    (lambda: build(FRAME, pd.Series(Y, name="a")), ("y", "'a'", "column of x")),
    (lambda: build(FRAME.assign(m=[1, "a"] * 20), Y), ("'m'", "several kinds")),
    (lambda: build(FRAME.assign(a=1, b=2, c=3), Y), ("no column to learn from",)),
    (lambda: build(FRAME[:10], Y[:10]), ("10 rows",)),
    (lambda: build(FRAME, Y, x_test=FRAME[["a"]], y_test=Y), ("x_test", "'b'")),
    (
        lambda: build(FRAME.assign(Split=1), Y, x_test=FRAME.assign(Split=1), y_test=Y),
        ("'Split'", "train or test"),
    ),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(call: Callable[[], Any], words: tuple[str, ...]):
    with pytest.raises(BadInput) as refused:
        call()
    message = str(refused.value)
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message
