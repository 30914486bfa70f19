"""Hostile NumPy files: data sets in ``.npz`` and ``.npy``."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable

import numpy as np

from benchmarks.hostile.case import CANARY, Bench, Case, Maker
from benchmarks.hostile.tables import read

Arrays = dict[str, np.ndarray]


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, words: str = "") -> None:
        self.words = words

    def __reduce__(self):
        return os.system, (f"touch ../{CANARY} # {self.words}",)


def npy(array: np.ndarray) -> bytes:
    """``array`` as ``np.save`` writes it, objects pickled."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(entries: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of ``entries``, by the names of its arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def headed(header: str | bytes, body: bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    """An ``.npy`` file with any header."""
    text = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version[0] == 1 else "<I", min(len(text), 65535))
    return b"\x93NUMPY" + bytes(version) + size + text + body


def bad_header(bench: Bench) -> str:
    """A header that describes no array that is there."""
    n = bench.int(2**31, 2**62)
    shape = bench.pick(
        (
            f"({n},)",
            f"({n}, {n})",
            "(-1, 4)",
            f"(-{n},)",
            "(1.5, 2)",
            "('a',)",
            "(True, 4)",
            "4",
            "None",
            f"(0, {n}, {n})",
            "(" * bench.int(100, 400),
            f"({'1,' * bench.int(65, 3000)})",
            "[4, 4]",
            f"__import__('os').system('touch ../{CANARY}')",
            f"({'9' * bench.int(4000, 6000)},)",
            "(2**99,)",
        )
    )
    if bench.int(0, 1):
        return f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"
    descr = bench.pick(
        (
            "'|O'",
            "'O8'",
            "'<f4'",
            "'<f99'",
            "'<U99999999999'",
            "None",
            "[('a', '|O')]",
            "'" + "x" * 99 + "'",
            "[('a', '<f4', (9, 9, 9999999999))]",
            "'<M8[ns]'",
            "{'a': 1}",
            "['<f4']",
            "'|V0'",
            "'\\0'",
        )
    )
    order = bench.pick(("False", "True", "'yes'", "0", "None"))
    extra = bench.pick(
        ("", "'more': 1,", "'shape': (2,),", "}", "\\", "'", "\n\n  x", '"""', "\x00")
    )
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, {extra}}}\n"


def good(bench: Bench) -> Arrays:
    """Arrays that an audit would take."""
    n = bench.int(40, 60)
    y = np.array([0, 1, 0, 1, *bench.rng.integers(0, 2, n)][:n])
    return {"x": bench.rng.normal(size=(n, bench.int(2, 5))), "y": y}


def pickled(bench: Bench) -> np.ndarray:
    """An array of objects, one of which runs a command."""
    n = bench.int(20, 60)
    array = np.empty(bench.pick((n, (n, 3))), dtype=object)
    array.fill(bench.int(0, 9))
    array.flat[bench.int(0, array.size - 1)] = Payload(bench.word())
    return array


