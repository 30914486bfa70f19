"""Planted bugs against the audit's procedures: which notices which, how often, with what ε.

For each seed and each bug (and for training as it should be) the private arm of a data set is
trained anew: subsets, initial parameters, minibatches, noise, canaries. Every procedure is then
asked as ``audit run`` asks it. One line of JSON per seed and bug is written as soon as it is known,
and what is there already is not done again; the tables at the end are made from that file. Run:

    python -m benchmarks.planted_bugs --epsilon 2 --seeds 20 --out planted-2.jsonl
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audit.claims import ALPHA
from audit.config import PLANTS
from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.estimates.above_bound import above_bound
from audit.estimates.coin_audit import audit_coins
from audit.estimates.dp_test import dp_verdict
from audit.estimates.epsilon import certified_epsilon
from audit.estimates.memorization import memorization
from audit.plan import make_plan
from audit.planned_arm import PlannedArm
from audit.resolve import load_data
from audit.training.arms import Arm
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CohortOutput, CohortTask, TrainingData

RIGHT = "as it should be"
_COHORT = 50
# Bugs that change what the accountant is told are planned anew; the others share a plan.
_PLANNED = "sampling_rate_misreported"


def planned_arm(data_name: str, epsilon: float, plant: str | None, canaries: int) -> PlannedArm:
    """The private arm of ``audit run --epsilon … --plant …``."""
    options = {"data": data_name, "epsilon": (epsilon,), "plant": plant, "canaries": canaries}
    config = configure(None, options)
    plan = make_plan(config, load_data(config), device="cpu")
    return next(arm for arm in plan.arms if arm.claim is not None)


def train(
    planned: PlannedArm, data: Dataset, models: int, seed: int, *, check: bool
) -> list[CohortOutput]:
    """All cohorts of an arm; ``check``: model 0 is trained again by the reference."""
    arrays = TrainingData(data.x_train, data.y_train, data.x_test, data.y_test, data.input_shape)
    return [
        train_cohort(
            CohortTask(
                arm=planned.arm,
                model=planned.model,
                first=first,
                last=min(first + _COHORT, models) - 1,
                engine="ensemble",
                design="poisson",
                p=0.7,
                seed=seed,
                device="cpu",
                checked_model=0 if check and first == 0 else None,
            ),
            arrays,
        )
        for first in range(0, models, _COHORT)
    ]


def procedures(planned: PlannedArm, cohorts: list[CohortOutput]) -> dict[str, dict[str, Any]]:
    """By procedure: whether it refutes the claim, and the ε it certifies (None: it gives none)."""
    claim = planned.claim
    assert claim is not None
    assert claim.curve is not None
    bare = claim.in_out_epsilon, claim.in_out_delta
    curve = claim.curve.epsilon, claim.curve.delta
    member = np.concatenate([c.membership for c in cohorts])
    correct = np.concatenate([c.train_correct for c in cohorts])
    margins = np.concatenate([c.train_margin for c in cohorts]).astype(np.float32)
    mem = memorization(member, correct)
    counts = (mem.n_in, mem.correct_in, mem.n_out, mem.correct_out)
    test = dp_verdict(*counts, epsilon=bare[0], delta=bare[1], alpha=ALPHA)
    above = above_bound(mem, *bare, curve=curve, alpha=ALPHA)
    asked = {"delta": bare[1], "claim": bare, "claim_curve": curve, "alpha": ALPHA}
    pooled = audit_coins(member, p=0.7, statistic=margins, **asked)
    found = {
        "witness": {
            "refutes": test.verdict == "violates",
            "epsilon": certified_epsilon(*counts, delta=bare[1]).value,
        },
        "trade-off curve": {"refutes": bool(above.above_tradeoff_significant), "epsilon": None},
        "pooled examples": {"refutes": pooled.refutes_claim, "epsilon": pooled.epsilon.value},
    }
    canaries = [c.canaries for c in cohorts if c.canaries is not None]
    if canaries:
        coins = np.concatenate([c.coins for c in canaries])
        total, llr = (np.concatenate([getattr(c, s) for c in canaries]) for s in ("total", "llr"))
        seen = audit_coins(coins, p=0.5, statistic=total, llr=llr, **asked)
        found["gradient canaries"] = {
            "refutes": seen.refutes_claim,
            "epsilon": seen.epsilon.value,
            "refutes_epsilon_delta": seen.refutes_epsilon_delta,
        }
    checks = [c.cross_check for c in cohorts if c.cross_check is not None]
    for check in checks:
        found["cross-check"] = {"refutes": _steps_fail(check.to_json()), "epsilon": None}
        found["streams"] = {"refutes": not check.stream.passed, "epsilon": None}
    return found


def _steps_fail(check: dict[str, Any]) -> bool:
    """The cross-check without its streams: other steps than the reference's."""
    allowed = max(check["tolerance"], 10 * (check["self_relative_difference"] or 0.0))
    step = check["single_step_relative_difference"]
    early = check["early_relative_difference"]
    return step is None or early is None or step > check["tolerance"] or early > allowed


