"""Hostile run directories: a real one with a manifest of somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.hostile.case import Bench, Case, Maker
from benchmarks.hostile.reviews import anything, at, other_type, places, put

Json = Any
_READERS = (
    ("report", "run", "--format", "json"),
    ("report", "run", "--format", "md"),
    ("report", "run", "--verify"),
    ("check", "run", "--policy", "default"),
    ("calibrate", "run", "--trials", "5"),
    ("diff", "run", "run"),
    ("report", "run", "--init-attestation"),
    ("report", "run", "--profile", "public", "--format", "json"),
    ("run", "--config", "c.toml", "--out", "run"),
)
VERIFY = ("report", "run", "--verify")


def reading(bench: Bench, *, maybe: bool = False) -> Case:
    """A command that reads the manifest of ``run``.

    What may be accepted is not verified, too: that takes long.
    """
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
    ("status",),
    ("config",),
    ("config_sha256",),
    ("seed",),
    ("command_line",),
    ("tool",),
    ("tool", "version"),
    ("data",),
    ("data", "name"),
    ("data", "source"),
    ("data", "fingerprint"),
    ("data", "n"),
    ("data", "n_test"),
    ("data", "features"),
    ("data", "classes"),
    ("data", "groupings"),
    ("data", "warnings"),
    ("data", "notes"),
    ("versions",),
    ("versions", "numpy"),
    ("hardware",),
    ("inclusion",),
    ("inclusion", "design"),
    ("inclusion", "p"),
    ("model",),
    ("model", "name"),
    ("engine",),
    ("engine", "standard"),
    ("engine", "standard", "name"),
    ("arms",),
    ("arms", "dp-2"),
    ("arms", "dp-2", "kind"),
    ("arms", "dp-2", "epsilon"),
    ("arms", "dp-2", "steps"),
    ("plan",),
    ("plan", "models"),
    ("plan", "cohort_size"),
    ("plan", "cohorts"),
    ("shards",),
    ("shards", "standard/0-1"),
    ("shards", "standard/0-1", "sha256"),
    ("cross_check",),
    ("cross_check", "standard", "passed"),
    ("schema_version",),
    ("canaries", "count"),
    ("judged_by",),
    ("judged_by", "epsilon"),
    ("arms", "clip-only", "kind"),
    ("removal",),
)


def typed(bench: Bench) -> Case:
    run = bench.run()
    manifest, place = manifest_of(run), bench.pick(_TYPED)
    rewritten(run, put(manifest, place, other_type(bench, at(manifest, place))))
    return reading(bench)


def taken_out(bench: Bench) -> Case:
    run = bench.run()
    place = bench.pick(
        [
            p
            for p in _TYPED
            if p[0] not in ("canaries", "judged_by", "removal")
            and p[-1] not in ("epsilon", "steps", "numpy", "dp-2", "standard/0-1", "standard")
        ]
    )
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
        (
            f"../{word}",
            "../../outside/precious",
            f"standard/../../{word}",
            "/etc/passwd",
            f"standard//{word}",
            "standard/",
            "/",
            "",
            f"standard/{word}\0",
            "standard/..",
            "../0-1",
            "..",
            f"standard/0-1/../{word}",
            f"~/{word}",
            f"standard/{bench.nasty()}",
            f"{bench.nasty()}/0-1",
            f"standard\\..\\{word}",
            f"standard/{word}",
            "standard/0",
            "standard/-1-1",
            "standard/5-0",
            "standard/a-b",
            f"standard/{10**30}-{10**31}",
            "standard/１-２",
        )
    )
    manifest["shards"][key] = entry
    rewritten(run, manifest)
    return Case(
        bench.pick(
            (
                VERIFY,
                ("run", "--config", "c.toml", "--out", "run"),
                ("report", "run", "--format", "json"),
            )
        ),
        maybe=True,
    )


def huge(bench: Bench) -> Case:
    """Sizes that no memory holds."""
    run = bench.run()
    manifest = manifest_of(run)
    size = bench.pick(
        (10**9, 10**12, 2**40, 2**62, -1, 0, bench.int(10**7, 10**15), -bench.int(2, 10**9))
    )
    place, command = bench.pick(
        (
            (("plan", "models"), VERIFY),
            (("data", "n"), VERIFY),
            (("data", "n_test"), VERIFY),
            (("plan", "models"), ("calibrate", "run", "--trials", "5")),
            (("data", "n"), ("calibrate", "run", "--trials", "5")),
            (("canaries", "count"), ("calibrate", "run", "--trials", "5")),
        )
    )
    rewritten(run, put(manifest, place, size))
    return Case(command, maybe=place == ("canaries", "count"))


def no_json_text(bench: Bench) -> str | bytes:
    whole = (bench.world / "run" / "run.json").read_text()
    return bench.pick(
        (
            whole[: bench.int(0, len(whole) - 3)],
            bench.bytes(1, 999) + b"\xff",
            "[" * bench.int(2000, 90_000),
            "[]",
            "null",
            f'"{bench.word()}"',
            f"{bench.int(0, 10**9)}",
            whole.encode("utf-16"),
            whole + bench.word(),
            "",
            whole.replace('"seed": 0', '"seed": ' + "9" * bench.int(5000, 9000)),
            '{"a":' * bench.int(2000, 9000),
            whole.replace("'", '"').replace('"', "'"),
            f'{{"{bench.word()}": 1}}',
            "{}",
            whole.rstrip()[:-1]
            + f', "x": {"[" * 900}{"]" * 900}, "schema_version": {bench.int(2, 99)}}}',
            whole.replace('"seed": 0', f'"seed": {bench.pick(("NaN", "Infinity", "1e999"))}'),
        )
    )


def no_json(bench: Bench) -> Case:
    run = bench.run()
    content = no_json_text(bench)
    (run / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    # With its copy a run would be restored, as it should.
    (run / "run.json.copy").unlink()
    return reading(bench)


def too_large(bench: Bench) -> Case:
    """Hundreds of megabytes of null bytes: sparse here, and all the same to who reads them."""
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
    name = bench.pick(
        (
            "run.json",
            "results/summary.json",
            "results/examples.parquet",
            "results/influence.parquet",
            "results/subgroups.parquet",
            "labels.safetensors",
            "shards/standard/0-1.safetensors",
        )
    )
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
    name = bench.pick(
        (
            ".report.json.tmp",
            ".report.html.tmp",
            ".attestation.toml.tmp",
            ".run.json.tmp",
            ".lock",
            "results/.calibration.json.tmp",
            "results/.summary.json.tmp",
            ".labels.safetensors.tmp",
            "attestation.toml",
            "results/calibration.json",
            f"{bench.word()}.toml",
        )
    )
    if (run / name).exists():
        (run / name).unlink()
    (run / name).symlink_to(("../" if "/" in name else "") + target)
    for each in ("t.csv", "c.toml"):
        bench.write(each, (bench.world / each).read_bytes())
    return Case(bench.pick((*_READERS, ("report", "run"))))


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
