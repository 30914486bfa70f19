"""A folder that all nodes of a cluster see, by its fsspec URL: arrays lie there, outputs come back.

Of each run there is one folder of its own in it, named by the data's digest and a random token,
private (mode 700) where the storage has modes, and removed at the end. Files are .npy and
safetensors, never pickle, and whoever reads one compares its SHA-256 with what its writer said.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from safetensors.numpy import load, save

from audit.errors import AuditError, BadInput
from audit.training.cohort_task import CanaryOutput, CohortOutput, TrainingData

_DATA = ("x_train", "y_train", "x_test", "y_test", "x_canary", "y_canary")
_OUTPUT = ("membership", "train_correct", "test_correct", "train_margin", "test_margin")
_CANARY = "canary_"


@dataclass(frozen=True)
class SharedData:
    """The arrays of a run in its shared folder, as a worker finds them.

    ``files``: array → SHA-256 of its file.
    """

    url: str
    files: dict[str, str]
    input_shape: tuple[int, ...]
    copies: int

    def open(self) -> TrainingData:
        """The arrays, memory-mapped: from the folder itself where it is one of this machine's file
        system, else from a copy that the workers of a node share.

        Raises:
            BadInput: this node does not see the folder, or a file in it was changed.
        """
        system, path = _system(self.url)
        arrays: dict[str, Any] = dict.fromkeys(_DATA)
        for name, digest in self.files.items():
            try:
                file = f"{path}/{name}.npy"
                if _is_here(system):
                    here = Path(file)
                    _verify(here, digest)
                else:
                    here = _kept(system, file, self.url, digest)
                # Copy-on-write: torch wants writable memory, and nothing is ever written.
                arrays[name] = np.load(here, mmap_mode="c", allow_pickle=False)
            except Exception as error:  # each storage has errors of its own
                raise _unusable(self.url, error, "read on a worker") from error
        return TrainingData(**arrays, input_shape=self.input_shape, copies=self.copies)


@dataclass(frozen=True)
class Left:
    """A cohort's output whose arrays a worker left in the shared folder."""

    file: str
    sha256: str
    facts: dict[str, Any]
    """The fields of :class:`CohortOutput` that are no arrays."""


