"""Hostile Parquet files."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.hostile.case import Bench, Case, Maker
from benchmarks.hostile.tables import Columns, as_csv, columns, read


def parquet(bench: Bench, table: pa.Table | None = None, **how) -> bytes:
    """A Parquet file in memory; without ``table`` one that an audit would take."""
    return _parquet(pa.table(columns(bench)) if table is None else table, **how)


def _parquet(table: pa.Table, **how) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **how)
    return buffer.getvalue()


def cut(bench: Bench) -> Case:
    whole = parquet(bench)
    return read(bench, bench.write("t.parquet", whole[: bench.int(0, len(whole) - 1)]))


def footer_damaged(bench: Bench) -> Case:
    whole = bytearray(parquet(bench))
    size = int.from_bytes(whole[-8:-4], "little")
    for _ in range(bench.int(1, 12)):
        whole[bench.int(len(whole) - 8 - size, len(whole) - 5)] = bench.int(0, 255)
    return read(bench, bench.write("t.parquet", bytes(whole)), maybe=True)


def pages_damaged(bench: Bench) -> Case:
    whole = bytearray(parquet(bench, compression=bench.pick(("snappy", "zstd", "none", "gzip"))))
    size = int.from_bytes(whole[-8:-4], "little")
    for _ in range(bench.int(1, 20)):
        whole[bench.int(4, len(whole) - 9 - size)] = bench.int(0, 255)
    return read(bench, bench.write("t.parquet", bytes(whole)), maybe=True)


def footer_length(bench: Bench) -> Case:
    whole = bytearray(parquet(bench))
    length = bench.pick((0, 1, 2**31 - 1, 2**32 - 1, len(whole), bench.int(1, 2**32 - 1)))
    whole[-8:-4] = length.to_bytes(4, "little")
    return read(bench, bench.write("t.parquet", bytes(whole)))


def rows_bomb(bench: Bench) -> Case:
    """Run-length encoding: tens of millions of rows in kilobytes."""
    content = _rows_bomb(bench.pick((60, 75))).replace(_MARK, bench.letters(len(_MARK)).encode())
    return read(bench, bench.write("t.parquet", content))


# The name of a column in a bomb; another of the same length makes it another file, without writing
# a billion cells again.
_MARK = b"zqzqzqzqzq"


@functools.cache
def _rows_bomb(width: int) -> bytes:
    def make() -> bytes:
        nothing = pa.nulls(20_000_000)
        names = [_MARK.decode(), "y", *(f"c{i}" for i in range(width - 2))]
        return _parquet(pa.table(dict.fromkeys(names, nothing)), row_group_size=30_000_000)

    return _apart(make)


def text_bomb(bench: Bench) -> Case:
    """A dictionary with one long text, in every row: tens of gigabytes of text in kilobytes."""
    n, long = bench.int(5_000, 9_000), bench.int(2_000_000, 4_000_000)
    word = pa.array([bench.pick("xyz") * long, "b"])
    codes = pa.array(np.zeros(n, dtype=np.int32))
    where = bench.pick(("a", "g", "y"))
    table = {"a": np.arange(n) % 7, "g": np.arange(n) % 3, "y": np.arange(n) % 2}
    table[where] = pa.DictionaryArray.from_arrays(codes, word)
    content = parquet(bench, pa.table(table), compression="zstd", store_schema=False)
    more = () if where == "y" else ("--subgroups", where)
    # One text in every row tells nothing: the column is left out, at the price of one text.
    return read(bench, bench.write("t.parquet", content), *more, maybe=where != "y")


def list_bomb(bench: Bench) -> Case:
    """Lists of hundreds of millions of nulls, run-length encoded, as the label or otherwise."""
    where = bench.pick(("y", "x"))
    content = _list_bomb(where).replace(_MARK, bench.letters(len(_MARK)).encode())
    # A list that is no label is left out, if there is memory for it at all.
    return read(bench, bench.write("t.parquet", content), maybe=where == "x")


@functools.cache
def _list_bomb(where: str) -> bytes:
    def make() -> bytes:
        n, long = 40, 8_000_000
        offsets = pa.array(np.arange(n + 1, dtype=np.int64) * long)
        lists = pa.LargeListArray.from_arrays(offsets, pa.nulls(n * long, pa.int8()))
        table = {_MARK.decode(): np.arange(n) * 0.37 % 1, "y": np.arange(n) % 2, where: lists}
        return _parquet(pa.table(table), compression="zstd")

    return _apart(make)


def _apart(make: Callable[[], bytes]) -> bytes:
    """What ``make`` returns, made in a forked process that takes its gigabytes with it."""
    with tempfile.TemporaryFile() as file:
        pid = os.fork()
        if pid == 0:
            try:
                os.write(file.fileno(), make())
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        file.seek(0)
        return file.read()


def nested_label(bench: Bench) -> Case:
    table = columns(bench)
    kind = bench.pick(
        (lambda y: [y], lambda y: {"y": y}, lambda y: str(y).encode(), lambda y: [[{"y": y}]])
    )
    nested = pa.table(table | {bench.pick(("y", "split")): pa.array([kind(y) for y in table["y"]])})
    return read(bench, bench.write("t.parquet", parquet(bench, nested)))


def as_parquet(maker_of_columns) -> Maker:
    """A hostile table that CSV has, too, written as Parquet."""

    def make(bench: Bench) -> Case:
        table = columns(bench)
        maker_of_columns(bench, table)
        return read(bench, bench.write("t.parquet", parquet(bench, pa.table(table))))

    return make


def _one(bench: Bench, table: Columns) -> None:
    table["y"] = [bench.int(0, 10**6)] * len(table["y"])


def _missing(bench: Bench, table: Columns) -> None:
    table["y"][bench.int(4, len(table["y"]) - 1)] = None


def _no_rows(bench: Bench, table: Columns) -> None:
    size = bench.int(0, 19)
    for name in table:
        table[name] = table[name][:size]


def _no_numbers(bench: Bench, table: Columns) -> None:
    table["y"] = [bench.pick((np.nan, np.inf, -np.inf)) for _ in table["y"]]


PARQUET: dict[str, Maker] = {
    "cut off": cut,
    "footer damaged": footer_damaged,
    "pages damaged": pages_damaged,
    "length of footer": footer_length,
    "bomb: rows": rows_bomb,
    "bomb: text in a dictionary": text_bomb,
    "bomb: lists": list_bomb,
    "label or split of a nested type": nested_label,
    "one class": as_parquet(_one),
    "labels missing": as_parquet(_missing),
    "hardly any rows": as_parquet(_no_rows),
    "labels not finite": as_parquet(_no_numbers),
    "rubbish": lambda b: read(b, b.write("t.parquet", b"PAR1" + b.bytes(10, 3000) + b"PAR1")),
    "text": lambda b: read(b, b.write("t.parquet", as_csv(columns(b)))),
}
