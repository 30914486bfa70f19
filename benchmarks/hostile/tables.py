"""Hostile CSV files, and things that have the name of a file and are none."""

from __future__ import annotations

from benchmarks.hostile.case import Bench, Case, Maker

HEADER = ("a", "b", "g", "y")
MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "NULL", "null", "<NA>")
Columns = dict[str, list]


def columns(bench: Bench, rows: int | None = None) -> Columns:
    """A table that an audit would take: two numbers, a group, a label of two classes."""
    n = rows or bench.int(40, 60)
    # The first two rows of each class are there for certain.
    y = [0, 1, 0, 1, *bench.rng.integers(0, 2, n).tolist()][:n]
    return {
        "a": bench.rng.normal(size=n).round(4).tolist(),
        "b": bench.rng.normal(size=n).round(3).tolist(),
        "g": [bench.pick("uvw") for _ in range(n)],
        "y": y,
    }


def as_csv(table: Columns, separator: str = ",") -> str:
    """``table`` as text."""
    rows = zip(*table.values(), strict=True)
    return "\n".join(separator.join(map(str, row)) for row in (table.keys(), *rows)) + "\n"


def read(bench: Bench, name: str, *more: str, label: str | None = "y", maybe: bool = False) -> Case:
    """A command that reads the data ``name``: mostly ``run``, sometimes one of the others."""
    command = bench.pick((("run", "--out", "out"), ("run", "--out", "out"), ("data", "inspect")))
    if maybe:
        # What is accepted is not planned, too.
        command = ("data", "inspect")
    source = (name,) if command[0] == "data" else ("--data", name)
    named = () if label is None else ("--label", label)
    return Case((*command[:2], *command[2:], *source, *named, *more), maybe=maybe)


def changed(bench: Bench, change) -> Case:
    """A CSV file made from a good table by ``change(columns)``."""
    table = columns(bench)
    change(table)
    return read(bench, bench.write("t.csv", as_csv(table)))


def blank(bench: Bench) -> Case:
    content = "".join(bench.pick(" \n\r\t") for _ in range(bench.int(0, 60)))
    return read(bench, bench.write("t.csv", content))


def header_only(bench: Bench) -> Case:
    names = [bench.word() + str(i) for i in range(bench.int(1, 40))]
    content = ",".join([*names, "y"]) + bench.pick(("", "\n", "\r\n", "\n\n"))
    return read(bench, bench.write("t.csv", content))


def too_few(bench: Bench) -> Case:
    return read(bench, bench.write("t.csv", as_csv(columns(bench, bench.int(1, 19)))))


def one_class(bench: Bench) -> Case:
    return changed(bench, lambda t: t.update(y=[bench.int(0, 10**6)] * len(t["y"])))


def missing_labels(bench: Bench) -> Case:
    def change(table: Columns) -> None:
        for at in bench.rng.choice(len(table["y"]), bench.int(1, 5), replace=False):
            table["y"][at] = bench.pick(MISSING)

    return changed(bench, change)


def distinct_labels(bench: Bench) -> Case:
    return changed(bench, lambda t: t.update(y=bench.rng.normal(size=len(t["y"])).tolist()))


def names_as_labels(bench: Bench) -> Case:
    return changed(bench, lambda t: t.update(y=[f"{bench.word()}{i}" for i in range(len(t["y"]))]))


def row_numbers_as_labels(bench: Bench) -> Case:
    first = bench.int(-1000, 1000)
    return changed(bench, lambda t: t.update(y=list(range(first, first + len(t["y"])))))


def quantity_as_label(bench: Bench) -> Case:
    n = bench.int(100, 200)
    table = columns(bench, n) | {
        "y": [f"{(i % 30) * 0.37 + bench.int(0, 3):.2f}" for i in range(n)]
    }
    return read(bench, bench.write("t.csv", as_csv(table)))


