"""A run that is disturbed, and what becomes of it beside an undisturbed one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# 12 models cannot tell: that is how an undisturbed run ends.
FINISHED = 3
REFUSED = 2
INTERRUPTED = 130
KILLED = -signal.SIGKILL


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


def listed(run: Path) -> dict[str, dict[str, Any]]:
    """The finished cohorts of a run as they are listed: digest, seconds of training and all."""
    try:
        return json.loads((run / "run.json").read_text()).get("shards", {})
    except (FileNotFoundError, NotADirectoryError):
        return {}


def on_disk(run: Path, key: str) -> str | None:
    path = run / "shards" / f"{key}.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def written(run: Path, key: str) -> int | None:
    path = run / "shards" / f"{key}.safetensors"
    return path.stat().st_mtime_ns if path.exists() else None


@dataclass
class Trial:
    """One run that is disturbed, and what became of it."""

    study: Study
    out: Path
    rng: np.random.Generator
    seen: Seen
    kept: dict[str, tuple[dict[str, Any], int | None]] = field(default_factory=dict)
    """Finished cohorts: what was listed, and when their files were written."""
    took_place: bool = True
    """Whether the fault came in time to disturb anything."""

    def note(self, said: str, code: int, expected: set[int], words: str = "") -> None:
        """Hold the end of a process against what was expected of it."""
        if "Traceback" in said:
            self.seen.tracebacks += 1
        last = [line for line in said.splitlines() if line.startswith("audit: ")]
        self.seen.messages.update(line[:160] for line in last)
        if code not in expected or (words and words not in said):
            self.seen.unexpected.append(f"exit {code}: {said.strip()[-300:]}")

    def remember(self) -> None:
        """What is finished now must stay.

        A cohort that was lost and trained again has the same digest: its seconds and the time of
        its file give it away.
        """
        entries = listed(self.out)
        now = {key: (entry, written(self.out, key)) for key, entry in entries.items()}
        self.seen.lost += sum(now.get(key) != before for key, before in self.kept.items())
        self.seen.lost += sum(on_disk(self.out, key) != e["sha256"] for key, e in entries.items())
        self.kept = now

    def damage(self, key: str) -> Path:
        """The file of a cohort that is damaged on purpose: it may be trained again."""
        del self.kept[key]
        return self.out / "shards" / f"{key}.safetensors"

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
        """Any number of them, but for the last three: something is left to disturb."""
        return int(self.rng.integers(1, len(listed(self.study.folder / "undisturbed")) - 2))


def kill_again_and_again(trial: Trial, most: int) -> int:
    """kill -9 at random moments until the run gets through; returns how often."""
    kills = 0
    while True:
        started = time.monotonic()
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
            # On a machine that others use, what a run takes changes: kills after its end are none.
            trial.study.seconds = min(trial.study.seconds, 1.1 * (time.monotonic() - started))
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


def workers(pid: int) -> list[int]:
    # The resource tracker of multiprocessing is a child too.
    return [
        child
        for child in children(pid)
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