class SharedFolder:
    """The folder of one run, seen from the machine that leads it."""

    def __init__(self, base: str, digest: str) -> None:
        """Make the folder under ``base``.

        Raises:
            BadInput: it cannot be made or written.
        """
        self.url = f"{base.rstrip('/')}/audit-{digest[:16]}-{secrets.token_hex(8)}"
        try:
            self._system, self._path = _system(self.url)
            if _is_here(self._system):
                # Not its parents: a mistyped folder would be made, on this machine alone.
                Path(self._path).mkdir(mode=0o700)
            else:
                self._system.makedirs(self._path, exist_ok=True)
            # Object stores have no folders: that one can write is seen by writing.
            self._system.pipe_file(f"{self._path}/.made", b"")
        except Exception as error:  # each storage has errors of its own
            raise _unusable(self.url, error, "written") from error

    def put(self, data: TrainingData) -> SharedData:
        """Write the arrays of ``data``, once for all nodes."""
        files = {}
        for name in _DATA:
            array = getattr(data, name)
            if array is None:
                continue
            try:
                with self._system.open(f"{self._path}/{name}.npy", "wb") as file:
                    hashing: Any = _Hashing(file)
                    np.save(hashing, array, allow_pickle=False)
            except Exception as error:
                raise _unusable(self.url, error, "written") from error
            files[name] = hashing.sha256.hexdigest()
        return SharedData(self.url, files, data.input_shape, data.copies)

    def take(self, left: Left) -> CohortOutput:
        """The output that a worker left, which is then removed.

        Raises:
            AuditError: it is not there, or not what the worker wrote.
        """
        file = f"{self._path}/{left.file}"
        try:
            content = self._system.cat_file(file)
            self._system.rm_file(file)
        except Exception as error:
            raise _unusable(self.url, error, "read") from error
        if hashlib.sha256(content).hexdigest() != left.sha256:
            raise AuditError(
                f"{left.file} in {self.url} is not what the worker wrote there: its SHA-256 "
                "differs. Finished cohorts are kept: find out who else writes there, and give the "
                "same command again."
            )
        return _unpacked(load(content), left.facts)

    def remove(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Remove all of it; where that cannot be done, ``say`` is told in a line.

        The cohorts are trained by then: what is left behind must not cost the run its end.
        """
        try:
            self._system.rm(self._path, recursive=True)
        except Exception as error:
            reason = " ".join((str(error) or type(error).__name__).split())
            say(f"the shared folder {self.url} could not be removed ({reason}): remove it by hand")


def leave(output: CohortOutput, key: str, url: str) -> Left:
    """Write the arrays of ``output`` into the shared folder, on a worker."""
    arrays, facts = _packed(output)
    content = save(arrays)
    # A cohort may be trained twice, where the worker that finished it is lost: no two write alike.
    name = f"{key.replace('/', '.')}-{secrets.token_hex(4)}.safetensors"
    system, path = _system(url)
    try:
        system.pipe_file(f"{path}/{name}", content)
    except Exception as error:
        raise _unusable(url, error, "written on a worker") from error
    return Left(name, hashlib.sha256(content).hexdigest(), facts)


def forget(url: str) -> None:
    """Remove this node's copies of the arrays in ``url``, where it has any.

    Raises:
        OSError: they cannot be removed.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(copies_of(url))


def is_on_this_machine(url: str) -> bool:
    """Whether nodes read the folder in place, and keep no copies."""
    return _is_here(_system(url)[0])


def _packed(output: CohortOutput) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    facts = {f.name: getattr(output, f.name) for f in fields(CohortOutput)}
    arrays = {name: np.ascontiguousarray(facts.pop(name)) for name in _OUTPUT}
    canaries = facts.pop("canaries")
    if canaries is not None:
        for field in fields(CanaryOutput):
            array = getattr(canaries, field.name)
            if array is not None:
                arrays[_CANARY + field.name] = np.ascontiguousarray(array)
    return arrays, facts


def _unpacked(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> CohortOutput:
    canaries: dict[str, Any] = {
        name.removeprefix(_CANARY): array
        for name, array in arrays.items()
        if name.startswith(_CANARY)
    }
    outputs: dict[str, Any] = {name: arrays[name] for name in _OUTPUT}
    return CohortOutput(**outputs, canaries=CanaryOutput(**canaries) if canaries else None, **facts)


class _Hashing(io.RawIOBase):
    """A file that is hashed while it is written."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return self._file.write(data)


@functools.cache
def _verify(file: Path, digest: str) -> None:
    """Compare a file with what was written, once per worker; ValueError where it is another."""
    with file.open("rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != digest:
            raise ValueError(f"the SHA-256 of {file.name} is not that of what was written there")


def _kept(system: Any, file: str, url: str, digest: str) -> Path:
    """This node's copy of ``file``: fetched by the first of its workers that needs it."""
    folder = copies_of(url)
    folder.mkdir(mode=0o700, exist_ok=True)
    here = folder / Path(file).name
    with FileLock(folder / ".lock"):
        if not here.exists():
            temporary = here.with_suffix(".tmp")
            system.get_file(file, str(temporary))
            _verify(temporary, digest)
            os.replace(temporary, here)
    return here


def copies_of(url: str) -> Path:
    """Where a node keeps its copies of the arrays in ``url``.

    Named by the run's random token, so nobody else can have made it before.
    """
    return Path(tempfile.gettempdir()) / f"{url.rpartition('/')[2]}.copies"


def _system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    return system, str(path)


def _is_here(system: Any) -> bool:
    protocols = system.protocol
    return "file" in ((protocols,) if isinstance(protocols, str) else protocols)


def _unusable(url: str, error: Exception, what: str) -> BadInput:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return BadInput(
        "shared",
        url,
        f"cannot be {what} ({' '.join(reason.split())})",
        "Give the URL of a folder that this machine and every node can read and write",
    )
