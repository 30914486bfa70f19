"""All doors: what is given at each, and how many of a study's cases each gets."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.hostile import (
    arrays,
    configs,
    contents,
    estimates,
    images,
    options,
    parquets,
    policies,
    reviews,
    runs,
    tables,
    theories,
)
from benchmarks.hostile.case import Maker


@dataclass(frozen=True)
class Kind:
    """The makers of a kind take turns; ``weight``: its cases among all."""

    weight: int
    makers: dict[str, Maker]


KINDS: dict[str, Kind] = {
    "data: CSV": Kind(10, tables.CSV),
    "data: Parquet": Kind(5, parquets.PARQUET),
    "data: no file": Kind(3, tables.PLACES),
    "data: NPZ": Kind(7, arrays.NPZ),
    "data: NPY": Kind(4, arrays.NPY),
    "data: images": Kind(5, images.IMAGES),
    "data: torchvision": Kind(2, images.VISION),
    "options": Kind(11, options.COMMANDS),
    "configurations": Kind(14, configs.CONFIGS),
    "theory": Kind(4, theories.THEORIES),
    "arrays of estimate": Kind(9, estimates.ESTIMATES),
    "policies": Kind(6, policies.POLICIES),
    "attestations": Kind(5, policies.ATTESTATIONS),
    "reports": Kind(7, reviews.REPORTS),
    "run: manifest": Kind(8, runs.MANIFESTS),
    "run: shards, labels": Kind(4, contents.SHARDS),
    "run: results": Kind(5, contents.RESULTS),
}
