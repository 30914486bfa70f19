"""Does the trend of accuracy loss hang on how subpopulations are cut? Many cuts of one run.

The default for `digits`, four styles per class, is one choice among many. This prints the trend of
the DP arm's loss with frequency for other numbers of styles and other seeds of the clustering, from
the shards of one run; nothing is trained. Run:

    audit run --epsilon 2 --out RUN && python benchmarks/subpopulation_sensitivity.py RUN
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from audit.data.registry import load
from audit.estimates.subgroups import subgroup_loss
from audit.estimates.trend import trend
from audit.store import read_json
from audit.stored_outputs import read_outputs

STYLES = (2, 3, 4, 5, 6, 8, 10, 12, 15)
SEEDS = range(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--arm", default="dp-2")
    options = parser.parse_args()
    manifest = read_json(options.run / "run.json")
    standard = read_outputs(options.run, manifest, "standard").test_correct
    private = read_outputs(options.run, manifest, options.arm).test_correct
    print("styles per class, seed: slope in points per doubling [95 %], p, groups that enter")
    negative = shown = 0
    for styles in STYLES:
        for seed in SEEDS:
            data = load(manifest["data"]["name"], seed=seed, clusters_per_class=styles)
            grouping = next(g for g in data.groupings if g.kind == "subpopulation")
            loss = subgroup_loss(standard, private, grouping.test, len(grouping.subgroups))
            error = np.where(loss.pooled_error > 0, loss.pooled_error, np.nan)
            found = trend(loss.mean, error, grouping.train_counts())
            slope = found.slope
            print(
                f"{styles:>3}, {seed}: {100 * slope.value:+5.1f} "
                f"[{100 * slope.low:+.1f}, {100 * slope.high:+.1f}]  p = {found.p_value:.3f}  "
                f"{found.n_groups}"
            )
            negative += slope.value < 0
            shown += slope.value < 0 and found.p_value <= 0.05
    total = len(STYLES) * len(SEEDS)
    print(f"rarer loses more in {negative} of {total} cuts, with p ≤ .05 in {shown}")


if __name__ == "__main__":
    main()
