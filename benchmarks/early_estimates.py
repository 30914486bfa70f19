"""Do the early estimates of an ensemble run agree in distribution with those of a loop of models?

K models by the ensemble, and K other models (another seed: other subsets, starting points and
minibatches) by the plain PyTorch loop (``train_standard``), both through the executor of `audit
run`; then two-sample tests. Run:

    python benchmarks/early_estimates.py [--config mnist-feldman-zhang] [--data-root DIR]
        [--models 40] [--steps N] [--limit N] [--plant learning-rate|everyone]

Models are the independent units, not examples: every p-value comes from dealing the 2K models out
to the two sides anew, which is exact if the sides are alike. Compared are accuracy and median
margin of the models on test, included and excluded examples (difference of means), the distribution
of the mem estimates over a sample of training examples (Wasserstein distance), and their
correlation between the sides (too low where the sides memorize different examples). Holm's
correction over all of them, at 5 %.

``--plant`` makes the ensemble wrong on purpose, to see whether the comparison would notice: a
learning rate 20 % too high, or training on all examples whatever the subset. ``--limit`` takes the
first N training examples, ``--steps`` shortens training; both sides share both. Exit code 1: the
sides were told apart.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in workers

import numpy as np

from audit.config import RunConfig
from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.estimates.corrections import holm
from audit.inclusion import membership
from audit.plan import make_plan
from audit.provenance import hardware, versions
from audit.resolve import load_data
from audit.training.arms import Arm
from audit.training.cohort_task import CohortOutput, CohortTask
from audit.training.executors import DataFiles, cores, run_local

Plant = Literal["learning-rate", "everyone"]
ALPHA = 0.05
"""Chance that two alike sides are told apart."""

# Dealings worked on at once: bounds the [dealings, examples] matrices.
_BLOCK = 64
_BIN = 0.02
_HALVINGS = 40


@dataclass(frozen=True)
class Side:
    """What K models did, one row each.

    ``member``, ``correct`` bool [models, examples] on the sampled training examples; ``traits``
    [models, traits]: each model's accuracies and median margins.
    """

    member: np.ndarray
    correct: np.ndarray
    traits: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """One quantity on both sides, and how often dealing at random gives as large a difference."""

    name: str
    ours: float
    theirs: float
    p_value: float


TRAITS = tuple(
    f"{what} on {where} examples"
    for what in ("accuracy", "median margin")
    for where in ("test", "included", "excluded")
)


def train_side(
    tasks: Sequence[CohortTask],
    data: Dataset,
    sample: np.ndarray,
    plant: Plant | None,
    workers: int,
) -> Side:
    """Train ``tasks`` as `audit run` would, but for what is planted."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name in ("x_train", "y_train", "x_test", "y_test"):
            paths[name] = Path(folder) / f"{name}.npy"
            np.save(paths[name], getattr(data, name), allow_pickle=False)
        files = DataFiles(**paths, input_shape=data.input_shape)
        trained = [planted(task, plant) for task in tasks]
        outputs = list(run_local(trained, files, workers=workers))
    outputs.sort(key=lambda done: done[0].first)
    # The subsets that the plan gave the models, also where a planted side ignored them.
    given = [
        membership(len(data.x_train), task.models, p=task.p, design=task.design, seed=task.seed)
        for task in tasks
    ]
    parts = [
        side_of(member, output, sample) for member, (_, output) in zip(given, outputs, strict=True)
    ]
    return Side(
        *(np.concatenate([getattr(part, name) for part in parts])
          for name in ("member", "correct", "traits"))
    )  # fmt: skip


def planted(task: CohortTask, plant: Plant | None) -> CohortTask:
    """``task``, wrong on purpose in one respect."""
    if plant is None:
        return task
    if plant == "everyone":
        return replace(task, p=1.0)
    assert isinstance(task.arm, Arm)
    return replace(task, arm=replace(task.arm, learning_rate=1.2 * task.arm.learning_rate))


def side_of(member: np.ndarray, output: CohortOutput, sample: np.ndarray) -> Side:
    """One cohort's part of a side."""
    if output.diverged:
        sys.exit(f"{output.diverged} models diverged: there is nothing to compare")
    traits = []
    for k, inside in enumerate(member):
        right, margin = output.train_correct[k], output.train_margin[k].astype(np.float32)
        test_margin = output.test_margin[k].astype(np.float32)
        traits.append(
            [output.test_correct[k].mean(), right[inside].mean(), right[~inside].mean()]
            + [np.median(values) for values in (test_margin, margin[inside], margin[~inside])]
        )
    return Side(member[:, sample], output.train_correct[:, sample], np.array(traits))


