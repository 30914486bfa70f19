"""Hostile reports, and how JSON documents are made hostile."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.hostile.case import Bench, Case, Maker

Json = Any
Place = tuple[str | int, ...]


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
    *way, last = path
    inner = at(changed, tuple(way))
    if value is KeyError:
        del inner[last]
    else:
        inner[last] = value
    return changed


def anything(bench: Bench) -> Json:
    """Any JSON value, the odder the better."""
    return bench.pick(
        (
            None,
            True,
            False,
            0,
            -1,
            1e308,
            -1e308,
            2**63,
            bench.int(-(10**9), 10**9),
            [],
            {},
            [[]],
            "",
            bench.nasty(),
            bench.word(),
            {bench.nasty(): bench.nasty()},
            [bench.word()],
            10**30,
            "../../x",
            0.5,
            [None],
            {"value": "x"},
        )
    )


def other_type(bench: Bench, value: Json) -> Json:
    """A value of another type than ``value`` is of; never null, which many fields may be."""
    kinds = (True, "zq" + bench.word(), [bench.word()], {bench.word(): bench.word()}, bench.word())
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return bench.pick([k for k in kinds if number or type(k) is not type(value)])


# Everything of a report that is used has a type: another one in any of these places is refused.
_TYPED: tuple[Place, ...] = (
    ("title",),
    ("profile",),
    ("incomplete",),
    ("findings",),
    ("findings", 0, "id"),
    ("findings", 0, "statement"),
    ("findings", 0, "verdict"),
    ("findings", 1, "fails"),
    ("findings", 1, "inconclusive"),
    ("results",),
    ("results", "models"),
    ("results", "arms"),
    ("results", "arms", "dp-2"),
    ("results", "arms", "dp-2", "epsilon"),
    ("results", "arms", "dp-2", "delta"),
    ("results", "arms", "dp-2", "loss"),
    ("results", "subgroups"),
    ("results", "subgroups", 0, "grouping"),
    ("results", "subgroups", 0, "subgroup"),
    ("results", "disparity"),
    ("results", "arms", "dp-2", "exposure"),
    ("attestation",),
    ("attestation", "statements"),
    ("source",),
    ("source", "data"),
    ("source", "data", "name"),
    ("source", "data", "n"),
    ("source", "seed"),
    ("tool",),
    ("tool", "version"),
    ("source", "config_sha256"),
    ("schema",),
    ("schema_version",),
)


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
    spare = {"seed", "config_sha256", "disparity", "subgroups", "statements", "version"}
    needed = [place for place in _TYPED if len(place) < 3 and not spare & set(place)]
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
        (
            whole[:at_],
            whole[at_:],
            whole + bench.word(),
            "[" * bench.int(9_000, 90_000),
            bench.bytes(9, 999) + b"\xff",
            '{"a": ' * bench.int(2000, 9000),
            "",
            " " * bench.int(1, 99),
            f'"{bench.word()}"',
            str(bench.int(0, 10**9)),
            whole.encode("utf-16"),
            b"\xff" + whole.encode(),
            whole.replace('"', "'"),
            whole[:-1] + f', "{key}": 1}}',
            whole[:-1] + ', "x": ' + "[" * bench.int(70, 400) + "]" * 400 + "}",
            f"[{whole}]",
            "{}",
            f"// {bench.word()}\n{whole}",
            whole[:-1] + f', "x": {"[" * 80 + "1" + "]" * 80}}}',
        )
    )


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


REPORTS: dict[str, Maker] = {
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
