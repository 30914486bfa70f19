"""Hostile run directories: a real one with a manifest, shards, labels or results of somebody else."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load, save

from benchmarks.hostile.case import Bench, Case, Maker
from benchmarks.hostile.reviews import anything, at, other_type, places, put

Json = Any
_READERS = (
    ("report", "run", "--format", "json"), ("report", "run", "--format", "md"), ("report", "run", "--verify"),
    ("check", "run", "--policy", "default"), ("calibrate", "run", "--trials", "5"), ("diff", "run", "run"),
    ("report", "run", "--init-attestation"), ("report", "run", "--profile", "public", "--format", "json"),
    ("run", "--config", "c.toml", "--out", "run"),
)  # fmt: skip
VERIFY = ("report", "run", "--verify")


def reading(bench: Bench, *, maybe: bool = False) -> Case:
    """A command that reads the manifest of ``run``; what may be accepted is not verified, too, which
    takes long."""
    for name in ("t.csv", "c.toml"):
        bench.write(name, (bench.world / name).read_bytes())
    commands = [words for words in _READERS if not maybe or words != VERIFY]
    return Case(bench.pick(commands), maybe=maybe)


def manifest_of(run: Path) -> Json:
    return json.loads((run / "run.json").read_text())


def rewritten(run: Path, manifest: Json) -> None:
    (run / "run.json").write_text(json.dumps(manifest, indent=1))


# What run.json has to say, and of which type (audit/manifest.py).
_TYPED = (
    ("status",), ("config",), ("config_sha256",), ("seed",), ("command_line",), ("tool",), ("tool", "version"),
    ("data",), ("data", "name"), ("data", "source"), ("data", "fingerprint"), ("data", "n"), ("data", "n_test"),
    ("data", "features"), ("data", "classes"), ("data", "groupings"), ("data", "warnings"), ("data", "notes"),
    ("versions",), ("versions", "numpy"), ("hardware",), ("inclusion",), ("inclusion", "design"), ("inclusion", "p"),
    ("model",), ("model", "name"), ("engine",), ("engine", "standard"), ("engine", "standard", "name"), ("arms",),
    ("arms", "dp-2"), ("arms", "dp-2", "kind"), ("arms", "dp-2", "epsilon"), ("arms", "dp-2", "steps"), ("plan",),
    ("plan", "models"), ("plan", "cohort_size"), ("plan", "cohorts"), ("shards",), ("shards", "standard/0-1"),
    ("shards", "standard/0-1", "sha256"), ("cross_check",), ("cross_check", "standard", "passed"), ("schema_version",),
    ("canaries", "count"), ("judged_by",), ("judged_by", "epsilon"),
)  # fmt: skip


def typed(bench: Bench) -> Case:
    run = bench.run()
    manifest, place = manifest_of(run), bench.pick(_TYPED)
    rewritten(run, put(manifest, place, other_type(bench, at(manifest, place))))
    return reading(bench)


def taken_out(bench: Bench) -> Case:
    run = bench.run()
    place = bench.pick([p for p in _TYPED if p[0] not in ("canaries", "judged_by") and p[-1] not in
                        ("epsilon", "steps", "numpy", "dp-2", "standard/0-1", "standard")])  # fmt: skip
    changed = put(manifest_of(run), place, KeyError)
    changed["status"] = (
        changed.get("status", "complete") + " " * bench.int(0, 99)
        if place != ("status",)
        else KeyError
    )
    if changed["status"] is KeyError:
        del changed["status"]
    rewritten(run, changed)
    return reading(bench)


def anywhere(bench: Bench) -> Case:
    run = bench.run()
    manifest = manifest_of(run)
    every = [p for p in places(manifest) if "privacy_curve" not in p[:-1]]
    rewritten(run, put(manifest, bench.pick(every), bench.pick((KeyError, anything(bench)))))
    return reading(bench, maybe=True)


def keys_that_escape(bench: Bench) -> Case:
    """Shards whose names are paths."""
    run = bench.run()
    manifest = manifest_of(run)
    entry = manifest["shards"].pop(bench.pick(("standard/0-1", "dp-2/2-3")))
    word = bench.word()
    key = bench.pick(
        (f"../{word}", "../../outside/precious", f"standard/../../{word}", "/etc/passwd", f"standard//{word}", "standard/",
         "/", "", f"standard/{word}\0", f"standard/..", "../0-1", "..", f"standard/0-1/../{word}", f"~/{word}",
         f"standard/{bench.nasty()}", f"{bench.nasty()}/0-1", f"standard\\..\\{word}", f"standard/{word}", "standard/0",
         "standard/-1-1", "standard/5-0", "standard/a-b", f"standard/{10**30}-{10**31}", "standard/１-２")
    )  # fmt: skip
    manifest["shards"][key] = entry
    rewritten(run, manifest)
    return Case(bench.pick((VERIFY, ("run", "--config", "c.toml", "--out", "run"), ("report", "run", "--format", "json"))),
                maybe=True)  # fmt: skip


def huge(bench: Bench) -> Case:
    """Sizes that no memory holds."""
    run = bench.run()
    manifest = manifest_of(run)
    size = bench.pick(
        (10**9, 10**12, 2**40, 2**62, -1, 0, bench.int(10**7, 10**15), -bench.int(2, 10**9))
    )
    place, command = bench.pick(
        ((("plan", "models"), VERIFY), (("data", "n"), VERIFY), (("data", "n_test"), VERIFY),
         (("plan", "models"), ("calibrate", "run", "--trials", "5")), (("data", "n"), ("calibrate", "run", "--trials", "5")),
         (("canaries", "count"), ("calibrate", "run", "--trials", "5")))
    )  # fmt: skip
    rewritten(run, put(manifest, place, size))
    return Case(command, maybe=place == ("canaries", "count"))


def _json(bench: Bench) -> str | bytes:
    whole = (bench.world / "run" / "run.json").read_text()
    return bench.pick(
        (whole[: bench.int(0, len(whole) - 3)], bench.bytes(1, 999) + b"\xff", "[" * bench.int(2000, 90_000), "[]", "null",
         f'"{bench.word()}"', f"{bench.int(0, 10**9)}", whole.encode("utf-16"), whole + bench.word(), "",
         whole.replace('"seed": 0', '"seed": ' + "9" * bench.int(5000, 9000)), '{"a":' * bench.int(2000, 9000),
         whole.replace("'", '"').replace('"', "'"), f'{{"{bench.word()}": 1}}', "{}",
         whole.rstrip()[:-1] + f', "x": {"[" * 900}{"]" * 900}, "schema_version": {bench.int(2, 99)}}}',
         whole.replace('"seed": 0', f'"seed": {bench.pick(("NaN", "Infinity", "1e999"))}'))
    )  # fmt: skip


def no_json(bench: Bench) -> Case:
    run = bench.run()
    content = _json(bench)
    (run / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    # With its copy a run would be restored, as it should.
    (run / "run.json.copy").unlink()
    return reading(bench)


def too_large(bench: Bench) -> Case:
    """A manifest of a hundred megabytes of blanks: sparse here, and all the same to who reads it."""
    run = bench.run()
    name = bench.pick(("run.json", "results/summary.json"))
    with (run / name).open("r+b") as file:
        file.truncate(bench.int(300, 900) << 20)
    return Case(
        bench.pick((("report", "run", "--format", "json"), ("check", "run", "--policy", "default")))
    )


def special(bench: Bench) -> Case:
    """A file of the run that is a pipe, a link, a folder or a socket."""
    run = bench.run()
    name = bench.pick(("run.json", "results/summary.json", "results/examples.parquet", "results/influence.parquet",
                       "results/subgroups.parquet", "labels.safetensors", "shards/standard/0-1.safetensors"))  # fmt: skip
    (run / name).unlink()
    if name == "run.json":
        (run / "run.json.copy").unlink()
    bench.special(f"run/{name}")
    if name.startswith(("labels", "shards")):
        return Case(VERIFY, maybe=(run / name).is_dir())
    if name.startswith("results"):
        return Case(
            bench.pick((("show", "run", str(bench.int(0, 9))), ("report", "run", "--format", "md")))
        )
    return reading(bench)


def link_out(bench: Bench) -> Case:
    """A link that would have a file written, or read, outside of the run directory."""
    run = bench.run()
    target = f"../../outside/{bench.pick(('precious', bench.word()))}"
    name = bench.pick((".report.json.tmp", ".report.html.tmp", ".attestation.toml.tmp", ".run.json.tmp", ".lock",
                       "results/.calibration.json.tmp", "results/.summary.json.tmp", ".labels.safetensors.tmp",
                       "attestation.toml", "results/calibration.json", f"{bench.word()}.toml"))  # fmt: skip
    if (run / name).exists():
        (run / name).unlink()
    (run / name).symlink_to(("../" if "/" in name else "") + target)
    for each in ("t.csv", "c.toml"):
        bench.write(each, (bench.world / each).read_bytes())
    return Case(bench.pick(_READERS + (("report", "run"),)))


def folder_out(bench: Bench) -> Case:
    """The folder of results or shards is a link to a place outside."""
    run = bench.run()
    name = bench.pick(("results", "shards", "shards/standard"))
    place = bench.here.parent / "outside" / bench.word()
    (run / name).rename(place)
    (run / name).symlink_to(("../" * (3 + name.count("/"))) + f"outside/{place.name}")
    return Case(
        bench.pick(
            (("calibrate", "run", "--trials", "5"), ("report", "run", "--format", "json"), VERIFY)
        )
    )


MANIFESTS: dict[str, Maker] = {
    "another type": typed,
    "something taken out": taken_out,
    "anything anywhere": anywhere,
    "names of shards": keys_that_escape,
    "sizes": huge,
    "no JSON": no_json,
    "too large": too_large,
    "a file that is none": special,
    "a link out of it": link_out,
    "a folder that is a link": folder_out,
}


def listed(run: Path, key: str, content: bytes) -> None:
    """A file of the run whose digest is the one in the manifest."""
    path = run / ("labels.safetensors" if key == "labels" else f"shards/{key}.safetensors")
    path.write_bytes(content)
    manifest = manifest_of(run)
    entry = manifest["labels"] if key == "labels" else manifest["shards"][key]
    entry["sha256"] = hashlib.sha256(content).hexdigest()
    rewritten(run, manifest)


def tensors(whole: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and what comes after it."""
    size = struct.unpack("<Q", whole[:8])[0]
    return json.loads(whole[8 : 8 + size]), whole[8 + size :]


