"""Hostile contents of run directories: shards, labels and results of somebody else."""

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
from benchmarks.hostile.reviews import anything, places, put
from benchmarks.hostile.runs import VERIFY, manifest_of, no_json_text, rewritten


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
        (
            lambda: whole[: bench.int(0, len(whole) - 1)],
            lambda: bench.bytes(0, 999),
            lambda: joined(
                header,
                body,
                bench.pick((0, 2**63, 2**64 - 1, len(whole), bench.int(10**8, 10**12))),
            ),
            lambda: entry(shape=[2**62, 2**62]),
            lambda: entry(shape=[-1]),
            lambda: entry(shape=[bench.int(10**9, 10**15)]),
            lambda: entry(dtype=bench.pick(("F99", "", "object", word))),
            lambda: entry(data_offsets=[0, 2**63]),
            lambda: entry(data_offsets=[bench.int(5, 99), 1]),
            lambda: entry(data_offsets=[0, len(body) + bench.int(1, 9999)]),
            lambda: joined({k: v for k, v in header.items() if k != bench.pick(names[:1])}, body),
            lambda: joined(b"{" * bench.int(9, 99_999), body),
            lambda: joined(b"[]", body),
            lambda: joined(word.encode(), body),
            lambda: whole + bench.bytes(1, 99),
            lambda: b"\x80\x04\x95" + whole,
        )
    )()


def other_shard(bench: Bench, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays that are no cohort of this run."""
    name = bench.pick(
        ("membership", "train_correct", "test_correct", "train_margin", "test_margin")
    )
    a = arrays[name]
    changed = bench.pick(
        (
            a[:1],
            a[:, :-1],
            a[0],
            a[None],
            a.astype(np.float64),
            a[:0],
            a.astype(np.int64),
            a.T.copy(),
            np.concatenate([a, a]),
            np.concatenate([a, a], axis=1),
            a.astype(np.int8),
            None,
        )
    )
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

    def make(_: bytes, arrays: dict[str, np.ndarray], facts: dict) -> bytes:
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
        (
            "",
            "[]",
            "{}",
            word,
            '{"classes": 3}',
            '{"classes": ["a"], "groupings": []}',
            "[" * 9999,
            "null",
            json.dumps({"classes": ["0", "1"], "groupings": [{"name": word}]}),
            json.dumps(
                {
                    "classes": ["0", "1"],
                    "groupings": [
                        {"name": "g", "kind": word, "subgroups": [], "uses_training_data": 0}
                    ],
                }
            ),
        )
    )
    listed(
        run,
        "labels",
        bench.pick(
            (
                lambda: save({**arrays, name: odd}, metadata=facts),
                lambda: save({**arrays, name: a[:-1].copy()}, metadata=facts),
                lambda: save({**arrays, name: a.astype(np.float32)}, metadata=facts),
                lambda: save(arrays, metadata={"names": bad_names}),
                lambda: save(arrays, metadata={word: word}),
                lambda: save({k: v for k, v in arrays.items() if k != name}, metadata=facts),
                lambda: save({**arrays, name: a[None].copy()}, metadata=facts),
                lambda: forged(bench, whole),
                lambda: forged(bench, whole),
            )
        )(),
    )
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
    commands = (
        ("show", "run", str(bench.int(0, 80))),
        ("report", "run", "--format", "json"),
        ("check", "run", "--policy", "default"),
    )
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
        )
    )
    return results_read(bench)


def other_table(bench: Bench) -> Case:
    """A table without a column, or with one of another type."""
    run = bench.run()
    name, needed = bench.pick(
        (
            (
                "examples",
                ("arm", "example", "label", "n_in", "p_in", "mem", "mem_low", "bound", "verdict"),
            ),
            ("influence", ("arm", "train_example", "test_example", "influence", "low", "q_value")),
            ("subgroups", ("grouping", "kind", "subgroup", "n_train", "n_test", "frequency")),
        )
    )
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
    content = no_json_text(bench)
    path = run / "results" / "summary.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Case(("report", "run", "--format", bench.pick(("json", "md"))))


def calibration(bench: Bench) -> Case:
    run = bench.run()
    good = {"setting": {"examples": 9}, "procedures": [], "schema_version": 1}
    content = bench.pick(
        (
            "",
            "[]",
            "null",
            "{",
            '{"setting": 1}',
            '{"setting": {}}',
            "[" * 9999,
            json.dumps({**good, "procedures": 3}),
            json.dumps({**good, "procedures": [bench.word()]}),
            json.dumps({**good, "procedures": [{"id": bench.word()}]}),
            json.dumps({"setting": bench.word()}),
            f'{{"{bench.word()}": 1}}',
            "9" * bench.int(5000, 9000),
        )
    )
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
