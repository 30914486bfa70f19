"""Real audits, disturbed: killed, interrupted, out of disk or memory, damaged, changed, doubled.

Each trial starts ``audit run`` in a process of its own, disturbs it, and gives the same command
again until it ends. Counted are cohorts that were finished and lost, results that differ by a byte
from those of an undisturbed run, tracebacks, and endings other than the one expected. Run:

    python -m benchmarks.faults --kills 200 --trials 5 --seed 0

Kinds that need root (a small tmpfs) or libfaketime (a clock that steps) are said to be left out
where these are missing, never counted as survived.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

CONFIG = """
{data}
models = 12
cohort_size = 2
[standard]
epochs = 4
[dp]
epochs = 4
"""
# 12 models cannot tell: that is how an undisturbed run ends.
FINISHED = 3
REFUSED = 2
INTERRUPTED = 130
KILLED = -signal.SIGKILL
_MOST_TRIES = 60


class Unavailable(Exception):
    """This machine lacks what a kind of fault needs."""


@dataclass
class Seen:
    """What a kind of fault did, over all its trials."""

    trials: int = 0
    lost: int = 0
    differing: int = 0
    tracebacks: int = 0
    unexpected: list[str] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)
    left_out: str = ""

    @property
    def survived(self) -> bool:
        return not (self.lost or self.differing or self.tracebacks or self.unexpected)


@dataclass
class Study:
    """An undisturbed run, and how long it took: what every disturbed one is held against."""

    folder: Path
    config: Path
    reference: dict[str, bytes]
    seconds: float

    @classmethod
    def begun(cls, folder: Path, config: str, files: dict[str, str] | None = None) -> Study:
        """Run the audit undisturbed once; ``files``: what lies beside the config, by name."""
        folder.mkdir(parents=True)
        for name, text in {"small.toml": config, **(files or {})}.items():
            (folder / name).write_text(text)
        started = time.monotonic()
        study = cls(folder, folder / "small.toml", {}, 0.0)
        done = study.run(folder / "undisturbed")
        if done.returncode != FINISHED:
            raise RuntimeError(f"the undisturbed run ended with {done.returncode}: {done.stderr}")
        study.seconds = time.monotonic() - started
        study.reference = results(folder / "undisturbed")
        return study

    def command(self, out: Path, *more: str) -> list[str]:
        wanted = ["run", "--config", str(self.config), "--out", str(out), *more]
        return [sys.executable, "-m", "audit", *wanted]

    def start(
        self, out: Path, *more: str, environment: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
    ) -> subprocess.Popen[str]:  # fmt: skip
        return subprocess.Popen(
            self.command(out, *more),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
            preexec_fn=preexec,
        )

    def run(self, out: Path, *more: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        process = self.start(out, *more, **how)
        _, said = process.communicate(timeout=600)
        return subprocess.CompletedProcess(process.args, process.returncode, "", said)


def results(run: Path) -> dict[str, bytes]:
    """The bytes of every result; of the report what was measured (not when, nor where)."""
    return {p.name: p.read_bytes() for p in sorted((run / "results").iterdir())}


def listed(run: Path) -> dict[str, str]:
    """The finished cohorts of a run and the digests they were listed with."""
    try:
        shards = json.loads((run / "run.json").read_text()).get("shards", {})
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {key: entry["sha256"] for key, entry in shards.items()}


def on_disk(run: Path, key: str) -> str | None:
    path = run / "shards" / f"{key}.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


@dataclass
class Trial:
    """One run that is disturbed, and what became of it."""

    study: Study
    out: Path
    rng: np.random.Generator
    seen: Seen
    kept: dict[str, str] = field(default_factory=dict)

    def note(self, said: str, code: int, expected: set[int], words: str = "") -> None:
        """Hold the end of a process against what was expected of it."""
        if "Traceback" in said:
            self.seen.tracebacks += 1
        last = [line for line in said.splitlines() if line.startswith("audit: ")]
        self.seen.messages.update(line[:160] for line in last)
        if code not in expected or (words and words not in said):
            self.seen.unexpected.append(f"exit {code}: {said.strip()[-300:]}")

    def remember(self) -> None:
        """What is finished now must stay."""
        now = listed(self.out)
        self.seen.lost += sum(now.get(key) != digest for key, digest in self.kept.items())
        self.seen.lost += sum(on_disk(self.out, key) != digest for key, digest in now.items())
        self.kept = now

    def finish(self, *more: str, words: str = "") -> None:
        """Give the command again, and compare what it leaves with the undisturbed run."""
        done = self.study.run(self.out, *more)
        self.note(done.stderr, done.returncode, {FINISHED}, words)
        self.compare()

    def compare(self) -> None:
        self.remember()
        if not (self.out / "results").exists() or results(self.out) != self.study.reference:
            self.seen.differing += 1
        if (self.out / ".scratch").exists():
            self.seen.unexpected.append("scratch files are left")

    def wait_for(self, process: subprocess.Popen[str], cohorts: int) -> None:
        while len(listed(self.out)) < cohorts and process.poll() is None:
            time.sleep(0.01)

    def some_cohorts(self) -> int:
        return int(self.rng.integers(1, 10))


def kill_again_and_again(trial: Trial, most: int) -> int:
    """kill -9 at random moments until the run gets through; returns how often."""
    kills = 0
    while True:
        process = trial.study.start(trial.out)
        wait = trial.rng.uniform(0, trial.study.seconds)
        if kills < most:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait)
        else:
            process.wait()
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        _, said = process.communicate()
        gone(process.pid)
        trial.note(said, process.returncode, {KILLED, FINISHED})
        trial.remember()
        if process.returncode == FINISHED:
            trial.compare()
            return kills


def gone(group: int) -> None:
    """Workers must not outlive their parent."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise RuntimeError("worker processes are still running 30 s after their parent")


