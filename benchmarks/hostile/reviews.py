"""Hostile policies, attestations and reports."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.hostile.case import Bench, Case, Maker

Json = Any
Place = tuple[str | int, ...]

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
        (f"{word} = ", f"[{word}", "a = 1\na = 2", f"# {word}\n", f"# {word}\n[claim]\n[claim]", f"{word}\0",
         "x = [" + "[" * bench.int(2000, 9000), "x = 0x" + "f" * bench.int(5000, 9000), f"# {word}\xff".encode("latin1"),
         "x = " + "9" * bench.int(5000, 9000), "x = 2020-13-01", f"x = '{word}", bench.nasty() + " = 1", "",
         f"# {word}" + "x" * bench.int(2**20, 2**20 + 99), bench.bytes(99, 999) + b"\xff", "[a]\nx.y = 1\nx = 2",
         "[claim]\nepsilon_at_most = " + "[" * bench.int(99, 300) + "]" * 300, f"# {word}\n[checks]\n",
         "[" + "a." * bench.int(300, 900) + "b]\nx = 1")
    )  # fmt: skip


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
        ("1", "true", "[]", "{}", "nan", "1979-05-27T07:32:00Z", f'"{"x" * bench.int(5001, 9000)}"', '"\\u0000"',
         '"\\u001b[31m"', '"\\u0007"', "0x" + "f" * 5000, "[" * 200 + "]" * 200, f'["{word}"]', f"{{a = '{word}'}}")
    )  # fmt: skip
    table, key = bench.pick(
        (("claim", "plain"), ("claim", "unit_of_privacy"), ("claim", "trust_model"))
    )
    return f"# {word}\n[{table}]\n{key} = {bad}\n"


def _date(bench: Bench) -> str:
    bad = bench.pick(
        ('"soon"', '"2026-02-30"', '"20260302"', "1", "12:00:00", f'"{bench.word()}"', '"2026-1-1"', "true",
         "2026-03-02T10:00:00Z", '"2026-03-02 "' + "x", f'"{bench.int(10000, 99999)}-01-01"')
    )  # fmt: skip
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


def places(value: Json, path: Place = ()) -> Iterator[Place]:
    """Every place in a JSON document."""
    if path:
        yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*path, key))


def at(value: Json, path: Place) -> Json:
    """What stands in a place."""
    for key in path:
        value = value[key]
    return value


def put(document: Json, path: Place, value: Json) -> Json:
    """A copy of ``document`` with something else in one place; ``KeyError`` takes the place out."""
    changed = copy.deepcopy(document)
    inner = at(changed, path[:-1])
    if value is KeyError:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def anything(bench: Bench) -> Json:
    """Any JSON value, the odder the better."""
    return bench.pick(
        (None, True, False, 0, -1, 1e308, -1e308, 2**63, bench.int(-(10**9), 10**9), [], {}, [[]], "", bench.nasty(),
         bench.word(), {bench.nasty(): bench.nasty()}, [bench.word()], 10**30, "../../x", 0.5, [None], {"value": "x"})
    )  # fmt: skip


def other_type(bench: Bench, value: Json) -> Json:
    """A value of another type than ``value`` is of; never null, which many fields may be."""
    kinds = (True, "zq" + bench.word(), [bench.word()], {bench.word(): bench.word()}, bench.word())
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return bench.pick([k for k in kinds if number or type(k) is not type(value)])


# Everything of a report that is used has a type: another one in any of these places is refused.
_TYPED: tuple[Place, ...] = (
    ("title",), ("profile",), ("incomplete",), ("findings",), ("findings", 0, "id"), ("findings", 0, "statement"),
    ("findings", 0, "verdict"), ("findings", 1, "fails"), ("findings", 1, "inconclusive"), ("results",),
    ("results", "models"), ("results", "arms"), ("results", "arms", "dp-2"), ("results", "arms", "dp-2", "epsilon"),
    ("results", "arms", "dp-2", "delta"), ("results", "arms", "dp-2", "loss"), ("results", "subgroups"),
    ("results", "subgroups", 0, "grouping"), ("results", "subgroups", 0, "subgroup"), ("results", "disparity"),
    ("results", "arms", "dp-2", "exposure"), ("attestation",), ("attestation", "statements"), ("source",),
    ("source", "data"), ("source", "data", "name"), ("source", "data", "n"), ("source", "seed"), ("tool",),
    ("tool", "version"), ("source", "config_sha256"), ("schema",), ("schema_version",),
)  # fmt: skip


def review(bench: Bench, text: str | bytes, *, maybe: bool = False) -> Case:
    """A report given to ``check`` or ``diff``."""
    bad = bench.write("bad.json", text)
    good = bench.write("good.json", (bench.world / "report.json").read_bytes())
    commands = (("check", bad, "--policy", "default"), ("diff", good, bad), ("diff", bad, good))
    return Case(bench.pick(commands), maybe=maybe)


def report_of(bench: Bench) -> Json:
    return json.loads((bench.world / "report.json").read_text())


def _typed(bench: Bench) -> Case:
    report = report_of(bench)
    place = bench.pick(_TYPED)
    return review(bench, json.dumps(put(report, place, other_type(bench, at(report, place)))))


def _taken_out(bench: Bench) -> Case:
    needed = [p for p in _TYPED if len(p) < 3 and p[-1] not in ("seed", "config_sha256", "disparity", "subgroups",
                                                                "statements", "version")]  # fmt: skip
    text = json.dumps(put(report_of(bench), bench.pick(needed), KeyError), indent=bench.int(0, 9))
    return review(bench, text)


def _anywhere(bench: Bench) -> Case:
    report = report_of(bench)
    every = [p for p in places(report) if p[0] not in ("sections", "page_one", "glossary")]
    return review(bench, json.dumps(put(report, bench.pick(every), anything(bench))), maybe=True)


def _number(bench: Bench) -> Case:
    place = bench.pick([p for p in places(report_of(bench)) if p[0] == "results"])
    mark = "zqmark"
    text = json.dumps(put(report_of(bench), place, mark))
    bad = bench.pick(
        (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e999",
            "-1e400",
            "9" * bench.int(21, 6000),
            "1" + "0" * 30,
        )
    )
    return review(bench, text.replace(f'"{mark}"', bad))


def _json(bench: Bench) -> str | bytes:
    whole = json.dumps(report_of(bench))
    at_ = bench.int(1, len(whole) - 2)
    key = bench.pick(("title", "findings", "results", "tool", "source"))
    return bench.pick(
        (whole[:at_], whole[at_:], whole + bench.word(), "[" * bench.int(9_000, 90_000), bench.bytes(9, 999) + b"\xff",
         '{"a": ' * bench.int(2000, 9000), "", " " * bench.int(1, 99), f'"{bench.word()}"', str(bench.int(0, 10**9)),
         whole.encode("utf-16"), b"\xff" + whole.encode(), whole.replace('"', "'"), whole[:-1] + f', "{key}": 1}}',
         whole[:-1] + ', "x": ' + "[" * bench.int(70, 400) + "]" * 400 + "}", f"[{whole}]", "{}", f"// {bench.word()}\n{whole}",
         whole[:-1] + f', "x": {"[" * 80 + "1" + "]" * 80}}}')
    )  # fmt: skip


def _findings(bench: Bench) -> Case:
    report = report_of(bench)
    twice = bench.pick(
        [f for f in report["findings"] if not f["id"].startswith(("trend-", "disparity-"))]
    )
    report["findings"].insert(
        bench.int(0, len(report["findings"])), {**twice, "value": bench.rng.random()}
    )
    return review(bench, json.dumps(report))


def _no_evidence(bench: Bench) -> Case:
    report = report_of(bench)
    report |= bench.pick(
        ({"incomplete": True}, {"planted": {"mark": f"PLANTED BUG {bench.word()}"}})
    )
    bad = bench.write("bad.json", json.dumps({**report, bench.word(): bench.word()}))
    return Case(("check", bad, "--policy", "default"))


def _version(bench: Bench) -> Case:
    version = bench.pick((0, 1, -1, 10**9, 2**70, None, "4", 4.5, True, [4], bench.int(100, 10**9)))
    return review(
        bench, json.dumps({**report_of(bench), "schema_version": version, "note": bench.word()})
    )


def _file(bench: Bench) -> Case:
    case = review(bench, "")
    (bench.here / "bad.json").unlink()
    bench.special("bad.json")
    return case


REPORTS: dict[str, Callable[[Bench], Case]] = {
    "another type": _typed,
    "something taken out": _taken_out,
    "anything anywhere": _anywhere,
    "a number that is none": _number,
    "no JSON": lambda b: review(b, _json(b)),
    "a finding twice": _findings,
    "no evidence": _no_evidence,
    "schema version": _version,
    "no file": _file,
}
