"""Hostile policies and attestations."""

from __future__ import annotations

import json

from benchmarks.hostile.case import Bench, Case, Maker

_RULES = {
    "claim.verdict": ('"passed"', "1", "true", "[]", '""', '"Consistent"'),
    "claim.canaries": ('"yes"', "0", "{}"),
    "claim.epsilon_at_most": (
        "0",
        "-1",
        "1001",
        "nan",
        "inf",
        '"2"',
        "true",
        "[2]",
        "{}",
        "2020-01-01",
    ),
    "claim.delta_at_most": ("0", "1", "nan", '"1e-5"', "-1e-5", "2"),
    "claim.delta_below_one_over_n": ("1", '"true"', "0", "[]"),
    "claim.certified_epsilon_at_most": ("-1", "nan", '"x"', "1001"),
    "accuracy.loss_at_most": ("0", "1", "-0.1", "5", "nan", '"3 %"', "true"),
    "accuracy.worst_group_loss_at_most": ("0", "1", "nan", "[]"),
    "accuracy.equivalence_margin": ("0", "1", "-1", "nan"),
    "accuracy.groupings": ("[]", '"g"', "[1]", '["g"]'),
    "accuracy.smallest_group": ("2", "-1", "1.5", '"10"', "1_000_001", "10"),
    "exposure.auc_at_most": ("0.4", "1.1", "nan", '"x"'),
    "exposure.balanced_accuracy_at_most": ("0.4", "2", "inf"),
    "exposure.tpr_at_1_percent_fpr_at_most": ("0.001", "2", "nan"),
    "checks.cross_check": ("1", '"yes"', "nan"),
    "checks.no_failed_finding": ("0", "[]"),
    "fields.stated": ("1", '"some"', "[]", "[1]", "true", '["no.such.field"]'),
    "arms": ('"dp-2"', "[]", "[1]", "true", "{}"),
}


def policy(bench: Bench, text: str | bytes) -> Case:
    """``audit check`` with a policy."""
    report = bench.write("r.json", (bench.world / "report.json").read_bytes())
    more = bench.pick(((), ("--format", "json"), ("--junit", "out.xml")))
    return Case(("check", report, "--policy", bench.write("p.toml", text), *more))


def rule(name: str) -> Maker:
    """A maker of policies with a rule that cannot be."""

    def make(bench: Bench) -> Case:
        table, dot, key = name.rpartition(".")
        line = f"{key} = {bench.pick(_RULES[name])}"
        asked = f"[exposure]\nauc_at_most = {bench.rng.uniform(0.5, 1):.6f}\n"
        if table == "exposure":
            asked = f"[claim]\nepsilon_at_most = {bench.rng.uniform(1, 900):.6f}\n"
        return policy(bench, f"[{table}]\n{line}\n{asked}" if dot else f"{line}\n{asked}")

    return make


def unknown_rule(bench: Bench) -> Case:
    name = bench.pick(
        (bench.word(), "epsilon_at_mots", f'"{bench.word()}\\n"', "verdicts", '"../x"')
    )
    table = bench.pick(("claim", "accuracy", "exposure", "checks", "fields", bench.word(), ""))
    return policy(bench, (f"[{table}]\n" if table else "") + f"{name} = {bench.int(0, 99)}\n")


def _no_toml(bench: Bench) -> str | bytes:
    word = bench.word()
    return bench.pick(
        (
            f"{word} = ",
            f"[{word}",
            "a = 1\na = 2",
            f"# {word}\n",
            f"# {word}\n[claim]\n[claim]",
            f"{word}\0",
            "x = [" + "[" * bench.int(2000, 9000),
            "x = 0x" + "f" * bench.int(5000, 9000),
            f"# {word}\xff".encode("latin1"),
            "x = " + "9" * bench.int(5000, 9000),
            "x = 2020-13-01",
            f"x = '{word}",
            bench.nasty() + " = 1",
            "",
            f"# {word}" + "x" * bench.int(2**20, 2**20 + 99),
            bench.bytes(99, 999) + b"\xff",
            "[a]\nx.y = 1\nx = 2",
            "[claim]\nepsilon_at_most = " + "[" * bench.int(99, 300) + "]" * 300,
            f"# {word}\n[checks]\n",
            "[" + "a." * bench.int(300, 900) + "b]\nx = 1",
        )
    )


def special_policy(bench: Bench) -> Case:
    case = policy(bench, "")
    (bench.here / "p.toml").unlink()
    bench.special("p.toml")
    return case