def children(pid: int) -> list[int]:
    try:
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _workers(pid: int) -> list[int]:
    # The resource tracker of multiprocessing is a child too.
    return [
        child
        for child in children(pid)
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def kill_a_worker(trial: Trial) -> None:
    process = trial.study.start(trial.out)
    trial.wait_for(process, trial.some_cohorts())
    for pid in _workers(process.pid)[:1]:
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
        if process.poll() is None:
            # Fails while a file is open for writing: then at the next moment.
            while (
                process.poll() is None
                and subprocess.run(
                    ["mount", "-o", "remount,ro", str(place)], capture_output=True
                ).returncode
            ):
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
    path = trial.out / "shards" / f"{key}.safetensors"
    content = bytearray(path.read_bytes())
    bit = int(trial.rng.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    # Trained anew to the same bytes, so it counts as kept in the end.
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
    (trial.out / "shards" / f"{key}.safetensors").unlink()
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
    for pid in _workers(process.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            status = Path(f"/proc/{pid}/status").read_text()
            size = 1024 * int(status.partition("VmSize:")[2].split()[0])
            limit = size + int(trial.rng.integers(2**12, 2**24))
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
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
    trial.note(done.stderr, done.returncode, {REFUSED})
    trial.remember()
    trial.finish()


def deleted_results(trial: Trial) -> None:
    done = trial.study.run(trial.out)
    trial.note(done.stderr, done.returncode, {FINISHED})
    shutil.rmtree(trial.out / "results")
    (trial.out / "report.html").write_bytes(b"half a rep")
    trial.finish()


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
}
_OF_A_TABLE = {"data changed"}


def table(seed: int) -> str:
    """A small CSV, which can change under a run."""
    rng = np.random.default_rng(seed)
    rows = ["x,z,g,y,split"]
    for i in range(240):
        y = int(rng.integers(2))
        side = "train" if i < 180 else "test"
        rows.append(f"{rng.normal(y):.4f},{rng.normal():.4f},{'ab'[i % 2]},{y},{side}")
    return "\n".join(rows) + "\n"


def try_kinds(
    study: Study, tables: Study, kinds: list[str], trials: int, seed: int
) -> Iterator[tuple[str, Seen]]:
    """Every kind, ``trials`` times, each in a folder of its own."""
    for number, kind in enumerate(kinds):
        seen = Seen()
        of = tables if kind in _OF_A_TABLE else study
        for index in range(trials):
            rng = np.random.default_rng([seed, number, index])
            folder = of.folder / f"{number}-{index}"
            folder.mkdir()
            try:
                KINDS[kind](Trial(of, folder / "run", rng, seen))
            except Unavailable as missing:
                seen.left_out = str(missing)
                break
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            seen.trials += 1
        yield kind, seen


def kill_many(study: Study, kills: int, seed: int) -> Seen:
    """Runs killed again and again, until ``kills`` kills in all."""
    seen, index = Seen(), 0
    while seen.trials < kills:
        rng = np.random.default_rng([seed, 1_000_000, index])
        folder = study.folder / f"kill-{index}"
        folder.mkdir()
        most = min(_MOST_TRIES, kills - seen.trials)
        seen.trials += kill_again_and_again(Trial(study, folder / "run", rng, seen), most)
        shutil.rmtree(folder, ignore_errors=True)
        index += 1
    return seen


def row(kind: str, seen: Seen) -> str:
    if seen.left_out:
        return f"| {kind} | – | – | – | – | not tried: {seen.left_out} |"
    odd = f"{len(seen.unexpected)}: {seen.unexpected[0]}" if seen.unexpected else "0"
    odd = " ".join(odd.split())
    return (
        f"| {kind} | {seen.trials} | {seen.lost} | {seen.differing} | {seen.tracebacks} | {odd} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Real audits, disturbed.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", help="some kinds, by the beginnings of their names")
    parser.add_argument("--messages", action="store_true", help="print what the runs said")
    given = parser.parse_args()
    kinds = [k for k in KINDS if given.kinds is None or k.startswith(tuple(given.kinds))]
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        digits = CONFIG.format(data='data = "digits"\nclusters_per_class = 2')
        study = Study.begun(Path(folder) / "digits", digits)
        # Data without a shipped configuration: the built-in settings.
        of_table = 'data = "t.csv"\nlabel = "y"\nmodels = 12\ncohort_size = 2\n'
        tables = Study.begun(Path(folder) / "table", of_table, {"t.csv": table(given.seed)})
        print("| fault | trials | cohorts lost | results differing | tracebacks | unexpected |")
        print("|---|---|---|---|---|---|")
        for kind, seen in try_kinds(study, tables, kinds, given.trials, given.seed):
            print(row(kind, seen), flush=True)
            ok &= seen.survived
            if given.messages:
                print(*sorted(seen.messages), sep="\n")
        if given.kills:
            seen = kill_many(study, given.kills, given.seed)
            print(row("killed -9 at a random moment", seen), flush=True)
            ok &= seen.survived
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
