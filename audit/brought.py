"""What ``audit estimate`` is asked, and the arrays it is given: opened, checked, told apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from audit.accounting import default_delta
from audit.claims import STANDARD
from audit.config import Design
from audit.data.names import printable
from audit.data.outputs import ArmArrays, Memberships, StoredArray, check_outputs, open_array
from audit.errors import BadInput
from audit.inclusion import check_design
from audit.training.arms import dp_arm_name


@dataclass(frozen=True)
class ArmFiles:
    """The ``.npy`` files of one arm: a row per model, a column per example."""

    train_correct: Path | None = None
    test_correct: Path | None = None
    margins: Path | None = None
    test_margins: Path | None = None


@dataclass(frozen=True)
class Request:
    """What ``audit estimate`` is asked: files, the claim, and how the subsets were drawn.

    ``claims``: whether the arrays are those of an arm that claims (ε, δ); if not, ε is only what
    they are held against. ``baseline``: standard models trained on the same memberships.
    """

    membership: Path
    arm: ArmFiles
    epsilon: float
    delta: float | None = None
    claims: bool = True
    claimed_by: str | None = None
    baseline: ArmFiles = ArmFiles()
    design: Design = "poisson"
    p: float | None = None
    train_table: Path | None = None
    test_table: Path | None = None
    label: str | None = None
    subgroups: tuple[str, ...] = ()
    name: str = "outputs of models trained elsewhere"
    seed: int = 0


@dataclass(frozen=True)
class Brought:
    """The arrays of a request, opened and checked, by arm."""

    membership: StoredArray
    arms: dict[str, ArmArrays]
    memberships: Memberships

    @property
    def models(self) -> int:
        return len(self.memberships.sizes)

    @property
    def n(self) -> int:
        return len(self.memberships.share)

    @property
    def n_test(self) -> int:
        test = next(iter(self.arms.values())).test_correct
        return 0 if test is None else test.array.shape[1]

    @property
    def files(self) -> list[StoredArray]:
        return [self.membership, *(a for arm in self.arms.values() for a in arm.present())]


def bring(request: Request) -> Brought:
    """Open and check every array of ``request``.

    Raises:
        BadInput: as :func:`audit.data.outputs.check_outputs` and
            :func:`audit.inclusion.check_design`.
    """
    own = _open(request.arm, "")
    if own is None:
        raise BadInput("train-correct", None, "is missing", "Give --train-correct FILE.npy")
    baseline = _open(request.baseline, "baseline-")
    arms = {dp_arm_name(request.epsilon) if request.claims else STANDARD: own}
    if baseline is not None:
        _refuse_odd_baseline(request, own, baseline)
        arms = {STANDARD: baseline, **arms}
    membership = open_array("membership", request.membership)
    memberships = check_outputs(membership, arms)
    _refuse_no_comparison(memberships)
    check_design(memberships.sizes, memberships.share, design=request.design, p=request.p)
    return Brought(membership, arms, memberships)


def _refuse_no_comparison(memberships: Memberships) -> None:
    """Refuse subsets that are no subsets: all of the data each, or nothing each."""
    shares = set(memberships.share.tolist())
    # Of one model the verdict is "could not tell" anyway.
    if len(memberships.sizes) > 1 and (shares <= {0.0} or shares <= {1.0}):
        raise BadInput(
            "membership",
            "every example in every model" if shares == {1.0} else "no example in any model",
            "leaves nothing to compare: an estimate needs what was in and what was out",
            "Bring models that were trained on subsets",
        )


def _open(files: ArmFiles, prefix: str) -> ArmArrays | None:
    paths = vars(files)
    needs = {"test_correct": "train_correct", "margins": "train_correct",
             "test_margins": "test_correct"}  # fmt: skip
    for key, needed in needs.items():
        if paths[key] is not None and paths[needed] is None:
            raise BadInput(
                f"{prefix}{_option(key)}",
                str(paths[key]),
                f"is given without --{prefix}{_option(needed)}",
                "Bring both",
            )
    train, *others = (
        None if path is None else open_array(f"{prefix}{_option(key)}", path)
        for key, path in paths.items()
    )
    return None if train is None else ArmArrays(train, *others)


def _option(key: str) -> str:
    return key.replace("_", "-")


def _refuse_odd_baseline(request: Request, own: ArmArrays, baseline: ArmArrays) -> None:
    if not request.claims:
        raise BadInput(
            "baseline-train-correct",
            str(baseline.train_correct.path),
            "is a second standard arm: with --no-claim the arrays are those of standard training",
            "Leave one of the two out",
        )
    sides = (own.test_correct, baseline.test_correct)
    if (sides[0] is None) != (sides[1] is None):
        missing = "test-correct" if sides[0] is None else "baseline-test-correct"
        raise BadInput(
            missing, None, "is missing: the other arm has test outputs", "Bring both or neither"
        )
    shapes = [side.array.shape for side in sides if side is not None]
    if len(set(shapes)) > 1:
        raise BadInput(
            "baseline-test-correct",
            shapes[1],
            f"is not of the shape of test-correct, {shapes[0]}",
            "Bring outputs of both arms on the same test examples",
        )
    if baseline.train_correct.sha256 == own.train_correct.sha256:
        raise BadInput(
            "baseline-train-correct",
            str(baseline.train_correct.path),
            "has the same content as train-correct",
            "Check the two paths",
        )


def check_numbers(request: Request) -> None:
    """Refuse options that no arrays could go with.

    Raises:
        BadInput: ε, δ or p out of range, or who computed a claim that nobody makes.
    """
    if not (math.isfinite(request.epsilon) and 0.01 <= request.epsilon <= 100):
        raise BadInput(
            "epsilon", request.epsilon, "must be between 0.01 and 100", "Use e.g. --epsilon 2"
        )
    if request.delta is not None and not 0 <= request.delta < 1:
        raise BadInput(
            "delta", request.delta, "must be at least 0 and below 1", "Give the δ that is claimed"
        )
    if request.p is not None and not 0 < request.p < 1:
        raise BadInput("p", request.p, "must be between 0 and 1", "Leave it out")
    if not request.claims and request.claimed_by is not None:
        raise BadInput(
            "claimed-by", request.claimed_by, "goes with a claim", "Leave --no-claim out"
        )


def stated_delta(request: Request, n: int) -> float:
    """The δ that is claimed; n^−1.1 where none is stated, which :func:`claim_source` says.

    Raises:
        BadInput: none is stated for a single example.
    """
    if request.delta is not None:
        return request.delta
    if n == 1:
        # n^-1.1 would be 1, a claim of nothing.
        raise BadInput("delta", None, "has no default for a single example", "Give --delta")
    return default_delta(n)


def claim_source(request: Request) -> str:
    """Whose word the claim is, for the report."""
    if not request.claims:
        return "asked about; no arm claims it"
    delta = "; δ was not stated, n^-1.1 is assumed" if request.delta is None else ""
    if request.claimed_by is None:
        return f"stated by the user, not verified by this tool{delta}"
    by = printable(request.claimed_by)
    return f"{by} (so stated by the user, not verified by this tool{delta})"
