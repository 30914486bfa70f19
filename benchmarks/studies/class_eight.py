# ruff: noqa: E402 — the environment must be set before libraries read it
"""Accuracy on MNIST's class 8 when it is rare, with and without DP (Bagdasaryan & Shmatikov 2019).

    python -m benchmarks.studies.class_eight --data-root data --out class-eight [--device cuda]

Class 8 of the training set is cut to m examples; all else stays. At each m, ``--models`` models of
each arm train on what is left, each on m examples of its own, with the published constants:
minibatch 256 (expected, Poisson), 60 epochs, clip norm 1, noise multiplier .8, and by default with
the published network (:mod:`benchmarks.studies.lenet`). The learning rates are ours. Finished
cohorts are kept in ``--out``: the same command goes on where it was, and prints the table of what
is there; several processes may share it, each with ``--points`` (and ``--arms``) of its own.

Published values are read off a poster, to about 2 points. The loss of model k is paired: both arms
start it from the same weights, on the same examples. Page's test holds the losses against the order
"rarer loses more".
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

# Threads that wait for each other cost several times what they do (start a process per core).
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import torch
from scipy import stats

from audit.training.arms import Arm
from audit.training.engines import Engine, train_ensemble
from audit.training.evaluation import evaluate_cohort
from audit.training.models import Model, make_model
from benchmarks.gpu_study import Problem, read_mnist
from benchmarks.studies.lenet import normalised

RARE = 8
BATCH, EPOCHS, CLIP, NOISE = 256, 60, 1.0, 0.8
# m → accuracy on class 8 without DP and with it, in percent.
PUBLISHED = {
    50: (77, 0), 100: (88, 20), 500: (94, 75), 1_000: (97, 84), 2_500: (98, 92), 5_000: (99, 97),
}  # fmt: skip
ARMS = ("standard", "dp")
SEED = 0


@dataclass(frozen=True)
class Setting:
    """What the command line decides."""

    model: Model
    learning_rate: dict[str, float]
    momentum: float
    epochs: float
    device: torch.device
    engine: Engine
    feed: Callable[[np.ndarray], np.ndarray]

    def design(self) -> dict[str, Any]:
        """What cohorts must share to be put together."""
        return {
            "network": self.model.describe(), "learning_rate": self.learning_rate,
            "momentum": self.momentum, "epochs": float(self.epochs),
            "examples": "each model its own",
        }  # fmt: skip


def cut(labels: np.ndarray, m: int, models: range) -> np.ndarray:
    """The models' training sets [models, n], each with ``m`` examples of the rare class: the same
    for all arms, and drawn anew for each model."""
    member = np.repeat((labels != RARE)[None], len(models), axis=0)
    rare = np.flatnonzero(labels == RARE)
    for row, k in enumerate(models):
        member[row, np.random.default_rng((SEED, m, k)).choice(rare, m, replace=False)] = True
    return member


def arm_of(kind: str, n: int, setting: Setting) -> Arm:
    """The published constants: q = 256/n, T = 60 n/256."""
    private = kind == "dp"
    return Arm(
        name="dp-z0.8" if private else "standard",
        sample_rate=BATCH / n,
        steps=max(1, round(setting.epochs * n / BATCH)),
        expected_batch_size=float(BATCH),
        learning_rate=setting.learning_rate[kind],
        momentum=setting.momentum,
        weight_decay=0.0,
        clip_norm=CLIP if private else None,
        noise_multiplier=NOISE if private else None,
    )


def train(problem: Problem, m: int, kind: str, models: range, setting: Setting) -> dict[str, Any]:
    """A cohort's accuracies on the rare class and on all test examples, one per model."""
    member = cut(problem.y_train, m, models)
    arm = arm_of(kind, int(member[0].sum()), setting)
    model, device = setting.model, setting.device
    start = time.perf_counter()
    inputs = (model.prepare(setting.feed(problem.x_train), device),
              torch.from_numpy(problem.y_train).to(device))  # fmt: skip
    theta = train_ensemble(model, arm, *inputs, member, models, seed=SEED, engine=setting.engine)
    test = (model.prepare(setting.feed(problem.x_test), device),
            torch.from_numpy(problem.y_test).to(device))  # fmt: skip
    correct = evaluate_cohort(model, theta, *test).correct
    finite = torch.isfinite(theta).all(dim=1).cpu().numpy()
    return {
        "m": m, "arm": kind, "first": models[0], "models": len(models),
        "q": arm.sample_rate, "steps": arm.steps, "learning_rate": arm.learning_rate,
        "design": setting.design(),
        "rare": correct[:, problem.y_test == RARE].mean(axis=1).tolist(),
        "all": correct.mean(axis=1).tolist(),
        "diverged": int((~finite).sum()), "seconds": time.perf_counter() - start,
    }  # fmt: skip


def read(out: Path) -> list[dict[str, Any]]:
    """The finished cohorts of a folder, in the order of models.

    Raises:
        SystemExit: two designs in one folder, or a model that is there twice.
    """
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(out.glob("*.json"))]
    designs = {json.dumps(entry.get("design"), sort_keys=True) for entry in entries}
    if len(designs) > 1:
        raise SystemExit(f"{out} holds cohorts of several designs: {'; '.join(sorted(designs))}")
    seen: set[tuple[int, str, int]] = set()
    for entry in entries:
        own = {(entry["m"], entry["arm"], k) for k in _range(entry)}
        if twice := seen & own:
            raise SystemExit(f"{out} holds twice (m, arm, model) {min(twice)}")
        seen |= own
    return sorted(entries, key=lambda entry: entry["first"])


