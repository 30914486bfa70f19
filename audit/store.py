"""The run directory: manifest, lock and checksums (layout: docs/run-directory.md).

Nothing half-written is ever believed: a file is written under a temporary name, synced, renamed,
and listed with its SHA-256 in ``run.json`` last. What ``run.json`` does not list does not exist.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from audit.errors import BadInput
from audit.files import read_bytes
from audit.shards import Shard, damaged_shards, shard_bytes, shard_path

MANIFEST, COPY = "run.json", "run.json.copy"
"""The manifest, and its second copy for the day that something else damages the first."""
LARGEST_JSON = 64 * 2**20
"""Bytes; ``run.json`` of a million planted canaries has 16 million, the largest that is written."""


RESTORED = "run.json was damaged and is restored from its copy (the damaged: run.json.damaged)"


class RunDirectory:
    """A run directory open for writing; use as a context manager, it holds the run's lock."""

    def __init__(self, path: Path) -> None:
        """Open or create ``path``.

        Raises:
            BadInput: the folder cannot be created, belongs to something else, or another run
                holds its lock.
        """
        self.path = path
        check_out(path)
        try:
            # Private: shards hold who was a member of which training set.
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FileLock(path / ".lock")
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise BadInput(
                "out", str(path), "is in use by another run", "Wait for it, or choose another --out"
            ) from error
        except OSError as error:
            raise _io_error("out", path, error) from error
        self.manifest: dict[str, Any] = {}
        """The content of run.json; the caller reads, checks and writes it."""

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._lock.release()

    @property
    def scratch(self) -> Path:
        """Folder for memory-mapped inputs of this run's workers; emptied at the end."""
        return self.path / ".scratch"

    def write_manifest(self) -> None:
        """Write ``run.json`` atomically, its copy first: that never knows of fewer cohorts."""
        write_json(self.path / COPY, self.manifest)
        write_json(self.path / MANIFEST, self.manifest)

    def scratch_array(self, name: str, array: np.ndarray) -> Path:
        """Store ``array`` for workers to memory-map."""
        try:
            self.scratch.mkdir(mode=0o700, exist_ok=True)
            path = self.scratch / f"{name}.npy"
            _write_array(path, array)
        except OSError as error:
            raise _io_error("out", self.scratch, error) from error
        return path

    def save_shard(self, key: str, shard: Shard, entry: dict[str, Any]) -> None:
        """Store a cohort, then list it in the manifest with ``entry``'s facts and its digest."""
        path = self._shard_path(key)
        data = shard_bytes(shard)
        write_bytes(path, data)
        shards = self.manifest.setdefault("shards", {})
        shards[key] = {"sha256": hashlib.sha256(data).hexdigest(), **entry}
        self.write_manifest()

    def drop_damaged_shards(self) -> list[str]:
        """Unlist every shard whose file is missing or whose digest differs; returns their keys."""
        damaged = damaged_shards(self.path, self.manifest)
        for key in damaged:
            del self.manifest["shards"][key]
        if damaged:
            self.write_manifest()
        return damaged

    def _shard_path(self, key: str) -> Path:
        return shard_path(self.path, key)


def _write_array(path: Path, array: np.ndarray) -> None:
    """``np.save``, which says of a full disk only how much it wrote."""
    array = np.ascontiguousarray(array)
    with path.open("wb") as file:
        form = np.lib.format
        form.write_array_header_1_0(file, form.header_data_from_array_1_0(array))
        file.write(array.data)


def restore_manifest(run: Path) -> bool:
    """Put the copy in the place of a ``run.json`` that is no JSON any more; whether that was done.

    What is there is moved aside (``run.json.damaged``), never thrown away. Nothing is done where
    ``run.json`` can be read, is missing, or where the copy is damaged too.
    """
    path = run / MANIFEST
    try:
        read_json(path)
    except BadInput:
        if not path.is_file():
            return False
    else:
        return False
    try:
        whole = read_json(run / COPY)
    except BadInput:
        return False
    write_bytes(run / f"{MANIFEST}.damaged", path.read_bytes())
    write_json(path, whole)
    return True


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a run directory.

    Raises:
        BadInput: missing, unreadable, too large or not a JSON object.
    """
    content = read_bytes("run", path, LARGEST_JSON)
    try:
        # Decoded here: of bytes the reader would take UTF-16, too.
        value = json.loads(content.decode(), parse_constant=_no_number)
    # ValueError: no JSON, no UTF-8, NaN, or a number of ten thousand digits.
    except (ValueError, RecursionError) as error:
        raise BadInput(
            "run", str(path), "is not valid JSON", "Restore the file, or start a new --out"
        ) from error
    if not isinstance(value, dict):
        raise BadInput("run", str(path), "is not a JSON object", "Name a run directory")
    return value


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def check_plain(run: Path) -> None:
    """Refuse a run directory in which anything is a link, a pipe or a device.

    A directory that somebody else made could otherwise have a file outside of it read or written,
    or a command wait for ever. ``run`` itself may be a link: it is what the user has named.

    Raises:
        BadInput: naming what is neither a file nor a folder.
    """
    folders = [run]
    try:
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif not entry.is_file(follow_symlinks=False):
                        raise BadInput(
                            "run",
                            entry.path,
                            "is neither a file nor a folder, and a run directory holds nothing "
                            "else",
                            "Put in its place what it points to, or take it away",
                        )
    except (OSError, ValueError):
        return  # not there, or may not be read: whoever opens it says so


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` atomically, readable and byte for byte reproducible; NaN is refused."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write atomically: temporary name, sync, rename, sync the folder."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _io_error("file", path, error) from error


def newest_run(root: Path) -> Path:
    """The run directory under ``root`` whose ``run.json`` changed last.

    Raises:
        BadInput: there is none.
    """
    runs = sorted(root.glob("*/run.json"), key=lambda p: p.stat().st_mtime)
    if not runs:
        raise BadInput(
            "run", str(root), "holds no run directory", "Name one, or start with `audit run`"
        )
    return runs[-1].parent


def check_out(path: Path) -> None:
    """Refuse a path that cannot become or is no run directory; writes nothing.

    Raises:
        BadInput: ``path`` is a file, unreadable, or a folder with other things in it.
    """
    ours = {MANIFEST, COPY, ".lock", ".scratch", "shards", f".{MANIFEST}.tmp", f".{COPY}.tmp"}
    try:
        if path.is_symlink() and not path.exists():
            raise BadInput("out", str(path), "is a link to nothing", "Choose another --out")
        if not path.exists():
            return
        if not path.is_dir():
            raise BadInput("out", str(path), "is a file, not a folder", "Choose another --out")
        entries = {entry.name for entry in path.iterdir()}
        if MANIFEST in entries or COPY in entries or entries <= ours:
            check_plain(path)
    except (OSError, ValueError) as error:
        raise _io_error("out", path, error) from error
    if entries and "run.json" not in entries and not entries <= ours:
        raise BadInput(
            "out",
            str(path),
            "is not empty and not a run directory",
            "Choose a new or empty folder",
        )


def _io_error(name: str, path: Path, error: OSError | ValueError) -> BadInput:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return BadInput(name, str(path), "does not exist", "Check the path")
    return BadInput(
        name,
        str(path),
        f"{reason.lower()}",
        "Nothing finished is lost: mend this (space, permissions) and run the same command again",
    )