def mem_of_dealings(member: np.ndarray, correct: np.ndarray, dealt: np.ndarray) -> np.ndarray:
    """mem [dealings, examples] from the models that ``dealt`` [dealings, models] picks; NaN where
    all or none of these have the example in."""
    picked = dealt.astype(np.float32)
    inside, right = member.astype(np.float32), correct.astype(np.float32)
    n_in, right_in = picked @ inside, picked @ (inside * right)
    n_out, right_out = picked.sum(axis=1, keepdims=True) - n_in, picked @ right - right_in
    with np.errstate(invalid="ignore", divide="ignore"):
        return right_in / n_in - right_out / n_out


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Wasserstein-1 distance between the values of each row of ``a`` and of ``b`` (NaN left out),
    to the width of a bin."""
    return np.abs(_cumulative(a) - _cumulative(b)).sum(axis=1) * _BIN


def _cumulative(values: np.ndarray) -> np.ndarray:
    bins = round(2 / _BIN) + 1
    rows, columns = np.nonzero(~np.isnan(values))
    place = np.rint((values[rows, columns] + 1) / _BIN).astype(np.int64)
    counts = np.bincount(rows * bins + place, minlength=len(values) * bins).reshape(-1, bins)
    return counts.cumsum(axis=1) / np.maximum(1, counts.sum(axis=1, keepdims=True))


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each row of ``a`` with that of ``b``, over columns defined in both;
    NaN where one does not vary."""
    defined = ~(np.isnan(a) | np.isnan(b))
    n = np.maximum(1, defined.sum(axis=1, keepdims=True))
    a, b = np.where(defined, a, 0.0), np.where(defined, b, 0.0)
    a = np.where(defined, a - a.sum(axis=1, keepdims=True) / n, 0.0)
    b = np.where(defined, b - b.sum(axis=1, keepdims=True) / n, 0.0)
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def compare(
    ours: Side, theirs: Side, *, dealings: int, rng: np.random.Generator
) -> list[Comparison]:
    """All comparisons of two sides, with p-values from ``dealings`` of their models.

    The first dealing is the true one, so that no p-value falls below 1 / dealings.
    """
    k, models = len(ours.member), len(ours.member) + len(theirs.member)
    member = np.concatenate([ours.member, theirs.member])
    correct = np.concatenate([ours.correct, theirs.correct])
    traits = np.concatenate([ours.traits, theirs.traits])
    dealt = np.zeros((dealings, models), dtype=bool)
    dealt[0, :k] = True
    for row in dealt[1:]:
        row[rng.permutation(models)[:k]] = True
    found = []
    for column, name in enumerate(TRAITS):
        values = traits[:, column]
        mean = dealt @ values / k, ~dealt @ values / (models - k)
        found.append(_compared(name, mean[0][0], mean[1][0], np.abs(mean[0] - mean[1])))
    distances, correlations = [], []
    ours_mean = theirs_mean = float("nan")
    for start in range(0, dealings, _BLOCK):
        block = dealt[start : start + _BLOCK]
        a, b = mem_of_dealings(member, correct, block), mem_of_dealings(member, correct, ~block)
        distances.append(distance(a, b))
        correlations.append(correlation(a, b))
        if not start:
            ours_mean, theirs_mean = float(np.nanmean(a[0])), float(np.nanmean(b[0]))
    name = "mem: mean; p of the distributions"
    found.append(_compared(name, ours_mean, theirs_mean, np.concatenate(distances)))
    related = np.concatenate(correlations)
    random = float(np.nanmean(related[1:]))
    found.append(
        _compared(
            "mem: correlation, of the sides and of random deals", related[0], random, -related
        )
    )
    return found


def _compared(name: str, ours: float, theirs: float, extreme: np.ndarray) -> Comparison:
    """``extreme`` [dealings]: larger is further from alike; the first is the true dealing."""
    # Sums in another order differ in the last bits, and such ties are ties; a dealing in which the
    # quantity is undefined counts as one that reaches it.
    reached = ~(extreme < extreme[0] - 1e-9)
    p_value = float(reached.mean()) if np.isfinite(extreme[0]) else float("nan")
    return Comparison(name, float(ours), float(theirs), p_value)


def split_half(a: Side, b: Side, *, rng: np.random.Generator) -> float:
    """Mean correlation of mem between half of ``a``'s models and half of ``b``'s, drawn at random;
    of the other half where both are the same side."""
    half = min(len(a.member), len(b.member)) // 2
    first = np.zeros((_HALVINGS, len(a.member)), dtype=bool)
    second = np.zeros((_HALVINGS, len(b.member)), dtype=bool)
    for one, other in zip(first, second, strict=True):
        one[rng.permutation(len(one))[:half]] = True
        rest = np.flatnonzero(~one) if a is b else np.arange(len(other))
        other[rng.permutation(rest)[:half]] = True
    return float(
        np.nanmean(
            correlation(
                mem_of_dealings(a.member, a.correct, first),
                mem_of_dealings(b.member, b.correct, second),
            )
        )
    )


