"""Memorization and influential pairs of MNIST (Feldman & Zhang 2020), with few models and with all.

    audit run --config mnist-feldman-zhang --data-root data --device cuda --out RUN
    python -m benchmarks.studies.feldman_zhang RUN [--models 60 200 500 1000]
    python -m benchmarks.studies.feldman_zhang RUN --pictures FOLDER --data-root data

Published for MNIST: 35 pairs (influence ≥ .15, memorization ≥ .25) of 2,000 convolutional networks,
by the two cuts alone. The configuration is that of the authors' published code, a multilayer
perceptron. ``--models``: estimated again from the first so many models of the run, with what so few
could have found (a test example that is right in half of the models without the training example,
at the level of one pair among as many as were published). ``--pictures``: the strongest pairs and
both histograms of memorization, from the run's results and the data, and no table.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import audit
from audit.estimates.influence import influential_pairs
from audit.estimates.influence_power import smallest_influence
from audit.estimates.memorization import share_above
from audit.estimates.result import Estimate
from audit.report.frames import records
from audit.report.words import estimate, general
from benchmarks.gpu_study import read_mnist

PUBLISHED_PAIRS = 35
HISTOGRAMS = {"standard": "mnist-memorization.svg", "ε = 2": "mnist-memorization-private.svg"}
# A test example that is right in half of the models that lack the pair's training example.
RIGHT_WITHOUT = 0.5


@dataclass(frozen=True)
class Found:
    """What so many models of an arm say."""

    arm: str
    models: int
    share: Estimate
    by_cuts: int
    pairs: int
    one_to_one: int
    train: int
    test: int
    selected: float
    again: float
    smallest: float


def look(run: audit.Run, arm: str, models: int) -> Found:
    """Estimates of the first ``models`` models of ``arm``."""
    outputs = run.outputs(arm)
    member, right, test_right = (
        array[:models]
        for array in (outputs.membership, outputs.train_correct, outputs.test_correct)
    )
    pairs = influential_pairs(member, right, test_right)
    # The level of one pair among as many true ones as were published.
    level = pairs.fdr * PUBLISHED_PAIRS / pairs.n_tested
    p = run.manifest["inclusion"]["p"]
    return Found(
        arm=arm,
        models=models,
        share=share_above(member, right, 0.25),
        by_cuts=pairs.n_by_cuts,
        pairs=len(pairs.train),
        one_to_one=pairs.n_one_to_one,
        train=pairs.n_train,
        test=pairs.n_test,
        selected=pairs.mean_selected,
        again=pairs.mean_reestimated,
        smallest=smallest_influence(models, p, level, RIGHT_WITHOUT),
    )


def largest_error(models: int, p: float) -> float:
    """Standard error of one mem where it is largest (p_in = p_out = ½)."""
    return 0.5 * sqrt(1 / (p * models) + 1 / ((1 - p) * models))


def print_table(run: audit.Run, found: list[Found]) -> None:
    print(
        f"Published: {PUBLISHED_PAIRS} pairs by the cuts alone, 2,000 models of another network.\n"
    )
    print(
        "| arm | models | error of one mem | mem ≥ .25 | pairs by the cuts alone "
        "| pairs (FDR 10 %) | one to one | training examples | test examples "
        "| mean influence, selected | again | smallest influence found |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    p = run.manifest["inclusion"]["p"]
    for row in found:
        print(
            f"| {row.arm} | {row.models:,} | {largest_error(row.models, p):.3f} "
            f"| {estimate(row.share.to_json(), 'percent', 2)} | {row.by_cuts:,} | {row.pairs:,} "
            f"| {row.one_to_one} | {row.train} | {row.test} | {general(row.selected, 2)} "
            f"| {general(row.again, 2)} | {general(row.smallest, 2)} |"
        )


def draw(run: audit.Run, root: Path, folder: Path, *, columns: int = 4, rows: int = 3) -> None:
    """Write the histograms, and the strongest pairs: training example left, test example right."""
    for words, name in HISTOGRAMS.items():
        found = next(c for c in run.charts if c.kind == "histogram" and words in c.title)
        (folder / name).write_text(found.svg + "\n", encoding="utf-8")
    pixels = read_mnist(root, None, torch.device("cpu"))
    side, gap, text = 28 * 3, 12, 22
    width, height = 2 * side + gap, side + text
    sheet = Image.new("L", (columns * (width + 2 * gap), rows * (height + 2 * gap)), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for place, pair in enumerate(records(run.influence.head(columns * rows))):
        left = gap + place % columns * (width + 2 * gap)
        top = gap + place // columns * (height + 2 * gap)
        for shift, x in ((0, pixels.x_train[int(pair["train_example"])]),
                         (side + gap, pixels.x_test[int(pair["test_example"])])):  # fmt: skip
            tile = Image.fromarray(np.uint8(255 * x.reshape(28, 28))).resize((side, side), 0)
            sheet.paste(tile, (left + shift, top))
        said = f"infl {pair['influence']:.2f}, mem {pair['mem']:.2f}"
        pen.text((left, top + side + 4), said, fill=0, font=font)
    sheet.save(folder / "mnist-pairs.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--models", type=int, nargs="*", default=[])
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--data-root", type=Path, help="the folder that holds MNIST/, for pictures")
    given = parser.parse_args()
    run = audit.load(given.run)
    if given.pictures is not None:
        if given.data_root is None:
            parser.error("--pictures needs --data-root")
        draw(run, given.data_root, given.pictures)
        return
    trained = run.summary_json["models"]
    found = [
        look(run, arm, models)
        for arm in run.summary_json["arms"]
        for models in sorted({*(m for m in given.models if m < trained), trained})
    ]
    print_table(run, found)


if __name__ == "__main__":
    main()
