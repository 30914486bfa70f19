"""Hostile options and configurations."""

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


def _positive(least: float, most: float) -> Text:
    """Numbers outside of a range, and what is no number."""

    def draw(bench: Bench) -> str:
        above, below = most * bench.rng.uniform(1.001, 1e6), least - bench.rng.uniform(0.001, 1e6)
        return bench.pick((*_BAD_NUMBERS, f"{above:.6g}", f"{below:.6g}"))

    return draw


def _whole(least: int, most: int) -> Text:
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
        ("os:system", "os:_exit", "sys:exit", "builtins:eval", "builtins:exec", "subprocess:run", ":", "os:",
         ":x", "a:b:c", f"{bench.word()}:{bench.word()}", f"{bench.word()}.{bench.word()}:x", "..:x", "/:x",
         "os.path:join", "pathlib:Path", "shutil:rmtree", "builtins:print", "math:pi", "json:loads",
         f"t.csv:{bench.word()}", f"../{CANARY}:x", "os:system;x", "builtins:open", "builtins:input")
    )  # fmt: skip


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


OPTIONS: dict[str, Text] = {
    "--epsilon": _positive(0.01, 100),
    "--models": _whole(1, 10_000_000),
    "--delta": _delta,
    "--p": _positive(0, 1),
    "--canaries": _whole(0, 1_000_000),
    "--clusters-per-class": _whole(1, 100),
    "--seed": _whole(0, 2**63 - 1),
    "--test-fraction": _positive(0, 1),
    "--inclusion": _name,
    "--engine": _name,
    "--model": _import,
    "--dp-model": _import,
    "--option": lambda b: b.pick((b.word(), "=", f"={b.word()}", f"{b.word()}={b.word()}", "x=" + "[" * 5000)),
    "--dp-option": lambda b: b.pick((b.word(), "=", f"{b.word()}=[1,", f"{b.word()}={'9' * 5000}")),
    "--hidden": _widths,
    "--canary-kind": _name,
    "--plant": _name,
    "--device": lambda b: b.pick(("cuda:99", "meta", "mps", "cpu:x", "tpu", "cuda:-1", "xla", _name(b))),
    "--config": lambda b: b.pick((b.word(), b.word() + ".toml", b.nasty(), "/dev/zero", ".", "t.csv", "x" * 9000)),
    "--label": lambda b: b.pick((b.word(), b.nasty(), "")),
    "--subgroups": lambda b: b.pick((b.word(), f"g×{b.word()}", f"g,{b.nasty()}", "×", "g×")),
    "--data-root": lambda b: b.pick((b.word(), "/dev/null", b.nasty())),
    "--out": lambda b: b.pick(("t.csv", f"t.csv/{b.word()}", "full", "/dev/null", f"/dev/null/{b.word()}",
                               "x" * b.int(300, 9000), "nowhere", f"/proc/{b.word()}")),
}  # fmt: skip
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
        (("run",), ("plan",), ("report",), ("show",), ("estimate",), ("check",), ("diff",), ("calibrate",),
         ("data",), ("data", "inspect"), ("data", "list"), ())
    )  # fmt: skip
    more = bench.pick((f"--{bench.word()}", f"-{bench.letters(1)}", bench.word(), bench.nasty()))
    return Case(
        (*command, *bench.pick(((more,), (more, bench.word()), (bench.word(), more, more))))
    )


def other_commands(bench: Bench) -> Case:
    number = bench.pick((_whole(0, 3), _positive(0, 1)))(bench)
    return Case(
        bench.pick(
            (("show", number), ("show", bench.word(), number), ("show", "1", "2", number),
             ("calibrate", "--trials", bench.pick(("4", "-1", "0", "100001", number))), ("report", bench.word()),
             ("calibrate", "--seed", f"-{bench.int(1, 10**9)}"), ("calibrate", bench.word()),
             ("report", "--format", bench.word()), ("report", ".", "--profile", bench.word()),
             ("check", "--policy", bench.word()), ("check", ".", "--policy", "default", "--format", _name(bench)),
             ("diff", bench.word(), bench.word()), ("diff", ".", bench.nasty()),
             ("plan", "--trial-seconds", bench.pick(("0", "-1", "nan", "inf", "1e9"))),
             ("plan", "--want-epsilon", _positive(0, 100)(bench)), ("plan", "--want-excess", _positive(0, 1)(bench)),
             ("plan", "--want-difference", _positive(0, 1)(bench)),
             ("plan", "--want-influence", _positive(0, 1)(bench)))
        )
    )  # fmt: skip


