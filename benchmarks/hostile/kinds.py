"""All doors: what is given at each, and how many of a study's cases each gets."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.hostile import arrays, images, settings, tables
from benchmarks.hostile.case import Maker


@dataclass(frozen=True)
class Kind:
    """The makers of a kind take turns; ``weight``: its cases among all."""

    weight: int
    makers: dict[str, Maker]


KINDS: dict[str, Kind] = {
    "data: CSV": Kind(12, tables.CSV),
    "data: Parquet": Kind(8, tables.PARQUET),
    "data: no file": Kind(4, tables.PLACES),
    "data: NPZ": Kind(10, arrays.NPZ),
    "data: NPY": Kind(6, arrays.NPY),
    "data: images": Kind(7, images.IMAGES),
    "options": Kind(12, settings.COMMANDS),
    "configurations": Kind(16, settings.CONFIGS),
    "data: torchvision": Kind(2, images.VISION),
}
