"""What a command costs at two commits of this repository: CPU seconds, those of workers too.

The command runs in a folder of its own each time, in alternating order; ``--first`` is run in each
folder before, unmeasured (a run that the command reads). Both commits use the packages of the
environment that runs this. Run:

    python -m benchmarks.commits --rounds 6 OLD NEW run --epsilon -1
    python -m benchmarks.commits --first "run --models 12 --out r" OLD NEW report r --verify
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rounds import heading, line

ROOT = Path(__file__).resolve().parents[1]


def source(commit: str, folder: Path) -> Path:
    """The files of ``commit``, in a folder of their own."""
    path = folder / commit.replace("/", "-")
    path.mkdir()
    packed = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "-x"], cwd=path, input=packed, check=True)
    return path


def run(source: Path, command: list[str], cwd: Path) -> int:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(
        [sys.executable, "-m", "audit", *command], cwd=cwd, env=environment, capture_output=True,
        check=False,
    )  # fmt: skip
    return done.returncode


def cpu_seconds(source: Path, first: list[str], command: list[str]) -> tuple[int, float]:
    """Exit code, and seconds of a core, of the command and whatever it started."""
    with tempfile.TemporaryDirectory() as folder:
        if first:
            run(source, first, Path(folder))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = run(source, command, Path(folder))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return code, user + system


def main() -> None:
    parser = argparse.ArgumentParser(description="A command at two commits.")
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", default="", help="a command before each, unmeasured")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {given.old: [], given.new: []}
    with tempfile.TemporaryDirectory() as folder:
        sources = {commit: source(commit, Path(folder)) for commit in seconds}
        for number in range(given.rounds):
            order = list(sources) if number % 2 == 0 else list(sources)[::-1]
            for commit in order:
                code, spent = cpu_seconds(sources[commit], shlex.split(given.first), given.command)
                seconds[commit].append(spent)
                print(f"{commit}: exit code {code}, {spent:.2f} s", flush=True)
    heading(shlex.join(["audit", *given.command]))
    for commit, each in seconds.items():
        line(f"{commit}, CPU seconds", each)
    pairs = zip(seconds[given.old], seconds[given.new], strict=True)
    line(f"{given.old} / {given.new}", [old / new for old, new in pairs])


if __name__ == "__main__":
    main()
