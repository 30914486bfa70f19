"""What gradient canaries cost: the private arm of a data set with and without them, side by side.

Both trainings run in this process, one after the other, with one thread, in rounds that alternate.
Run:

    python -m benchmarks.canary_cost --data digits
    python -m benchmarks.canary_cost --config mnist-feldman-zhang --models 4 --steps 60
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch
from threadpoolctl import threadpool_limits

from audit.configuring import configure
from audit.inclusion import membership
from audit.plan import make_plan
from audit.resolve import load_data
from audit.training.arms import Arm
from audit.training.engines import train_ensemble
from audit.training.models import Mlp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--data-root")
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    given = {"data": options.data, "data_root": options.data_root, "models": options.models}
    config = configure(options.config, {k: v for k, v in given.items() if v is not None})
    data = load_data(config)
    planned = next(a for a in make_plan(config, data, device="cpu").arms if a.claim is not None)
    assert isinstance(planned.arm, Arm)
    model = planned.model
    assert isinstance(model, Mlp)
    arm = replace(planned.arm, steps=options.steps or planned.arm.steps)
    x = model.prepare(data.x_train, torch.device("cpu"))
    y, models = torch.from_numpy(data.y_train), range(options.models)
    member = membership(len(y), models, p=0.7, design="poisson", seed=0)

    def seconds(canaries: int) -> float:
        start = time.perf_counter()
        train_ensemble(model, replace(arm, canaries=canaries), x, y, member, models, seed=0)
        return time.perf_counter() - start

    torch.set_num_threads(1)
    with threadpool_limits(limits=1, user_api="blas"):
        seconds(0)
        seconds(arm.canaries)
        rounds = [(seconds(0), seconds(arm.canaries)) for _ in range(options.rounds)]
    ratios = sorted(with_canaries / without for without, with_canaries in rounds)
    print(
        f"{model.describe()}: {options.models} models, {arm.steps} steps, {arm.canaries} "
        f"canaries: {median(ratios):.2f} [{ratios[0]:.2f}, {ratios[-1]:.2f}] times the seconds of "
        f"none ({median(w for w, _ in rounds):.2f} s), n = {len(rounds)} rounds"
    )


if __name__ == "__main__":
    main()
