"""A command in a forked process, in a folder of its own: how it ended, and what it left."""

from __future__ import annotations

import gc
import importlib
import mmap
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hostile.case import CANARY, Case

REFUSED, ACCEPTED = 2, 99
SECONDS = 60
MOST_MEGABYTES = 1024
"""What refusing may take; every hostile file is smaller than a hundredth of that."""
_ENDINGS = {0, 1, 3, ACCEPTED}
# Beyond this the machine would suffer: more than the largest matrix that is allowed.
_MOST_BYTES = 6 << 30
# name = value: rule. Next step. Of what is in shards: its name, what is wrong, and the next step.
_SHAPE = re.compile(r"audit: (\S.* = .+: .+\.|(a |no )?(shards?|arm) .+[:.]) \S.*")
_MODULES = (
    *("brought", "calibrating", "cli", "console", "console_calibration", "console_check"),
    *("console_diff", "console_plan", "console_theory", "console_verification", "elsewhere"),
    *("planning", "removing", "reporting", "theory"),
    *("report.diff", "report.junit", "report.policy_check", "reviewed", "showing", "verifying"),
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended. ``changed``: files beside or in its folder that are new, gone or others;
    ``megabytes``: memory at most, beyond what it began with."""

    code: int
    signal: int
    out: str
    err: str
    changed: tuple[str, ...]
    executed: bool
    megabytes: float


def warm() -> None:
    """Import what the commands import when they are used; threads would not survive a fork."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    for name in _MODULES:
        importlib.import_module(f"audit.{name}")
    importlib.import_module("audit.data.torchvision_compat").import_torchvision()
    import pyarrow
    import torch

    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    torch.set_num_threads(1)
    gc.freeze()


def run(case: Case, box: Path) -> Outcome:
    """Give ``case`` to the command line in ``box/case``."""
    before, began = _seen(box), mmap.mmap(-1, 8)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            # Of its parent's memory a forked process has only what is not read from files again.
            began[:] = _resident_bytes().to_bytes(8, "little")
            _child(case, box, out.fileno(), err.fileno())
        _, status, usage = os.wait4(pid, 0)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(1 << 20).decode("utf-8", errors="replace"))
    after = _seen(box)
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return Outcome(
        code=os.waitstatus_to_exitcode(status),
        signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        out=texts[0],
        err=texts[1],
        changed=tuple(changed),
        executed=(box / CANARY).exists(),
        megabytes=((usage.ru_maxrss << 10) - int.from_bytes(began[:], "little")) / 2**20,
    )


def _child(case: Case, box: Path, out: int, err: int) -> None:
    """The forked process: never returns."""
    code = 70
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        # Never closed: the process ends without a way out of here.
        sys.stdout, sys.stderr = (os.fdopen(fd, "w", closefd=False) for fd in (1, 2))
        os.chdir(box / "case")
        os.environ |= {"HOME": str(box / "home"), "TMPDIR": str(box / "tmp"), "COLUMNS": "200"}
        tempfile.tempdir = None
        # Not the address space, of which the library that draws charts reserves a lot.
        most = _data_bytes() + _MOST_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = _command(case)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _data_bytes() -> int:
    """What this process has of what the limit counts."""
    facts = Path("/proc/self/status").read_text()
    return int(re.search(r"VmData:\s+(\d+) kB", facts)[1]) << 10  # pyright: ignore[reportOptionalSubscript]


def _command(case: Case) -> int:
    from audit import cli, pipeline, planning

    def accepted(*_: object, **__: object) -> None:
        # Training would begin: whatever was given has been accepted.
        sys.stderr.flush()
        os._exit(ACCEPTED)

    pipeline.train = planning.measure = accepted
    sys.argv = ["audit", *case.argv]
    try:
        cli.main(list(case.argv))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    return 0


def _seen(box: Path) -> dict[str, tuple[int, ...] | str]:
    """Every file below ``box`` and what tells whether it was touched."""
    found: dict[str, tuple[int, ...] | str] = {}
    for folder, folders, files in os.walk(box):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            seen = os.lstat(path)
            key = os.path.relpath(path, box)
            # A folder's size and time change with what is in it, which is looked at by itself.
            found[key] = (
                (seen.st_mode, seen.st_ino)
                if name in folders
                else (seen.st_mode, seen.st_ino, seen.st_size, seen.st_mtime_ns)
            )
    return found


def fresh(box: Path) -> None:
    """The folders of a case, empty, and a bystander that nobody may touch."""
    shutil.rmtree(box, ignore_errors=True)
    for name in ("case", "home", "tmp", "outside"):
        (box / name).mkdir(parents=True)
    (box / "outside" / "precious").write_text("nobody may touch this")


def faults(case: Case, seen: Outcome) -> list[str]:
    """What is wrong with an outcome, by name; nothing where the input was refused as it should."""
    found = []
    if seen.signal:
        found.append("hung" if seen.signal == signal.SIGALRM else f"killed by signal {seen.signal}")
    elif seen.code not in (_ENDINGS | {REFUSED} if case.maybe else {REFUSED}):
        found.append("accepted" if seen.code in _ENDINGS else f"exit code {seen.code}")
    if "Traceback" in seen.out + seen.err:
        found.append("traceback")
    if seen.megabytes > MOST_MEGABYTES:
        found.append(f"memory: {seen.megabytes:,.0f} MB")
    if seen.executed:
        found.append("code of the input was run")
    outside = [path for path in seen.changed if not path.startswith("case")]
    if outside:
        found.append(f"touched outside: {', '.join(outside[:3])}")
    if seen.code == REFUSED and not seen.signal:
        if seen.changed and not outside:
            found.append(f"left or changed: {', '.join(seen.changed[:3])}")
        found += _told(seen)
    return found


def _told(seen: Outcome) -> list[str]:
    """What is wrong with the words of a refusal."""
    # Stages of a run ("audit: loading data …") are no messages.
    lines = [line for line in seen.err.splitlines() if not re.fullmatch(r"audit: .* …", line)]
    if len(lines) != 1:
        return [f"{len(lines)} lines"]
    if not _SHAPE.fullmatch(lines[0]):
        return ["not name = value: rule. Next step."]
    return [] if lines[0].isprintable() else ["control characters"]


def harmless(case: Case, seen: Outcome) -> bool:
    """Whether a random input turned out to be one that can be accepted."""
    return case.maybe and seen.code in _ENDINGS and not seen.signal
