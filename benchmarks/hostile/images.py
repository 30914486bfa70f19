"""Hostile folders of images, and files of torchvision's sets."""

from __future__ import annotations

import io
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.hostile.arrays import Payload
from benchmarks.hostile.case import CANARY, Bench, Case, Maker
from benchmarks.hostile.tables import read

_KINDS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")


def encoded(bench: Bench, kind: str, size: int = 8, mode: str = "L") -> bytes:
    """A picture of noise."""
    channels = () if mode == "L" else (3,)
    pixels = bench.rng.integers(0, 256, (size, size, *channels)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG file."""
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def png(
    width: int, height: int, data: bytes, *more: bytes, depth: int = 8, colour: int = 0
) -> bytes:
    """A PNG file of any claims."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", head), *more, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def folder(bench: Bench, **odd: bytes) -> Case:
    """Two classes of good pictures, with ``odd`` ones among them, by the ending of their names."""
    for name in "ab":
        for i in range(bench.int(11, 14)):
            bench.write(f"d/{name}/{i}.png", encoded(bench, "PNG"))
    for suffix, content in odd.items():
        bench.write(f"d/{bench.pick('ab')}/{bench.pick('0z')}{bench.word()}.{suffix}", content)
    return read(bench, "d", label=None)


def bomb(bench: Bench) -> Case:
    width, height = bench.pick(
        (
            (bench.int(30_000, 60_000), 30_000),
            (2**31 - 1, bench.int(1, 9)),
            (1_001, bench.int(1_000, 9_000)),
            (bench.int(1, 3), 2**31 - 1),
            (bench.int(5_000, 9_000), 5_000),
            (0, bench.int(0, 99)),
        )
    )
    return folder(bench, png=png(width, height, zlib.compress(bytes(bench.int(1, 10**6)))))


def all_bombs(bench: Bench) -> Case:
    """Every picture claims as much: all of one size."""
    size = bench.int(1001, 40_000)
    for name in "ab":
        for i in range(12):
            bench.write(f"d/{name}/{i}.png", png(size, size, zlib.compress(bytes(100))))
    return read(bench, "d", label=None)


def text_bomb(bench: Bench) -> Case:
    """A comment that unpacks to a hundred megabytes, in a picture that is cut off."""
    note = b"note\0\0" + zlib.compress(bytes(bench.int(50, 90) << 20))
    profile = chunk(bench.pick((b"zTXt", b"iCCP")), note)
    return folder(bench, png=png(8, 8, zlib.compress(bytes(9)), profile))


