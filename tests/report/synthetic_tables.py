"""Result tables of a run that never was, as `results/` has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm


def examples(
    rng: np.random.Generator,
    arm: str,
    groupings: dict[str, np.ndarray],
    models: int,
    epsilon: float,
) -> pd.DataFrame:
    n = len(next(iter(groupings.values())))
    n_in = rng.binomial(models, 0.7, size=n)
    n_in[0] = models  # in every model: its p_out, and so its memorization, is undefined
    n_out = models - n_in
    easy = np.where(rng.random(n) < 0.08, rng.uniform(0, 0.95, n), rng.beta(40, 0.3, n))
    q_in = np.maximum(easy, 0.995) if arm == "standard" else np.clip(easy * 1.01, 0, 1)
    with np.errstate(invalid="ignore"):
        p_in = rng.binomial(n_in, q_in) / n_in
        p_out = rng.binomial(n_out, easy) / n_out
    se = np.sqrt(
        (p_in * (1 - p_in) + 0.01) / n_in + (p_out * (1 - p_out) + 0.01) / np.maximum(n_out, 1)
    )
    mem = p_in - p_out
    up, delta = np.exp(epsilon), n**-1.1
    bound = np.minimum(1, np.minimum(up * p_out + delta, 1 - (1 - delta - p_out) / up))
    frame = {
        "arm": arm, "example": np.arange(n), "label": groupings["class"], "n_in": n_in,
        "n_out": n_out, "p_in": p_in, "p_out": p_out, "mem": mem, "mem_low": mem - 1.96 * se,
        "mem_high": mem + 1.96 * se, "bound": bound,
        # 0.55-Gaussian DP, which allows a memorization of .217 at most.
        "tradeoff_bound": norm.cdf(norm.ppf(p_out) + 0.55),
        "verdict": np.where(mem > 0.8, "violates", "not_refuted"), "exposure": 0.5 + mem / 4,
    }  # fmt: skip
    return pd.DataFrame(frame | groupings)


def subgroups(
    rng: np.random.Generator, grouping: str, names: np.ndarray, n_test: int, arms: list[str]
) -> pd.DataFrame:
    kind = {"style within class": "subpopulation", "class": "class"}.get(grouping, "column")
    labels, n_train = np.unique(names.astype(str), return_counts=True)
    test = np.round(n_train * n_test / n_train.sum()).astype(int)
    test[0], test[-1] = 0, 3
    main = group_rows(rng, grouping, kind, labels, n_train, test, arms)
    if kind != "subpopulation":
        return main
    bins = np.floor(np.log2(n_train / n_train.sum())).astype(int)
    levels = np.unique(bins)
    counts = np.array([n_train[bins == b].sum() for b in levels])
    tests = np.array([test[bins == b].sum() for b in levels])
    bin_names = np.array([f"1/{2**-b} to 1/{2 ** -(b + 1)}" for b in levels])
    name = f"{grouping}: frequency"
    extra = group_rows(rng, name, "frequency", bin_names, counts, tests, arms)
    return pd.concat([main, extra], ignore_index=True)


def group_rows(
    rng: np.random.Generator,
    grouping: str,
    kind: str,
    names: np.ndarray,
    n_train: np.ndarray,
    n_test: np.ndarray,
    arms: list[str],
) -> pd.DataFrame:
    frequency = n_train / n_train.sum()
    here = np.where(n_test > 0, 1.0, np.nan)
    half = here * 1.2 / np.sqrt(np.maximum(n_test, 1) + 4) / 4
    columns: dict[str, Any] = {
        "grouping": grouping, "subgroup": names, "kind": kind, "n_train": n_train,
        "n_test": n_test, "frequency": frequency,
    }  # fmt: skip

    def put(column: str, value: np.ndarray, width: np.ndarray) -> None:
        columns[column] = value
        columns[f"{column}_low"], columns[f"{column}_high"] = value - width, value + width

    for arm in arms:
        base = 0.97 if arm == "standard" else 0.95
        put(f"accuracy_{arm}", here * np.clip(base + 0.01 * np.log2(frequency) / 4, 0, 1), half)
        mem = 0.05 - 0.012 * np.log2(frequency) + rng.normal(0, 0.01, len(names))
        put(f"mem_{arm}", mem * (1 if arm == "standard" else 0.1), np.full(len(names), 0.012))
        put(f"exposure_{arm}", 0.5 + mem / 4, np.full(len(names), 0.01))
        for rate, value in (("auc", 0.6), ("tpr_at_0.001", np.nan), ("tpr_at_0.01", 0.07)):
            put(f"{rate}_{arm}", np.full(len(names), value), np.full(len(names), 0.02))
        if arm != "standard":
            loss = here * (-0.02 - 0.012 * np.log2(frequency) + rng.normal(0, 0.02, len(names)))
            put(f"loss_{arm}", loss, half)
            columns[f"loss_{arm}_p"] = here * rng.uniform(0, 0.2, len(names))
            columns[f"loss_{arm}_p_holm"] = np.minimum(1, columns[f"loss_{arm}_p"] * len(names))
            columns[f"multiplicity_{arm}"] = here * 0.08
    return pd.DataFrame(columns)


def influence(rng: np.random.Generator, n: int) -> pd.DataFrame:
    value = rng.uniform(0.15, 0.6, size=20)
    return pd.DataFrame({
        "arm": "standard", "train_example": rng.integers(0, n, 20),
        "test_example": rng.integers(0, 500, 20), "influence": value, "low": value - 0.1,
        "high": value + 0.1, "q_value": rng.uniform(0, 0.1, 20), "mem": value + 0.2,
    })  # fmt: skip
