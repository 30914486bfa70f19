"""Hostile questions to ``audit theory``."""

from __future__ import annotations

from benchmarks.hostile.case import Bench, Case, Maker
from benchmarks.hostile.options import Text, positive, whole
from benchmarks.hostile.tables import as_csv, columns


def _population(bench: Bench) -> str:
    size, bad = str(bench.int(1, 999)), whole(1, 10_000_000)(bench)
    return bench.pick((f"{size}:{bad}", f"{bad}:{size}", size, f"{size}:{size}:{size}", ":", bad))


_OPTIONS: dict[str, Text] = {
    "--prior": lambda bench: bench.pick((bench.word(), bench.nasty(), "", "ZIPF ")),
    "--domain": whole(1, 10_000_000),
    "--samples": whole(1, 10**9),
    "--population": _population,
    "--exponent": positive(0, 10),
    "--ratio": positive(0, 1),
    "--head": whole(1, 10_000_000),
    "--tail-mass": positive(0, 1),
    "--classes": whole(2, 1_000_000),
    "--noise": positive(0, 1),
    "--limit": positive(0, 1),
    "--epsilon": positive(0.01, 100),
    "--delta": positive(0, 1),
    "--frequencies": lambda bench: bench.pick((bench.word(), bench.nasty(), "")),
    "--simulate": whole(0, 1_000_000),
    "--seed": whole(0, 2**63 - 1),
    "--format": lambda bench: bench.pick((bench.word(), bench.nasty(), "html")),
    "--chart": lambda bench: bench.pick(("full", ".", f"nowhere/{bench.word()}", "x" * 9000, "")),
}
# What only makes a difference in such a company.
_WITH = {"--ratio": "geometric", "--head": "mixture", "--tail-mass": "mixture"}


def option(name: str) -> Maker:
    """A maker of questions in which one option cannot be."""

    def make(bench: Bench) -> Case:
        bench.write("full/theirs", "a folder that is somebody else's")
        prior = () if name == "--prior" else ("--prior", _WITH.get(name, "zipf"))
        small = ("--domain", str(bench.int(20, 99)), "--samples", str(bench.int(20, 99)))
        if name in ("--population", "--domain", "--samples"):
            small = ()
        worlds = () if name == "--simulate" else ("--simulate", str(bench.int(0, 3)))
        epsilon = ("--epsilon", "1") if name == "--delta" else ()
        answer = _OPTIONS[name](bench)
        # 0 is a noise, a limit and a δ that can be; so are some that are drawn near the edge.
        return Case(("theory", *prior, *small, *worlds, *epsilon, name, answer), maybe=True)

    return make


def that_say_nothing(bench: Bench) -> Case:
    """Options of a prior beside a data set, and of a data set without one."""
    bench.write("t.csv", as_csv(columns(bench)))
    size = str(bench.int(2, 99))
    of_prior = (("--prior", "zipf"), ("--domain", size), ("--samples", size), ("--classes", size),
                ("--population", f"{size}:{size}"))  # fmt: skip
    of_data = (("--label", bench.word()), ("--subgroups", bench.word()),
               ("--clusters-per-class", size), ("--data-root", bench.word()))  # fmt: skip
    data = ("--data", "t.csv", "--label", "y")
    words = bench.pick(((*data, *bench.pick(of_prior)), bench.pick(of_data)))
    return Case(("theory", *words))


def data(bench: Bench) -> Case:
    """A file that no tail can be read from."""
    bench.write("t.csv", as_csv(columns(bench)))
    bench.special("odd.csv")
    words = bench.pick(
        (
            ("--data", "odd.csv", "--label", "y"),
            ("--data", "t.csv", "--label", bench.word()),
            ("--data", "t.csv", "--label", "y", "--subgroups", bench.nasty()),
            ("--data", bench.word() + ".csv"),
            ("--data", bench.nasty()),
        )
    )
    return Case(("theory", *words))


THEORIES: dict[str, Maker] = {
    **{f"option {name}": option(name) for name in _OPTIONS},
    "options that say nothing": that_say_nothing,
    "data": data,
}