def no_finite_label(bench: Bench) -> Case:
    def change(table: Columns) -> None:
        for at in range(0, len(table["y"]), bench.int(3, 9)):
            table["y"][at] = bench.pick(("inf", "-inf", "Infinity", "1e400", "-1e999"))

    return changed(bench, change)


def label_not_there(bench: Bench) -> Case:
    name = bench.pick((bench.word(), bench.nasty(), "", "Y", " ", "a,y"))
    return read(bench, bench.write("t.csv", as_csv(columns(bench))), label=name)


def no_label(bench: Bench) -> Case:
    return read(bench, bench.write("t.csv", as_csv(columns(bench))), label=None)


def same_names(bench: Bench) -> Case:
    table = columns(bench)
    twice = bench.pick(HEADER)
    text = as_csv({**table, f" {twice} ": table["a"]})
    return read(bench, bench.write("t.csv", text))


def ragged(bench: Bench) -> Case:
    lines = as_csv(columns(bench)).splitlines()
    at = bench.int(1, len(lines) - 1)
    lines[at] = bench.pick((lines[at] + ",1", lines[at].rpartition(",")[0], "1", "1," * 50))
    return read(bench, bench.write("t.csv", "\n".join(lines) + "\n"))


def null_bytes(bench: Bench) -> Case:
    text = bytearray(as_csv(columns(bench)).encode())
    for _ in range(bench.int(1, 5)):
        text.insert(bench.int(0, len(text)), 0)
    return read(bench, bench.write("t.csv", bytes(text)))


def open_quote(bench: Bench) -> Case:
    lines = as_csv(columns(bench)).splitlines()
    at = bench.int(1, len(lines) - 1)
    lines[at] = '"' + lines[at]
    return read(bench, bench.write("t.csv", "\n".join(lines) + "\n"))


def other_encoding(bench: Bench) -> Case:
    table = columns(bench)
    table["g"] = [bench.pick("äöüßé") + bench.pick("uvw") for _ in table["g"]]
    kind = bench.pick(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "cp437"))
    return read(bench, bench.write("t.csv", as_csv(table).encode(kind)))


def no_utf8(bench: Bench) -> Case:
    text = bytearray(as_csv(columns(bench)).encode())
    bad = bench.pick(
        (b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"\x80")
    )
    at = bench.int(0, len(text) - 1)
    # Not inside of a line's end: a byte of its own line would be a ragged row.
    text[at:at] = bad
    return read(bench, bench.write("t.csv", bytes(text)))


def rubbish(bench: Bench) -> Case:
    return read(bench, bench.write("t.csv", bench.bytes(50, 5000) + b"\0"))


def other_format(bench: Bench) -> Case:
    magic = bench.pick(
        (
            b"PK\x03\x04",
            b"\x1f\x8b\x08",
            b"PAR1",
            b"\x89PNG\r\n",
            b"%PDF-1.7\n",
            b"\x7fELF",
            b"GIF89a",
            b"SQLite format 3\0",
            b"\x80\x04\x95",
            b"\x93NUMPY\x01\0",
            b"BZh9",
            b"\xfd7zXZ\0",
            b"\xd0\xcf",
        )
    )
    return read(bench, bench.write("t.csv", magic + bench.bytes(50, 900) + b"\0"))


def nothing_to_learn(bench: Bench) -> Case:
    table = columns(bench)
    n = len(table["y"])
    useless = (
        [bench.int(0, 99)] * n,
        list(range(n)),
        [""] * n,
        [f"{bench.word()}{i}" for i in range(n)],
    )
    text = as_csv({bench.word(): bench.pick(useless), "y": table["y"]})
    return read(bench, bench.write("t.csv", text))


def odd_split(bench: Bench) -> Case:
    def change(table: Columns) -> None:
        sides = bench.pick(
            (("train",), ("test",), ("a", "b"), ("train", "valid"), ("train", "test", ""), (0, 1))
        )
        at = bench.pick(("split", "Split", "SPLIT"))
        table[at] = [sides[i % len(sides)] for i in range(len(table["y"]))]

    return changed(bench, change)