COMMANDS: dict[str, Maker] = {
    **{f"option {name}": option(name) for name in OPTIONS},
    "an epsilon twice": twice,
    "unknown options": unknown_option,
    "the other commands": other_commands,
}

_NO_NUMBER = (
    '"x"',
    '"nan"',
    "nan",
    "inf",
    "-inf",
    "[]",
    "[1]",
    "{}",
    "2020-01-01",
    '""',
    "{a = 1}",
)
_NO_TEXT = ("1", "1.5", "true", "[]", '["x"]', "{}", "12:00:00", "nan", "{x = 'y'}")
FIELDS: dict[str, tuple[str, ...]] = {
    "data": (*_NO_TEXT, '""', '"nothing.csv"', '"torchvision:NOPE"', '"/dev/zero"', '"t.csv\\u0000"'),
    "label": (*_NO_TEXT, '"nope"', '""', '"y "', '"\\u001b[31m"'),
    "subgroups": ('"g"', "1", "[1]", '["nope"]', '["g×nope"]', "{}", '[["g"]]', '[""]', "true"),
    "clusters_per_class": (*_NO_NUMBER, "0", "-1", "101", "1.5", "99999999999999999999"),
    "test_fraction": (*_NO_NUMBER, "0", "1", "-0.1", "1.5", "1e-9"),
    "model": (*_NO_TEXT, '"transformer"', '""', '"os:system"', '"a:b"', '"sys:exit"'),
    "dp_model": ("1", "true", "[]", '"os:getcwd"', '"nope"', '""'),
    "hidden": ("[0]", "[-1]", '["a"]', "[65537]", "1", '"64"', "[1.5]", "[nan]", "[[64]]", "[0xffffffffffff]"),
    "activation": (*_NO_TEXT, '"nope"', '""'),
    "epsilon": ("[]", "[nan]", "[inf]", "[0]", "[-1]", "[1e309]", "[2, 2]", '["x"]', "[101]", "[[2]]", "2", "{}",
                "[0.001]", "true", "[2.0000001, 2.0]"),
    "delta": (*_NO_NUMBER, "0", "1", "-1e-9", "0.5", "0.1"),
    "models": (*_NO_NUMBER, "0", "-3", "1_000_000_000", '"many"', "1.5", "0x" + "f" * 5000, "10000001"),
    "design": (*_NO_TEXT, '"bernoulli"', '""'),
    "inclusion_probability": (*_NO_NUMBER, "0", "1", "-0.1", "2"),
    "seed": (*_NO_NUMBER, "-1", "9223372036854775808", "1.5"),
    "engine": (*_NO_TEXT, '"jax"', '""'),
    "cohort_size": (*_NO_NUMBER, "0", "-1", "1.5", "100_000_000"),
    "canaries": (*_NO_NUMBER, "-1", "1_000_001", "1.5", "999_999"),
    "canary_kind": (*_NO_TEXT, '"bird"', '""'),
    "plant": (*_NO_TEXT, '"rose"', '""'),
    "device": (*_NO_TEXT, '"quantum"', '"meta"', '""', '"cuda:99"'),
    "data_root": ("1", "true", "[]", "{}"),
    "standard": ("1", '"x"', "[]", "true", "[{}]"),
    "dp": ("1", '"x"', "[]", "true", "[{}]"),
    "standard.learning_rate": (*_NO_NUMBER, "0", "-1", "1001"),
    "standard.momentum": (*_NO_NUMBER, "-0.1", "1", "2"),
    "standard.weight_decay": (*_NO_NUMBER, "-0.1", "1.5"),
    "dp.batch_size": (*_NO_NUMBER, "0", "-5", "1.5", "10_000"),
    "dp.epochs": (*_NO_NUMBER, "0", "-1", "10_001"),
    "dp.clip_norm": (*_NO_NUMBER, "0", "-1"),
    "dp.augmentation": ("1", '"crop"', '["rotate"]', "[1]", "{}", '["crop", "crop"]'),
    "dp.tuning": ("1", "[]", "nan"),
    "standard.options": ("1", '"x"', "[]", "{a = nan}", "{a = 2020-01-01}", "{a = 1}"),
}  # fmt: skip
_ARM = {"learning_rate": "0.1", "batch_size": "16", "epochs": "2", "clip_norm": "1.0"}


