"""Shards: a cohort's outputs as a file, and back (layout: docs/run-directory.md)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float16, Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from audit.errors import AuditError, BadInput

SCHEMA_VERSION = 1


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


def shard_bytes(shard: Shard) -> bytes:
    """The file of a shard; the same shard gives the same bytes."""
    return _in_order(save(_packed(shard), metadata=_sizes(shard)))


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


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
