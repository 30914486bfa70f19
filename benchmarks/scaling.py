"""Time and peak memory of a whole audit against the number of models: K, 2K, 4K.

Time should be a constant plus so much per model (what the second doubling adds per model is what
the first added), memory should not grow. Each point is a run of the public pipeline in a fresh
process and a fresh folder: plan, worker processes, shards, estimates, report. Rounds take the
points in turn. Run:

    python benchmarks/scaling.py [--config digits] [--models 400] [--rounds 3]

Memory is the resident set summed over the run's processes, read every 50 ms; pages that processes
share count in each. Processor seconds are those of all processes: unlike wall time, they change
little when other work takes the cores. Take K as a multiple of the cohort size (printed), so that
all points train cohorts of one size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, here and in workers

import psutil
from rounds import heading, line

from audit.configuring import configure
from audit.pipeline import run
from audit.plan import Plan
from audit.provenance import hardware, versions
from audit.training.executors import cores

_FACTORS = (1, 2, 4)
_SAMPLE_SECONDS = 0.05
_MIB = 2**20


@dataclass
class Clock:
    """A run's listener that notes when training begins and ends."""

    moments: dict[str, float] = field(default_factory=dict)

    def stage(self, text: str) -> None:
        if text == "estimating":
            self.moments["trained"] = time.time()

    def plan(self, plan: Plan, done: dict[str, int]) -> None:
        assert not any(done.values()), "the folder holds a run already"
        self.moments["training"] = time.time()
        self.moments["cohort_size"] = plan.cohort_size

    def progress(self, models_done: dict[str, float]) -> None:
        pass


@dataclass(frozen=True)
class Point:
    """One run: seconds of training and of the whole command, seconds that processors worked for
    it, and MiB at the peak of training and of what follows (estimates and report)."""

    training_seconds: float
    whole_seconds: float
    processor_seconds: float
    training_mib: float
    after_mib: float
    cohort_size: int


def audit_once(settings: dict[str, object], config: str, out: Path) -> None:
    """The run of one point, in the process that was started for it; prints its moments."""
    clock = Clock()
    settled = configure(Path(config), settings)
    run(settled, out, command_line="benchmarks/scaling.py", listener=clock)
    print(json.dumps(clock.moments))


def measure(options: argparse.Namespace, models: int) -> Point:
    """Start a fresh process for ``models`` models and watch it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--config", options.config, "--models", str(models)]
        command += ["--data-root", options.data_root] if options.data_root else []
        start, worked = time.time(), processor_seconds()
        process = subprocess.Popen(
            [*command, "--one", f"{folder}/run"], stdout=subprocess.PIPE, text=True
        )
        samples: list[tuple[float, float]] = []
        while process.poll() is None:
            samples.append((time.time(), resident_mib(process.pid)))
            time.sleep(_SAMPLE_SECONDS)
        end = time.time()
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode != 0:
        sys.exit(f"the run of {models} models failed with exit code {process.returncode}")
    moments = json.loads(output.splitlines()[-1])
    first, last = moments["training"], moments["trained"]
    return Point(
        training_seconds=last - first,
        whole_seconds=end - start,
        processor_seconds=processor_seconds() - worked,
        training_mib=max(size for at, size in samples if first <= at <= last),
        after_mib=max(size for at, size in samples if at > last),
        cohort_size=int(moments["cohort_size"]),
    )


def processor_seconds() -> float:
    """Seconds that processors worked for the finished child processes and their descendants."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident_mib(pid: int) -> float:
    """MiB resident in the process ``pid`` and its descendants now."""
    total = 0
    try:
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            try:
                total += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
    except psutil.NoSuchProcess:
        return 0.0
    return total / _MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="digits", help="a shipped configuration or a file")
    parser.add_argument("--data-root", help="folder of torchvision's files")
    parser.add_argument("--models", type=int, default=400, help="K; 2K and 4K follow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        settings: dict[str, object] = {"models": options.models}
        if options.data_root:
            settings["data_root"] = options.data_root
        audit_once(settings, options.config, options.one)
        return
    print(f"config {options.config}, {cores()} worker processes")
    print(f"hardware {hardware('cpu', cores())}")
    print(f"versions {versions()}")
    points: dict[int, list[Point]] = {factor * options.models: [] for factor in _FACTORS}
    for _ in range(options.rounds):
        for models, found in points.items():
            found.append(measure(options, models))
            print(f"{models} models per arm: {found[-1]}", flush=True)
    report(points)


def report(points: dict[int, list[Point]]) -> None:
    """Times and memory, then the ratios within rounds that say whether they are linear and flat."""
    heading("seconds, and MiB at the peak, of all arms together")
    for models, found in points.items():
        size = found[0].cohort_size
        line(f"{models} models per arm, cohorts of {size}: training, s",
             [p.training_seconds for p in found])  # fmt: skip
        line("  whole command, s", [p.whole_seconds for p in found])
        line("  processors worked, s", [p.processor_seconds for p in found])
        line("  training, per model of each arm, ms",
             [1e3 * p.training_seconds / models for p in found])  # fmt: skip
        line("  peak while training, MiB", [p.training_mib for p in found])
        line("  peak of estimates and report, MiB", [p.after_mib for p in found])
    k, double, fourfold = points
    by_round = list(zip(*points.values(), strict=True))
    heading(f"ratios within a round; K = {k}")
    for what in ("training_seconds", "whole_seconds", "processor_seconds"):
        values = [[getattr(point, what) for point in each] for each in by_round]
        line(f"{what}: 2K / K", [b / a for a, b, _ in values])
        line(f"{what}: 4K / K", [c / a for a, _, c in values])
        line(
            f"{what} per model, from 2K to 4K / from K to 2K (1 is linear)",
            [((c - b) / (fourfold - double)) / ((b - a) / (double - k)) for a, b, c in values],
        )
    for what in ("training_mib", "after_mib"):
        values = [[getattr(point, what) for point in each] for each in by_round]
        line(f"{what}: 2K / K", [b / a for a, b, _ in values])
        line(f"{what}: 4K / K", [c / a for a, _, c in values])
        line(f"{what}: KiB for each further model",
             [1024 * (c - a) / (fourfold - k) for a, _, c in values])  # fmt: skip


if __name__ == "__main__":
    main()
