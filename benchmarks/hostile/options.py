"""Hostile options of every command."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.hostile.case import CANARY, Bench, Case, Maker
from benchmarks.hostile.tables import as_csv, columns

Text = Callable[[Bench], str]

_BAD_NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "1e309",
    "",
    " ",
    "x",
    "0x10",
    "1,5",
    "--",
    "٣x",
    "1e",
    "½",
    "None",
)


def positive(least: float, most: float) -> Text:
    """Numbers outside of a range, and what is no number."""

    def draw(bench: Bench) -> str:
        above, below = most * bench.rng.uniform(1.001, 1e6), least - bench.rng.uniform(0.001, 1e6)
        return bench.pick((*_BAD_NUMBERS, f"{above:.6g}", f"{below:.6g}"))

    return draw


def whole(least: int, most: int) -> Text:
    def draw(bench: Bench) -> str:
        odd = (
            f"{bench.int(0, 9)}.5",
            f"{bench.int(1, 9)}e{bench.int(1, 9)}",
            "9" * bench.int(20, 6000),
        )
        outside = (str(least - bench.int(1, 10**9)), str(most + bench.int(1, 10**9)))
        return bench.pick((*_BAD_NUMBERS, *odd, *outside))

    return draw


def _name(bench: Bench) -> str:
    return bench.pick(
        (bench.word(), bench.nasty(), "", " ", "0", bench.word() + ":" + bench.word())
    )


def _import(bench: Bench) -> str:
    return bench.pick(
        (
            "os:system",
            "os:_exit",
            "sys:exit",
            "builtins:eval",
            "builtins:exec",
            "subprocess:run",
            ":",
            "os:",
            ":x",
            "a:b:c",
            f"{bench.word()}:{bench.word()}",
            f"{bench.word()}.{bench.word()}:x",
            "..:x",
            "/:x",
            "os.path:join",
            "pathlib:Path",
            "shutil:rmtree",
            "builtins:print",
            "math:pi",
            "json:loads",
            f"t.csv:{bench.word()}",
            f"../{CANARY}:x",
            "os:system;x",
            "builtins:open",
            "builtins:input",
        )
    )


def _widths(bench: Bench) -> str:
    bad = bench.pick(
        ("0", "-1", "a", "", "1.5", "65537", "9" * 30, "nan", "64;32", str(-bench.int(1, 10**9)))
    )
    return bench.pick(
        (bad, f"64,{bad}", f"{bad},64", f"{bench.int(1, 64)},{bad},{bench.int(1, 64)}")
    )


def _delta(bench: Bench) -> str:
    return bench.pick(
        (*_BAD_NUMBERS, f"{bench.rng.uniform(0.1, 5):.4f}", f"-{bench.int(1, 9)}e-9", "1", "0")
    )


def _control(bench: Bench) -> str:
    size = bench.pick((*_BAD_NUMBERS, "0", "101", "-5", "100.1", "9" * 5000))
    return bench.pick((f"pruned-{size}", f"random-labels-{size}", "pruned-", "dp-2", _name(bench)))


OPTIONS: dict[str, Text] = {
    "--epsilon": positive(0.01, 100),
    "--models": whole(1, 10_000_000),
    "--delta": _delta,
    "--p": positive(0, 1),
    "--canaries": whole(0, 1_000_000),
    "--clusters-per-class": whole(1, 100),
    "--seed": whole(0, 2**63 - 1),
    "--test-fraction": positive(0, 1),
    "--inclusion": _name,
    "--engine": _name,
    "--model": _import,
    "--dp-model": _import,
    "--option": lambda b: b.pick(
        (b.word(), "=", f"={b.word()}", f"{b.word()}={b.word()}", "x=" + "[" * 5000)
    ),
    "--dp-option": lambda b: b.pick((b.word(), "=", f"{b.word()}=[1,", f"{b.word()}={'9' * 5000}")),
    "--hidden": _widths,
    "--control": _control,
    "--removal-weight-decay": positive(0, 1),
    "--removal-near-duplicates": positive(0, 10),
    "--canary-kind": _name,
    "--plant": _name,
    "--device": lambda b: b.pick(
        ("cuda:99", "meta", "mps", "cpu:x", "tpu", "cuda:-1", "xla", _name(b))
    ),
    "--config": lambda b: b.pick(
        (b.word(), b.word() + ".toml", b.nasty(), "/dev/zero", ".", "t.csv", "x" * 9000)
    ),
    "--label": lambda b: b.pick((b.word(), b.nasty(), "")),
    "--subgroups": lambda b: b.pick((b.word(), f"g×{b.word()}", f"g,{b.nasty()}", "×", "g×")),
    "--data-root": lambda b: b.pick((b.word(), "/dev/null", b.nasty())),
    "--out": lambda b: b.pick(
        (
            "t.csv",
            f"t.csv/{b.word()}",
            "full",
            "/dev/null",
            f"/dev/null/{b.word()}",
            "x" * b.int(300, 9000),
            "nowhere",
            f"/proc/{b.word()}",
        )
    ),
}
# What only makes a difference in such a company.
_WITH = {"--data-root": ("--data", "torchvision:MNIST"), "--dp-option": ("--dp-model", "os:getcwd")}


def option(name: str) -> Maker:
    """A maker of commands in which one option cannot be."""

    def make(bench: Bench) -> Case:
        bench.write("t.csv", as_csv(columns(bench)))
        bench.write("full/theirs", "a folder that is somebody else's")
        (bench.here / "nowhere").symlink_to("nothing")
        data = _WITH.get(name, ("--data", "t.csv", "--label", "y"))
        company = bench.pick(
            ((), ("--models", str(bench.int(2, 99))), ("--seed", str(bench.int(0, 10**9))))
        )
        if name == "--label":
            data = ("--data", "t.csv")
        if name in company:
            company = ()
        command = bench.pick(("run", "run", "plan")) if name != "--out" else "run"
        out = () if name == "--out" or command == "plan" else ("--out", "out")
        return Case((command, *data, *out, *company, name, OPTIONS[name](bench)))

    return make


def twice(bench: Bench) -> Case:
    epsilon = f"{bench.rng.uniform(0.1, 9):.4f}"
    bench.write("t.csv", as_csv(columns(bench)))
    return Case(
        ("run", "--data", "t.csv", "--label", "y", "--epsilon", epsilon, "--epsilon", epsilon)
    )


def unknown_option(bench: Bench) -> Case:
    command = bench.pick(
        (
            ("run",),
            ("plan",),
            ("report",),
            ("show",),
            ("estimate",),
            ("check",),
            ("diff",),
            ("calibrate",),
            ("theory",),
            ("data",),
            ("data", "inspect"),
            ("data", "list"),
            (),
        )
    )
    more = bench.pick((f"--{bench.word()}", f"-{bench.letters(1)}", bench.word(), bench.nasty()))
    return Case(
        (*command, *bench.pick(((more,), (more, bench.word()), (bench.word(), more, more))))
    )


def other_commands(bench: Bench) -> Case:
    number = bench.pick((whole(0, 3), positive(0, 1)))(bench)
    return Case(
        bench.pick(
            (
                ("show", number),
                ("show", bench.word(), number),
                ("show", "1", "2", number),
                ("calibrate", "--trials", bench.pick(("4", "-1", "0", "100001", number))),
                ("report", bench.word()),
                ("calibrate", "--seed", f"-{bench.int(1, 10**9)}"),
                ("calibrate", bench.word()),
                ("report", "--format", bench.word()),
                ("report", ".", "--profile", bench.word()),
                ("check", "--policy", bench.word()),
                ("check", ".", "--policy", "default", "--format", _name(bench)),
                ("diff", bench.word(), bench.word()),
                ("diff", ".", bench.nasty()),
                ("plan", "--trial-seconds", bench.pick(("0", "-1", "nan", "inf", "1e9"))),
                ("plan", "--want-epsilon", positive(0, 100)(bench)),
                ("plan", "--want-excess", positive(0, 1)(bench)),
                ("plan", "--want-difference", positive(0, 1)(bench)),
                ("plan", "--want-influence", positive(0, 1)(bench)),
            )
        )
    )


COMMANDS: dict[str, Maker] = {
    **{f"option {name}": option(name) for name in OPTIONS},
    "an epsilon twice": twice,
    "unknown options": unknown_option,
    "the other commands": other_commands,
}
