"""How many models would show an effect of a stated size; None, and why, where none would. PURE.

The other way round from :mod:`audit.detectable`: what a user asks of ``audit plan``.
"""

from __future__ import annotations

import math

import numpy as np

from audit.claims import ALPHA, STANDARD
from audit.detectable import (
    INFLUENCE_CUT,
    P_OUT,
    RIGHT_OUT,
    Design,
    Record,
    claim_tests,
    coin_games,
    influence_level,
    representatives,
)
from audit.estimates.bounds import line_bound
from audit.estimates.epsilon_power import (
    models_for_witness,
)
from audit.estimates.influence_power import models_for_influence
from audit.estimates.power import Form, smallest_number_of_models
from audit.estimates.subgroup_power import (
    models_for_excess,
    needed_test_examples,
)


def wanted_excess(design: Design, size: float) -> list[Record]:
    """Models that find an example whose p_in exceeds what a claim allows by ``size``."""
    claims = dict(design.claims) or {STANDARD: design.judged_by}
    answers = []
    for arm, claim in claims.items():
        for test in claim_tests(claim, design.n):
            for p_out in P_OUT:
                p_in = float(test.allowed(np.array([p_out]))[0]) + size
                record = {"arm": arm, **test.words(), "p_out": p_out, "models": None}
                if p_in > 1:
                    record["why"] = (
                        f"the claim allows p_in = {p_in - size:.3f} at p_out = {p_out:g}, and "
                        "p_in cannot exceed 1"
                    )
                else:
                    record["models"] = smallest_number_of_models(
                        design.p, test.tested, test.level, p_in=p_in, p_out=p_out,
                        test=Form(test.both_outcomes, exact=False),
                    )  # fmt: skip
                    if record["models"] is None:
                        record["why"] = "more than a million would be needed"
                answers.append(record)
    return answers


def wanted_influence(design: Design, size: float) -> list[Record]:
    """Models that report a pair of influence ``size``."""
    answers = []
    for right_out in RIGHT_OUT:
        record: Record = {"right_out": right_out}
        record["models"] = models = models_for_influence(
            size, design.p, influence_level(design), right_out, min_influence=INFLUENCE_CUT
        )
        if models is None:
            record["why"] = (
                f"pairs under the cut of {INFLUENCE_CUT:g} are not reported, and the estimate of "
                "one at the cut falls below it half of the time"
                if size <= INFLUENCE_CUT
                else f"p_in cannot exceed 1: at p_out = {right_out:g} influence is at most "
                f"{1 - right_out:g}"
                if right_out + size > 1
                else "more than a million would be needed"
            )
        answers.append(record)
    return answers


def wanted_difference(design: Design, size: float, models: int) -> list[Record]:
    """Models that show that a subgroup loses ``size`` more than the rest; where test examples
    forbid it, how many of these ``models`` models would need."""
    answers = []
    for groups in design.groups:
        for which, n_group in representatives(groups):
            count = int((groups.n_test > 0).sum())
            record: Record = {"grouping": groups.name, "subgroup": which, "n_test": n_group}
            record["models"] = models_for_excess(
                size, design.variance, n_group, design.n_test, n_groups=count
            )
            if record["models"] is None:
                record["why"] = "test examples are too few, however many models answer them"
                record["test_examples"] = needed = needed_test_examples(
                    size, design.variance, models, n_group / design.n_test, n_groups=count
                )
                record["test_examples_of_subgroup"] = (
                    None if needed is None else math.ceil(needed * n_group / design.n_test)
                )
            answers.append(record)
    return answers


def wanted_epsilon(design: Design, epsilon: float) -> list[Record]:
    """Models with which ``epsilon`` is certified, per procedure."""
    delta = design.judged_by.in_out_delta
    level = ALPHA / (4 * design.n)
    models = models_for_witness(epsilon, design.p, level, delta)
    record: Record = {"procedure": "witness bound", "on": "one example memorized outright",
                      "models": models}  # fmt: skip
    if models is None:
        record["why"] = (
            f"ε = {epsilon:g} allows an example that is right in 99 % of the models that saw it "
            "and in 1 % of the others"
            if line_bound(epsilon, delta)(np.array([0.01]))[0] >= 0.99
            else "more than a million would be needed"
        )
    answers = [record]
    for game in coin_games(design):
        needed = game.needed(epsilon)
        answer: Record = {**game.words(), "models": needed}
        if needed is None:
            answer["why"] = (
                f"{game.arm} claims ε = {game.claim.epsilon:g}, and a lower bound does not exceed "
                "the truth"
                if epsilon >= game.claim.epsilon
                else "this procedure does not reach it, however many coins there are, even of a "
                "mechanism that is exactly as bad as its claim"
            )
        answers.append(answer)
    return answers