POLICIES: dict[str, Maker] = {
    **{f"rule {name}": rule(name) for name in _RULES},
    "unknown rule": unknown_rule,
    "no TOML": lambda b: policy(b, _no_toml(b)),
    "no file": special_policy,
}


def attestation(bench: Bench, text: str | bytes, *, binding: bool = True) -> Case:
    """``audit report`` of the run with an attestation."""
    manifest = json.loads((bench.world / "run" / "run.json").read_text())
    bench.run()
    bound = (
        f'[run]\nconfig_sha256 = "{manifest["config_sha256"]}"\n'
        f'data_fingerprint = "{manifest["data"]["fingerprint"]}"\n'
    )
    content = text.encode() if isinstance(text, str) else text
    own = bench.int(0, 1)
    name = bench.write(
        "run/attestation.toml" if own else "a.toml", binding * bound.encode() + content
    )
    form = bench.pick(("json", "md", "html"))
    return Case(("report", "run", "--format", form, *(() if own else ("--attestation", name))))


def _statement(bench: Bench) -> str:
    word = bench.word()
    bad = bench.pick(
        (
            "1",
            "true",
            "[]",
            "{}",
            "nan",
            "1979-05-27T07:32:00Z",
            f'"{"x" * bench.int(5001, 9000)}"',
            '"\\u0000"',
            '"\\u001b[31m"',
            '"\\u0007"',
            "0x" + "f" * 5000,
            "[" * 200 + "]" * 200,
            f'["{word}"]',
            f"{{a = '{word}'}}",
        )
    )
    table, key = bench.pick(
        (("claim", "plain"), ("claim", "unit_of_privacy"), ("claim", "trust_model"))
    )
    return f"# {word}\n[{table}]\n{key} = {bad}\n"


def _date(bench: Bench) -> str:
    bad = bench.pick(
        (
            '"soon"',
            '"2026-02-30"',
            '"20260302"',
            "1",
            "12:00:00",
            f'"{bench.word()}"',
            '"2026-1-1"',
            "true",
            "2026-03-02T10:00:00Z",
            '"2026-03-02 "' + "x",
            f'"{bench.int(10000, 99999)}-01-01"',
        )
    )
    return f"[signoff]\ndate = {bad}\nnext_review = {bench.pick(('2026-01-01', bad))}\n"


def _unknown_field(bench: Bench) -> str:
    table = bench.pick(("claim", "signoff", bench.word(), "claims"))
    name = bench.pick((bench.word(), "plainn", f'"{bench.word()}\\n"'))
    return f'[{table}]\n{name} = "{bench.word()}"\n'


def _other_run(bench: Bench) -> str:
    digest = "".join(bench.pick("0123456789abcdef") for _ in range(64))
    key = bench.pick(("config_sha256", "data_fingerprint"))
    bad = bench.pick(
        (f'"{digest}"', "1", "[]", f'"{bench.word()}"', f'"{bench.nasty()!a}"'.replace("\\x", ""))
    )
    return f'[run]\n{key} = {bad}\n[claim]\nplain = "{bench.word()}"\n'


def _early(bench: Bench) -> str:
    day = bench.int(1, 27)
    return (
        f"[signoff]\ndate = 2026-03-{day + 1:02}\nnext_review = 20{bench.int(10, 25)}-03-{day:02}\n"
    )


def special_attestation(bench: Bench) -> Case:
    case = attestation(bench, f"# {bench.word()}")
    own = "--attestation" not in case.argv
    path = "run/attestation.toml" if own else "a.toml"
    (bench.here / path).unlink()
    bench.special(path)
    return case


ATTESTATIONS: dict[str, Maker] = {
    "a statement": lambda b: attestation(b, _statement(b)),
    "a date": lambda b: attestation(b, _date(b)),
    "unknown field": lambda b: attestation(b, _unknown_field(b)),
    "another run": lambda b: attestation(b, _other_run(b), binding=False),
    "no run named": lambda b: attestation(b, f'[claim]\nplain = "{b.word()}"\n', binding=False),
    "a review before the sign-off": lambda b: attestation(b, _early(b)),
    "no TOML": lambda b: attestation(b, _broken(b)),
    "no file": special_attestation,
}


def _broken(bench: Bench) -> str | bytes:
    text = _no_toml(bench)
    while (
        text == ""
        or text in (b"", "")
        or (isinstance(text, str) and text.startswith("# ") and len(text) < 99)
    ):
        text = _no_toml(bench)
    return text
