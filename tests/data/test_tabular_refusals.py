"""Files and labels that cannot be audited: each is one line with name, value, rule, next step."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.data.registry import load
from audit.data.table_reader import read_table
from audit.errors import BadInput
from tests.data.helpers import ROWS, columns, write_csv


def _refused(path: Path | str, label: str | None = "ill", **options: object) -> str:
    with pytest.raises(BadInput) as error:
        load(str(path), label=label, seed=0, **options)  # type: ignore[arg-type]
    text = str(error.value)
    assert text.isprintable()
    assert error.value.exit_code == 2
    return text


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty.csv", b"", "is empty"),
    ("blank.csv", b"\n \n\n", "is empty"),
    ("header.csv", b"a,ill\n", "no rows"),
    ("few.csv", b"a,ill\n1,2\n2,3\n", "at least 20"),
    ("latin1.csv", b"a,ill\n" + "é,ü\n".encode("latin1") * 30, "not UTF-8"),
    ("latin1_header.csv", "é,ill\n".encode("latin1") + b"1,2\n" * 30, "not UTF-8"),
    ("utf16.csv", "a,ill\n1,2\n".encode("utf-16"), "UTF-16"),
    ("excel.csv", b"PK\x03\x04" + b"\0" * 50, "spreadsheet"),
    ("gzip.csv", b"\x1f\x8b\x08\x00abc", "gzip"),
    ("parquet.csv", b"PAR1" + b"\0" * 50, "Parquet"),
    ("binary.csv", b"a,ill\n\0\0\0,1\n", "binary"),
    ("ragged.csv", b"a,ill\n" + b"1,2\n" * 30 + b"SECRET NAME,2,3\n", "3 values"),
    ("twice.csv", b"a,b,a,ill,b\n" + b"1,2,3,4,5\n" * 30, "'a', 'b'"),
    ("spaces.csv", b"a, a ,ill\n" + b"1,2,3\n" * 30, "more than once"),
    ("quote.csv", b'a,ill\n"1,2\n' + b"1,2\n" * 30, "data"),
    ("text.parquet", b"a,ill\n1,2\n", "not a readable Parquet file"),
    ("empty.parquet", b"", "not a readable Parquet file"),
    ("cut.parquet", b"PAR1\x00\x00PAR1", "not a readable Parquet file"),
    ("format.xlsx", b"PK", "format that is not known"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES, ids=[f[0] for f in BAD_FILES])
def test_bad_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    text = _refused(tmp_path / name)
    assert message in text
    assert "SECRET" not in text


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "a.csv", columns())

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert "Permission denied" in _refused(path)


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    assert "is no file here" in _refused(tmp_path / "a.csv")


def test_label_is_required_and_must_exist(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", columns())
    assert "the columns are 'height'" in _refused(path, None)
    assert "Did you mean 'ill'" in _refused(path, "Ill")
    assert "There is 'height'" in _refused(path, "\n\x1b[31mzzzz")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (["yes"] * ROWS, "only one class, 'yes'"),
        ([None, *["yes", "no"] * 29, "no"], "missing in 1 of 60 rows"),
        (["?", *["yes", "no"] * 29, "no"], "missing in 1 of 60 rows"),
        ([None] * ROWS, "is empty"),
        ([k * 0.37 for k in range(ROWS)], "too many different"),
        ([(k % 25) * 0.37 for k in range(ROWS)], "some with decimals"),
        ([f"name {k}" for k in range(ROWS)], "too many different"),
        (list(range(ROWS)), "is a row number"),
    ],
)
def test_labels_that_are_no_classes(tmp_path: Path, label: list[object], message: str) -> None:
    assert message in _refused(write_csv(tmp_path / "a.csv", columns(ill=label)))


@pytest.mark.parametrize(
    "split",
    [["train"] * ROWS, ["a", "b"] * 30, ["train", "valid"] * 30, ["train", None] * 30, [0, 1] * 30],
)
def test_split_columns_that_do_not_split(tmp_path: Path, split: list[object]) -> None:
    path = write_csv(tmp_path / "a.csv", columns(split=split))
    assert "must say train or test" in _refused(path)


def test_one_class_in_training_is_refused(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        columns(split=["train", "test"] * 30, ill=["yes", "no"] * 30),
    )
    assert "training rows have 1 class" in _refused(path)


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", {"ill": ["a", "b"] * 30})
    assert "no column to learn from" in _refused(path)


def test_nested_labels_and_splits(tmp_path: Path) -> None:
    nested = pa.array([[k] for k in range(ROWS)])
    plain = columns()
    pq.write_table(pa.table(plain | {"ill": nested}), tmp_path / "a.parquet")
    assert "of a type no table model can use" in _refused(tmp_path / "a.parquet")
    pq.write_table(pa.table(plain | {"split": nested}), tmp_path / "b.parquet")
    assert "must say train or test" in _refused(tmp_path / "b.parquet")


@pytest.mark.parametrize("spec", ["heigth", "city*nowhere", "split"])
def test_group_columns_must_exist(tmp_path: Path, spec: str) -> None:
    path = write_csv(tmp_path / "a.csv", columns(split=["train", "test", "train"] * 20))
    assert "is no column of the data" in _refused(path, subgroups=[spec])


def test_group_columns_must_group(tmp_path: Path) -> None:
    table = {"x": range(3, 4_503, 2), "name": [f"n{k}" for k in range(2_250)], "ill": "ab" * 1_125}
    path = write_csv(tmp_path / "a.csv", table)
    assert "does not group the rows" in _refused(path, subgroups=["name"])
    table["name"] = [f"n{k % 1_200}" for k in range(2_250)]
    assert "the most is 1,000" in _refused(write_csv(tmp_path / "b.csv", table), subgroups=["name"])


def test_a_matrix_that_would_not_fit_is_refused_with_its_size(tmp_path: Path) -> None:
    """A run-length encoded bomb: 20 million rows × 60 columns in two megabytes of Parquet."""
    nothing = pa.table({f"c{k}": pa.nulls(20_000_000) for k in range(60)})
    pq.write_table(nothing, tmp_path / "bomb.parquet", row_group_size=20_000_000)
    assert (tmp_path / "bomb.parquet").stat().st_size < 2_000_000
    text = _refused(tmp_path / "bomb.parquet")
    assert "20,000,000" in text
    assert "4.8 GB" in text


def test_one_long_text_in_every_row_takes_the_memory_of_one(tmp_path: Path) -> None:
    """Three kilobytes of Parquet that are 10 GB of text, written out."""
    word, n = "x" * 2_000_000, 5_000
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([word]))
    plain = {"a": [k % 7 for k in range(n)], "ill": [k % 2 for k in range(n)], "t": texts}
    pq.write_table(pa.table(plain), tmp_path / "a.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 50_000
    table, _ = read_table(tmp_path / "a.parquet")
    assert table.nbytes < 10_000_000
    assert load(str(tmp_path / "a.parquet"), label="ill", seed=0).feature_names == ("a",)
    assert "only one class" in _refused(tmp_path / "a.parquet", "t")


def test_columns_that_no_model_can_use_are_not_read(tmp_path: Path) -> None:
    """Lists of a hundred million nulls, or long bytes: known by their type alone."""
    long = 2_500_000
    offsets = pa.array([k * long for k in range(41)], pa.int64())
    odd = {
        "l": pa.LargeListArray.from_arrays(offsets, pa.nulls(40 * long, pa.int8())),
        "b": [b"x" * 1000] * 40,
        "s": [{"x": k} for k in range(40)],
        "f": pa.array([b"1234"] * 40, pa.binary(4)),
    }
    plain = {
        "a": [k % 7 for k in range(40)],
        "ill": [k % 2 for k in range(40)],
        "s.x": ["u", "v"] * 20,
    }
    pq.write_table(pa.table(odd | plain), tmp_path / "a.parquet", compression="zstd")
    table, _ = read_table(tmp_path / "a.parquet")
    assert table.column_names == [*odd, *plain]
    assert table.nbytes < 10_000
    assert all(table[name].null_count == 40 for name in odd)
    assert table["s.x"].to_pylist() == ["u", "v"] * 20
    data = load(str(tmp_path / "a.parquet"), label="ill", seed=0)
    assert set(data.feature_names) == {"a", "s.x=u", "s.x=v"}
    assert sum("no table model can use" in warning for warning in data.warnings) == 3
    for name in odd:
        assert "of a type no table model can use" in _refused(tmp_path / "a.parquet", name)


def test_a_table_of_what_cannot_be_used_alone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"l": [[1]] * 30}), tmp_path / "a.parquet")
    assert "of a type no table model can use" in _refused(tmp_path / "a.parquet", "l")
    assert "is no column of the data" in _refused(tmp_path / "a.parquet", "x")


def test_a_home_of_nobody() -> None:
    assert "home of nobody" in _refused("~nobody-of-this-name/a.csv")
