"""The search for the noise of an ε: plain bisection against ``audit.accounting.calibrate``.

    python -m benchmarks.noise_search

Both ask Opacus's PRV accountant, from the noise that RDP says is enough, to the same tolerance, and
must end at the same noise. Seconds are of the PRV search alone, the two one after the other at each
setting, nothing remembered from one to the other.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from audit import accounting

# ε, δ, sampling rate, steps.
SETTINGS = (
    (0.1, 1e-5, 0.01, 500), (0.5, 3e-4, 0.2, 100), (1, 1e-4, 0.05, 600), (1, 1e-5, 0.9, 30),
    (1, 1e-3, 1e-3, 50), (2, 1e-4, 0.1, 300), (2, 1e-5, 1.0, 20), (3, 5.5e-6, 0.0122, 2051),
    (4, 5.5e-6, 0.0488, 410), (8, 1e-4, 0.1, 300), (20, 1e-4, 0.3, 50),
)  # fmt: skip
TOLERANCE = 2e-3


def bisect(epsilon_of: Callable[[float], float], target: float, start: float) -> float:
    """The noise by plain bisection: what the search must end at."""
    high = start
    while epsilon_of(high) > target:
        high *= 2
    low = high / 2
    while low > 0.05 and epsilon_of(low) <= target:
        low, high = low / 2, low
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        found = epsilon_of(middle)
        if found > target:
            low = middle
            continue
        high = middle
        if found >= target * (1 - TOLERANCE):
            break
    return high


def main() -> None:
    print("| ε | δ | q | steps | noise | asked | s | bisection asked | s | times |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    ratios = []
    for epsilon, delta, q, steps in SETTINGS:
        start = accounting._least_noise(
            accounting._rdp_epsilon, float(epsilon), delta, float(q), steps
        )
        noises: list[float] = []

        def epsilon_of(noise: float, settings: tuple = (delta, q, steps), noises: list = noises):
            noises.append(noise)
            return accounting._prv_epsilon.__wrapped__(noise, *settings)

        begun = time.perf_counter()
        plain = bisect(epsilon_of, epsilon, start)
        between = time.perf_counter()
        accounting._prv_epsilon.cache_clear()
        ours = accounting._least_noise(
            accounting._prv_epsilon, float(epsilon), delta, float(q), steps, start=start
        )
        ended = time.perf_counter()
        asked = accounting._prv_epsilon.cache_info().misses
        assert ours == plain, f"the noise is {ours}, by bisection {plain}"
        ratios.append((between - begun) / (ended - between))
        print(
            f"| {epsilon:g} | {delta:g} | {q:g} | {steps} | {ours:.4f} | {asked} "
            f"| {ended - between:.2f} | {len(noises)} | {between - begun:.2f} | {ratios[-1]:.2f} |"
        )
    low, high = min(ratios), max(ratios)
    print(
        f"\n{statistics.median(ratios):.1f} times as fast in the median, {low:.1f} to {high:.1f}."
    )


if __name__ == "__main__":
    main()
