"""The run directory: shards, manifest, lock and checksums (layout: docs/run-directory.md).

Nothing half-written is ever believed: a file is written under a temporary name, synced, renamed,
and listed with its SHA-256 in ``run.json`` last. What ``run.json`` does not list does not exist.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Bool, Float16, Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from audit.errors import AuditError, BadInput
from audit.files import read_bytes

SCHEMA_VERSION = 1
MANIFEST, COPY = "run.json", "run.json.copy"
"""The manifest, and its second copy for the day that something else damages the first."""
LARGEST_JSON = 64 * 2**20
"""Bytes; ``run.json`` of a million planted canaries has 16 million, the largest that is written."""


@dataclass(frozen=True)
class Shard:
    """One cohort's outputs, unpacked; margins are None where nobody has them.

    Of canaries: ``canary_coins`` (who was in) with ``canary_correct`` and ``canary_margin`` of
    planted examples, or ``canary_total`` and ``canary_llr`` of gradient canaries.
    """

    membership: Bool[np.ndarray, "models n"]
    train_correct: Bool[np.ndarray, "models n"]
    test_correct: Bool[np.ndarray, "models n_test"]
    train_margin: Float16[np.ndarray, "models n"] | None
    test_margin: Float16[np.ndarray, "models n_test"] | None
    canary_coins: Bool[np.ndarray, "models canaries"] | None = None
    canary_correct: Bool[np.ndarray, "models canaries"] | None = None
    canary_margin: Float16[np.ndarray, "models canaries"] | None = None
    canary_total: Float32[np.ndarray, "models canaries"] | None = None
    canary_llr: Float32[np.ndarray, "models canaries"] | None = None


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
        data = _in_order(save(_packed(shard), metadata=_sizes(shard)))
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


def damaged_shards(run: Path, manifest: dict[str, Any]) -> list[str]:
    """The cohorts whose file is missing or has another digest than ``manifest`` lists."""
    return [
        key
        for key, entry in manifest.get("shards", {}).items()
        if _digest(shard_path(run, key)) != entry["sha256"]
    ]


def shard_path(run: Path, key: str) -> Path:
    """The file of cohort ``key`` (``standard/0-24``); never outside the run directory."""
    arm, _, span = key.partition("/")
    models = _SPAN.fullmatch(span)
    if not _is_plain(arm) or arm in (".", "..") or not models or int(models[1]) > int(models[2]):
        raise BadInput("shard", key, "is not a cohort's name", "The manifest is damaged; run again")
    return run / "shards" / arm / f"{span}.safetensors"


# The first and the last model of a cohort.
_SPAN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")


def _is_plain(part: str) -> bool:
    return bool(part) and all(c.isascii() and (c.isalnum() or c in "-._+") for c in part)


def read_shards(
    run: Path,
    manifest: dict[str, Any],
    arm: str,
    *,
    margins: bool = True,
    damaged: Damaged = "refuse",
) -> Iterator[Shard]:
    """The shards of ``arm`` in order of their models; without ``margins``, these are not read.

    ``damaged``: what becomes of a shard whose digest differs. "read": it is read as it is, or
    "blank" where it cannot be; "blank": its models count as in no subset and never right. Both are
    for finding out which figures rest on it, never for estimates that anyone relies on.

    Raises:
        AuditError: a shard is missing, damaged or of the wrong shape ("refuse"), or no shard of
            the arm can be read.
    """
    keys = [key for key in manifest.get("shards", {}) if key.partition("/")[0] == arm]
    like: Shard | None = None
    for key in sorted(keys, key=_first):
        path = shard_path(run, key)
        whole = _digest(path) == manifest["shards"][key]["sha256"]
        if not whole and damaged == "refuse":
            raise AuditError(
                f"shard {key} is missing or damaged: its SHA-256 differs from run.json. "
                "Give the command of the run again: it makes the shard anew."
            )
        if whole:
            yield _load(path, margins)
            continue
        like = like or _any_whole(run, manifest, sorted(keys, key=_first), margins)
        blank = _blank(like, _models(key))
        yield (_readable(path, blank, margins) or blank) if damaged == "read" else blank


Damaged = Literal["refuse", "read", "blank"]


def _first(key: str) -> int:
    return int(key.partition("/")[2].split("-")[0])


def models_listed(manifest: dict[str, Any], arm: str) -> int:
    """How many models of ``arm`` the shards in ``manifest`` say to hold."""
    return sum(_models(key) for key in manifest["shards"] if key.partition("/")[0] == arm)


def _models(key: str) -> int:
    first, _, last = key.partition("/")[2].partition("-")
    return int(last) - int(first) + 1


def _any_whole(run: Path, manifest: dict[str, Any], keys: list[str], margins: bool) -> Shard:
    for key in keys:
        path = shard_path(run, key)
        if _digest(path) == manifest["shards"][key]["sha256"]:
            return _load(path, margins)
    raise AuditError(
        f"no shard of arm {keys[0].partition('/')[0]} is whole: none of its figures can be made "
        "again. Give the command of the run again: it makes the shards anew."
    )


def _blank(like: Shard, models: int) -> Shard:
    """``models`` models shaped as those of ``like`` of which nothing is known."""

    def nothing(array: np.ndarray | None) -> np.ndarray | None:
        if array is None:
            return None
        of = np.nan if array.dtype == np.float16 else 0
        return np.full((models, array.shape[1]), of, dtype=array.dtype)

    arrays: dict[str, Any] = {f.name: nothing(getattr(like, f.name)) for f in fields(Shard)}
    return Shard(**arrays)


def _readable(path: Path, blank: Shard, margins: bool) -> Shard | None:
    """A damaged shard as it is; None if it cannot be read or has other arrays than ``blank``."""
    try:
        found = _load(path, margins)
    except AuditError:
        return None
    for field in fields(Shard):
        here, there = getattr(found, field.name), getattr(blank, field.name)
        if (here is None) != (there is None):
            return None
        if here is not None and (here.shape, here.dtype) != (there.shape, there.dtype):
            return None
    return found


_MARGINS = ("train_margin", "test_margin")
_BITS = {
    "membership": "n",
    "train_correct": "n",
    "test_correct": "n_test",
    "canary_coins": "n_canaries",
    "canary_correct": "n_canaries",
}
_ALWAYS = ("membership", "train_correct", "test_correct")
_CANARY_NUMBERS = ("canary_margin", "canary_total", "canary_llr")


def _packed(shard: Shard) -> dict[str, np.ndarray]:
    packed = {}
    for name in (*_BITS, *_MARGINS, *_CANARY_NUMBERS):
        array = getattr(shard, name)
        if array is None:
            continue
        if name in _BITS:
            packed[name] = np.packbits(array, axis=1, bitorder="little")
        else:
            packed[name] = np.ascontiguousarray(array)
    return packed


def _in_order(file: bytes) -> bytes:
    """The safetensors file with its header's keys in order.

    The library writes metadata in the order of a hash map, another one each time: the same cohort
    trained again would have another digest.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    assert len(text) <= length, "the same keys in another order are not longer"
    return file[:8] + text.ljust(length) + file[8 + length :]


