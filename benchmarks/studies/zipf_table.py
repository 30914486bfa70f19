"""The published examples of the long-tail model (Feldman 2020), beside what the model gives.

    python -m benchmarks.studies.zipf_table [--worlds 2000]

Zipf prior, ten balanced classes. The printed values look like averages over some twenty draws of
all frequencies; the column "drawn again" is the average over the first :data:`DRAWS` draws by
NumPy's generator of seed 0. Three more columns: the expectation when every point draws its value
from the prior, which is the theorem's model (exact: a convolution, no sampling), the same with
frequencies equal to the prior's values (exact), and how much one draw varies around the first
(standard deviation over simulated draws).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from audit.estimates.longtail import expected_seen, tau, unseen_mass
from audit.estimates.longtail_prior import zipf
from audit.estimates.longtail_theory import Labels, Population, predict


@dataclass(frozen=True)
class Published:
    """A printed value: of which quantity, for which domain and sample, to which digit."""

    domain: int
    samples: int
    quantity: str
    value: float
    digit: float


PUBLISHED = (
    Published(50_000, 50_000, "tau", 0.467, 1e-3),
    Published(50_000, 50_000, "singletons", 0.167, 1e-3),
    Published(50_000, 50_000, "optimum", 0.151, 1e-3),
    Published(50_000, 50_000, "unfitted", 0.0704, 1e-4),
    Published(5_000, 50_000, "optimum", 0.0185, 1e-4),
    Published(5_000, 50_000, "limited", 0.0145, 1e-4),
    Published(5_000, 10_000, "optimum", 0.1125, 1e-4),
    Published(5_000, 10_000, "limited", 0.0350, 1e-4),
    Published(25_000, 50_000, "optimum", 0.1068, 1e-4),
    Published(25_000, 50_000, "limited", 0.0307, 1e-4),
)
NAMES = {
    "tau": "τ × n",
    "singletons": "share of singletons",
    "optimum": "optimum",
    "unfitted": "cost of fitting no singleton",
    "limited": "cost at a memorization of ½",
}
LABELS, LIMIT = Labels(10), 0.5
DRAWS = 20
"""Draws of all frequencies behind the column "drawn again", of seed 0; docs/reproductions.md says
how they were found and what that is worth."""


def drawn(
    domain: int, samples: int, worlds: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The quantities for each of ``worlds`` draws of all frequencies."""
    values = 1 / np.arange(1, domain + 1)
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(worlds):
        frequencies = rng.choice(values, domain)
        frequencies /= frequencies.sum()
        once = expected_seen(frequencies, samples, 1)
        of_one = tau(frequencies, samples)
        found["tau"].append(of_one * samples)
        found["singletons"].append(once / samples)
        found["optimum"].append(LABELS.guess * unseen_mass(frequencies, samples))
        found["unfitted"].append(LABELS.guess * of_one * once)
        found["limited"].append((LABELS.guess - LIMIT) * of_one * once)
    return {name: np.array(value) for name, value in found.items()}


def drawn_again(domain: int, samples: int) -> dict[str, float]:
    """Averages over :data:`DRAWS` draws; τ over the pooled points of all of them, its marginal."""
    means = {
        name: float(values.mean())
        for name, values in drawn(domain, samples, DRAWS, np.random.default_rng(0)).items()
    }
    pooled = means["unfitted"] / (LABELS.guess * means["singletons"])
    return {**means, "tau": pooled}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(
        "| N | n | quantity | published | drawn again | exact, drawn | exact, fixed "
        "| sd of one draw | off by |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    off: dict[tuple[int, int], float] = {}
    for domain, samples in dict.fromkeys((p.domain, p.samples) for p in PUBLISHED):
        ours = {
            draw: predict(
                [Population("all", zipf(domain))], samples, LABELS, draw=draw, limit=LIMIT
            )[0]
            for draw in ("random", "fixed")
        }
        rng = np.random.default_rng((given.seed, domain, samples))
        worlds = drawn(domain, samples, given.worlds, rng)
        again = drawn_again(domain, samples)
        for p in (p for p in PUBLISHED if (p.domain, p.samples) == (domain, samples)):
            exact, fixed = (getattr(ours[draw], p.quantity) for draw in ("random", "fixed"))
            spread = worlds[p.quantity].std(ddof=1)
            distance = (p.value - exact) / spread
            if p.quantity == "optimum":
                off[domain, samples] = distance
            digits = len(f"{p.digit:.10f}".rstrip("0")) - 2
            print(
                f"| {domain:,} | {samples:,} | {NAMES[p.quantity]} | {p.value:.{digits}f} "
                f"| {again[p.quantity]:.{digits + 1}f} | {exact:.{digits + 1}f} "
                f"| {fixed:.{digits + 1}f} | {spread:.{digits + 1}f} | {distance:+.2f} sd |"
            )
    # Were the printed values averages over R draws, the squares would be 1/R in expectation.
    draws = len(off) / sum(distance**2 for distance in off.values())
    print(
        "\nOptimum of the four settings: the mean square of the distances is that of averages "
        f"over {draws:.0f} draws of the frequencies ({given.worlds:,} worlds, seed {given.seed})."
    )


if __name__ == "__main__":
    main()
