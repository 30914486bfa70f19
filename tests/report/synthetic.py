"""A run directory made up from a seed: what the report sees, without training a model.

Not a simulation of training: the numbers only have the shapes, sizes and oddities of real runs
(hostile names, a subgroup without test examples, one with three, NaN rows, several ε).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audit.report.document import document
from audit.report.frames import rows_of
from audit.report.inputs import ReportInputs, ReportOptions
from tests.report import synthetic_tables as tables

HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(3)",
    "&lt;b&gt; ]]> <![CDATA[",
    "line\nbreak\tand\x00nul\x1b[31m",
    "\u202egnirts desrever",
    "ولا مسجّل",
    "",
    "x" * 300,
    "datum.loss' + alert(4) + '",
    "https://example.org/evil.svg#x",
)


@dataclass
class Run:
    """What ``ReportInputs`` is made of."""

    run: dict[str, Any]
    summary: dict[str, Any]
    examples: pd.DataFrame
    influence: pd.DataFrame
    subgroups: pd.DataFrame

    def document(self, *, full_subgroups: bool = False) -> dict[str, Any]:
        return document(self.inputs(), ReportOptions(full_subgroups=full_subgroups))

    def inputs(self, **more: Any) -> ReportInputs:
        """The run as the report sees it; ``more``: statements, gallery."""
        return ReportInputs(
            self.run, self.summary, self.examples, self.influence, self.subgroups, **more
        )


def e(value: float | None, half: float | None = None, n: int = 200) -> dict[str, Any]:
    """An estimate as in summary.json."""
    if value is None or half is None:
        return {"value": value, "low": None, "high": None, "n": n}
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def make(
    *,
    seed: int,
    verdict: str = "consistent",
    n: int = 1297,
    n_test: int = 500,
    models: int = 200,
    styles: int = 50,
    epsilons: tuple[float, ...] = (2.0,),
    hostile: bool = True,
    controls: bool = False,
    removal: bool = False,
) -> Run:
    """A run whose private arms have ``verdict``; everything else follows from ``seed``.

    ``hostile``: with a grouping by column (then the main one) whose name and subgroups are attacks.
    ``controls``: with an arm of each kind of control. ``removal``: with the removal experiment.
    """
    rng = np.random.default_rng(seed)
    groupings = _groupings(rng, n, styles)
    if not hostile:
        del groupings[HOSTILE[0]]
    audited = ["standard", *(f"dp-{x:g}" for x in epsilons)]
    run = _run(n, n_test, models, groupings, epsilons)
    if controls:
        _add_controls(run, min(epsilons))
    arms = list(run["arms"])
    examples = pd.concat(
        [tables.examples(rng, arm, groupings, models, min(epsilons)) for arm in arms],
        ignore_index=True,
    )
    subgroups = pd.concat(
        [tables.subgroups(rng, g, codes, n_test, arms) for g, codes in groupings.items()],
        ignore_index=True,
    )
    summary = _summary(examples, run, arms, verdict, list(groupings))
    beside = {arm: summary["arms"].pop(arm) for arm in arms if arm not in audited}
    if beside:
        summary["controls"] = {
            arm: {
                **result,
                "loss": e(0.03, 0.01),
                **{key: [r for r in summary[key] if r["arm"] == arm]
                   for key in ("trends", "disparity", "fairlearn")},
            }
            for arm, result in beside.items()
        }  # fmt: skip
        for key in ("trends", "disparity", "fairlearn"):
            summary[key] = [r for r in summary[key] if r["arm"] in audited]
    if removal:
        summary["removal"] = removal_of(n, n_test)
    return Run(run, summary, examples, tables.influence(rng, n), subgroups)


def removal_of(n: int, n_test: int) -> dict[str, Any]:
    """A removal experiment with a threshold that no example reaches."""

    def losses(loss: float) -> dict[str, Any]:
        return {
            "accuracy_memorized": e(0.97 - loss, 0.01, 40), "accuracy_random": e(0.97, 0.01, 40),
            "loss_memorized": e(loss, 0.004, 40), "loss_random": e(0.0002, 0.001, 40),
            "difference": e(loss - 0.0002, 0.004, 40),
        }  # fmt: skip

    rows = [
        {"threshold": t, "removed": k, "share": k / n, "all": losses(x), "filtered": losses(x / 2)}
        for t, k, x in ((0.1, 90, 0.011), (0.5, 30, 0.002))
    ]
    rows.append({"threshold": 0.9, "removed": 0, "share": 0.0, "all": None, "filtered": None})
    return {
        "models": 40, "weight_decay": 5e-4, "near_duplicates": 0.5, "left_out": 3,
        "n_test": n_test, "accuracy_all": e(0.97, 0.01, 40), "accuracy_filtered": e(0.97, 0.01, 40),
        "thresholds": rows,
    }  # fmt: skip


def _add_controls(run: dict[str, Any], epsilon: float) -> None:
    """An arm of each kind of control, and what ``run.json`` says of it."""
    kinds = {"clip-only": 0.0, f"noise-only-{epsilon:g}": 0.0, "pruned-90": 0.9,
             "random-labels-20": 0.2}  # fmt: skip
    for arm, share in kinds.items():
        of = "standard" if share else f"dp-{epsilon:g}"
        settings = ("hyperparameters", "tuning", "sample_rate", "steps")
        run["arms"][arm] = {
            "kind": "control",
            **{key: run["arms"][of][key] for key in settings},
            "control": {
                "name": next(k for k in ("clip-only", "noise-only", "pruned", "random-labels")
                             if arm.startswith(k)),
                "share": share, "of": "standard" if share else "dp", "clips": arm == "clip-only",
                "noise_std": 1.1 if arm.startswith("noise") else 0.0,
            },
        }  # fmt: skip
        run["engine"][arm] = run["engine"][of]
        run["cross_check"][arm] = run["cross_check"][of]
        run["timings"]["training_seconds"][arm] = 5.1


def _groupings(rng: np.random.Generator, n: int, styles: int) -> dict[str, np.ndarray]:
    """Names per training example, by grouping; the first has a long tail."""
    share = 1 / np.arange(1, styles + 1) ** 0.8
    style = rng.choice(styles, size=n, p=share / share.sum())
    style[:styles] = np.arange(styles)
    names = np.array([f"class {i % 10} · style {1 + i // 10}" for i in range(styles)])
    site = rng.integers(0, len(HOSTILE), size=n)
    return {
        "style within class": names[style],
        "class": np.array([f"class {i % 10}" for i in style]),
        HOSTILE[0]: np.array(HOSTILE, dtype=object)[site],
    }


def _run(
    n: int,
    n_test: int,
    models: int,
    groupings: dict[str, np.ndarray],
    epsilons: tuple[float, ...],
) -> dict[str, Any]:
    kinds = ["subpopulation", "class", "column"]
    sgd = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0, "batch_size": 64}
    arms: dict[str, Any] = {
        "standard": {
            "kind": "standard", "hyperparameters": sgd, "sample_rate": 0.0705, "steps": 425,
            "tuning": "chosen on a validation split of the training set, 12 settings",
        }
    }  # fmt: skip
    checks: dict[str, Any] = {"standard": _check("a plain PyTorch loop (torch.optim.SGD)")}
    delta = n**-1.1
    for epsilon in epsilons:
        grid = np.linspace(0, 8, 33)
        arms[f"dp-{epsilon:g}"] = {
            "kind": "dp", "hyperparameters": {**sgd, "learning_rate": 0.5}, "tuning": "12 settings",
            "epsilon": epsilon, "delta": delta, "epsilon_achieved": epsilon - 0.01,
            "noise_multiplier": 1.1, "sample_rate": 0.0705, "steps": 425, "clip_norm": 1.0,
            "accountant": "PRV (Opacus 1.6.0)", "delta_times_n": delta * n,
            "in_out_epsilon": epsilon, "in_out_delta": delta,
            "privacy_curve": {
                "epsilon": grid.tolist(), "delta": (0.3 * np.exp(-2 * grid)).tolist(),
            },
        }  # fmt: skip
        checks[f"dp-{epsilon:g}"] = _check("Opacus 1.6.0 (GradSampleModule, DPOptimizer)")
    return {
        "schema_version": 1, "status": "complete",
        "created": "2026-03-02T09:00:00Z", "finished": "2026-03-02T09:01:10Z",
        "command_line": "audit run --epsilon 2",
        "tool": {"name": "longtail-audit", "version": "0.1.0", "commit": None},
        "config": {"data": {"source": "digits"}, "inclusion": {"p": 0.7}, "models": models},
        "config_sha256": "ab" * 32, "seed": 0,
        "data": {
            "name": "digits", "source": "scikit-learn, load_digits", "licence": "CC BY 4.0",
            "fingerprint": "cd" * 32, "n": n, "n_test": n_test, "features": 64,
            "input_shape": [64], "classes": [str(i) for i in range(10)],
            "fitted_on_train": ["k-means centres of the styles"],
            "warnings": [f"column {HOSTILE[1]} looks like an identifier"],
            "notes": {"split": "seed 0"},
            "groupings": [
                {"name": g, "kind": k, "subgroups": len(set(codes)),
                 "uses_training_data": k == "subpopulation"}
                for (g, codes), k in zip(groupings.items(), kinds, strict=False)
            ],
        },
        "versions": {"python": "3.11.7", "torch": "2.9.1", "opacus": "1.6.0", "numpy": "2.4.6"},
        "hardware": {"device": "cpu", "processor": "x86_64", "cores": 2, "memory_gib": 23.5},
        "inclusion": {"design": "poisson", "p": 0.7, "adjacency": "add/remove one example"},
        "model": {"name": "mlp", "description": "64-64-10, ReLU", "parameters": 4810},
        "engine": {a: {"name": "ensemble", "why": "an MLP has a vectorised form"} for a in arms},
        "arms": arms,
        "plan": {"models": models, "cohort_size": 25, "cohorts": []},
        "shards": {"standard/0-24": {"sha256": "ef" * 32, "seconds": 1.2}},
        "timings": {"training_seconds": dict.fromkeys(arms, 5.1), "estimates_seconds": 2.0},
        "cross_check": checks,
    }  # fmt: skip


def _check(against: str) -> dict[str, Any]:
    return {
        "model": 17, "against": against, "steps": 425, "parameters_relative_difference": 3e-6,
        "outputs_max_difference": 1e-4, "predictions_differing": 0, "predictions": 1797,
        "tolerance": 1e-3, "passed": True,
    }  # fmt: skip


def _summary(
    examples: pd.DataFrame,
    run: dict[str, Any],
    arms: list[str],
    verdict: str,
    groupings: list[str],
) -> dict[str, Any]:
    models = run["plan"]["models"]
    results = {a: _arm(rows_of(examples, "arm", a), run, a, verdict, models) for a in arms}
    private = [a for a in arms if a != "standard"]
    trends = [_trend("style within class", f"loss_{a}", a, -0.0123, 50, "shown") for a in private]
    trends += [
        _trend("style within class", "mem_standard", "standard", -0.0116, 50, "shown"),
        _trend("class", "mem_standard", "standard", -0.004, 10, "inconclusive"),
    ]
    disparity = []
    for a in private:
        for g, v in zip(groupings, ("shown", "equivalent", "inconclusive"), strict=False):
            disparity.append({
                "grouping": g, "arm": a, "cochran_q": 88.2, "q_p_value": 0.0005, "tau": 0.021,
                "worst_subgroup": HOSTILE[0] if g == HOSTILE[0] else f"{g} 7",
                "worst_loss": e(0.093, 0.04, 12), "worst_minus_rest": e(0.071, 0.041, 12),
                "worst_p_adjusted": 0.003, "equivalence_margin": 0.05, "verdict": v,
                "largest_subgroup": f"{g} 3",
                "largest_loss": {"value": 0.41, "low": None, "high": None, "n": 1},
                "smallest_detectable": 0.031, "n_groups": 49, "n_given": 50, "relabellings": 1999,
            })  # fmt: skip
    fairlearn = [
        {"grouping": "class", "arm": a, "metric": "accuracy", "difference": 0.08, "ratio": 0.91,
         "by_group": {"class 0": 0.97, "class 1": None}} for a in arms
    ]  # fmt: skip
    return {
        "models": models, "arms": results, "trends": trends, "disparity": disparity,
        "fairlearn": fairlearn, "longtail": [_longtail(g) for g in groupings], "findings": [],
    }  # fmt: skip


def _longtail(grouping: str) -> dict[str, Any]:
    once = 3 if grouping == HOSTILE[0] else 0
    return {
        "grouping": grouping, "kind": "class", "classes": 10, "n": 1297, "groups": 50,
        "smallest": 1 if once else 4, "singletons": once, "weight_near_1_over_n": 0.004,
        "unseen_mass": once / 1297, "tau": 4e-4, "price": once * 3.6e-4,
        "limited": [{"arm": "dp-2", "memorization": 0.31, "price": once * 2.36e-4}],
    }  # fmt: skip


def _trend(
    grouping: str, outcome: str, arm: str, slope: float, groups: int, verdict: str
) -> dict[str, Any]:
    return {
        "grouping": grouping, "outcome": outcome, "arm": arm, "slope": e(slope, 0.0042, groups),
        "level": e(0.05, 0.01, groups), "centre": 4.3,
        "p_value": 0.00007, "tau": 0.018, "n_groups": groups, "n_given": groups + 1,
        "verdict": verdict,
        "method": "random-effects meta-regression, Knapp–Hartung",
    }  # fmt: skip


def _arm(
    rows: pd.DataFrame, run: dict[str, Any], arm: str, verdict: str, models: int
) -> dict[str, Any]:
    private = arm != "standard"
    facts = run["arms"][arm]
    epsilon = facts.get("epsilon", 2.0)
    delta = facts.get("delta", run["data"]["n"] ** -1.1)
    mean = float(rows.mem.mean())
    stated = verdict if private else "violates"
    largest = 0.171 if private else 0.985
    power, needed = (0.12, 190) if stated == "could_not_tell" else (0.81, 200)
    refuted = {"violates": 38, "consistent": 0, "could_not_tell": 0}[stated]
    certified = 3.41 if stated == "violates" else 0.0
    n = run["data"]["n"]
    result = {
        "accuracy_test": e(0.947 if private else 0.9684, 0.006),
        "accuracy_included": e(0.956 if private else 0.9991, 0.002),
        "accuracy_excluded": e(0.951 if private else 0.9991 - mean, 0.003),
        "mem_mean": e(0.0051 if private else mean, 0.0021),
        "mem_share_above_0.25": e(0.0 if private else 0.048, 0.004),
        "mem_max": {"value": largest, "low": largest - 0.09, "high": largest + 0.07, "n": 200},
        "generalization_gap": e(0.005 if private else mean, 0.0021),
        "epsilon_certified": {"value": certified, "low": certified, "high": None, "n": models},
        "verdict": stated,
        "witnesses": [17, 240, 377, 401, 555, 801] if refuted else [],
        "n_refuted": refuted,
        "test": {
            "epsilon": epsilon, "delta": delta, "alpha": 0.05, "hypotheses": 4 * (n - 1),
            "correction": "Holm", "power": power, "models_needed": needed,
            "smallest_p": 1e-20 if refuted else 0.002,
        },
        "influence": {
            "pairs_by_cuts": 300, "pairs_reported": 0 if private else 20, "pairs_tested": 648500,
            "pairs_one_to_one": 0 if private else 14, "pairs_train_examples": 0 if private else 18,
            "pairs_test_examples": 0 if private else 17,
            "fdr": 0.1, "share_test_touched": e(0.026, 0.012, 500),
            "share_test_touched_once": e(0.018, 0.01, 500), "mean_selected": 0.41,
            "mean_reestimated": 0.34,
        },
        "above_bound": {
            "count": 0, "informative_share": 0.12, "above_tradeoff": 3,
            "above_tradeoff_significant": 0, "memorization_cap": 0.7618, "tradeoff_cap": 0.217,
        },
    }  # fmt: skip
    result["exposure"] = _exposure(private, models)
    if facts["kind"] == "dp":
        keys = ("epsilon", "delta", "noise_multiplier", "sample_rate", "steps", "clip_norm")
        result |= {k: facts[k] for k in keys} | {"loss": e(0.0214, 0.0041)}
    return result


def _exposure(private: bool, models: int) -> dict[str, Any]:
    fpr = np.geomspace(1e-5, 1, 41)
    tpr = fpr if private else np.maximum(fpr, 0.7 * fpr**0.5)

    def e(value: float, half: float) -> dict[str, Any]:
        return {"value": value, "low": value - half, "high": value + half, "n": models}

    found = {
        "auc": e(0.531 if private else 0.608, 0.003),
        "balanced_accuracy": e(0.521 if private else 0.563, 0.003),
        "tpr_at_0.001": e(0.0013 if private else 0.0313, 0.0006),
        "tpr_at_0.01": e(0.0116 if private else 0.0717, 0.0013),
        "n_in": 181000, "n_out": 78000, "n_undefined": 7,
    }  # fmt: skip
    return {
        "attack": "lira_online", "variant": "per-example variance", "why_not": None, **found,
        "attacks": {"lira_online": found, "global_threshold": found},
        "not_run": {"rmia_online": "needs margins on test examples"},
        "roc": {"fpr": fpr.tolist(), "tpr": tpr.tolist()},
    }  # fmt: skip
