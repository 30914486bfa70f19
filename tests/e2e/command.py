"""The command ``audit`` as a test types it: in this process, or in one of its own.

A process of its own pays for its imports (torch and Opacus: seconds of a core, and again in each
worker), which is most of what a small run costs. So a test asks for one only where the process is
what it is about: signals, streams that cannot show ε, what is imported, workers.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from audit import cli
from audit.errors import EXIT_INTERRUPTED


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str


def audit(*arguments: str | Path, cwd: Path) -> Finished:
    """Run ``audit`` with ``arguments`` in ``cwd``, in this process.

    What it says is what Python writes; what native code or children write to the descriptors is not
    seen here.
    """
    words = [str(argument) for argument in arguments]
    out, err = _stream(), _stream()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_undone(cwd))
        stack.enter_context(contextlib.chdir(cwd))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        sys.argv = ["audit", *words]
        try:
            cli.main(words)
        except SystemExit as ended:
            code = 0 if ended.code is None else ended.code
        else:
            raise AssertionError("the command did not end with an exit code")
    assert isinstance(code, int), code
    if code == EXIT_INTERRUPTED:
        # Meant for who waits for the tests: a command that is interrupted has a process of its own.
        raise KeyboardInterrupt
    return Finished(code, _told(out), _told(err))


def audit_process(*arguments: str | Path, cwd: Path, timeout: float = 600) -> Finished:
    """Run ``audit`` with ``arguments`` in ``cwd``, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "audit", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def assert_refused(done: Finished, *words: str) -> None:
    """Bad input: exit code 2, one line that names the words, no traceback."""
    assert done.code == 2, done
    assert "Traceback" not in done.err + done.out
    message = [line for line in done.err.splitlines() if not line.endswith("…")]
    assert len(message) == 1, done.err
    for word in words:
        assert word in message[0]


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _told(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()  # pyright: ignore


@contextlib.contextmanager
def _undone(cwd: Path) -> Iterator[None]:
    """What a command changes of its process, put back: handlers, arguments, the user's modules."""
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    argv, path, environment = sys.argv, list(sys.path), dict(os.environ)
    before = set(sys.modules)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        # Or the last thing that the tests' process does is to be deaf.
        atexit.unregister(cli._deaf)
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(environment)
        for name in set(sys.modules) - before:
            if _lies_in(sys.modules[name], cwd):
                del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(folder)
