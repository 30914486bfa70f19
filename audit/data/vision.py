"""``torchvision:NAME``: the standard image sets from files that already lie on this machine."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from audit.data.examples import Examples
from audit.data.names import did_you_mean
from audit.errors import BadInput

_MNIST_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


@dataclass(frozen=True)
class _ImageSet:
    """What one set is, where its files go below the data root, and what a download would fetch."""

    what: str
    folder: str
    files: tuple[str, ...]
    download: str
    licence: str


_SETS = {
    "MNIST": _ImageSet(
        "70,000 handwritten digits, 28×28 grey, 10 classes",
        "MNIST/raw",
        _MNIST_FILES,
        "12 MB, 55 MB unpacked",
        "CC BY-SA 3.0 (LeCun, Cortes, Burges)",
    ),
    "FashionMNIST": _ImageSet(
        "70,000 pieces of clothing, 28×28 grey, 10 classes",
        "FashionMNIST/raw",
        _MNIST_FILES,
        "31 MB, 55 MB unpacked",
        "MIT (Xiao, Rasul, Vollgraf 2017; Zalando SE)",
    ),
    "CIFAR10": _ImageSet(
        "60,000 photographs, 32×32 colour, 10 classes",
        "cifar-10-batches-py",
        (*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch", "batches.meta"),
        "170 MB, 186 MB unpacked",
        "not stated (Krizhevsky 2009)",
    ),
    "CIFAR100": _ImageSet(
        "60,000 photographs, 32×32 colour, 100 classes",
        "cifar-100-python",
        ("train", "test", "meta"),
        "169 MB, 187 MB unpacked",
        "not stated (Krizhevsky 2009)",
    ),
}
TORCHVISION: dict[str, str] = {name: one.what for name, one in _SETS.items()}


def default_root() -> Path:
    """``$AUDIT_DATA`` if set, else ``data/`` in the working directory."""
    return Path(os.environ.get("AUDIT_DATA") or "data")


def torchvision_examples(source: str, root: Path) -> Examples:
    """The set ``torchvision:NAME`` read from ``root``; never downloads.

    Pixels are divided by 255, the largest possible value (a public constant); rows are flat,
    channels first.

    Raises:
        BadInput: an unknown name, or files that are missing or damaged; says what goes where.
    """
    asked = source.removeprefix("torchvision:")
    name = next((known for known in _SETS if known.lower() == asked.lower()), None)
    if name is None:
        raise BadInput(
            "data",
            source,
            "is no torchvision data set this tool reads",
            did_you_mean(source, [f"torchvision:{known}" for known in _SETS]),
        )
    about = _SETS[name]
    _refuse_missing(source, about, root)
    # Here, not above: torch takes seconds to import, and most audits need no torchvision.
    from audit.data.torchvision_compat import import_torchvision

    datasets = import_torchvision().datasets
    kind = getattr(datasets, name)
    train, test = (_open(source, root, about, kind, train=side) for side in (True, False))
    pixels = _pixels(train)
    shape = pixels.shape[1:]
    for side in (train, test):
        labels = np.asarray(side.targets)
        known = labels.size and labels.min() >= 0 and labels.max() < len(train.classes)
        if not known or _pixels(side).shape != (len(labels), *shape):
            raise _damaged(source, root, about)
    return Examples(
        name=name,
        x_train=scaled(pixels),
        y_train=np.asarray(train.targets, dtype=np.int64),
        x_test=scaled(_pixels(test)),
        y_test=np.asarray(test.targets, dtype=np.int64),
        class_names=tuple(train.classes),
        feature_names=pixel_names(shape),
        input_shape=shape,
        source=f"torchvision:{name}",
        licence=about.licence,
        notes={"split": "the set's own", "scaling": "divided by 255 (a public constant)"},
    )


def scaled(pixels: UInt8[np.ndarray, "rows ..."]) -> Float32[np.ndarray, "rows features"]:
    """Bytes → float32 in [0, 1], one flat row per image."""
    flat = pixels.reshape(len(pixels), -1)
    result = np.empty(flat.shape, dtype=np.float32)
    return np.divide(flat, np.float32(255), out=result, dtype=np.float32)


def pixel_names(shape: tuple[int, ...]) -> tuple[str, ...]:
    """A name per pixel: ``pixel CHANNEL,ROW,COLUMN``."""
    return tuple("pixel " + ",".join(map(str, at)) for at in np.ndindex(*shape))


def _refuse_missing(source: str, about: _ImageSet, root: Path) -> None:
    folder = root / about.folder
    try:
        missing = [file for file in about.files if not (folder / file).is_file()]
    except OSError as error:  # too long a name, a loop of links, no permission
        raise BadInput(
            "data-root", str(root), "is not a path that can be opened", "Check it"
        ) from error
    if missing:
        raise BadInput(
            "data",
            source,
            f"lacks {len(missing)} of {len(about.files)} files in {str(folder)!r}: "
            + ", ".join(missing),
            f"Nothing is downloaded; torchvision would fetch {about.download}. Place the files "
            "there unpacked, or give their folder with --data-root or AUDIT_DATA.",
        )


def _open(
    source: str, root: Path, about: _ImageSet, kind: Callable[..., Any], *, train: bool
) -> Any:
    try:
        with warnings.catch_warnings():
            # CIFAR's files were pickled by an old NumPy; 2.4 warns of it (pytorch/vision #9340).
            warnings.filterwarnings("ignore", message=r".*align should be passed.*")
            return kind(root, train=train, download=False)
    except Exception as error:  # its readers assert, index and unpack what a file claims
        raise _damaged(source, root, about) from error


def _damaged(source: str, root: Path, about: _ImageSet) -> BadInput:
    return BadInput(
        "data",
        source,
        f"has damaged files in {str(root / about.folder)!r} (wrong size or checksum)",
        "Place them again.",
    )


def _pixels(data: Any) -> UInt8[np.ndarray, "rows channels height width"]:
    pixels = np.asarray(data.data)
    if pixels.ndim == 3:
        return pixels[:, None]
    # CIFAR comes as rows × height × width × channels; convolutions expect channels first.
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