def stored(bench: Bench, entries: dict[str, bytes], *, maybe: bool = False) -> Case:
    how = bench.pick((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    return read(bench, bench.write("t.npz", npz(entries, how)), label=None, maybe=maybe)


def replaced(bench: Bench, change: Callable[[Arrays], object]) -> Case:
    """A good archive after ``change``."""
    arrays = good(bench)
    change(arrays)
    return stored(bench, {name: npy(array) for name, array in arrays.items()})


def objects(bench: Bench) -> Case:
    entries = {name: npy(array) for name, array in good(bench).items()}
    entries[bench.pick(("x", "y", bench.word()))] = npy(pickled(bench))
    return stored(bench, entries)


def raw_pickle(bench: Bench) -> Case:
    content = pickle.dumps(Payload(bench.word()), protocol=bench.int(0, 5))
    if bench.int(0, 1):
        return read(bench, bench.write("t.npz", content), label=None)
    entries = {name: npy(array) for name, array in good(bench).items()}
    return stored(bench, {**entries, bench.pick(("x", "y")): content})


def header(bench: Bench) -> Case:
    entries = {name: npy(array) for name, array in good(bench).items()}
    version = bench.pick(((1, 0), (2, 0), (3, 0), (9, 9), (0, 0)))
    entries[bench.pick(("x", "y"))] = headed(bad_header(bench), bench.bytes(0, 2000), version)
    # A shape may be spelled oddly and be right: 0 numbers need no bytes.
    return stored(bench, entries, maybe=True)


def cut(bench: Bench) -> Case:
    whole = npz({name: npy(array) for name, array in good(bench).items()})
    return read(bench, bench.write("t.npz", whole[: bench.int(0, len(whole) - 23)]), label=None)


def entry_cut(bench: Bench) -> Case:
    entries = {name: npy(array) for name, array in good(bench).items()}
    name = bench.pick(("x", "y"))
    return stored(bench, entries | {name: entries[name][: bench.int(0, len(entries[name]) - 1)]})


def flipped(bench: Bench) -> Case:
    how = bench.pick((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    whole = bytearray(npz({name: npy(array) for name, array in good(bench).items()}, how))
    for _ in range(bench.int(1, 9)):
        whole[bench.int(0, len(whole) - 1)] = bench.int(0, 255)
    return read(bench, bench.write("t.npz", bytes(whole)), label=None, maybe=True)


def compressed_rubbish(bench: Bench) -> Case:
    """A stream that cannot be unpacked, of each way to pack."""
    how = bench.pick((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    whole = bytearray(npz({"x": npy(good(bench)["x"]), "y": b"y"}, how))
    start = 30 + len("x.npy") + 4
    whole[start : start + 60] = bench.bytes(60, 60)
    return read(bench, bench.write("t.npz", bytes(whole)), label=None)


def unpacking_unknown(bench: Bench) -> Case:
    whole = bytearray(npz({name: npy(array) for name, array in good(bench).items()}))
    central = whole.rfind(b"PK\x01\x02", 0, whole.rfind(b"PK\x01\x02"))
    method = bench.pick((1, 6, 9, 19, 93, 97, 98, 99))
    if bench.int(0, 1):
        # Said to be encrypted.
        whole[6] |= 1
        whole[central + 8] |= 1
    else:
        whole[8:10] = whole[central + 10 : central + 12] = method.to_bytes(2, "little")
    return read(bench, bench.write("t.npz", bytes(whole)), label=None)


def bomb(bench: Bench) -> Case:
    """Zeros: gigabytes in a few megabytes, their size stated or made out to be smaller."""
    block = bytes(1 << 20)
    buffer = io.BytesIO()
    rows = bench.int(300, 400) << 20
    size = 4 * rows
    whole = headed(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 8), }}\n", b"")
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as entry:
            entry.write(whole)
            for _ in range(bench.int(20, 60)):
                entry.write(block)
        archive.writestr("y.npy", npy(good(bench)["y"]))
        archive.infolist()[0].file_size = bench.pick((size * 8, size * 8, 1000, 2**63 - 1))
    return read(bench, bench.write("t.npz", buffer.getvalue()), label=None)


def wrong_keys(bench: Bench) -> Case:
    arrays = good(bench)
    names = bench.pick(
        (
            ("x",),
            ("y",),
            ("X", "Y"),
            ("x_train", "y_train"),
            (bench.word(), bench.word()),
            (),
            ("x_train", "y_train", "x_test"),
            ("arr_0", "arr_1"),
            (bench.nasty(), "y"),
        )
    )
    given = dict(zip(names, [arrays["x"], arrays["y"], arrays["x"]], strict=False))
    return stored(bench, {name: npy(array) for name, array in given.items()})


def wrong_x(bench: Bench) -> Case:
    def change(arrays: Arrays) -> None:
        x = arrays["x"]
        broken = x.copy()
        broken[bench.int(0, len(x) - 1), 0] = bench.pick((np.nan, np.inf, -np.inf, 1e300))
        arrays["x"] = bench.pick(
            (
                broken,
                x[:, 0],
                x[:0],
                x[:, :0],
                x.astype(str),
                x.astype(complex),
                x.astype("S"),
                x[:-1],
                x.astype("m8[s]"),
                np.array(3.0),
                x.astype([("a", "f4")])[:, 0],
                np.concatenate([x, x]),
            )
        )

    return replaced(bench, change)


def wrong_y(bench: Bench) -> Case:
    def change(arrays: Arrays) -> None:
        y = arrays["y"]
        n = len(y)
        arrays["y"] = bench.pick(
            (
                y[:-1],
                y[:0],
                np.stack([y, 1 - y], axis=1),
                y + 0.5,
                np.full(n, bench.int(-9, 9)),
                bench.rng.permutation(n),
                np.where(np.arange(n) == bench.int(0, n - 1), np.nan, y),
                np.where(np.arange(n) == bench.int(0, n - 1), np.inf, y),
                y.astype(complex),
                np.array(3),
                y.astype("M8[s]"),
                y.reshape(1, 1, n),
                np.array([f"{bench.word()}{i}" for i in range(n)]),
            )
        )

    return replaced(bench, change)


def wrong_groups(bench: Bench) -> Case:
    def change(arrays: Arrays) -> None:
        n = len(arrays["x"])
        arrays[bench.word()] = bench.pick(
            (np.zeros(n - 1), np.zeros((n, 2)), np.zeros(0), np.array(1.0), np.zeros((n, 1, 1)))
        )

    return replaced(bench, change)


def sides_apart(bench: Bench) -> Case:
    arrays = good(bench)
    x, y, cut_at = arrays["x"], arrays["y"], len(arrays["x"]) // 2
    sides = {
        "x_train": x[:cut_at],
        "y_train": y[:cut_at],
        "x_test": x[cut_at:],
        "y_test": y[cut_at:],
    }
    which = bench.pick(tuple(sides))
    sides[which] = bench.pick(
        (
            sides[which][:-1],
            sides[which][:0],
            pickled(bench),
            sides[which].reshape(-1)[:, None, None],
            sides[which].astype("S") if which[0] == "x" else sides[which].astype("U9"),
        )
    )
    if bench.int(0, 3) == 0:
        sides = {**sides, f"{bench.word()}_train": y[:cut_at]}
    return stored(bench, {name: npy(array) for name, array in sides.items()})


NPZ: dict[str, Maker] = {
    "pickled objects": objects,
    "a pickle": raw_pickle,
    "header of an array": header,
    "cut off": cut,
    "an array cut off": entry_cut,
    "bytes changed": flipped,
    "packed rubbish": compressed_rubbish,
    "packed in unknown ways": unpacking_unknown,
    "bomb": bomb,
    "names of arrays": wrong_keys,
    "features": wrong_x,
    "labels": wrong_y,
    "groups": wrong_groups,
    "sides that do not fit": sides_apart,
    "a label named": lambda b: read(
        b, b.write("t.npz", npz({k: npy(v) for k, v in good(b).items()})), label=b.word()
    ),
}


def npy_pair(bench: Bench, x: bytes | None, y: bytes | None, *, maybe: bool = False) -> Case:
    """Features and labels in two files; None: one that can be read."""
    arrays = good(bench)
    bench.write("x.npy", npy(arrays["x"]) if x is None else x)
    bench.write("y.npy", npy(arrays["y"]) if y is None else y)
    return read(bench, "x.npy", label="y.npy", maybe=maybe)


def npy_one(content: Callable[[Bench], bytes], *, maybe: bool = False) -> Maker:
    """A maker of pairs one of which is hostile."""

    def make(bench: Bench) -> Case:
        bad = content(bench)
        return npy_pair(bench, *bench.pick(((bad, None), (None, bad))), maybe=maybe)

    return make


def npy_special(bench: Bench) -> Case:
    bench.write("x.npy", npy(good(bench)["x"]))
    name = bench.word() + ".npy"
    bench.special(name)
    return read(bench, "x.npy", label=name)


def npy_label(bench: Bench) -> Case:
    bench.write("x.npy", npy(good(bench)["x"]))
    label = bench.pick(
        (
            None,
            bench.word(),
            bench.nasty(),
            "",
            ".",
            "/dev/zero",
            "/dev/null",
            f"~{bench.word()}/y",
            "x.npy",
            "x" * 5000,
            "/proc/self/mem",
        )
    )
    return read(bench, "x.npy", label=label)


def _cut_npy(bench: Bench) -> bytes:
    whole = npy(good(bench)[bench.pick("xy")])
    return whole[: bench.int(0, len(whole) - 1)]


NPY: dict[str, Maker] = {
    "pickled objects": npy_one(lambda b: npy(pickled(b))),
    "a pickle": npy_one(lambda b: pickle.dumps(Payload(b.word()), protocol=b.int(0, 5))),
    "header": npy_one(
        lambda b: headed(bad_header(b), b.bytes(0, 999), b.pick(((1, 0), (2, 0), (3, 0), (8, 1)))),
        maybe=True,
    ),
    "cut off": npy_one(_cut_npy),
    "rubbish": npy_one(lambda b: b.bytes(0, 999)),
    "an archive": npy_one(lambda b: npz({b.word(): npy(good(b)["x"])})),
    "labels that are no file": npy_special,
    "labels named otherwise": npy_label,
}
