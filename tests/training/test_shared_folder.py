"""The shared folder of a cluster: what is read is what was written, and nothing tells secrets."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from audit.errors import BadInput
from audit.training import shared_folder
from audit.training.cohort_task import TrainingData
from audit.training.execution import make_execution
from audit.training.shared_folder import SharedFolder, forget

X, Y = np.zeros((3, 2), np.float32), np.zeros(3, np.int64)


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "copied"])
def test_changed_training_data_are_refused(
    tmp_path: Path, in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SharedFolder(f"file://{tmp_path}", "0" * 64)
    held = folder.put(TrainingData(X, Y, X, Y, (2,)))
    monkeypatch.setattr(shared_folder, "_is_here", lambda system: in_place)
    try:
        np.testing.assert_array_equal(held.open().y_train, Y)
        # Another worker, on a node that has read nothing yet.
        shared_folder._verify.cache_clear()
        forget(held.url)
        (file,) = tmp_path.glob("audit-*/y_train.npy")
        np.save(file, Y + 7)
        with pytest.raises(BadInput, match="is not that of what was written there"):
            held.open()
    finally:
        forget(held.url)


@pytest.mark.parametrize(
    "shared",
    ["simplecache::ftp://me:secret@host/f", "https://secret@host/x", "az://c/x?sig=secret",
     "nosuch", "", "file://", "file:///", "memory://x"],
)  # fmt: skip
def test_folders_that_tell_secrets_or_that_nobody_else_sees_are_refused(shared: str) -> None:
    with pytest.raises(BadInput, match="shared = ") as refused:
        make_execution("ray", shared=shared)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "shared", ["file:///nfs/audit", "/nfs/audit", "s3://bucket/audit", "sftp://me@host/audit"]
)
def test_folders_that_others_see_are_taken(shared: str) -> None:
    assert make_execution("ray", shared=shared).shared == shared


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        SharedFolder(f"file://{tmp_path}/mistyped", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_removed_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    folder = SharedFolder(f"file://{tmp_path}", "0" * 64)
    shutil.rmtree(next(tmp_path.glob("audit-*")))
    folder.remove(told.append)
    assert "remove it by hand" in told[0]
