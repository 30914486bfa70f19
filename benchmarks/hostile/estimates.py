"""Hostile arrays, tables and options of ``audit estimate``."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.hostile.arrays import Payload, bad_header, headed, npy, npz, pickled
from benchmarks.hostile.case import Bench, Case, Maker
from benchmarks.hostile.options import positive, whole

_FILES = ("membership", "train-correct", "test-correct", "margins", "test-margins")


@dataclass
class Brought:
    """What is brought: arrays by option, more files by name, and further options."""

    arrays: dict[str, np.ndarray | bytes | None]
    more: tuple[str, ...] = ()
    maybe: bool = False

    def case(self, bench: Bench) -> Case:
        words: list[str] = []
        for name, array in self.arrays.items():
            if array is not None:
                bench.write(f"{name}.npy", array if isinstance(array, bytes) else npy(array))
            words += [f"--{name}", f"{name}.npy"]
        epsilon = () if "--epsilon" in self.more else ("--epsilon", "2")
        return Case(("estimate", *words, *epsilon, "--out", "out", *self.more), maybe=self.maybe)


def good(bench: Bench) -> Brought:
    """Arrays that go together."""
    models, n, n_test = bench.int(8, 14), bench.int(30, 50), bench.int(10, 20)
    inside = bench.rng.random((models, n)) < 0.5
    right, test = bench.rng.random((models, n)) < 0.8, bench.rng.random((models, n_test)) < 0.7
    margins = [np.abs(bench.rng.normal(size=a.shape)) + 0.1 for a in (right, test)]
    margins = [np.where(a, m, -m) for a, m in zip((right, test), margins, strict=True)]
    return Brought(dict(zip(_FILES, (inside, right, test, *margins), strict=True)))


def one_is(
    content: Callable[[Bench, np.ndarray], np.ndarray | bytes], *, maybe: bool = False
) -> Maker:
    """A maker that replaces one array."""

    def make(bench: Bench) -> Case:
        brought = good(bench)
        name = bench.pick(_FILES)
        old = brought.arrays[name]
        assert isinstance(old, np.ndarray)
        brought.arrays[name] = content(bench, old)
        brought.maybe = maybe
        return brought.case(bench)

    return make


def _shape(bench: Bench, a: np.ndarray) -> np.ndarray:
    return bench.pick(
        (
            a[0],
            a[None],
            a[:0],
            a[:, :0],
            a.T,
            a[:-1],
            a[:, :-1],
            a.ravel(),
            np.concatenate([a, a]),
            np.concatenate([a, a], axis=1),
            a.reshape(-1, 1),
            np.array(bench.int(0, 9)),
            a[..., None],
        )
    )


def _type(bench: Bench, a: np.ndarray) -> np.ndarray:
    return bench.pick(
        (
            a.astype("U4"),
            a.astype("S4"),
            a.astype(complex),
            a.astype("m8[s]"),
            a.astype([("a", "f4")]),
            a.astype("V8"),
            np.full(a.shape, bench.word()),
            np.char.add(a.astype("U4"), bench.letters(1)),
        )
    )


def values(bench: Bench) -> Case:
    """Who was in or right is neither 0 nor 1."""
    brought = good(bench)
    name = bench.pick(_FILES[:3])
    array = np.asarray(brought.arrays[name]).astype(bench.pick((np.int8, np.float32, np.float64)))
    bad = bench.pick((2, -1, 127, 0.5, np.nan, np.inf, -np.inf))
    if array.dtype == np.int8:
        bad = bench.pick((2, -1, 127, -128))
    array[bench.int(0, array.shape[0] - 1), bench.int(0, array.shape[1] - 1)] = bad
    brought.arrays[name] = array
    return brought.case(bench)


def margins(bench: Bench) -> Case:
    """A margin that does not go with who was right, or none at all where somebody was."""
    brought = good(bench)
    side = bench.pick((("train-correct", "margins"), ("test-correct", "test-margins")))
    right, margin = (np.asarray(brought.arrays[name]) for name in side)
    margin = margin.copy()
    row, column = np.argwhere(right)[bench.int(0, int(right.sum()) - 1)]
    if bench.int(0, 1):
        margin[row, column] = np.nan
    else:
        wrong = np.argwhere(~right)
        margin[tuple(wrong[bench.int(0, len(wrong) - 1)])] = bench.rng.uniform(1, 9)
    brought.arrays[side[1]] = bench.pick(
        (margin, np.sign(np.nan_to_num(margin, nan=1)).astype(int))
    )
    return brought.case(bench)


def subsets(bench: Bench) -> Case:
    """Memberships that nobody drew as it is said."""
    brought = good(bench)
    inside = np.asarray(brought.arrays["membership"])
    bad, more = bench.pick(
        (
            (np.ones_like(inside), ()),
            (np.zeros_like(inside), ()),
            (inside, ("--inclusion", "fixed")),
            (inside, ("--p", f"{bench.rng.uniform(0.001, 0.04):.4f}")),
            (inside, ("--p", f"{bench.rng.uniform(0.96, 0.999):.4f}")),
            (brought.arrays["train-correct"], ()),
        )
    )
    return Brought({**brought.arrays, "membership": bad}, more).case(bench)


def options(bench: Bench) -> Case:
    brought = good(bench)
    brought.more = bench.pick(
        (
            ("--epsilon", positive(0.01, 100)(bench)),
            ("--p", positive(0, 1)(bench)),
            ("--delta", bench.pick(("1", "nan", "-1e-9", "inf", f"{bench.int(2, 99)}", "x", ""))),
            ("--inclusion", bench.word()),
            ("--seed", whole(0, 2**63)(bench).replace("1e", "x")),
            ("--no-claim", "--claimed-by", bench.word()),
            ("--label", bench.word()),
            ("--subgroups", bench.word()),
            ("--subgroups", f'"{bench.word()}'),
            ("--test-table", bench.word()),
            ("--train-table", bench.word() + bench.pick((".csv", ".xls", ""))),
            ("--baseline-margins", "margins.npy"),
            ("--baseline-train-correct", "train-correct.npy"),
            ("--baseline-train-correct", "margins.npy"),
            ("--out", "membership.npy"),
            ("--out", "margins.npy/x"),
        )
    )
    return brought.case(bench)


def files(bench: Bench) -> Case:
    """An array that is no file."""
    brought = good(bench)
    name = bench.pick(_FILES)
    brought.arrays[name] = None
    if bench.int(0, 3):
        bench.special(f"{name}.npy")
    case = brought.case(bench)
    odd = bench.pick(
        ("/dev/zero", "/dev/null", ".", f"~{bench.word()}/x.npy", "x" * 5000, bench.nasty())
    )
    if not (bench.here / f"{name}.npy").is_symlink() and bench.int(0, 1):
        return Case(tuple(odd if word == f"{name}.npy" else word for word in case.argv))
    return case


def tables(bench: Bench) -> Case:
    """Tables of groups that fit neither arrays nor each other."""
    brought = good(bench)
    n, n_test = (np.asarray(brought.arrays[k]).shape[1] for k in ("membership", "test-correct"))
    rows = {"train": n, "test": n_test}
    wrong = bench.pick(("rows", "columns", "label", "groups", "file", "one class", "special"))
    side = bench.pick(("train", "test"))
    if wrong == "rows":
        rows[side] += bench.pick((-1, 1, 10, bench.int(2, 9)))
    for each, size in rows.items():
        header = ["y", "g"]
        if wrong == "columns" and each == side:
            header[1] = bench.word()
        lines = [",".join(header)]
        lines += [
            f"{'' if wrong == 'label' and i == 3 else i % 2 * (wrong != 'one class')},{'uv'[i % 2]}"
            for i in range(size)
        ]
        if each == side and wrong == "special":
            bench.special(f"{each}.csv")
            continue
        text = (
            bench.bytes(50, 500) + b"\0" if wrong == "file" and each == side else "\n".join(lines)
        )
        bench.write(f"{each}.csv", text)
    groups = f"g,{bench.word()}" if wrong == "groups" else "g"
    brought.more = (
        "--train-table",
        "train.csv",
        "--test-table",
        "test.csv",
        "--label",
        "y",
        "--subgroups",
        groups,
    )
    return brought.case(bench)


def _cut(bench: Bench, a: np.ndarray) -> bytes:
    whole = npy(a)
    return whole[: bench.int(0, len(whole) - 1)]


def _header(bench: Bench, a: np.ndarray) -> bytes:
    version = bench.pick(((1, 0), (2, 0), (3, 0), (7, 7)))
    return headed(bad_header(bench), a.tobytes(), version)


ESTIMATES: dict[str, Maker] = {
    "pickled objects": one_is(lambda b, a: npy(pickled(b))),
    "a pickle": one_is(lambda b, a: pickle.dumps(Payload(b.word()), protocol=b.int(0, 5))),
    "header": one_is(_header, maybe=True),
    "cut off": one_is(_cut),
    "an archive": one_is(lambda b, a: npz({b.word(): npy(a)})),
    "rubbish": one_is(lambda b, a: b.bytes(0, 2000)),
    "shape": one_is(_shape),
    "type": one_is(_type),
    "values": values,
    "margins": margins,
    "subsets": subsets,
    "options": options,
    "no file": files,
    "tables": tables,
}