def trial(
    arms: dict[str, PlannedArm], data: Dataset, name: str, seed: int, models: int, check: bool
) -> dict[str, Any]:
    """One bug (or none), one seed: what each procedure says, and how long it all took."""
    start = time.perf_counter()
    planned = arms[_PLANNED if name == _PLANNED else RIGHT]
    assert isinstance(planned.arm, Arm)
    arm = replace(planned.arm, plant=None if name == RIGHT else name)
    planned = replace(planned, arm=arm)
    cohorts = train(planned, data, models, seed, check=check)
    trained = time.perf_counter()
    found = procedures(planned, cohorts)
    correct = [c.test_correct.mean() for c in cohorts]
    return {
        "bug": name,
        "seed": seed,
        "epsilon": planned.claim.epsilon if planned.claim else None,
        "models": models,
        "accuracy": round(float(np.mean(correct)), 4),
        "training_seconds": round(trained - start, 2),
        "seconds": round(time.perf_counter() - start, 2),
        "procedures": found,
    }


def tables(lines: Iterable[dict[str, Any]]) -> str:
    """Markdown: for each bug and procedure the share of seeds that refute, and the median ε."""
    by_bug: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_bug.setdefault(line["bug"], []).append(line)
    names = list(
        dict.fromkeys(n for runs in by_bug.values() for r in runs for n in r["procedures"])
    )
    rows = ["| bug | accuracy | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for bug in (RIGHT, *PLANTS):
        if bug not in by_bug:
            continue
        runs = by_bug[bug]
        cells = [_cell([r["procedures"][n] for r in runs if n in r["procedures"]]) for n in names]
        accuracy = np.mean([r["accuracy"] for r in runs])
        rows.append(f"| {bug} | {accuracy:.1%} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(found: list[dict[str, Any]]) -> str:
    if not found:
        return "–"
    refuted = f"{sum(bool(f['refutes']) for f in found)}/{len(found)}"
    epsilons = [f["epsilon"] for f in found if f["epsilon"] is not None]
    if not epsilons:
        return refuted
    return f"{refuted}, ε ≥ {np.median(epsilons):.2f} [{min(epsilons):.2f}, {max(epsilons):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epsilon", type=float, default=2.0)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--canaries", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--checked", type=int, default=3, help="seeds with a cross-check")
    parser.add_argument("--bugs", nargs="*", default=[RIGHT, *PLANTS])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    arms = {
        name: planned_arm(options.data, options.epsilon, plant, options.canaries)
        for name, plant in ((RIGHT, None), (_PLANNED, _PLANNED))
    }
    data = load_data(configure(None, {"data": options.data}))
    done = []
    if options.out.exists():
        done = [json.loads(line) for line in options.out.read_text().splitlines()]
    known = {(line["bug"], line["seed"]) for line in done}
    for seed in range(options.seeds):
        for name in options.bugs:
            if (name, seed) in known:
                continue
            line = trial(arms, data, name, seed, options.models, seed < options.checked)
            done.append(line)
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
    print(tables(done))


if __name__ == "__main__":
    main()
