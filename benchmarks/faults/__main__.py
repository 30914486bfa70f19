"""Real audits, disturbed: killed, interrupted, out of disk or memory, damaged, changed, doubled.

Each trial starts ``audit run`` in a process of its own, disturbs it, and gives the same command
again until it ends. Counted are cohorts that were finished and lost, results that differ by a byte
from those of an undisturbed run, tracebacks, and endings other than the one expected. Run:

    python -m benchmarks.faults --kills 200 --trials 5 --seed 0
    python -m benchmarks.faults --kills 40 --trials 1 --study removal

Kinds that need root (a small tmpfs) or libfaketime (a clock that steps) are said to be left out
where these are missing, never counted as survived.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults.kinds import KINDS, STUDY_OF
from benchmarks.faults.studies import Studies
from benchmarks.faults.trial import Seen, Study, Trial, Unavailable, kill_again_and_again

_MOST_TRIES = 60
_ATTEMPTS = 4
"""A fault may come when the run is over already: then again."""


def try_kinds(
    studies: Studies, study: str, kinds: list[str], trials: int, seed: int
) -> Iterator[tuple[str, Seen]]:
    """Every kind, ``trials`` times, each in a folder of its own."""
    for number, kind in enumerate(kinds):
        seen, of = Seen(), studies[STUDY_OF.get(kind, study)]
        for index in range(_ATTEMPTS * trials):
            folder = of.folder / f"{number}-{index}"
            folder.mkdir()
            rng = np.random.default_rng([seed, number, index])
            trial = Trial(of, folder / "run", rng, seen)
            try:
                KINDS[kind](trial)
            except Unavailable as missing:
                seen.left_out = str(missing)
                break
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            seen.trials += trial.took_place
            if seen.trials == trials:
                break
        if seen.trials < trials and not seen.left_out:
            seen.unexpected.append(f"the fault took place in {seen.trials} trials only")
        yield kind, seen


def kill_many(study: Study, kills: int, seed: int) -> Seen:
    """Runs killed again and again, until ``kills`` kills in all."""
    seen, index = Seen(), 0
    while seen.trials < kills:
        rng = np.random.default_rng([seed, 1_000_000, index])
        folder = study.folder / f"kill-{index}"
        folder.mkdir()
        most = min(_MOST_TRIES, kills - seen.trials)
        seen.trials += kill_again_and_again(Trial(study, folder / "run", rng, seen), most)
        shutil.rmtree(folder, ignore_errors=True)
        index += 1
    return seen


def row(kind: str, seen: Seen) -> str:
    if seen.left_out:
        return f"| {kind} | – | – | – | – | not tried: {seen.left_out} |"
    odd = f"{len(seen.unexpected)}: {seen.unexpected[0]}" if seen.unexpected else "0"
    odd = " ".join(odd.split())
    return (
        f"| {kind} | {seen.trials} | {seen.lost} | {seen.differing} | {seen.tracebacks} | {odd} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Real audits, disturbed.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", help="some kinds, by the beginnings of their names")
    parser.add_argument("--study", default="digits", choices=("digits", "controls", "removal"))
    parser.add_argument("--messages", action="store_true", help="print what the runs said")
    given = parser.parse_args()
    kinds = [k for k in KINDS if given.kinds is None or k.startswith(tuple(given.kinds))]
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        studies = Studies(Path(folder), given.seed)
        print("| fault | trials | cohorts lost | results differing | tracebacks | unexpected |")
        print("|---|---|---|---|---|---|")
        for kind, seen in try_kinds(studies, given.study, kinds, given.trials, given.seed):
            print(row(kind, seen), flush=True)
            ok &= seen.survived
            if given.messages:
                print(*sorted(seen.messages), sep="\n")
        if given.kills:
            seen = kill_many(studies[given.study], given.kills, given.seed)
            print(row("killed -9 at a random moment", seen), flush=True)
            ok &= seen.survived
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