def _sizes(shard: Shard) -> dict[str, str]:
    sizes = {"n": shard.membership.shape[1], "n_test": shard.test_correct.shape[1]}
    if shard.canary_coins is not None:
        sizes["n_canaries"] = shard.canary_coins.shape[1]
    named = {name: str(size) for name, size in sizes.items()}
    return {**named, "schema_version": str(SCHEMA_VERSION)}


def _load(path: Path, margins: bool) -> Shard:
    try:
        with safe_open(path, framework="numpy") as file:
            sizes, there = file.metadata(), set(file.keys())

            def tensor(name: str) -> np.ndarray | None:
                if name not in there and name not in _ALWAYS:
                    return None
                stored = file.get_tensor(name)
                if name not in _BITS:
                    return stored
                count = int(sizes[_BITS[name]])
                # NumPy would fill up what is missing: gigabytes, where a file says so.
                if count < 0 or stored.ndim != 2 or stored.shape[1] != -(-count // 8):
                    raise ValueError("another number of examples than the file states")
                return np.unpackbits(stored, axis=1, count=count, bitorder="little").view(bool)

            wanted = [*_BITS, *(_MARGINS if margins else ()), *_CANARY_NUMBERS]
            arrays: dict[str, Any] = {name: tensor(name) for name in wanted}
            return Shard(**{"train_margin": None, "test_margin": None, **arrays})
    # The last two: more columns than any memory holds.
    except (
        SafetensorError,
        KeyError,
        ValueError,
        TypeError,
        OSError,
        MemoryError,
        OverflowError,
    ) as error:
        raise AuditError(
            f"shard {path.name} cannot be read ({type(error).__name__}). "
            "Give the command of the run again: it makes the shard anew."
        ) from error


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


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


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