def class_of_one_side(bench: Bench) -> Case:
    def change(table: Columns) -> None:
        table["y"] = [i % 2 for i in range(len(table["y"]))]
        table["split"] = [("train", "test")[y] for y in table["y"]]

    return changed(bench, change)


def unknown_groups(bench: Bench) -> Case:
    spec = bench.pick(
        (
            bench.word(),
            f"g×{bench.word()}",
            f"{bench.word()}*g",
            "g××",
            "×",
            bench.nasty(),
            "g,",
            '"g',
        )
    )
    name = bench.write("t.csv", as_csv(columns(bench)))
    # A comma at the end is no item; everything else names a column that is not there.
    return read(bench, name, "--subgroups", spec.replace("g,", f"g,{bench.word()}"))


def groups_that_group_nothing(bench: Bench) -> Case:
    n = bench.int(1200, 1500)
    table = columns(bench, n) | {"g": [f"n{i % 1100}" for i in range(n)]}
    name = bench.write("t.csv", as_csv(table))
    return read(bench, name, "--subgroups", bench.pick(("g", "g×y", "class,g")))


def test_share(bench: Bench) -> Case:
    share = bench.pick(("0", "1", "-0.5", "1.5", "nan", "inf", "1e-9", "0.999999", "x", ""))
    name = bench.write("t.csv", as_csv(columns(bench)))
    return read(bench, name, "--test-fraction", share)


CSV: dict[str, Maker] = {
    "empty or blank": blank,
    "header only": header_only,
    "fewer than 20 rows": too_few,
    "one class": one_class,
    "labels missing": missing_labels,
    "labels all distinct": distinct_labels,
    "names as labels": names_as_labels,
    "row numbers as labels": row_numbers_as_labels,
    "a quantity as label": quantity_as_label,
    "labels not finite": no_finite_label,
    "label not there": label_not_there,
    "no label named": no_label,
    "a column name twice": same_names,
    "ragged": ragged,
    "NUL bytes": null_bytes,
    "quote not closed": open_quote,
    "another encoding": other_encoding,
    "no UTF-8": no_utf8,
    "rubbish": rubbish,
    "another format": other_format,
    "nothing to learn from": nothing_to_learn,
    "split says neither": odd_split,
    "a class on one side only": class_of_one_side,
    "groups unknown": unknown_groups,
    "groups of too many values": groups_that_group_nothing,
    "share of test rows": test_share,
}


def special(bench: Bench) -> Case:
    name = bench.word() + bench.pick((".csv", ".tsv", ".parquet", ".npz", ".npy", "", ".txt"))
    kind = bench.special(name)
    return read(bench, name, label=None if kind == "a folder" else "y")


def device(bench: Bench) -> Case:
    place = bench.pick(
        (
            "/dev/zero",
            "/dev/null",
            "/dev/stdin",
            "/proc/self/mem",
            "/dev/fd/0",
            "/dev/random",
            "/dev",
        )
    )
    return read(bench, place, *bench.pick(((), ("--seed", str(bench.int(0, 10**6))))), label=None)


def no_such_name(bench: Bench) -> Case:
    name = bench.pick(
        (
            bench.word(),
            bench.word() + ".csv",
            bench.nasty(),
            "x" * bench.int(200, 9000),
            "",
            " ",
            "~",
            f"~{bench.word()}/x.csv",
            f"torchvision:{bench.word()}",
            "torchvision:",
            "../" * bench.int(1, 90),
            "digits ",
            f"{bench.word()}://{bench.word()}.csv",
            bench.word() + "." + bench.word(),
        )
    )
    return read(bench, name, label=bench.pick((None, bench.word())))


PLACES: dict[str, Maker] = {
    "a pipe, a link, a folder, a socket": special,
    "a device": device,
    "no such name": no_such_name,
}
