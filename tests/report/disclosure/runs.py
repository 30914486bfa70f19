"""A run with groups of 3, 7 and 12 people and secrets in every corner, and the same with others.

``SECRET`` and ``OTHER`` differ in what the public profile must not tell, and in nothing else: the
counts of withheld subgroups and all that is estimated of them, numbers of examples, paths, quoted
texts. Whatever is computed from the two for the public must be the same, byte for byte.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audit.claims import make_claim
from audit.detectable import Design, Groups, power_tables
from audit.estimates.subgroup_power import LossVariance
from tests.report import synthetic, synthetic_tables
from tests.report.disclosure.tables import Joint
from tests.report.synthetic import Run, e

Counts = dict[tuple[str, str], tuple[int, int]]
KINDS = {"sex": "column", "race": "column", "sex×race": "crossing", "ward": "column"}
ARMS = ("standard", "dp-2")


@dataclass(frozen=True)
class Variant:
    """What only the internal report may tell; counts are (training, test)."""

    cells: Counts
    wards: dict[str, tuple[int, int]]
    seed: int
    folder: str
    witnesses: tuple[int, ...]
    worst: str


_PUBLISHED: Counts = {("m", "w"): (140, 70), ("f", "w"): (120, 60)}
SECRET = Variant(
    {**_PUBLISHED, ("m", "o"): (12, 11), ("m", "b"): (40, 25), ("f", "o"): (3, 2),
     ("f", "b"): (35, 22)},
    {"Threave": (3, 2), "Sevenoaks": (7, 8), "Twelveheads": (12, 14), "Largs": (328, 166)},
    seed=1, folder="/srv/eve/cohort-2019", witnesses=(98761, 98762, 98763), worst="Threave",
)  # fmt: skip
OTHER = Variant(
    {**_PUBLISHED, ("m", "o"): (10, 9), ("m", "b"): (42, 27), ("f", "o"): (5, 4),
     ("f", "b"): (33, 20)},
    {"Threave": (6, 6), "Sevenoaks": (4, 4), "Twelveheads": (12, 14), "Largs": (328, 166)},
    seed=2, folder="/home/mallory/x y", witnesses=(87651, 87652, 87653), worst="Sevenoaks",
)  # fmt: skip


def joint(variant: Variant) -> tuple[Joint, Joint]:
    """The joint cells of sex and race, and of ward (which nothing is crossed with)."""
    wards = {(w,): n for w, n in variant.wards.items()}
    return tuple(
        Joint(columns, {c: n for c, (n, _) in cells.items()}, {c: n for c, (_, n) in cells.items()})
        for columns, cells in ((("sex", "race"), variant.cells), (("ward",), wards))
    )  # pyright: ignore[reportReturnType]


def make(variant: Variant) -> Run:
    """The run as the internal report sees it."""
    n, n_test = (sum(c[i] for c in variant.cells.values()) for i in (0, 1))
    base = synthetic.make(seed=5, n=n, n_test=n_test, hostile=False)
    names = _names(variant, n)
    base.examples = _shuffled(base.examples, names, variant.seed)
    base.subgroups = _subgroups(variant)
    base.run = _run(base.run, variant, names)
    base.summary = _summary(base.summary, variant, n, n_test)
    base.influence = base.influence.assign(train_example=np.arange(20) + variant.witnesses[0])
    return base


def _names(variant: Variant, n: int) -> dict[str, np.ndarray]:
    """The subgroup of each training example, by grouping; wards lie across sexes and races."""
    cells = [cell for cell, (k, _) in variant.cells.items() for _ in range(k)]
    wards = np.array([w for w, (k, _) in variant.wards.items() for _ in range(k)])
    assert len(cells) == len(wards) == n
    return {
        "sex": np.array([sex for sex, _ in cells]),
        "race": np.array([race for _, race in cells]),
        "sex×race": np.array([f"{sex} × {race}" for sex, race in cells]),
        "ward": wards[np.random.default_rng(0).permutation(n)],
    }


def _shuffled(examples: pd.DataFrame, names: dict[str, np.ndarray], seed: int) -> pd.DataFrame:
    """Which example has which estimates depends on ``seed``; what the estimates are does not."""
    kept = examples.drop(columns=["style within class", "class"])
    order = np.random.default_rng(seed).permutation(len(names["sex"]))
    parts = [synthetic.rows_of(kept, "arm", arm).iloc[order] for arm in ARMS]
    made = [part.assign(example=np.arange(len(part)), **names) for part in parts]
    return pd.concat(made, ignore_index=True)


def _counts(variant: Variant) -> dict[str, dict[str, tuple[int, int]]]:
    """(training, test) by grouping and subgroup."""
    found: dict[str, dict[str, tuple[int, int]]] = {g: {} for g in KINDS}
    for (sex, race), (a, b) in variant.cells.items():
        for grouping, name in (("sex", sex), ("race", race), ("sex×race", f"{sex} × {race}")):
            before = found[grouping].get(name, (0, 0))
            found[grouping][name] = (before[0] + a, before[1] + b)
    found["ward"] = dict(variant.wards)
    return found


def _hidden(variant: Variant) -> list[bool]:
    """Which rows of ``_subgroups`` are to be withheld: they get estimates of their own."""
    names = [(g, s) for g, groups in _counts(variant).items() for s in groups]
    return [s in {"Threave", "Sevenoaks"} or (g == "sex×race" and "w" not in s) for g, s in names]


def _subgroups(variant: Variant) -> pd.DataFrame:
    parts = []
    for grouping, groups in _counts(variant).items():
        train, test = (np.array([n[i] for n in groups.values()]) for i in (0, 1))
        rng, labels = np.random.default_rng(7), np.array(list(groups))
        rows = synthetic_tables.group_rows(
            rng, grouping, KINDS[grouping], labels, train, test, list(ARMS)
        )
        parts.append(rows)
    table = pd.concat(parts, ignore_index=True)
    hidden, rng = np.array(_hidden(variant)), np.random.default_rng(variant.seed)
    for column in list(table)[list(table).index("frequency") + 1 :]:
        noise = np.where(hidden, rng.uniform(0.1, 0.9, len(table)), _fixed(len(table), column))
        table[column] = noise
    # Everybody in "Largs" is told right: shown as an interval alone.
    large = table["subgroup"] == "Largs"
    table.loc[large, ["accuracy_standard", "accuracy_standard_high"]] = 1.0
    table.loc[large, "accuracy_standard_low"] = 0.97123
    bins = table[(table["grouping"] == "ward") & (table["subgroup"] == "Threave")]
    bins = bins.assign(grouping="ward: frequency", kind="frequency", subgroup="1/128–1/64")
    return pd.concat([table, bins], ignore_index=True)


def _fixed(rows: int, column: str) -> np.ndarray:
    """Estimates of what is published: the same in every variant, whatever its counts."""
    middle = {"_low": 0.31, "_high": 0.52}.get(column[column.rfind("_") :], 0.42)
    return middle + np.arange(rows) / 1000 + 0.0001234


def _run(run: dict[str, Any], variant: Variant, names: dict[str, np.ndarray]) -> dict[str, Any]:
    made = copy.deepcopy(run)
    file = f"{variant.folder}/patients.csv"
    made["command_line"] = f"audit run --data '{file}' --epsilon 2 '--out={variant.folder}/out'"
    made["config"]["data"] = file
    made["data"] |= {
        "source": file, "warnings": [f"column id: {variant.seed + 90} values of {variant.worst}"],
        "notes": {"split": f"as in {variant.folder}/split.csv"},
        "groupings": [{"name": g, "kind": KINDS[g], "subgroups": len(set(n)),
                       "uses_training_data": False} for g, n in names.items()],
    }  # fmt: skip
    made["canaries"] = {
        "kind": "mislabeled", "count": 3, "copies": 1, "arms": list(ARMS), "coin": 0.5,
        "why_none": None, "source": list(variant.witnesses), "label": [variant.seed, 1, 2],
    }  # fmt: skip
    made["learners"] = {
        "dp-2": {
            "margins": ["logits"],
            "constant": 0,
            "warnings": {
                "UserWarning": {
                    "models": 3,
                    "first": f"{variant.folder}/m.py: example {variant.seed}",
                }
            },
        }
    }
    return made


def _summary(summary: dict[str, Any], variant: Variant, n: int, n_test: int) -> dict[str, Any]:
    made, k = copy.deepcopy(summary), variant.seed
    counts = _counts(variant)
    tests = {g: np.array([m for _, m in c.values()]) for g, c in counts.items()}
    for result in made["arms"].values():
        result["witnesses"] = list(variant.witnesses) if result["n_refuted"] else []
    made["trends"] = [synthetic._trend(g, "loss_dp-2", "dp-2", -0.0123, 4, "inconclusive")
                      for g in KINDS]  # fmt: skip
    made["disparity"] = [_disparity(g, "w" if g == "race" else "m") for g in ("sex", "race")]
    made["disparity"] += [_disparity("ward", variant.worst, k), _disparity("sex×race", "m × w", k)]
    made["disparity"][-1]["largest_subgroup"] = "f × o" if k == 1 else "m × o"
    made["trends"][-1]["verdict"] = "shown"
    for entry in made["trends"] + made["disparity"]:
        if entry["grouping"] in {"ward", "sex×race"}:
            # With two subgroups withheld these are equations for two counts and their rates.
            numbers = {"tau": 0.01 * k, "p_value": 0.001 * k, "slope": e(-0.01 * k, 0.005, 4),
                       "cochran_q": 8.0 + k, "q_p_value": 0.01 * k, "worst_p_adjusted": 0.02 * k,
                       "level": e(0.01 * k, 0.01, 4), "centre": 4.3 + k}  # fmt: skip
            entry |= {key: value for key, value in numbers.items() if key in entry}
            entry["equivalent_within"] = 0.03 * k
    made["fairlearn"] = [r for g, groups in counts.items() for r in _rates(g, list(groups), k)]
    made["longtail"] = [
        {"grouping": g, "kind": KINDS[g], "classes": 2, "n": n, "groups": len(c),
         "smallest": min(m for m, _ in c.values()), "singletons": 0, "weight_near_1_over_n": 0.0,
         "unseen_mass": 0.0, "tau": 4e-5 * min(m for m, _ in c.values()), "price": 0.0}
        for g, c in counts.items()
    ]  # fmt: skip
    claim = make_claim(2.0, 1e-4, design="poisson", source="a test")
    made["power"] = power_tables(
        Design(n=n, n_test=n_test, p=0.7, poisson=True, canaries={"dp-2": 50},
               claims={"dp-2": claim}, judged_by=claim, variance=LossVariance(0.03, 0.05, 0.001),
               groups=[Groups(g, t) for g, t in tests.items()], variance_from="measured"),
        [100, 200],
    )  # fmt: skip
    made["findings"] = [{"statement": f"example {variant.witnesses[0]}"}]
    return made


def _disparity(grouping: str, worst: str, k: int = 0) -> dict[str, Any]:
    loss = 0.093 + (k if worst in {"Threave", "Sevenoaks"} else 0)
    return {
        "grouping": grouping, "arm": "dp-2", "cochran_q": 88.2, "q_p_value": 0.0005, "tau": 0.021,
        "worst_subgroup": worst, "worst_loss": e(loss, 0.04, 72),
        "worst_minus_rest": e(0.071, 0.041, 72), "worst_p_adjusted": 0.003,
        "equivalence_margin": 0.05, "verdict": "inconclusive", "largest_subgroup": worst,
        "largest_loss": e(0.41 + k, 0.2, 3), "smallest_detectable": 0.031 + k / 100,
        "n_groups": 4, "n_given": 4, "relabellings": 1999,
    }  # fmt: skip


def _rates(grouping: str, names: list[str], k: int) -> list[dict[str, Any]]:
    """fairlearn's rates: of withheld subgroups the extremes."""
    hidden = {n for n in names if n in {"Threave", "Sevenoaks"} or (" × " in n and "w" not in n)}
    records = []
    for metric in ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate"):
        rates = {n: 0.01 * k if n in hidden else 0.7 + 0.0212345 * i for i, n in enumerate(names)}
        if metric.endswith("positive_rate"):
            rates = {n: r + 0.001 * k for n, r in rates.items()}
        most, least = max(rates.values()), min(rates.values())
        records.append({"grouping": grouping, "arm": "dp-2", "metric": metric,
                        "difference": most - least, "ratio": least / most,
                        "by_group": rates})  # fmt: skip
    extremes = {kind: records[1][kind] for kind in ("difference", "ratio")}
    for kind, value in extremes.items():
        head = {"grouping": grouping, "arm": "dp-2"}
        records.append({**head, "metric": f"demographic_parity_{kind}", "value": value})
        records.append({**head, "metric": f"equalized_odds_{kind}", "value": 0.01 * k})
    return records