def config(bench: Bench, lines: dict[str, str], more: str | bytes = "") -> Case:
    """A command with a configuration of ``lines``, its tables last."""
    bench.write("t.csv", as_csv(columns(bench)))
    good = {
        "data": '"t.csv"',
        "label": '"y"',
        "models": str(bench.int(2, 9)),
        "seed": str(bench.int(0, 10**9)),
    }
    given = {**good, **lines}
    plain = [f"{k} = {v}" for k, v in given.items() if "." not in k]
    tables: dict[str, list[str]] = {}
    for key, value in given.items():
        table, dot, field = key.partition(".")
        if dot:
            arm = tables.setdefault(table, [f"{k} = {v}" for k, v in _ARM.items() if k != field])
            arm.append(f"{field} = {value}")
    text = "\n".join(plain + [line for t, ls in tables.items() for line in (f"[{t}]", *ls)]) + "\n"
    content = text.encode() + (more.encode() if isinstance(more, str) else more)
    return Case(("run", "--config", bench.write("c.toml", content), "--out", "out"))


def field(name: str) -> Maker:
    """A maker of configurations in which one field cannot be."""
    return lambda bench: config(bench, {name: bench.pick(FIELDS[name])})


def unknown_field(bench: Bench) -> Case:
    name = bench.pick(
        (bench.word(), "Epsilon", "epsilom", "model_config", "__class__", f'"{bench.word()}"')
    )
    return config(bench, {bench.pick(("", "", "dp.", "standard.")) + name: bench.pick(_NO_TEXT)})


def broken(bench: Bench) -> Case:
    tail = bench.pick(
        (f"{bench.word()} = ", "= 1", "[", "[[dp]", "seed = 1\nseed = 2", f"x = '{bench.word()}", 'x = "\\q"',
         "x = 2020-13-01", "x = 1__0", f"x = {'9' * bench.int(5000, 9000)}", "x = [" + "[" * bench.int(2000, 20_000),
         "x = " + "{a=" * bench.int(2000, 9000), "[" + "a." * bench.int(500, 900) + "b", "\x00", "x = \x1b",
         "data.x = 1", "[data]", "[[standard]]\n[[standard]]", bench.nasty())
    )  # fmt: skip
    return config(bench, {}, "\n" + tail + "\n" + bench.word())


def no_text(bench: Bench) -> Case:
    bad = bench.pick(
        (b"\xff\xfe", b"x = '\xe9'", b"\x80", b"\xc3(", b"\x00\x00", bench.bytes(50, 500) + b"\xff")
    )
    return config(bench, {}, b"\n" + bench.word().encode() + b" = 1\n" + bad)


def too_large(bench: Bench) -> Case:
    return config(bench, {}, "# " + bench.letters(50) + "x" * bench.int(2**20, 2**21))


def deep(bench: Bench) -> Case:
    """As deep as TOML's reader goes, which the writers of messages may not."""
    levels = bench.int(50, 300)
    name = bench.pick(("models", "epsilon", "label", "standard.options", "dp.tuning", bench.word()))
    opening, closing = bench.pick((("[", "]"), ("{a = ", "}")))
    return config(bench, {name: opening * levels + "1" + closing * levels})


def no_file(bench: Bench) -> Case:
    name = bench.word() + ".toml"
    bench.special(name)
    return Case(("run", "--config", name, "--out", "out"))


CONFIGS: dict[str, Maker] = {
    **{f"field {name}": field(name) for name in FIELDS},
    "unknown field": unknown_field,
    "broken TOML": broken,
    "no text": no_text,
    "too large": too_large,
    "deep": deep,
    "no file": no_file,
}
