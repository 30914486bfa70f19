"""The run directory: nothing half-written is believed, nothing finished is lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from audit import store as store_module
from audit.errors import AuditError, BadInput
from audit.manifest import read_manifest
from audit.shards import Shard, read_shards, shard_path
from audit.store import (
    LARGEST_JSON,
    RunDirectory,
    check_plain,
    newest_run,
    read_json,
    write_bytes,
    write_json,
)


def make_shard(models: int = 3, n: int = 13, n_test: int = 9, seed: int = 0) -> Shard:
    rng = np.random.default_rng(seed)
    return Shard(
        membership=rng.random((models, n)) < 0.7,
        train_correct=rng.random((models, n)) < 0.9,
        test_correct=rng.random((models, n_test)) < 0.8,
        train_margin=rng.normal(size=(models, n)).astype(np.float16),
        test_margin=rng.normal(size=(models, n_test)).astype(np.float16),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with two shards."""
    with RunDirectory(tmp_path / "run") as store:
        store.manifest["schema_version"] = 1
        store.save_shard("standard/3-5", make_shard(seed=1), {"seconds": 1.0})
        store.save_shard("standard/0-2", make_shard(seed=0), {"seconds": 1.0})
    return tmp_path / "run"


def test_shards_come_back_bit_for_bit_in_order_of_models(run: Path):
    shards = list(read_shards(run, read_json(run / "run.json"), "standard"))
    for seed, shard in enumerate(shards):
        for name, array in vars(make_shard(seed=seed)).items():
            np.testing.assert_array_equal(getattr(shard, name), array)


def test_the_same_cohort_has_the_same_digest(tmp_path: Path):
    digests = set()
    for attempt in range(12):
        with RunDirectory(tmp_path / str(attempt)) as store:
            store.save_shard("standard/0-2", make_shard(), {})
            digests.add(store.manifest["shards"]["standard/0-2"]["sha256"])
    assert len(digests) == 1


def test_the_layout_is_the_published_one(run: Path):
    arrays = load_file(run / "shards" / "standard" / "0-2.safetensors")
    expected = make_shard()
    assert {name: str(a.dtype) for name, a in arrays.items()} == {
        "membership": "uint8",
        "train_correct": "uint8",
        "test_correct": "uint8",
        "train_margin": "float16",
        "test_margin": "float16",
    }
    bits = np.unpackbits(arrays["membership"], axis=1, count=13, bitorder="little")
    np.testing.assert_array_equal(bits.astype(bool), expected.membership)
    assert arrays["membership"].shape == (3, 2)
    digest = hashlib.sha256((run / "shards/standard/0-2.safetensors").read_bytes()).hexdigest()
    assert read_json(run / "run.json")["shards"]["standard/0-2"]["sha256"] == digest


def test_a_run_directory_is_private(run: Path):
    assert stat.S_IMODE(run.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "pickle"])
def test_a_damaged_shard_is_refused_and_dropped(run: Path, damage: str):
    path = run / "shards" / "standard" / "0-2.safetensors"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "truncate":
        path.write_bytes(data[:-5])
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04cos\nsystem\n.")
    else:
        path.unlink()
    with pytest.raises(AuditError, match="damaged"):
        list(read_shards(run, read_json(run / "run.json"), "standard"))
    with RunDirectory(run) as store:
        store.manifest = read_json(run / "run.json")
        assert store.drop_damaged_shards() == ["standard/0-2"]
    assert list(read_json(run / "run.json")["shards"]) == ["standard/3-5"]


def test_a_forged_digest_of_garbage_is_still_no_traceback(run: Path):
    path = run / "shards" / "standard" / "0-2.safetensors"
    path.write_bytes(b"not safetensors")
    manifest = read_json(run / "run.json")
    manifest["shards"]["standard/0-2"]["sha256"] = hashlib.sha256(b"not safetensors").hexdigest()
    with pytest.raises(AuditError, match="cannot be read"):
        list(read_shards(run, manifest, "standard"))


@pytest.mark.parametrize(
    "key",
    [
        *("../../etc/passwd", "standard/../../x", "/abs/0-1", "a/b/c", "standard/", "..", "é/0-1"),
        *("standard/x", "standard/0", "standard/5-0", "standard/-1-1", "standard/1-٣", "../0-1"),
        f"standard/0-{10**30}",
    ],
)
def test_a_manifest_cannot_lead_out_of_the_run_directory(tmp_path: Path, key: str):
    with pytest.raises(BadInput):
        shard_path(tmp_path, key)