def limited(data: Dataset, examples: int | None) -> Dataset:
    """The first ``examples`` training examples, without groupings; the test set is as it was."""
    return replace(
        data, x_train=data.x_train[:examples], y_train=data.y_train[:examples], groupings=()
    )


def tasks_of(
    config: RunConfig, data: Dataset, *, steps: int | None, loop_seed: int
) -> tuple[list[CohortTask], list[CohortTask]]:
    """The standard arm's cohorts as planned, and as many models of another seed for the loop."""
    plan = make_plan(config, data, device="cpu")
    ours = []
    for task in plan.tasks:
        if isinstance(task.arm, Arm) and task.arm.kind == "standard":
            arm = replace(task.arm, steps=steps or task.arm.steps)
            ours.append(replace(task, arm=arm, checked_model=None))
    ours.sort(key=lambda task: task.first)
    return ours, [replace(task, engine="opacus", seed=loop_seed) for task in ours]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="mnist-feldman-zhang")
    parser.add_argument("--data-root", help="folder of torchvision's files")
    parser.add_argument("--models", type=int, default=40, help="K, of each side")
    parser.add_argument("--cohort-size", type=int, help="models trained together; default: plan's")
    parser.add_argument("--steps", type=int, help="train both sides so few steps")
    parser.add_argument("--limit", type=int, help="train on the first so many examples")
    parser.add_argument("--sample", type=int, default=10_000, help="training examples compared")
    parser.add_argument("--dealings", type=int, default=5_000)
    parser.add_argument("--plant", choices=["learning-rate", "everyone"])
    parser.add_argument("--loop-seed", type=int, default=1)
    options = parser.parse_args()
    settings: dict[str, Any] = {"models": options.models, "subgroups": ("class",)}
    if options.data_root:
        settings["data_root"] = options.data_root
    if options.cohort_size:
        settings["cohort_size"] = options.cohort_size
    config = configure(Path(options.config), settings)
    if config.seed == options.loop_seed:
        parser.error("--loop-seed must differ from the run's seed: the sides must be independent")
    data = limited(load_data(config), options.limit)
    ours, theirs = tasks_of(config, data, steps=options.steps, loop_seed=options.loop_seed)
    if ours[0].engine != "ensemble":
        parser.error(f"the plan trains this model by {ours[0].engine}, not by the ensemble")
    arm = ours[0].arm
    print(f"config {options.config}, {ours[0].model.describe()}, {len(data.x_train)} training "
          f"examples, {arm.steps} steps, {options.models} models on each side")  # fmt: skip
    print(f"planted in the ensemble: {options.plant or 'nothing'}")
    print(f"hardware {hardware('cpu', cores())}")
    print(f"versions {versions()}", flush=True)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(options.loop_seed,)))
    n = len(data.x_train)
    sample = np.sort(rng.choice(n, size=min(n, options.sample), replace=False))
    ensemble = train_side(ours, data, sample, options.plant, cores())
    loop = train_side(theirs, data, sample, None, cores())
    found = compare(ensemble, loop, dealings=options.dealings, rng=rng)
    halves = {
        "of the ensemble": split_half(ensemble, ensemble, rng=rng),
        "of the loop": split_half(loop, loop, rng=rng),
        "of one and of the other": split_half(ensemble, loop, rng=rng),
    }
    sys.exit(report(found, halves))


def report(found: Sequence[Comparison], halves: dict[str, float]) -> int:
    """Print the comparisons; 1 if one of them tells the sides apart."""
    print(f"\n{'':<58} ensemble       loop         p  p (Holm)")
    p_values = holm(np.array([each.p_value for each in found]))
    for each, p_value in zip(found, p_values, strict=True):
        print(f"{each.name:<58} {each.ours:8.4f}   {each.theirs:8.4f}  {each.p_value:8.4f}  "
              f"{p_value:8.4f}")  # fmt: skip
    print("\ncorrelation of mem between half of the models and half of the models")
    for name, value in halves.items():
        print(f"  {name:<56} {value:8.4f}")
    undefined = int(np.isnan(p_values).sum())
    if undefined:
        print(f"{undefined} of {len(found)} comparisons are undefined")
    apart = bool((p_values <= ALPHA).any())
    print("told apart" if apart else f"not told apart at {ALPHA:.0%}, with so many models")
    return int(apart)


if __name__ == "__main__":
    main()
