"""What changed between two reports, and what of it is worse. PURE.

What makes something worse, and how differences of numbers are judged: docs/commands/diff.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import EXIT_FINDING_FAILS, EXIT_OK
from audit.report.diff_numbers import number_changes
from audit.report.diff_result import SECTIONS, Change, Kind, sided
from audit.report.diff_subgroups import subgroup_changes
from audit.report.diff_verdicts import verdict_changes
from audit.report.reading import claiming_arms, refuse_unfinished
from audit.report.words import Json, finite, general, joined, name, part

SCHEMA = "audit-diff"
SCHEMA_VERSION = 1
_NATIVE = {
    "noise_multiplier": "noise multiplier",
    "sample_rate": "sampling rate",
    "steps": "steps",
    "clip_norm": "clipping norm",
}
_LONGEST_STATEMENT = 200


@dataclass(frozen=True)
class Difference:
    """All changes, the gravest first in each section, and what bears on reading them.

    ``identical``: the reports are the same value. ``notes``: what could not be compared, how
    differences were judged. ``elsewhere``: parts of the reports that differ although no change
    was found.
    """

    old: Json
    new: Json
    identical: bool
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    elsewhere: tuple[str, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """The changes for the worse."""
        return tuple(change for change in self.changes if change.kind == "worse")

    @property
    def exit_code(self) -> int:
        """1 if anything got worse, else 0."""
        return EXIT_FINDING_FAILS if self.worse else EXIT_OK

    def to_json(self) -> Json:
        """As ``audit diff --format json`` writes it."""
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "old": self.old,
            "new": self.new,
            "identical": self.identical,
            "worse": len(self.worse),
            "changes": [change.to_json() for change in self.changes],
            "notes": list(self.notes),
            "differ_elsewhere": list(self.elsewhere),
        }


def diff(
    old: Mapping[str, Any], new: Mapping[str, Any], *, names: tuple[str, str] = ("old", "new")
) -> Difference:
    """What changed from ``old`` to ``new``; ``names``: what errors call them.

    Raises:
        BadInput: one of the runs is not complete, or a bug is planted in it.
    """
    for report, called in zip((old, new), names, strict=True):
        refuse_unfinished(report, called)
    arms = paired_arms(old, new)
    changes = [*_about(old, new), *_claims(old, new, arms), *verdict_changes(old, new, arms)]
    notes = [*_notes(old, new, arms)]
    if old["profile"] == new["profile"]:
        for found, told in (number_changes(old, new, arms), subgroup_changes(old, new, arms)):
            changes += found
            notes += told
    changes += _fields(old, new)
    changes.sort(key=lambda change: (SECTIONS.index(change.section), change.rank))
    elsewhere = (
        [] if changes else [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    )
    return Difference(
        _identity(old), _identity(new), old == new, tuple(changes), tuple(notes), tuple(elsewhere)
    )


def paired_arms(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """The arm of the old report that each arm of the new one is compared with: the one of its name.

    Where each report has one arm that claims something, these are compared whatever their names:
    with another ε the arm is called otherwise, and that is the change to see.
    """
    before, now = old["results"]["arms"], new["results"]["arms"]
    pairs = {arm: arm for arm in now if arm in before}
    claimed, claiming = claiming_arms(old), claiming_arms(new)
    if len(claimed) == len(claiming) == 1 and claiming[0] not in before and claimed[0] not in now:
        pairs[claiming[0]] = claimed[0]
    return pairs


def _identity(report: Mapping[str, Any]) -> Json:
    source = report["source"]
    return {
        "title": report["title"],
        "finished": source.get("finished"),
        "config_sha256": source.get("config_sha256"),
    }


def _notes(old: Mapping[str, Any], new: Mapping[str, Any], arms: dict[str, str]) -> Iterator[str]:
    for now, before in arms.items():
        if now != before:
            yield f"{name(now)} is compared with {name(before)}, the one private arm of each report"
    if old["schema_version"] != new["schema_version"]:
        yield (
            f"the reports have schema versions {old['schema_version']} and "
            f"{new['schema_version']}: what only one of them holds is not compared"
        )
    if old["profile"] != new["profile"]:
        yield (
            f"one report is {name(old['profile'])}, the other {name(new['profile'])}: numbers and "
            "subgroups are not compared, since a public report rounds and withholds"
        )
    if _data(old).get("fingerprint") != _data(new).get("fingerprint"):
        yield "the data are other ones: any difference may be theirs"


def _about(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    before, now = dict(_facts(old)), dict(_facts(new))
    return [
        Change("about", what, "changed", old=before.get(what), new=now.get(what))
        for what in dict.fromkeys([*before, *now])
        if before.get(what) != now.get(what)
    ]


def _facts(report: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """What the report is about, in words; None where it is not recorded."""
    source, data, tool = report["source"], _data(report), report["tool"]
    yield "data", _text(data.get("name"))
    yield "data fingerprint", _text(data.get("fingerprint"))
    yield "training examples", _text(data.get("n"))
    yield "test examples", _text(data.get("n_test"))
    yield "models per arm", _text(report["results"]["models"])
    yield "configuration (SHA-256)", _text(source.get("config_sha256"))
    yield "seed", _text(source.get("seed"))
    model = source.get("model") or {}
    yield "model", ", ".join(name(m) for m in (model.get("name"), model.get("description")) if m)
    subsets = source.get("inclusion") or {}
    yield "subsets", ", ".join(f"{name(k)} {name(v)}" for k, v in sorted(subsets.items()))
    for arm, engine in sorted((source.get("engine") or {}).items()):
        yield f"engine of {name(arm)}", _text(engine.get("name"))
    yield "tool", " ".join(name(t) for t in (tool.get("name"), tool.get("version")) if t)
    yield "commit of the tool", _text(tool.get("commit"))
    for package, version in sorted((source.get("versions") or {}).items()):
        yield f"version of {name(package)}", _text(version)
    yield "schema version of the report", _text(report["schema_version"])
    yield "profile", _text(report["profile"])


def _claims(
    old: Mapping[str, Any], new: Mapping[str, Any], arms: dict[str, str]
) -> Iterator[Change]:
    before, now = old["results"]["arms"], new["results"]["arms"]
    claimed, claiming = claiming_arms(old), claiming_arms(new)
    for arm in claiming:
        facts = now[arm]
        if arms.get(arm) not in claimed:
            yield Change("claims", f"claim of {name(arm)}", "new", new=_claim(facts))
            continue
        was = before[arms[arm]]
        for key, symbol in (("epsilon", "ε"), ("delta", "δ")):
            yield from _number(symbol, arm, was.get(key), facts.get(key), larger_is_worse=True)
        for key, words in _NATIVE.items():
            yield from _number(words, arm, was.get(key), facts.get(key))
    kept = [arms.get(arm) for arm in claiming]
    for arm in claimed:
        if arm not in kept:
            # Of an arm that is still there, a claim that is withdrawn; of another, one that nothing
            # as strict has taken the place of.
            strict = any(_as_strict(now[other], before[arm]) for other in claiming)
            kind: Kind = "gone" if strict and arm not in arms.values() else "worse"
            yield Change("claims", f"claim of {name(arm)}", kind, old=_claim(before[arm]))


def _as_strict(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a claim forbids at least what another one did."""
    pairs = [(part(now, key), part(before, key)) for key in ("epsilon", "delta")]
    return all(a is not None and b is not None and a <= b for a, b in pairs)


