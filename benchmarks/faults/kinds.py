"""The kinds of fault: each disturbs one run and gives its command again."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.trial import (
    FINISHED,
    INTERRUPTED,
    REFUSED,
    Trial,
    Unavailable,
    gone,
    listed,
    workers,
)


def kill_a_worker(trial: Trial) -> None:
    process = trial.study.start(trial.out)
    trial.wait_for(process, trial.some_cohorts())
    victims = workers(process.pid)[:1]
    trial.took_place = bool(victims)
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    trial.note(said, process.returncode, {REFUSED, FINISHED})
    trial.remember()
    trial.finish()


def interrupt(trial: Trial, first: int, second: int | None = None) -> None:
    process = trial.study.start(trial.out)
    trial.wait_for(process, trial.some_cohorts())
    time.sleep(trial.rng.uniform(0, 0.3))
    os.killpg(process.pid, first) if first == signal.SIGINT else process.send_signal(first)
    if second is not None:
        time.sleep(trial.rng.uniform(0, 0.2))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, second)
    _, said = process.communicate(timeout=120)
    gone(process.pid)
    trial.note(said, process.returncode, {INTERRUPTED, FINISHED})
    trial.remember()
    trial.finish()


def mounted(path: Path, options: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode:
        raise Unavailable(f"no tmpfs can be mounted: {done.stderr.strip()}")


@contextlib.contextmanager
def small_disk(trial: Trial, size: str) -> Iterator[Path]:
    """A file system of ``size`` for the run."""
    place = trial.out.parent / "disk"
    mounted(place, f"size={size}")
    trial.out = place / "run"
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=False)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def full_disk(trial: Trial) -> None:
    # The arrays for the workers take about half a megabyte.
    size = int(trial.rng.integers(60, 900))
    with small_disk(trial, f"{size}k") as place:
        done = trial.study.run(trial.out)
        trial.note(done.stderr, done.returncode, {REFUSED}, "no space left")
        trial.remember()
        remount(place, "size=64m")
        trial.finish()


def read_only(trial: Trial) -> None:
    with small_disk(trial, "64m") as place:
        process = trial.study.start(trial.out)
        trial.wait_for(process, trial.some_cohorts())
        trial.took_place = False
        # Fails while a file is open for writing: then at the next moment.
        while process.poll() is None and not trial.took_place:
            tried = ["mount", "-o", "remount,ro", str(place)]
            trial.took_place = not subprocess.run(tried, capture_output=True).returncode
            time.sleep(0.005)
        _, said = process.communicate(timeout=120)
        trial.note(said, process.returncode, {REFUSED, FINISHED})
        remount(place, "rw")
        trial.remember()
        trial.finish()


def stopped(trial: Trial) -> None:
    """Begin, and kill with some cohorts done."""
    process = trial.study.start(trial.out)
    trial.wait_for(process, trial.some_cohorts())
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    gone(process.pid)
    trial.remember()


def flipped_bit(trial: Trial) -> None:
    stopped(trial)
    key = sorted(trial.kept)[int(trial.rng.integers(len(trial.kept)))]
    path = trial.damage(key)
    content = bytearray(path.read_bytes())
    bit = int(trial.rng.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    trial.finish(words="damaged and trained again")


def truncated_manifest(trial: Trial) -> None:
    stopped(trial)
    path = trial.out / "run.json"
    content = path.read_bytes()
    path.write_bytes(content[: int(trial.rng.integers(len(content) - 2))])
    trial.finish(words="restored")


def no_manifest_at_all(trial: Trial) -> None:
    """Both copies damaged: refused, nothing overwritten; put back, the run goes on."""
    stopped(trial)
    files = [p for p in (trial.out / "run.json", trial.out / "run.json.copy") if p.exists()]
    contents = {path: path.read_bytes() for path in files}
    for path, content in contents.items():
        path.write_bytes(content[: len(content) // 2])
    before = {p: p.read_bytes() for p in trial.out.rglob("*") if p.is_file()}
    done = trial.study.run(trial.out)
    trial.note(done.stderr, done.returncode, {REFUSED}, "not valid JSON")
    if before != {p: p.read_bytes() for p in trial.out.rglob("*") if p.is_file()}:
        trial.seen.unexpected.append("a refused run directory was changed")
    for path, content in contents.items():
        path.write_bytes(content)
    trial.finish()


def _faketime() -> str:
    for name in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                 "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"):  # fmt: skip
        if Path(name).exists():
            return name
    raise Unavailable("libfaketime is not installed (Debian: apt install faketime)")


def stepped_clock(trial: Trial) -> None:
    """The run begins days ahead, and the clock is set back while it is going on."""
    clock = trial.out.parent / "clock"
    clock.write_text("+3d")
    environment = {
        "LD_PRELOAD": _faketime(), "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    process = trial.study.start(trial.out, environment=environment)
    trial.wait_for(process, trial.some_cohorts())
    clock.write_text("-2d")
    _, said = process.communicate(timeout=300)
    trial.note(said, process.returncode, {FINISHED})
    trial.compare()
    # And resumed two days before it began, with a cohort to train.
    key = sorted(trial.kept)[-1]
    trial.damage(key).unlink()
    trial.finish()


def second_run(trial: Trial) -> None:
    process = trial.study.start(trial.out)
    trial.wait_for(process, 1)
    second = trial.study.run(trial.out)
    running = process.poll() is None
    trial.note(second.stderr, second.returncode, {REFUSED} if running else {REFUSED, FINISHED},
               "in use by another run" if running else "")  # fmt: skip
    _, said = process.communicate(timeout=300)
    trial.note(said, process.returncode, {FINISHED})
    trial.compare()


def changed_config(trial: Trial) -> None:
    stopped(trial)
    before = {p: p.read_bytes() for p in trial.out.rglob("*") if p.is_file()}
    for change in (("--seed", "1"), ("--epsilon", "3"), ("--models", "14")):
        done = trial.study.run(trial.out, *change)
        trial.note(done.stderr, done.returncode, {REFUSED}, "differs from")
    if before != {p: p.read_bytes() for p in trial.out.rglob("*") if p.is_file()}:
        trial.seen.unexpected.append("a refused run directory was changed")
    trial.finish()


def changed_version(trial: Trial) -> None:
    stopped(trial)
    for path in (trial.out / "run.json", trial.out / "run.json.copy"):
        if path.exists():
            manifest = json.loads(path.read_text())
            manifest["tool"]["version"], manifest["versions"]["torch"] = "0.0.9", "1.0"
            path.write_text(json.dumps(manifest))
    trial.finish()
    manifest = json.loads((trial.out / "run.json").read_text())
    if not manifest.get("resumed"):
        trial.seen.unexpected.append("nothing says that other versions went on")


def changed_data(trial: Trial) -> None:
    table = trial.study.folder / "t.csv"
    content = table.read_text()
    stopped(trial)
    lines = content.splitlines()
    row = int(trial.rng.integers(1, len(lines)))
    lines[row] = lines[row].replace(lines[row].split(",")[0], "12345", 1)
    table.write_text("\n".join(lines) + "\n")
    done = trial.study.run(trial.out)
    trial.note(done.stderr, done.returncode, {REFUSED}, "data fingerprint")
    table.write_text(content)
    trial.finish()


def out_of_memory(trial: Trial) -> None:
    """A worker gets little more address space than it has: halved and retried, or one line."""
    process = trial.study.start(trial.out)
    trial.wait_for(process, trial.some_cohorts())
    trial.took_place = False
    for pid in workers(process.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            status = Path(f"/proc/{pid}/status").read_text()
            size = 1024 * int(status.partition("VmSize:")[2].split()[0])
            limit = size + int(trial.rng.integers(2**12, 2**24))
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
            trial.took_place = True
    _, said = process.communicate(timeout=300)
    gone(process.pid)
    trial.note(said, process.returncode, {REFUSED, FINISHED})
    trial.remember()
    trial.finish()


def little_address_space(trial: Trial) -> None:
    """`ulimit -v`: results, but no charts; then with enough."""
    limit = int(trial.rng.integers(2000, 30_000)) * 2**20

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = trial.study.run(trial.out, preexec=limited)
    trial.note(done.stderr, done.returncode, {REFUSED}, "ulimit -v")
    trial.remember()
    if len(trial.kept) == len(listed(trial.study.folder / "undisturbed")):
        # All cohorts were there, so all results are: only charts need addresses.
        trial.compare()
    trial.finish()


def deleted_results(trial: Trial) -> None:
    done = trial.study.run(trial.out)
    trial.note(done.stderr, done.returncode, {FINISHED})
    shutil.rmtree(trial.out / "results")
    trial.remember()
    whole = (trial.out / "report.html").read_bytes()
    (trial.out / "report.html").write_bytes(whole[: len(whole) // 2])
    trial.finish()
    if not (trial.out / "report.html").read_bytes().rstrip().endswith(b"</html>"):
        trial.seen.unexpected.append("half a report is left")


def diverging(trial: Trial) -> None:
    """Models that leave the finite numbers are counted; no average takes a NaN in."""
    stopped(trial)
    trial.finish()
    summary = json.loads(trial.study.reference["summary.json"])
    standard, private = summary["arms"]["standard"], summary["arms"]["dp-2"]
    if (standard["diverged"], private["diverged"]) != (summary["models"], 0):
        trial.seen.unexpected.append("diverged models are not counted")
    if standard["accuracy_test"]["value"] != 0 or standard["verdict"] != "could_not_tell":
        trial.seen.unexpected.append("a diverged model answered something")


KINDS: dict[str, Callable[[Trial], None]] = {
    "a worker killed -9": kill_a_worker,
    "SIGINT": partial(interrupt, first=signal.SIGINT),
    "SIGTERM": partial(interrupt, first=signal.SIGTERM),
    "SIGINT twice": partial(interrupt, first=signal.SIGINT, second=signal.SIGINT),
    "SIGTERM, then SIGINT": partial(interrupt, first=signal.SIGTERM, second=signal.SIGINT),
    "disk full, then enlarged": full_disk,
    "file system read-only, then writable": read_only,
    "a bit of a shard flipped": flipped_bit,
    "run.json truncated": truncated_manifest,
    "run.json and its copy truncated": no_manifest_at_all,
    "clock set back by days": stepped_clock,
    "a second run in the folder": second_run,
    "configuration changed": changed_config,
    "data changed": changed_data,
    "versions changed": changed_version,
    "memory of the workers exhausted": out_of_memory,
    "address space limited": little_address_space,
    "results deleted, report cut": deleted_results,
    "models diverge": diverging,
}
STUDY_OF = {"data changed": "table", "models diverge": "diverging"}
"""Which study is disturbed, where it is not ``digits``."""
