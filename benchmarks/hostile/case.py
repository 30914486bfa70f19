"""One hostile input: what is made, which command it is given to, and what both are made from."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

T = TypeVar("T")
CANARY = "executed"
"""A file beside the working directory: there only if code of an input was run."""


@dataclass(frozen=True)
class Case:
    """What the command is given, in a folder that holds the hostile files.

    ``maybe``: drawn at random, so that it may turn out to be something that can be accepted. Such a
    case counts only if it is refused; faults are faults all the same.
    """

    argv: tuple[str, ...]
    maybe: bool = False


@dataclass(frozen=True)
class Bench:
    """What a maker works with: chance, the folder of its case, and a real run to copy from."""

    rng: np.random.Generator
    here: Path
    world: Path

    def pick(self, things: Sequence[T]) -> T:
        """One of ``things``, each as likely."""
        return things[int(self.rng.integers(len(things)))]

    def int(self, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def word(self, longest: int = 8) -> str:
        """Letters that are nobody's name."""
        return "zq" + self.letters(self.int(1, longest))

    def letters(self, size: int) -> str:
        """Consonants: no word that means anything."""
        return "".join(self.pick("bcdfghjklmnpqrstvwxz") for _ in range(size))

    def nasty(self) -> str:
        """A text that forges lines, colours a terminal, is markup, a formula or a path."""
        return f"{self.word(3)}{self.pick(NASTY)}{self.word(3)}"

    def bytes(self, low: int, high: int) -> bytes:
        """Random bytes."""
        return self.rng.bytes(self.int(low, high))

    def write(self, name: str, content: bytes | str) -> str:
        """A file of the case; returns its name."""
        path = self.here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def run(self) -> Path:
        """A copy of the finished run, as ``run`` in the folder of the case."""
        target = self.here / "run"
        shutil.copytree(self.world / "run", target)
        return target

    def special(self, name: str) -> str:
        """Something that has a name and is no file; returns what it is."""
        path, kind = self.here / name, self.pick(SPECIAL)
        path.parent.mkdir(parents=True, exist_ok=True)
        SPECIAL_FILES[kind](path)
        return kind


Maker = Callable[[Bench], Case]

NASTY = (
    "\naudit: all fine",
    "\r",
    "\x1b[31mred\x1b[0m",
    "\u202egnirts",
    "</script><script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "../../../etc/passwd",
    "[bold]x[/bold]",
    "\u2028",
    "%s%n",
    "\x7f",
    "{{7*7}}",
    "$(touch x)",
    "`x`",
    "|",
    "\ufeff",
    "\t-1+1",
    "x" * 3000,
    "é" * 200,
    "\U0001f4a3" * 50,
)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        # By a short name: the longest that a socket may have is 107 bytes.
        folder = os.getcwd()
        try:
            os.chdir(path.parent)
            opened.bind(path.name)
        finally:
            os.chdir(folder)


SPECIAL_FILES: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/tty": lambda path: path.symlink_to("/dev/tty"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": _loop,
    "a socket": _socket,
}
SPECIAL = tuple(SPECIAL_FILES)


def digest(case: Case, here: Path) -> str:
    """SHA-256 of everything that a case consists of: two cases of one digest are one."""
    found = hashlib.sha256(repr(case.argv).encode())
    for path in sorted(here.rglob("*")):
        found.update(f"\0{path.relative_to(here)}\0{stat.S_IFMT(path.lstat().st_mode)}\0".encode())
        if path.is_symlink():
            found.update(os.readlink(path).encode())
        elif path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()