def test_two_runs_in_one_folder(run: Path):
    with RunDirectory(run), pytest.raises(BadInput, match="in use by another run"):
        RunDirectory(run)
    with RunDirectory(run):
        pass  # the lock is free again


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(BadInput, match="not a run directory"):
        RunDirectory(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path):
    (tmp_path / "run").write_text("")
    with pytest.raises(BadInput):
        RunDirectory(tmp_path / "run")


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "\x00", '{"a": 1', "[" * 100_000])
def test_a_broken_manifest_is_one_line(tmp_path: Path, text: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_write_that_fails_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "run.json"
    write_json(path, {"old": True})

    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_module.os, "fsync", full_disk)
    with pytest.raises(BadInput, match="no space left"):
        write_bytes(path, b"new")
    assert json.loads(path.read_text()) == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_json_is_reproducible_and_refuses_nan(tmp_path: Path):
    write_json(tmp_path / "a", {"ε": 2.0, "x": [1, None]})
    write_json(tmp_path / "b", {"ε": 2.0, "x": [1, None]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "c", {"x": float("nan")})


def test_newest_run(tmp_path: Path):
    with pytest.raises(BadInput, match="no run directory"):
        newest_run(tmp_path)
    for age, name in ((10, "a"), (5, "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
        os.utime(tmp_path / name / "run.json", (1e9 - age, 1e9 - age))
    assert newest_run(tmp_path).name == "b"


@pytest.mark.parametrize("shape", [(3, 4), (0, 4), (5,)])
def test_scratch_arrays_are_npy_files(run: Path, shape: tuple[int, ...]):
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    with RunDirectory(run) as store:
        for given in (array, np.asfortranarray(array)):
            path = store.scratch_array("x", given)
            np.testing.assert_array_equal(np.load(path, mmap_mode="c", allow_pickle=False), array)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_called_that(run: Path):
    with RunDirectory(run) as store:
        store.scratch.mkdir()
        (store.scratch / "x.npy").symlink_to("/dev/full")
        with pytest.raises(BadInput, match="no space left on device"):
            store.scratch_array("x", np.zeros((500, 500)))


def test_scratch_is_private_and_gone_at_the_end(run: Path):
    with RunDirectory(run) as store:
        path = store.scratch_array("x", np.arange(6.0))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        np.testing.assert_array_equal(np.load(path), np.arange(6.0))
    assert not path.parent.exists()


@pytest.mark.parametrize("name", [".lock", "run.json", "shards/standard", ".run.json.tmp", "x/y/z"])
def test_a_run_directory_holds_files_and_folders_alone(run: Path, tmp_path: Path, name: str):
    """A link in it would have something outside read or written."""
    outside = tmp_path / "outside"
    outside.write_text("precious")
    path = run / name
    if path.is_dir():
        path.rename(tmp_path / "elsewhere")
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside)
    for attempt in (lambda: read_manifest(run), lambda: RunDirectory(run)):
        with pytest.raises(BadInput, match="neither a file nor a folder"):
            attempt()
    assert outside.read_text() == "precious"


def test_a_pipe_in_the_place_of_a_file_does_not_hold_anybody_up(run: Path):
    path = run / "shards" / "standard" / "0-2.safetensors"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BadInput, match="neither a file nor a folder"):
        check_plain(run)


def test_the_run_directory_itself_may_be_a_link(run: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(run)
    check_plain(tmp_path / "link")
    with RunDirectory(tmp_path / "link"):
        pass


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": Infinity}', '{"a": ' + "9" * 5000 + "}"])
def test_numbers_that_are_none(tmp_path: Path, text: str):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(BadInput, match="not valid JSON"):
        read_json(tmp_path / "run.json")


def test_another_encoding_than_the_one_written(tmp_path: Path):
    (tmp_path / "run.json").write_bytes('{"a": 1}'.encode("utf-16"))
    with pytest.raises(BadInput, match="not valid JSON"):
        read_json(tmp_path / "run.json")


def test_a_manifest_too_large_is_not_read(tmp_path: Path):
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(LARGEST_JSON + 1)
    with pytest.raises(BadInput, match="larger than"):
        read_json(tmp_path / "run.json")


@pytest.mark.parametrize("stated", ["0", "-1", "8", "17", "800000000"])
def test_a_shard_that_states_another_number_of_examples(run: Path, stated: str):
    path = run / "shards" / "standard" / "0-2.safetensors"
    arrays = load_file(path)
    content = save(arrays, metadata={"n": "13", "n_test": "9"})
    manifest = read_json(run / "run.json")
    del manifest["shards"]["standard/3-5"]

    def read(content: bytes) -> list[Shard]:
        path.write_bytes(content)
        manifest["shards"]["standard/0-2"]["sha256"] = hashlib.sha256(content).hexdigest()
        return list(read_shards(run, manifest, "standard"))

    assert read(content)[0].membership.shape == (3, 13)
    with pytest.raises(AuditError, match="cannot be read"):
        read(save(arrays, metadata={"n": stated, "n_test": "9"}))