def joined(header: object, body: bytes, size: int | None = None) -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def forged(bench: Bench, whole: bytes) -> bytes:
    """A safetensors file that is none any more."""
    header, body = tensors(whole)
    names = [name for name in header if name != "__metadata__"]
    name = bench.pick(names)
    word = bench.word()

    def entry(**change: object) -> bytes:
        return joined({**header, name: {**header[name], **change}}, body)

    return bench.pick(
        (lambda: whole[: bench.int(0, len(whole) - 1)], lambda: bench.bytes(0, 999),
         lambda: joined(header, body, bench.pick((0, 2**63, 2**64 - 1, len(whole), bench.int(10**8, 10**12)))),
         lambda: entry(shape=[2**62, 2**62]), lambda: entry(shape=[-1]), lambda: entry(shape=[bench.int(10**9, 10**15)]),
         lambda: entry(dtype=bench.pick(("F99", "", "object", word))), lambda: entry(data_offsets=[0, 2**63]),
         lambda: entry(data_offsets=[bench.int(5, 99), 1]), lambda: entry(data_offsets=[0, len(body) + bench.int(1, 9999)]),
         lambda: joined({k: v for k, v in header.items() if k != bench.pick(names[:1])}, body),
         lambda: joined(b"{" * bench.int(9, 99_999), body), lambda: joined(b"[]", body), lambda: joined(word.encode(), body),
         lambda: whole + bench.bytes(1, 99), lambda: b"\x80\x04\x95" + whole)
    )()  # fmt: skip


