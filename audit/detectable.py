"""What an audit with K models can find: the power of its tests, in the terms of a run. PURE.

The same tables are made before a run (``audit plan``), where they say how many models to train, and
after it, where they say what "nothing was found" is worth. Everything is computed from the tests'
own rejection regions, nothing simulated. A number that no effect reaches is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from audit.claims import ALPHA, STANDARD, Claim
from audit.estimates.bounds import Bound, curve_bound, dp_bound, line_bound
from audit.estimates.coin_audit import FEWEST_MODELS_TO_FIT, score_level
from audit.estimates.epsilon_power import (
    IdealAttack,
    gaussian_curve_bound,
    ideal_attack,
    models_for_pooled,
    pooled_epsilon,
    witness_epsilon,
)
from audit.estimates.influence_power import smallest_influence
from audit.estimates.power import ENOUGH_POWER, Form, smallest_p_in
from audit.estimates.result import to_json_number
from audit.estimates.subgroup_power import (
    LossVariance,
    smallest_excess,
    smallest_margin,
)

P_OUT = (0.01, 0.05, 0.5)
"""Rates of right answers without the example for which the smallest excess is given."""
RIGHT_OUT = (0.05, 0.5)
"""The same for the test example of an influential pair."""
FDR = 0.1
INFLUENCE_CUT = 0.15
_LADDER = (50, 100, 200, 400, 1000, 2000, 4000)
# The exact form of the test takes long to invert for many models; Fisher's is then nearly as good.
_EXACT_UP_TO = 250

Record = dict[str, Any]


@dataclass(frozen=True)
class Groups:
    """A grouping for its power: ``name`` and how many test examples each subgroup has."""

    name: str
    n_test: Int[np.ndarray, " groups"]


@dataclass(frozen=True)
class Design:
    """What the power of a run depends on, beside the number of models.

    ``poisson``: whether memberships are independent coins; ``canaries``: gradient canaries of each
    model by arm. ``claims``: of the private arms by name; ``judged_by``: of arms that claim none.
    ``variance``: of the paired losses; ``variance_from``: where it comes from, in words.
    """

    n: int
    n_test: int
    p: float
    poisson: bool
    canaries: Mapping[str, int]
    claims: Mapping[str, Claim]
    judged_by: Claim
    groups: Sequence[Groups]
    variance: LossVariance
    variance_from: str


def ladder(models: int) -> list[int]:
    """Numbers of models to tell the power for, ``models`` among them."""
    return sorted({*_LADDER, models})


def power_tables(design: Design, models: Sequence[int]) -> Record:
    """Smallest effects found with 80 % power, for each number of ``models``."""
    return {
        "alpha": ALPHA,
        "power": ENOUGH_POWER,
        "models": list(models),
        "excess": excess(design, models),
        "influence": influence(design, models) if design.n_test else [],
        "difference": difference(design, models),
        "equivalence": equivalence(design, models),
        "epsilon": [*witness(design, models), *pooled(design, models)],
        "loss_variance": {
            **{key: to_json_number(value) for key, value in vars(design.variance).items()},
            "from": design.variance_from,
        },
    }


def excess(design: Design, models: Sequence[int]) -> list[Record]:
    """Per private claim, bound and p_out: the smallest refuted p_in, and what it exceeds."""
    claims = dict(design.claims) or {STANDARD: design.judged_by}
    found = []
    for arm, claim in claims.items():
        for test in claim_tests(claim, design.n):
            for p_out in P_OUT:
                allowed = float(test.allowed(np.array([p_out]))[0])
                rows = [
                    _excess_row(k, _smallest_p_in(test, k, design.p, p_out), p_out, allowed)
                    for k in models
                ]
                found.append({"arm": arm, **test.words(), "p_out": p_out, "allowed": allowed,
                              "rows": rows})  # fmt: skip
    return found


def influence(design: Design, models: Sequence[int]) -> list[Record]:
    """Per rate of right answers without the training example: the smallest reported influence."""
    level = influence_level(design)
    return [
        {
            "right_out": right_out,
            "pairs": design.n * design.n_test,
            "fdr": FDR,
            "cut": INFLUENCE_CUT,
            "level": level,
            "rows": [
                {"models": k, "influence": to_json_number(
                    smallest_influence(k, design.p, level, right_out,
                                       min_influence=INFLUENCE_CUT))}
                for k in models
            ],
        }
        for right_out in RIGHT_OUT
    ]  # fmt: skip


def difference(design: Design, models: Sequence[int]) -> list[Record]:
    """Per grouping, for its largest, median and smallest subgroup: the smallest excess of loss."""
    found = []
    for groups in design.groups:
        for which, n_group in representatives(groups):
            count = int((groups.n_test > 0).sum())
            rows = [
                {"models": k, "excess": _number(smallest_excess(
                    design.variance, k, np.array([n_group]), design.n_test, n_groups=count)[0])}
                for k in models
            ]  # fmt: skip
            found.append({"grouping": groups.name, "subgroup": which, "n_test": n_group,
                          "n_groups": count, "rows": rows})  # fmt: skip
    return found


def equivalence(design: Design, models: Sequence[int]) -> list[Record]:
    """Per grouping: the margin within which equal losses would be called equivalent."""
    found = []
    for groups in design.groups:
        sizes = groups.n_test[groups.n_test > 0]
        rows = [
            {"models": k, "margin": _number(
                smallest_margin(design.variance, k, sizes, design.n_test, n_groups=sizes.size))}
            for k in models
        ]  # fmt: skip
        found.append({"grouping": groups.name, "n_groups": int(sizes.size), "rows": rows})
    return found


def witness(design: Design, models: Sequence[int]) -> list[Record]:
    """The ε that one example memorized outright certifies, at the δ of the strictest claim."""
    delta = design.judged_by.in_out_delta
    level = ALPHA / (4 * design.n)
    rows = [
        {"models": k, "epsilon": to_json_number(witness_epsilon(k, design.p, level, delta))}
        for k in models
    ]
    return [{"procedure": "witness bound", "on": "one example memorized outright",
             "delta": delta, "rows": rows}]  # fmt: skip


def pooled(design: Design, models: Sequence[int]) -> list[Record]:
    """The ε that the pooled one-run audit certifies, per private arm: of gradient canaries, and of
    the training examples, under the ideal attack on the claimed mechanism."""
    return [
        {
            **game.words(),
            "rows": [{"models": k, "epsilon": to_json_number(game.certified(k))} for k in models],
        }
        for game in coin_games(design)
    ]


@dataclass(frozen=True)
class _Game:
    """The coins of one arm that can be guessed: each at P[in] = ``p``, ``per_model`` of them.

    ``fitted``: scores are fitted on one half of the models and used on the other, so a test has
    half of the coins; each half then has half of the level, as each of two scores has.
    """

    arm: str
    on: str
    claim: Claim
    attack: IdealAttack
    p: float
    per_model: int
    fitted: bool

    def words(self) -> Record:
        return {
            "procedure": "pooled one-run bound (f-DP)",
            "arm": self.arm,
            "on": self.on,
            "delta": self.claim.delta,
            "coins_per_model": self.per_model,
        }

    def level(self, models: int) -> float:
        return score_level(models, ALPHA)

    def coins(self, models: int) -> int:
        return models * self.per_model // (2 if self.fitted else 1)

    def certified(self, models: int) -> float:
        if self.fitted and models < FEWEST_MODELS_TO_FIT:
            return math.nan
        return pooled_epsilon(
            self.attack,
            self.coins(models),
            p=self.p,
            delta=self.claim.delta,
            level=self.level(models),
        )

    def needed(self, epsilon: float) -> int | None:
        return models_for_pooled(
            epsilon,
            self.attack,
            self.per_model / (2 if self.fitted else 1),
            p=self.p,
            delta=self.claim.delta,
            level=ALPHA / 2,
            fewest=FEWEST_MODELS_TO_FIT if self.fitted else 1,
        )


def coin_games(design: Design) -> list[_Game]:
    """Coins of every private arm whose claim adds or removes one example."""
    found = []
    for arm, claim in design.claims.items():
        if claim.adjacency != "add_remove" or not 0 < claim.delta < 1:
            continue
        # Under `fixed` inclusion the curve is that of a swap; canaries are coins all the same.
        curve = claim.coin_curve
        bound = (
            gaussian_curve_bound(claim.epsilon, claim.delta)
            if curve is None
            else curve_bound(curve.epsilon, curve.delta)
        )
        if design.canaries.get(arm):
            attack = ideal_attack(bound, 0.5)
            on = f"gradient canaries of {arm}"
            found.append(_Game(arm, on, claim, attack, 0.5, design.canaries[arm], False))
        if design.poisson:
            attack = ideal_attack(bound, design.p)
            on = f"training examples of {arm}"
            found.append(_Game(arm, on, claim, attack, design.p, design.n, True))
    return found


@dataclass(frozen=True)
class _ClaimTest:
    """One of the two tests of a claim: ``tested`` is what a hypothesis says of p_in, ``allowed``
    what all of its hypotheses together allow."""

    name: str
    claim: Claim
    tested: Bound
    allowed: Bound
    hypotheses: int
    both_outcomes: bool

    @property
    def level(self) -> float:
        return ALPHA / self.hypotheses

    def words(self) -> Record:
        return {
            "bound": self.name,
            "epsilon": self.claim.in_out_epsilon,
            "delta": self.claim.in_out_delta,
            "hypotheses": self.hypotheses,
        }


def claim_tests(claim: Claim, n: int) -> list[_ClaimTest]:
    epsilon, delta = claim.in_out_epsilon, claim.in_out_delta
    line, both = line_bound(epsilon, delta), dp_bound(epsilon, delta)
    tests = [_ClaimTest("e^ε", claim, line, both, 4 * n, both_outcomes=True)]
    if claim.curve is not None:
        curve = curve_bound(claim.curve.epsilon, claim.curve.delta)
        tests.append(_ClaimTest("trade-off", claim, curve, curve, 2 * n, both_outcomes=False))
    return tests


def _smallest_p_in(test: _ClaimTest, models: int, p: float, p_out: float) -> float:
    # A curve has a hundred corners, and the exact size of a region is a sum over all of them.
    exact = models <= _EXACT_UP_TO and test.both_outcomes
    form = Form(test.both_outcomes, exact)
    return smallest_p_in(models, p, test.tested, test.level, p_out, test=form, slices=3)


def _excess_row(models: int, p_in: float, p_out: float, allowed: float) -> Record:
    return {
        "models": models,
        "p_in": to_json_number(p_in),
        "memorization": to_json_number(p_in - p_out),
        "excess": to_json_number(p_in - allowed),
    }


def influence_level(design: Design) -> float:
    return FDR / max(1, design.n * design.n_test)


def representatives(groups: Groups) -> list[tuple[str, int]]:
    """The largest, median and smallest subgroup with test examples; each size once."""
    sizes = np.sort(groups.n_test[groups.n_test > 0])
    if sizes.size < 2:
        return []
    named = {
        "largest": int(sizes[-1]),
        "median": int(sizes[(sizes.size - 1) // 2]),
        "smallest": int(sizes[0]),
    }
    once: dict[int, str] = {}
    for which, size in named.items():
        once[size] = f"{once[size]}, {which}" if size in once else which
    return [(which, size) for size, which in once.items()]


def _number(value: float | np.floating) -> float | None:
    return to_json_number(float(value))