def _range(entry: dict[str, Any]) -> range:
    return range(entry["first"], entry["first"] + entry["models"])


def missing(out: Path, m: int, kind: str, wanted: range, cohort: int) -> list[range]:
    """The models of ``wanted`` that are not finished, in cohorts of consecutive ones."""
    done = {k for e in read(out) if (e["m"], e["arm"]) == (m, kind) for k in _range(e)}
    found: list[range] = []
    for k in (k for k in wanted if k not in done):
        last = found[-1] if found else range(0)
        if len(last) in range(1, cohort) and last.stop == k:
            found[-1] = range(last.start, k + 1)
        else:
            found.append(range(k, k + 1))
    return found


def check_design(out: Path, setting: Setting) -> None:
    """Refuse to go on in a folder of another design."""
    designs = [entry.get("design") for entry in read(out)]
    if designs and designs[0] != setting.design():
        raise SystemExit(f"{out} holds cohorts of {designs[0]}, not of {setting.design()}")


def gather(out: Path) -> dict[tuple[int, str], dict[str, np.ndarray]]:
    """What is finished: (m, arm) → accuracies in the order of models."""
    found: dict[tuple[int, str], list[dict]] = {}
    for entry in read(out):
        found.setdefault((entry["m"], entry["arm"]), []).append(entry)
    return {
        key: {what: np.concatenate([e[what] for e in entries]) for what in ("rare", "all")}
        for key, entries in found.items()
    }


def interval(values: np.ndarray) -> str:
    """Mean in percent with its 95 % interval over models; of one model there is none."""
    mean, n = 100 * values.mean(), len(values)
    if n == 1:
        return f"{mean:.1f}"
    half = 100 * stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{mean:.1f} [{mean - half:.1f}, {mean + half:.1f}]"


def spread(values: np.ndarray) -> str:
    """How many models, and what the worst and the best of them get right, in percent."""
    return f"{len(values)}: {100 * values.min():.1f} to {100 * values.max():.1f}"


def print_table(found: dict[tuple[int, str], dict[str, np.ndarray]]) -> None:
    """Mean and 95 % interval over models, and from the worst to the best model."""
    print("| m | no DP, published | measured | models | DP, published | measured | models "
          "| DP, all classes |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    for m in (m for m in PUBLISHED if any((m, arm) in found for arm in ARMS)):
        cells = []
        for arm, published in zip(ARMS, PUBLISHED[m], strict=True):
            values = found.get((m, arm), {}).get("rare")
            cells += [str(published)]
            cells += ["—", "—"] if values is None else [interval(values), spread(values)]
        everyone = found.get((m, "dp"), {}).get("all")
        cells.append("—" if everyone is None else interval(everyone))
        print(f"| {m:,} | {' | '.join(cells)} |")
    whole = [
        m
        for m in PUBLISHED
        if all(len(found.get((m, arm), {}).get("rare", ())) > 1 for arm in ARMS)
    ]
    if len(whole) < 3:
        print("\nPage's test: fewer than three points have several models of both arms.")
        return
    models = min(len(found[m, arm]["rare"]) for m in whole for arm in ARMS)
    # A row per model, a column per m; the order claimed is that of falling losses.
    losses = np.stack(
        [(found[m, "standard"]["rare"][:models] - found[m, "dp"]["rare"][:models]) for m in whole],
        axis=1,
    )
    page = stats.page_trend_test(losses[:, ::-1])
    print(
        f"\nRarer loses more: Page's L = {page.statistic:g}, p = {page.pvalue:.2g} "
        f"({losses.shape[0]} models, {losses.shape[1]} points)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="lenet", choices=("lenet", "cnn", "mlp"))
    parser.add_argument("--engine", default="ensemble", choices=get_args(Engine))
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--cohort", type=int, help="models trained together; default: all")
    parser.add_argument("--points", type=int, nargs="*", default=list(PUBLISHED))
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=ARMS)
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--dp-learning-rate", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.5)
    parser.add_argument("--table", action="store_true", help="print what is there, train nothing")
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    device = torch.device(given.device)
    if not given.table:
        problem = read_mnist(given.data_root, None, device)
        lenet = given.model == "lenet"
        model = make_model(
            "benchmarks.studies.lenet:lenet" if lenet else given.model,
            input_shape=(1, 28, 28), n_classes=10, hidden=(128,), activation="tanh", private=True,
        )  # fmt: skip
        rates = {"standard": given.learning_rate, "dp": given.dp_learning_rate}
        feed = normalised if lenet else np.asarray
        setting = Setting(model, rates, given.momentum, given.epochs, device, given.engine, feed)
        check_design(given.out, setting)
        cohort, wanted = given.cohort or given.models, range(given.models)
        work = [
            (models, m, kind)
            for m in given.points
            for kind in given.arms
            for models in missing(given.out, m, kind, wanted, cohort)
        ]
        # All points of the first cohort before the second: what there is time for is balanced.
        for models, m, kind in sorted(work, key=lambda each: each[0].start // cohort):
            done = train(problem, m, kind, models, setting)
            path = given.out / f"{m:05d}-{kind}-{models.start:05d}.json"
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(done), encoding="utf-8")
            temporary.replace(path)
            rare = 100 * np.mean(done["rare"])
            print(f"m = {m:,}, {kind}: {rare:.1f} % of class 8, {done['seconds']:.0f} s",
                  flush=True)  # fmt: skip
    print_table(gather(given.out))


if __name__ == "__main__":
    main()
