"""Runs the cases and prints the table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.hostile.boxed import Outcome, faults, fresh, harmless, run, warm
from benchmarks.hostile.case import Bench, Case, Maker, digest
from benchmarks.hostile.kinds import KINDS, Kind
from benchmarks.hostile.world import build


@dataclass
class Seen:
    """What became of the cases of a kind."""

    cases: int = 0
    harmless: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0
    faults: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, case: Case, outcome: Outcome) -> None:
        """Count one case."""
        if harmless(case, outcome):
            self.harmless += 1
        else:
            self.cases += 1
        self.megabytes = max(self.megabytes, outcome.megabytes)
        for fault in faults(case, outcome):
            said = outcome.err.strip()[-400:]
            self.faults.setdefault(fault.partition(":")[0], []).append(
                f"{what}: {fault}\n    {case.argv!r:.300}\n    {said}"
            )


def drawn(
    kind: Kind, share: int, world: Path, box: Path, *, seed: int, number: int, known: set[str]
) -> Iterator[tuple[str, Case]]:
    """Cases of a kind, each a new one, its makers in turn, until ``share`` were used."""
    makers: list[tuple[str, Maker]] = list(kind.makers.items())
    for index in range(20 * share):
        what, make = makers[index % len(makers)]
        fresh(box)
        bench = Bench(np.random.default_rng([seed, number, index]), box / "case", world)
        case = make(bench)
        name = digest(case, bench.here)
        if name not in known:
            known.add(name)
            yield what, case


def study(
    cases: int, seed: int, kinds: dict[str, Kind], folder: Path
) -> Iterator[tuple[str, Seen]]:
    """Every kind, at least ``cases`` in all."""
    warm()
    world = build(folder / "world", seed)
    known: set[str] = set()
    total = sum(kind.weight for kind in kinds.values())
    for number, (name, kind) in enumerate(kinds.items()):
        share = -(-cases * kind.weight // total)
        seen, started = Seen(), time.monotonic()
        for what, case in drawn(
            kind, share, world, folder / "box", seed=seed, number=number, known=known
        ):
            seen.note(what, case, run(case, folder / "box"))
            if seen.cases >= share:
                break
        seen.seconds = time.monotonic() - started
        yield name, seen


def row(name: str, seen: Seen) -> str:
    """A line of the table."""
    counts = [len(seen.faults.get(fault, [])) for fault in ("traceback", "hung")]
    other = sum(map(len, seen.faults.values())) - sum(counts)
    numbers = (seen.cases, seen.harmless, *counts, other)
    return f"| {name} | {' | '.join(f'{n:,}' for n in numbers)} | {seen.megabytes:,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Hostile input at every door.")
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", help="some kinds, by the beginnings of their names")
    parser.add_argument("--show", type=int, default=3, help="cases shown of each fault")
    given = parser.parse_args()
    kinds = {
        k: v for k, v in KINDS.items() if given.kinds is None or k.startswith(tuple(given.kinds))
    }
    every: list[Seen] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        print("| door | hostile | harmless | tracebacks | hung | other faults | MB at most |")
        print("|---|---|---|---|---|---|---|")
        for name, seen in study(given.cases, given.seed, kinds, Path(folder)):
            every.append(seen)
            print(row(name, seen), flush=True)
            for fault, shown in seen.faults.items():
                print(f"{fault}: {len(shown)}", *shown[: given.show], sep="\n  ", file=sys.stderr)
    total = sum(seen.cases for seen in every)
    print(f"\n{total:,} hostile inputs in {time.monotonic() - started:.0f} s")
    sys.exit(1 if any(seen.faults for seen in every) or total < given.cases else 0)


if __name__ == "__main__":
    main()