def cut(bench: Bench) -> Case:
    kind = bench.pick(_KINDS)
    whole = encoded(bench, kind, mode=bench.pick(("L", "RGB")))
    # Pillow reads a JPEG without its last two bytes, its end mark, and nothing is missing then.
    return folder(bench, **{kind.lower(): whole[: bench.int(0, len(whole) * 3 // 4)]})


def rubbish(bench: Bench) -> Case:
    return folder(bench, **{bench.pick(_KINDS).lower(): bench.bytes(0, 2000)})


def damaged(bench: Bench) -> Case:
    kind = bench.pick(_KINDS)
    whole = bytearray(encoded(bench, kind))
    for _ in range(bench.int(1, 12)):
        whole[bench.int(0, len(whole) - 1)] = bench.int(0, 255)
    return Case(folder(bench, **{kind.lower(): bytes(whole)}).argv, maybe=True)


def other_format(bench: Bench) -> Case:
    """Formats whose readers start programs, follow references or read text."""
    postscript = (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"
        f"(../{CANARY}) (w) file closefile % {bench.word()}\nshowpage\n%%EOF\n"
    )
    drawing = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8">'
        f"<script>{bench.word()}</script>"
        '<image href="file:///etc/passwd"/></svg>'
    )
    ppm = b"P5 8 8 255\n" + bench.bytes(64, 64)
    xpm = f'/* XPM */\nstatic char *x[] = {{"8 8 1 1", "a c {bench.word()}"}};'
    formats = (
        postscript.encode(),
        drawing.encode(),
        ppm,
        xpm.encode(),
        encoded(bench, "ICO", 16),
        encoded(bench, "PCX"),
        encoded(bench, "TGA"),
        b"%PDF-1.4\n" + bench.bytes(9, 99),
    )
    return folder(bench, **{bench.pick(_KINDS).lower(): bench.pick(formats)})


def other_size(bench: Bench) -> Case:
    return folder(bench, png=encoded(bench, "PNG", bench.pick((1, 7, 9, 16, 100))))


def other_depth(bench: Bench) -> Case:
    pixels = bench.rng.integers(0, 65536, (8, 8)).astype(
        bench.pick((np.uint16, np.int32, np.float32))
    )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="TIFF")
    return folder(bench, tiff=buffer.getvalue())


def one_class(bench: Bench) -> Case:
    for i in range(bench.int(4, 40)):
        bench.write(f"d/{bench.pick(('a',))}/{i}.png", encoded(bench, "PNG"))
    return read(bench, "d", label=None)


def no_images(bench: Bench) -> Case:
    for _ in range(bench.int(0, 6)):
        bench.write(
            f"d/{bench.word()}/{bench.word()}{bench.pick(('.txt', '', '.svg', '.pdf'))}", b"x"
        )
    (bench.here / "d" / bench.word()).mkdir(parents=True)
    if bench.int(0, 1):
        bench.write(f"d/{bench.word()}.png", encoded(bench, "PNG"))
    return read(bench, "d", label=None)


def no_file(bench: Bench) -> Case:
    case = folder(bench)
    bench.special(f"d/{bench.pick('ab')}/{bench.word()}.png")
    return case


def label_named(bench: Bench) -> Case:
    folder(bench)
    return read(bench, "d", label=bench.word())


IMAGES: dict[str, Maker] = {
    "bomb": bomb,
    "all bombs": all_bombs,
    "bomb in a comment": text_bomb,
    "cut off": cut,
    "rubbish": rubbish,
    "bytes changed": damaged,
    "another format": other_format,
    "another size": other_size,
    "more than 8 bits": other_depth,
    "one class": one_class,
    "no images": no_images,
    "an image that is no file": no_file,
    "a label named": label_named,
}

_FILES = {
    "MNIST/raw": [
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ],
    "FashionMNIST/raw": [
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ],
    "cifar-10-batches-py": [
        *(f"data_batch_{i}" for i in range(1, 6)),
        "test_batch",
        "batches.meta",
    ],
    "cifar-100-python": ["train", "test", "meta"],
}
_NAMES = dict(zip(_FILES, ("MNIST", "FashionMNIST", "CIFAR10", "CIFAR100"), strict=True))


def vision(bench: Bench) -> Case:
    """The files of a set, all there and all forged; some missing; or a name with more behind it."""
    place = bench.pick(tuple(_FILES))
    files = _FILES[place]
    if bench.int(0, 2) == 0:
        files = files[: bench.int(0, len(files) - 1)]
    for name in files:
        bench.write(str(Path("root") / place / name), _forged(bench, place))
    asked = _NAMES[place] + bench.pick(("", "", "", " ", "/..", "\n", bench.word()))
    return read(bench, f"torchvision:{asked}", "--data-root", "root", label=None)


def _forged(bench: Bench, place: str) -> bytes:
    if place.startswith("cifar"):
        return pickle.dumps({b"data": Payload(bench.word()), "label_names": ["a"]})
    magic = bench.pick((0x803, 0x801, 0, 0xFF03, 0x0E03))
    sizes = [bench.pick((0, 1, bench.int(1, 99), 60_000, 2**31 - 1)) for _ in range(3)]
    return struct.pack(">IIII", magic, *sizes) + bench.bytes(0, 99)


VISION: dict[str, Maker] = {"files of a set": vision}
