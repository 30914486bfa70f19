"""Hostile configurations."""

from __future__ import annotations

from benchmarks.hostile.case import Bench, Case, Maker
from benchmarks.hostile.tables import as_csv, columns

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
    "data": (
        *_NO_TEXT,
        '""',
        '"nothing.csv"',
        '"torchvision:NOPE"',
        '"/dev/zero"',
        '"t.csv\\u0000"',
    ),
    "label": (*_NO_TEXT, '"nope"', '""', '"y "', '"\\u001b[31m"'),
    "subgroups": ('"g"', "1", "[1]", '["nope"]', '["g×nope"]', "{}", '[["g"]]', '[""]', "true"),
    "clusters_per_class": (*_NO_NUMBER, "0", "-1", "101", "1.5", "99999999999999999999"),
    "test_fraction": (*_NO_NUMBER, "0", "1", "-0.1", "1.5", "1e-9"),
    "model": (*_NO_TEXT, '"transformer"', '""', '"os:system"', '"a:b"', '"sys:exit"'),
    "dp_model": ("1", "true", "[]", '"os:getcwd"', '"nope"', '""'),
    "hidden": (
        "[0]",
        "[-1]",
        '["a"]',
        "[65537]",
        "1",
        '"64"',
        "[1.5]",
        "[nan]",
        "[[64]]",
        "[0xffffffffffff]",
    ),
    "activation": (*_NO_TEXT, '"nope"', '""'),
    "epsilon": (
        "[]",
        "[nan]",
        "[inf]",
        "[0]",
        "[-1]",
        "[1e309]",
        "[2, 2]",
        '["x"]',
        "[101]",
        "[[2]]",
        "2",
        "{}",
        "[0.001]",
        "true",
        "[2.0000001, 2.0]",
    ),
    "delta": (*_NO_NUMBER, "0", "1", "-1e-9", "0.5", "0.1"),
    "models": (
        *_NO_NUMBER,
        "0",
        "-3",
        "1_000_000_000",
        '"many"',
        "1.5",
        "0x" + "f" * 5000,
        "10000001",
    ),
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
    "controls": (
        *_NO_TEXT[:4],
        '"clip-only"',
        '["nope"]',
        '["clip-only", "clip-only"]',
        "[1]",
        '[""]',
        '["pruned-0"]',
        '["pruned-100"]',
        '["random-labels-0"]',
        '["dp-2"]',
    ),
    "removal": ("1", '"x"', "[]", "true", "[{}]"),
    "removal.thresholds": (
        *_NO_NUMBER,
        "0.5",
        "[]",
        "[0.2, 0.2]",
        "[0]",
        "[-1]",
        "[1.5]",
        "[nan]",
        '["x"]',
        "[[0.5]]",
        "[0.5, 0.5000000001]",
    ),
    "removal.models": (*_NO_NUMBER, "1", "0", "-3", "1.5", "100_001", '"auto"'),
    "removal.weight_decay": (*_NO_NUMBER, "-0.1", "1.5"),
    "removal.near_duplicates": (*_NO_NUMBER, "0", "-1", "10.5"),
    "standard.options": ("1", '"x"', "[]", "{a = nan}", "{a = 2020-01-01}", "{a = 1}"),
}
# What a table has beside the field in question.
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
            beside = {} if table == "removal" else _ARM
            arm = tables.setdefault(table, [f"{k} = {v}" for k, v in beside.items() if k != field])
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
        (
            f"{bench.word()} = ",
            "= 1",
            "[",
            "[[dp]",
            "seed = 1\nseed = 2",
            f"x = '{bench.word()}",
            'x = "\\q"',
            "x = 2020-13-01",
            "x = 1__0",
            f"x = {'9' * bench.int(5000, 9000)}",
            "x = [" + "[" * bench.int(2000, 20_000),
            "x = " + "{a=" * bench.int(2000, 9000),
            "[" + "a." * bench.int(500, 900) + "b",
            "\x00",
            "x = \x1b",
            "data.x = 1",
            "[data]",
            "[[standard]]\n[[standard]]",
            bench.nasty(),
        )
    )
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
