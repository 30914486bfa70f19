"""What canaries certify of correct DP-SGD, beside what is claimed: one model, and a whole run.

For each ε the private arm of a data set is trained as ``audit run`` trains it, with gradient
canaries; then each model is audited by itself (a one-run audit) and all together. With ``--kinds``
planted rows are used instead, in the standard arm too. Run:

    python -m benchmarks.certified_epsilon
    python -m benchmarks.certified_epsilon --epsilon 2 8 --kinds mislabeled ood duplicates
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from audit.configuring import configure
from audit.data.dataset import Dataset
from audit.estimates.coin_audit import audit_coins
from audit.plan import Plan, make_plan
from audit.planned_arm import PlannedArm
from audit.resolve import load_data
from audit.training.cohort import train_cohort
from audit.training.cohort_task import CanaryOutput, CohortTask, TrainingData

_COHORT = 50


def planned(data_name: str, epsilon: float, kind: str, count: int) -> Plan:
    options = {"data": data_name, "epsilon": (epsilon,), "canaries": count, "canary_kind": kind}
    config = configure(None, options)
    return make_plan(config, load_data(config), device="cpu")


def canaries(
    plan: Plan, arm: PlannedArm, data: Dataset, models: int, seed: int
) -> list[CanaryOutput]:
    rows = plan.canaries.examples
    arrays = TrainingData(
        data.x_train,
        data.y_train,
        data.x_test,
        data.y_test,
        data.input_shape,
        None if rows is None else rows.x,
        None if rows is None else rows.y,
        plan.canaries.copies,
    )
    found = []
    for first in range(0, models, _COHORT):
        last = min(first + _COHORT, models) - 1
        task = CohortTask(
            arm=arm.arm,
            model=arm.model,
            first=first,
            last=last,
            engine=arm.engine,
            design="poisson",
            p=plan.config.inclusion_probability,
            seed=seed,
            device="cpu",
        )
        output = train_cohort(task, arrays).canaries
        assert output is not None
        found.append(output)
    return found


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray:
    known = [part for part in parts if part is not None]
    assert len(known) == len(parts)
    return np.concatenate(known)


def gradient_rows(data_name: str, epsilon: float, count: int, models: int, seeds: int) -> str:
    plan = planned(data_name, epsilon, "gradient", count)
    data = load_data(plan.config)
    arm = next(arm for arm in plan.arms if arm.claim is not None)
    delta = plan.judged_by.delta
    whole, single = [], []
    for seed in range(seeds):
        parts = canaries(plan, arm, data, models, seed)
        coins, total, llr = (_joined([getattr(p, n) for p in parts])
                             for n in ("coins", "total", "llr"))  # fmt: skip
        whole.append(audit_coins(coins, p=0.5, delta=delta, statistic=total, llr=llr))
        if seed == 0:
            single = [
                audit_coins(coins[k : k + 1], p=0.5, delta=delta, llr=llr[k : k + 1])
                for k in range(models)
            ]
    cells = [
        f"{np.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
        for values in (
            [a.epsilon.value for a in single],
            [a.epsilon.value for a in whole],
            [a.epsilon_any.value for a in whole],
        )
    ]
    return f"| {epsilon:g} | {' | '.join(cells)} | {len(single)} models; {seeds} runs of {models} |"


def row_of_kind(data_name: str, epsilon: float, kind: str, count: int, models: int) -> list[str]:
    plan = planned(data_name, epsilon, kind, count)
    data = load_data(plan.config)
    lines = []
    for arm in plan.arms:
        parts = canaries(plan, arm, data, models, 0)
        coins, margin = (_joined([getattr(p, n) for p in parts]) for n in ("coins", "margin"))
        found = audit_coins(coins, p=0.5, delta=plan.judged_by.delta, statistic=margin)
        lines.append(
            f"| {kind} × {plan.canaries.copies} | {arm.name} | {found.epsilon.value:.2f} | "
            f"{found.epsilon_any.value:.2f} | {found.correct}/{found.guesses} of {found.coins} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1, 2, 4, 8, 10])
    parser.add_argument("--canaries", type=int)
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    if not options.kinds:
        print("| claimed ε | one model | all models | all, no Gaussian assumed | n |")
        print("|---|---|---|---|---|")
        count = options.canaries or 1000
        for epsilon in options.epsilon:
            line = gradient_rows(options.data, epsilon, count, options.models, options.seeds)
            print(line, flush=True)
        return
    print("| canaries | arm | certified ε | no Gaussian assumed | right guesses |")
    print("|---|---|---|---|---|")
    for epsilon in options.epsilon:
        for kind in options.kinds:
            count = options.canaries or 200
            lines = row_of_kind(options.data, epsilon, kind, count, options.models)
            print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
