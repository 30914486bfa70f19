"""An image folder: the class of an image is the sub-folder it lies in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFile, UnidentifiedImageError

from audit.data.examples import Examples
from audit.data.limits import check_matrix
from audit.data.names import distinct_names
from audit.data.splits import stratified_test_rows, test_size
from audit.data.vision import pixel_names, scaled
from audit.errors import BadInput
from audit.files import require_regular

# Pillow looks at content, not at names, and knows formats whose readers start other programs
# (Ghostscript for PostScript): only those named here are tried.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
_SPLITS = ("train", "test")
# Small networks on flat pixels; also far below what a forged header can claim.
_MOST_PIXELS = 1_000_000
_GREY_MODES = {"1", "L"}
_COLOUR_MODES = {"RGB", "RGBA", "P", "PA", "LA", "CMYK", "YCbCr", "HSV"}


@dataclass(frozen=True)
class _Found:
    """An image file, its class and, where the folder has train/ and test/, its side."""

    path: Path
    class_name: str
    side: str | None


def image_folder(root: Path, *, seed: int, test_fraction: float) -> Examples:
    """The examples in ``root/CLASS/*.png`` or ``root/{train,test}/CLASS/*.png``.

    All images must have one size: how to crop or stretch is a decision about the data that an
    audit should not take. Grey if all are grey, else RGB (transparency is dropped).

    Raises:
        BadInput: no class, an image that cannot be read or has another size, too many pixels.
    """
    found, skipped = _find(root)
    size, colour = _size_and_colour(found)
    channels = 3 if colour else 1
    shape = (channels, size[1], size[0])
    check_matrix(str(root), len(found), int(np.prod(shape)), "Use smaller or fewer images.")
    names = sorted({image.class_name for image in found})
    y = np.array([names.index(image.class_name) for image in found], dtype=np.int64)
    if found[0].side is None:
        n_test = test_size(len(y), test_fraction)
        test = stratified_test_rows(y, n_test=n_test, seed=seed)
        split = f"stratified by class, {n_test:,} of {len(y):,} images to test, seed {seed}"
    else:
        test = np.array([image.side == "test" for image in found])
        split = "folders train and test"
    sides = (np.flatnonzero(~test), np.flatnonzero(test))
    x_train, x_test = (scaled(_decode([found[at] for at in side], shape)) for side in sides)
    return Examples(
        name=root.resolve().name,
        x_train=x_train,
        y_train=y[~test],
        x_test=x_test,
        y_test=y[test],
        class_names=distinct_names(names),
        feature_names=pixel_names(shape),
        input_shape=shape,
        source=str(root),
        licence="not stated",
        warnings=(f"{skipped:,} files that are no images were skipped",) if skipped else (),
        notes={"split": split, "scaling": "divided by 255 (a public constant)"},
    )


def _find(root: Path) -> tuple[list[_Found], int]:
    """Image files in a fixed order, and how many other files there are."""
    try:
        folders = [path for path in _children(root) if path.is_dir()]
        if folders and {path.name for path in folders} == set(_SPLITS):
            classes = [(c, side.name) for side in folders for c in _children(side) if c.is_dir()]
        else:
            classes = [(c, None) for c in folders]
        files = [(path, c.name, side) for c, side in classes for path in _children(c)]
    except OSError as error:
        raise BadInput(
            "data",
            str(root),
            f"cannot be read ({error.strerror})",
            "Check the permissions of the folder and its sub-folders.",
        ) from error
    images = [_Found(*file) for file in files if file[0].suffix.lower() in _SUFFIXES]
    if not images:
        raise BadInput(
            "data",
            str(root),
            f"has no images in {len(classes)} sub-folders",
            "Put the images of each class into a sub-folder named after it.",
        )
    return images, len(files) - len(images)


def _children(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _size_and_colour(found: list[_Found]) -> tuple[tuple[int, int], bool]:
    """Width and height shared by all images, and whether any has colour; reads headers only."""
    first: tuple[int, int] | None = None
    modes = set()
    for image in found:
        size, mode = _header(image.path)
        first = first or size
        if size != first:
            raise BadInput(
                "data",
                str(image.path),
                f"is {size[0]}×{size[1]} pixels, but {found[0].path.name!r} is "
                f"{first[0]}×{first[1]}",
                "Crop or scale all images to one size first.",
            )
        modes.add(mode)
    assert first is not None, "there is at least one image"
    return first, bool(modes - _GREY_MODES)


@contextmanager
def _whole_images() -> Iterator[None]:
    """A cut off file is refused, whatever another library asked Pillow for: WeasyPrint tells it,
    for the whole process, to fill up what is missing."""
    filled, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which nobody reads
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = filled


def _header(path: Path) -> tuple[tuple[int, int], str]:
    try:
        with warnings.catch_warnings():
            # Of 90 million pixels, where the limit here is lower and refuses; of odd metadata.
            warnings.simplefilter("ignore")
            require_regular("data", path)
            with Image.open(path, formats=_FORMATS) as image:
                size, mode = image.size, image.mode
    except Image.DecompressionBombError:
        _refuse_large(path, "more than 178 million")
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(path) from error
    if size[0] * size[1] > _MOST_PIXELS:
        _refuse_large(path, f"{size[0] * size[1]:,}")
    if mode not in _GREY_MODES | _COLOUR_MODES:
        raise BadInput(
            "data",
            str(path),
            f"has the pixel format {mode!r}, not 8 bits per channel",
            "Convert it to 8-bit grey or RGB.",
        )
    return size, mode


def _refuse_large(path: Path, pixels: str) -> NoReturn:
    raise BadInput(
        "data",
        str(path),
        f"has {pixels} pixels; at most {_MOST_PIXELS:,} are allowed",
        "Scale the images down.",
    )


def _unreadable(path: Path) -> BadInput:
    return BadInput("data", str(path), "cannot be read as an image", "Remove or replace this file.")


def _decode(
    found: list[_Found], shape: tuple[int, int, int]
) -> UInt8[np.ndarray, "images channels height width"]:
    pixels = np.empty((len(found), *shape), dtype=np.uint8)
    for at, one in enumerate(found):
        try:
            with (
                _whole_images(),
                warnings.catch_warnings(),
                Image.open(one.path, formats=_FORMATS) as image,
            ):
                warnings.simplefilter("ignore")
                # P with transparency as bytes makes Pillow warn unless it goes through RGBA.
                whole = image.convert("RGBA") if image.mode in ("P", "PA") else image
                decoded = np.asarray(whole.convert("L" if shape[0] == 1 else "RGB"))
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
            raise _unreadable(one.path) from error
        pixels[at] = decoded[None] if shape[0] == 1 else decoded.transpose(2, 0, 1)
    return pixels