def other_shard(bench: Bench, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays that are no cohort of this run."""
    name = bench.pick(
        ("membership", "train_correct", "test_correct", "train_margin", "test_margin")
    )
    a = arrays[name]
    changed = bench.pick(
        (a[:1], a[:, :-1], a[0], a[None], a.astype(np.float64), a[:0], a.astype(np.int64), a.T.copy(),
         np.concatenate([a, a]), np.concatenate([a, a], axis=1), a.astype(np.int8), None)
    )  # fmt: skip
    found = {**arrays, name: changed}
    if changed is None:
        del found[
            bench.pick(("membership", "train_correct", "test_correct")) if bench.int(0, 1) else name
        ]
        found = {k: v for k, v in found.items() if v is not None}
    return {k: np.ascontiguousarray(v) for k, v in found.items()}


def shard(
    bench: Bench,
    make: Callable[[bytes, dict[str, np.ndarray], dict], bytes],
    *,
    maybe: bool = False,
) -> Case:
    """``--verify`` of a run with a shard made by ``make``, which is the one listed."""
    run = bench.run()
    key = bench.pick(("standard/0-1", "standard/2-3", "dp-2/0-1", "dp-2/2-3"))
    whole = (run / f"shards/{key}.safetensors").read_bytes()
    listed(run, key, make(whole, load(whole), tensors(whole)[0]["__metadata__"]))
    return Case(VERIFY, maybe=maybe)


def sizes(bench: Bench) -> Case:
    """The numbers of examples that a shard states of itself."""

    def make(whole: bytes, arrays: dict[str, np.ndarray], facts: dict) -> bytes:
        key = bench.pick(("n", "n_test"))
        bad = bench.pick(
            (
                "0",
                "-1",
                "1",
                "x",
                "",
                "1e3",
                str(2**62),
                str(10**30),
                str(bench.int(200, 10**9)),
                None,
            )
        )
        changed = {k: v for k, v in {**facts, key: bad}.items() if v is not None}
        return save(arrays, metadata={**changed, "note": bench.word()})

    return shard(bench, make)


def labels(bench: Bench) -> Case:
    run = bench.run()
    whole = (run / "labels.safetensors").read_bytes()
    arrays, facts = load(whole), tensors(whole)[0]["__metadata__"]
    name = bench.pick(tuple(arrays))
    a = arrays[name]
    odd = a.copy()
    odd[bench.int(0, len(a) - 1)] = bench.pick((-1, 99, 10**6, -bench.int(2, 10**6)))
    word = bench.word()
    bad_names = bench.pick(
        ("", "[]", "{}", word, '{"classes": 3}', '{"classes": ["a"], "groupings": []}', "[" * 9999, "null",
         json.dumps({"classes": ["0", "1"], "groupings": [{"name": word}]}),
         json.dumps({"classes": ["0", "1"], "groupings": [{"name": "g", "kind": word, "subgroups": [], "uses_training_data": 0}]}))
    )  # fmt: skip
    listed(run, "labels", bench.pick(
        (lambda: save({**arrays, name: odd}, metadata=facts), lambda: save({**arrays, name: a[:-1].copy()}, metadata=facts),
         lambda: save({**arrays, name: a.astype(np.float32)}, metadata=facts), lambda: save(arrays, metadata={"names": bad_names}),
         lambda: save(arrays, metadata={word: word}), lambda: save({k: v for k, v in arrays.items() if k != name}, metadata=facts),
         lambda: save({**arrays, name: a[None].copy()}, metadata=facts), lambda: forged(bench, whole),
         lambda: forged(bench, whole))
    )())  # fmt: skip
    return Case(VERIFY)


SHARDS: dict[str, Maker] = {
    "no safetensors": lambda b: shard(b, lambda whole, arrays, facts: forged(b, whole)),
    "another cohort": lambda b: shard(
        b,
        lambda whole, arrays, facts: save(
            other_shard(b, arrays), metadata={**facts, "note": b.word()}
        ),
        maybe=True,
    ),
    "sizes": sizes,
    "labels": labels,
}

_TABLES = ("examples", "influence", "subgroups")


def results_read(bench: Bench, *, maybe: bool = False) -> Case:
    commands = (("show", "run", str(bench.int(0, 80))), ("report", "run", "--format", "json"),
                ("check", "run", "--policy", "default"))  # fmt: skip
    return Case(bench.pick(commands), maybe=maybe)


def table(bench: Bench) -> Case:
    run = bench.run()
    path = run / "results" / f"{bench.pick(_TABLES)}.parquet"
    whole = path.read_bytes()
    path.write_bytes(
        bench.pick(
            (
                whole[: bench.int(0, len(whole) - 1)],
                bench.bytes(0, 999),
                b"PAR1" + bench.bytes(9, 99) + b"PAR1",
                b"a,b\n" + bench.word().encode(),
            )
        )  # fmt: skip
    )
    return results_read(bench)


def other_table(bench: Bench) -> Case:
    """A table without a column, or with one of another type."""
    run = bench.run()
    name, needed = bench.pick(
        (("examples", ("arm", "example", "label", "n_in", "p_in", "mem", "mem_low", "bound", "verdict")),
         ("influence", ("arm", "train_example", "test_example", "influence", "low", "q_value")),
         ("subgroups", ("grouping", "kind", "subgroup", "n_train", "n_test", "frequency")))
    )  # fmt: skip
    path = run / "results" / f"{name}.parquet"
    frame, column = pd.read_parquet(path), bench.pick(needed)
    numbers = pd.api.types.is_numeric_dtype(frame[column]) and len(frame)
    if numbers and bench.int(0, 1):
        frame[column] = [bench.nasty() for _ in range(len(frame))]
    else:
        frame = frame.drop(columns=column).assign(**{bench.word(): 1.0})
    frame.to_parquet(path)
    return results_read(bench)


def odd_values(bench: Bench) -> Case:
    run = bench.run()
    path = run / "results" / f"{bench.pick(_TABLES)}.parquet"
    frame = pd.read_parquet(path)
    column = bench.pick(list(frame.columns))
    if pd.api.types.is_numeric_dtype(frame[column]):
        frame[column] = bench.pick((np.nan, np.inf, -1.0, 1e300, float(2**62)))
    else:
        frame[column] = bench.pick((bench.nasty(), "", None))
    (frame if bench.int(0, 3) else frame[:0]).to_parquet(path)
    return results_read(bench, maybe=True)


def summary(bench: Bench) -> Case:
    run = bench.run()
    path = run / "results" / "summary.json"
    document = json.loads(path.read_text())
    place = bench.pick([p for p in places(document) if len(p) < 5])
    path.write_text(json.dumps(put(document, place, bench.pick((KeyError, anything(bench))))))
    return results_read(bench, maybe=True)


def no_summary(bench: Bench) -> Case:
    run = bench.run()
    content = _json(bench)
    path = run / "results" / "summary.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Case(("report", "run", "--format", bench.pick(("json", "md"))))


def calibration(bench: Bench) -> Case:
    run = bench.run()
    good = {"setting": {"examples": 9}, "procedures": [], "schema_version": 1}
    content = bench.pick(
        ("", "[]", "null", "{", '{"setting": 1}', '{"setting": {}}', "[" * 9999, json.dumps({**good, "procedures": 3}),
         json.dumps({**good, "procedures": [bench.word()]}), json.dumps({**good, "procedures": [{"id": bench.word()}]}),
         json.dumps({"setting": bench.word()}), f'{{"{bench.word()}": 1}}', "9" * bench.int(5000, 9000))
    )  # fmt: skip
    (run / "results" / "calibration.json").write_text(content)
    return Case(("report", "run", "--format", bench.pick(("json", "md", "html"))))


RESULTS: dict[str, Maker] = {
    "no Parquet": table,
    "columns": other_table,
    "values": odd_values,
    "summary": summary,
    "summary that is no JSON": no_summary,
    "calibration": calibration,
}