def _number(
    what: str, arm: str, old: Any, new: Any, *, larger_is_worse: bool = False
) -> Iterator[Change]:
    if old == new:
        return
    kind: Kind = "changed"
    if larger_is_worse:
        # A claim that is no longer recorded is none.
        grown = not finite(new) or (finite(old) and new > old)
        kind = sided(grown)
    shown = [general(x, 6) if finite(x) else None for x in (old, new)]
    yield Change("claims", f"{what} of {name(arm)}", kind, old=shown[0], new=shown[1])


def _claim(facts: Mapping[str, Any]) -> str:
    return f"ε = {general(facts.get('epsilon'))}, δ = {general(facts.get('delta'), 2)}"


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Attested fields; an empty statement is none."""
    before, now = _statements(old), _statements(new)
    for field in dict.fromkeys([*before, *now]):
        was, text = before.get(field), now.get(field)
        if was == text:
            continue
        kind: Kind = "worse" if text is None else "new" if was is None else "changed"
        note = "withdrawn" if text is None else "newly stated" if was is None else ""
        shown = [None if t is None else name(t, _LONGEST_STATEMENT) for t in (was, text)]
        yield Change("fields", name(field), kind, old=shown[0], new=shown[1], note=note)


def _statements(report: Mapping[str, Any]) -> dict[str, str]:
    stated = report["attestation"].get("statements") or {}
    return {field: text for field, text in stated.items() if text.strip()}


def _data(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return report["source"]["data"]


def _text(value: Any) -> str | None:
    return None if value is None else name(value)


def headline(found: Difference) -> str:
    """The result in one sentence."""
    if found.identical:
        return "Nothing changed: the two reports are identical."
    if not found.changes:
        parts = joined([name(key) for key in found.elsewhere])
        return f"Nothing that is compared changed; the reports differ in {parts} (times, say)."
    worse, all_ = len(found.worse), len(found.changes)
    return (
        f"{all_} {'change' if all_ == 1 else 'changes'}, {worse or 'none'} of them for the worse."
    )
