"""Arrays of outputs trained elsewhere: whatever is wrong with them is said, with its place."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from audit.data.outputs import ArmArrays, StoredArray, check_outputs, open_array, row_blocks
from audit.errors import BadInput

K, N, N_TEST = 12, 30, 9


def stored(folder: Path, name: str, values: np.ndarray) -> StoredArray:
    np.save(folder / f"{name}.npy", values)
    return open_array(name, folder / f"{name}.npy")


def bits(seed: int, columns: int = N) -> np.ndarray:
    return np.random.default_rng(seed).random((K, columns)) < 0.5


def check(folder: Path, correct: np.ndarray, membership: np.ndarray | None = None, **more):
    inside = bits(0) if membership is None else membership
    others = {key: stored(folder, key, values) for key, values in more.items()}
    arm = ArmArrays(stored(folder, "train_correct", correct), **others)
    return check_outputs(stored(folder, "membership", inside), {"dp-2": arm})


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", ">i4"])
def test_zeros_and_ones_of_any_type_are_the_same_bits(tmp_path: Path, dtype: str):
    found = check(tmp_path, bits(1).astype(dtype), bits(0).astype(dtype))
    np.testing.assert_array_equal(found.sizes, bits(0).sum(axis=1))
    np.testing.assert_allclose(found.share, bits(0).mean(axis=0))
    assert found.same is None
    read = stored(tmp_path, "again", bits(1).astype(dtype)).bits(slice(3, 7))
    np.testing.assert_array_equal(read, bits(1)[3:7])


def test_a_file_in_column_order_is_the_same_array(tmp_path: Path):
    found = check(tmp_path, np.asfortranarray(bits(1)), np.asfortranarray(bits(0)))
    np.testing.assert_array_equal(found.sizes, bits(0).sum(axis=1))


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "0.5"), (np.nan, "nan"), (2, "2.0"), (-1, "-1")]
)
def test_another_value_is_named_with_its_place(tmp_path: Path, value: float, shown: str):
    wrong = bits(1).astype(np.float64)
    wrong[7, 11] = value
    with pytest.raises(BadInput, match=rf"train_correct\[7, 11\] = {shown}.*must be 0 or 1"):
        check(tmp_path, wrong)


def test_the_place_is_right_in_later_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("audit.data.outputs._BLOCK_CELLS", 2 * N)
    wrong = bits(1).astype(np.int8)
    wrong[9, 4] = 3
    with pytest.raises(BadInput, match=r"train_correct\[9, 4\] = 3"):
        check(tmp_path, wrong)
    assert [s.stop - s.start for s in row_blocks(7, N)] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("shape", "rule"),
    [
        ((N, K), "turned over"),
        ((K - 1, N), "like membership"),
        ((K, N + 1), "like membership"),
        ((K * N,), "must have the shape"),
        ((K, N, 1), "must have the shape"),
        ((K, 0), "must have the shape|no readable"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path: Path, shape: tuple[int, ...], rule: str):
    with pytest.raises(BadInput, match=rule):
        check(tmp_path, np.zeros(shape, dtype=bool))


def test_test_outputs_need_the_same_models(tmp_path: Path):
    with pytest.raises(BadInput, match="has 11 rows for the 12 models"):
        check(tmp_path, bits(1), test_correct=bits(2, N_TEST)[1:])


@pytest.mark.parametrize("values", [np.array([["a"]]), np.zeros((2, 2), dtype="c8"),
                                    np.zeros((2, 2), dtype=[("a", "i4")]),
                                    np.zeros((2, 2), dtype="M8[s]")])  # fmt: skip
def test_types_that_are_no_plain_numbers(tmp_path: Path, values: np.ndarray):
    with pytest.raises(BadInput, match="no type of plain numbers"):
        check(tmp_path, bits(1), values)


def test_pickles_are_never_loaded(tmp_path: Path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    np.save(tmp_path / "o.npy", np.array([[Bomb()]], dtype=object), allow_pickle=True)
    with pytest.raises(BadInput, match="pickled Python objects"):
        open_array("membership", tmp_path / "o.npy")
    assert not (tmp_path / "exploded").exists()


def test_files_that_are_no_arrays(tmp_path: Path):
    good = tmp_path / "good.npy"
    np.save(good, bits(0))
    np.savez(tmp_path / "many.npz", a=bits(0))
    (tmp_path / "short.npy").write_bytes(good.read_bytes()[:-5])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("0,1\n1,0\n")
    for name, rule in (
        ("short.npy", "no readable .npy"),
        ("empty.npy", "no readable .npy"),
        ("text.npy", "no readable .npy"),
        ("many.npz", "archive"),
        ("absent.npy", "no file here"),
        ("x" * 300, "no file here|cannot be read"),
        ("nul\0.npy", "no file here|no readable"),
    ):
        with pytest.raises(BadInput, match=rule):
            open_array("membership", tmp_path / name)
    with pytest.raises(BadInput, match="is a folder"):
        open_array("membership", tmp_path)


def test_a_damaged_header_is_never_a_traceback(tmp_path: Path):
    np.save(tmp_path / "a.npy", bits(0))
    whole = (tmp_path / "a.npy").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(whole)
        for at in rng.integers(0, 80, size=3):
            broken[at] = rng.integers(256)
        (tmp_path / "b.npy").write_bytes(broken)
        try:
            open_array("membership", tmp_path / "b.npy")
        except BadInput:
            refused += 1
    assert refused > 100


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path):
    np.save(tmp_path / "a.npy", bits(0))
    (tmp_path / "a.npy").chmod(0)
    with pytest.raises(BadInput, match="cannot be read"):
        open_array("membership", tmp_path / "a.npy")


def test_the_same_file_twice_is_a_mistake(tmp_path: Path):
    with pytest.raises(BadInput, match="same content as membership"):
        check(tmp_path, bits(0))


def test_models_with_the_same_training_set_are_found(tmp_path: Path):
    inside = bits(0)
    inside[8] = inside[3]
    assert check(tmp_path, bits(1), inside).same == (3, 8)


def margins(correct: np.ndarray) -> np.ndarray:
    return np.where(correct, 1.5, -2.5).astype(np.float32)


def test_margins_go_with_who_was_right(tmp_path: Path):
    correct = bits(1)
    good = margins(correct)
    good[0, np.flatnonzero(~correct[0])[0]] = np.nan
    good[1, np.flatnonzero(correct[1])[0]] = -0.5  # right, though p_y is under 1/2
    check(tmp_path, correct, train_margin=good)
    for place, value in ((~correct, 0.5), (correct, np.nan)):
        wrong = margins(correct)
        row, column = np.argwhere(place)[5]
        wrong[row, column] = value
        with pytest.raises(BadInput, match=rf"train_margin\[{row}, {column}\].*does not go with"):
            check(tmp_path, correct, train_margin=wrong)


def test_margins_of_models_in_another_order_are_caught(tmp_path: Path):
    with pytest.raises(BadInput, match="does not go with"):
        check(tmp_path, bits(1), train_margin=margins(bits(1))[::-1])


def test_margins_are_stored_as_the_training_stores_them(tmp_path: Path):
    values = np.array([[-np.inf, 1e300, np.nan, 0.25]])
    half = stored(tmp_path, "m", values).margins(slice(0, 1))
    np.testing.assert_array_equal(half, np.array([[-65504, 65504, np.nan, 0.25]], np.float16))


def test_margins_are_numbers_not_bits(tmp_path: Path):
    with pytest.raises(BadInput, match="must be floating-point"):
        check(tmp_path, bits(1), train_margin=bits(1))
