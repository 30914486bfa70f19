"""torchvision's sets from local files, image folders, and the import that must not fail."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from audit.data import images
from audit.data.registry import load
from audit.data.torchvision_compat import define_missing_operators, import_torchvision
from audit.data.vision import default_root
from audit.errors import BadInput

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"


def _refused(source: str, **options: object) -> str:
    with pytest.raises(BadInput) as error:
        load(source, seed=0, **options)  # type: ignore[arg-type]
    assert str(error.value).isprintable()
    return str(error.value)


def test_torchvision_imports_beside_any_build_of_torch() -> None:
    """In a fresh process, with warnings as errors, and again after the import."""
    code = (
        "from audit.data.torchvision_compat import *;"
        "tv = import_torchvision();"
        "assert tv is import_torchvision();"
        "assert define_missing_operators() == ();"
        "from torchvision import datasets, transforms, models; datasets.MNIST"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_missing_operators_are_defined_once() -> None:
    import_torchvision()
    assert define_missing_operators() == ()


def test_other_import_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(RuntimeError, match="something else"):
        import_torchvision()


@pytest.mark.skipif(not (SHARED / "MNIST").is_dir(), reason="the MNIST files are not here")
def test_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_DATA", str(SHARED))
    data = load("torchvision:mnist", subgroups=["class"], seed=0)
    assert data.name == "MNIST"
    assert data.input_shape == (1, 28, 28)
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 784), (10_000, 784))
    assert np.bincount(data.y_train)[:3].tolist() == [5_923, 6_742, 5_958]
    raw = (SHARED / "MNIST/raw/train-images-idx3-ubyte").read_bytes()
    first = np.frombuffer(raw, dtype=np.uint8, offset=16, count=784)
    np.testing.assert_allclose(data.x_train[0] * 255, first, atol=1e-4)


def _fake_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR-10's layout with random pixels; its checksums are switched off."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, size=(6, 8, 3072), dtype=np.uint8)
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
    for name, block in zip(names, pixels, strict=True):
        content = {"data": block, "labels": [k % 2 for k in range(8)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["plane", "car"]}))
    import_torchvision()
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    return pixels


def test_cifar_is_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = _fake_cifar(tmp_path, monkeypatch)
    data = load("torchvision:CIFAR10", data_root=tmp_path, subgroups=["class"], seed=0)
    assert data.input_shape == (3, 32, 32)
    # CIFAR's files hold all reds, then greens, then blues: channels first already.
    np.testing.assert_allclose(data.x_train * 255, pixels[:5].reshape(40, 3072), atol=1e-4)
    np.testing.assert_allclose(data.x_test * 255, pixels[5], atol=1e-4)
    assert data.class_names == ("plane", "car")


def test_cifar_with_wrong_checksums_is_refused_before_its_pickles_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    assert "damaged files" in _refused("torchvision:CIFAR10", data_root=tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (struct.pack(">IIII", 0x803, 2, 2, 2) + bytes(8), struct.pack(">II", 0x801, 3) + bytes(3)),
        (
            struct.pack(">IIII", 0x803, 2, 2, 2) + bytes(8),
            struct.pack(">II", 0x801, 2) + b"\x0b" * 2,
        ),
        (struct.pack(">IIII", 0x803, 0, 2, 2), struct.pack(">II", 0x801, 0)),
        (struct.pack(">IIII", 0x803, 2**31 - 1, 2**31 - 1, 9), struct.pack(">II", 0x801, 1) + b"1"),
        (struct.pack(">II", 0x801, 3) + bytes(3), struct.pack(">II", 0x801, 3) + bytes(3)),
        (b"", b""),
    ],
)
def test_forged_mnist_files(tmp_path: Path, images: bytes, labels: bytes) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    assert "damaged files" in _refused("torchvision:MNIST", data_root=tmp_path)


def test_missing_files_are_named_with_what_a_download_would_fetch(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"")
    text = _refused("torchvision:MNIST", data_root=tmp_path)
    assert "lacks 3 of 4 files" in text
    assert "t10k-labels-idx1-ubyte" in text
    assert "12 MB" in text
    assert "--data-root" in text
    for name in ("train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\0" * 3)
    assert "damaged files" in _refused("torchvision:MNIST", data_root=tmp_path)


def test_default_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIT_DATA", raising=False)
    assert default_root() == Path("data")
    monkeypatch.setenv("AUDIT_DATA", "")
    assert default_root() == Path("data")


def _folder(root: Path, *, mode: str = "L", sides: tuple[str, ...] = ("",)) -> Path:
    rng = np.random.default_rng(0)
    for side in sides:
        for label in ("cat", "dog"):
            folder = root / side / label
            folder.mkdir(parents=True)
            for k in range(12):
                shape = (5, 4) if mode == "L" else (5, 4, 3)
                pixels = rng.integers(0, 256, size=shape, dtype=np.uint8)
                Image.fromarray(pixels).convert(mode).save(folder / f"{k:02}.png")
    return root


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_image_folder(tmp_path: Path, mode: str, channels: int) -> None:
    data = load(str(_folder(tmp_path, mode=mode)), subgroups=["class"], seed=0)
    assert data.input_shape == (channels, 5, 4)
    assert data.class_names == ("cat", "dog")
    assert (len(data.x_train), len(data.x_test)) == (18, 6)
    every = np.concatenate([data.x_train, data.x_test])
    with Image.open(tmp_path / "cat" / "00.png") as image:
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"), dtype=np.float32)
    pixels = pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
    assert (np.abs(every - pixels.ravel() / 255).max(axis=1) < 1e-6).any()


def test_image_folder_with_its_own_split(tmp_path: Path) -> None:
    (_folder(tmp_path, sides=("train", "test")) / "train" / "cat" / "notes.txt").write_text("x")
    data = load(str(tmp_path), subgroups=["class"], seed=0)
    assert (len(data.x_train), len(data.x_test)) == (24, 24)
    assert data.class_names == ("cat", "dog")
    assert any("1 files that are no images" in warning for warning in data.warnings)


def test_images_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, odd = _folder(tmp_path), tmp_path / "dog" / "99.png"
    Image.new("L", (7, 7)).save(odd)
    assert "7×7 pixels" in _refused(str(root))
    Image.new("I;16", (4, 5)).save(odd)
    assert "8 bits per channel" in _refused(str(root))
    odd.write_bytes(b"no image")
    assert "99.png" in _refused(str(root))
    whole = (tmp_path / "dog" / "00.png").read_bytes()
    odd.write_bytes(whole[: len(whole) - 30])
    # What importing WeasyPrint does to every reader of images in the process.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "99.png" in _refused(str(root))
    assert ImageFile.LOAD_TRUNCATED_IMAGES
    Image.new("1", (20_000, 20_000)).save(odd)
    assert "more than 178 million pixels" in _refused(str(root))
    Image.new("1", (10_000, 9_500)).save(odd)
    assert "95,000,000 pixels" in _refused(str(root))
    odd.unlink()
    monkeypatch.setattr(images, "_MOST_PIXELS", 19)
    assert "has 20 pixels" in _refused(str(root))


def test_folders_without_images(tmp_path: Path) -> None:
    assert "has no images in 0 sub-folders" in _refused(str(tmp_path))
    (tmp_path / "cat").mkdir()
    assert "has no images in 1 sub-folders" in _refused(str(tmp_path))
    (tmp_path / "cat" / "a.txt").write_text("x")
    assert "has no images" in _refused(str(tmp_path))
    for k in range(30):
        Image.new("L", (4, 4), k).save(tmp_path / "cat" / f"{k}.png")
    assert "1 class" in _refused(str(tmp_path))
    assert "--label" in _refused(str(tmp_path), label="x")


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", deny)
    assert "Permission denied" in _refused(str(tmp_path))


def test_only_formats_that_are_named_are_tried(tmp_path: Path) -> None:
    """Pillow gives PostScript to Ghostscript, whatever the file is called."""
    root = _folder(tmp_path / "d")
    first = min((root / "a").iterdir() if (root / "a").is_dir() else root.rglob("*.png"))
    first.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n")
    with Image.open(first) as opened:
        assert opened.format == "EPS"  # what Pillow would have made of it
    assert "cannot be read as an image" in _refused(str(root))


def test_an_image_that_is_no_file(tmp_path: Path) -> None:
    root = _folder(tmp_path / "d")
    first = min(root.rglob("*.png"))
    first.unlink()
    os.mkfifo(first)
    assert "is not a file" in _refused(str(root))


def test_a_root_that_no_folder_can_be_called() -> None:
    assert "data-root" in _refused("torchvision:MNIST", data_root=Path("x" * 3000))
