"""The long-tail model for given numbers or for a data set's own counts: ``audit theory``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from audit import __version__
from audit.data.dataset import Dataset
from audit.errors import BadInput
from audit.estimates import longtail_prior as priors
from audit.estimates.bounds import dp_bound
from audit.estimates.longtail import from_counts
from audit.estimates.longtail_prior import Draw, OutOfRange, Prior
from audit.estimates.longtail_simulation import Side, simulate
from audit.estimates.longtail_theory import Labels, Population, mixed, predict, spectrum
from audit.estimates.result import Estimate, to_json_number
from audit.seeds import Purpose, generator

SCHEMA_VERSION = 1
PriorName = Literal["zipf", "geometric", "mixture"]
MOST_POINTS = 10_000_000
MOST_SAMPLES = 1_000_000_000
MOST_CLASSES = 10_000
MOST_WORLDS = 100_000
# With label noise every example is drawn, and every point's votes are counted by label.
MOST_VOTES = 100_000_000


@dataclass(frozen=True)
class Question:
    """What is asked of the model.

    ``populations``: (samples, domain) of each population of a mixture; one where there is no
    mixture. ``limit``: the most that a singleton may be memorized; ``epsilon`` and ``delta``
    (which exclude it): what they allow of one that would else be guessed. ``draw``: frequencies
    drawn from the prior ("random", the theorem's) or its values themselves ("fixed").
    """

    prior: PriorName = "zipf"
    populations: tuple[tuple[int, int], ...] = ((50_000, 50_000),)
    exponent: float = 1.0
    ratio: float = 0.9
    head: int = 100
    tail_mass: float = 0.5
    classes: int = 10
    noise: float = 0.0
    limit: float | None = None
    epsilon: float | None = None
    delta: float = 0.0
    draw: Draw = "random"
    worlds: int = 200
    seed: int = 0


@dataclass(frozen=True)
class _Case:
    """One table of the answer: populations under a name."""

    name: str
    populations: tuple[Population, ...]
    samples: int
    observed: dict[str, Any] = field(default_factory=dict)


def theorize(question: Question, data: Dataset | None = None) -> dict[str, Any]:
    """The model's predictions and a simulation of them, as plain JSON (docs/commands/theory.md).

    With ``data`` there is a case per grouping, whose counts are the prior; ``prior`` and
    ``populations`` of the question are not used then, nor its number of classes.

    Raises:
        BadInput: a number is out of range, or the data set has no grouping.
    """
    _check(question)
    cases = _of_data(data) if data is not None else (_of_prior(question),)
    classes = question.classes if data is None else len(data.class_names)
    labels = Labels(classes, question.noise)
    limit = _limit(question, labels)
    answered = [_answer(case, question, labels, limit) for case in cases]
    return {
        "schema_version": SCHEMA_VERSION,
        "audit_version": __version__,
        "setting": {
            "prior": "counts" if data is not None else question.prior,
            "data": None if data is None else data.name,
            "classes": classes,
            "noise": question.noise,
            "frequencies": question.draw,
            "epsilon": question.epsilon,
            "delta": question.delta if question.epsilon is not None else None,
            "memorization_limit": limit,
            "worlds": question.worlds,
            "seed": question.seed,
        },
        "cases": answered,
    }


def _answer(case: _Case, question: Question, labels: Labels, limit: float | None) -> dict[str, Any]:
    try:
        predicted = predict(case.populations, case.samples, labels, draw=question.draw, limit=limit)
        sides: Sequence[Side] = ()
        if question.worlds:
            rng = generator(question.seed, Purpose.LONG_TAIL, case.name)
            sides = simulate(
                case.populations, predicted, case.samples, labels,
                draw=question.draw, worlds=question.worlds, rng=rng, limit=limit,
            )  # fmt: skip
    except OutOfRange as error:
        raise _refused(error) from None
    return {
        "name": case.name,
        "samples": case.samples,
        "observed": case.observed or None,
        "populations": [
            {
                "prior": population.prior.name,
                "domain": population.prior.domain,
                **_plain(asdict(found)),
            }
            for population, found in zip(case.populations, predicted, strict=True)
        ],
        "all": _plain(mixed(predicted, case.samples)),
        "simulation": [_side(side) for side in sides],
        "spectrum": spectrum(case.populations, case.samples, draw=question.draw),
    }


def _side(side: Side) -> dict[str, Any]:
    parts = {key: value for key, value in vars(side).items() if isinstance(value, Estimate)}
    told = {key: value.to_json() for key, value in parts.items()}
    reading = (
        "says_nothing" if side.says_nothing
        else "violates" if side.violates
        else "equal" if side.tight
        else "holds"
    )  # fmt: skip
    return {"learner": side.learner, **told, "reading": reading}


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    return {k: to_json_number(v) if isinstance(v, float) else v for k, v in found.items()}


def _of_prior(question: Question) -> _Case:
    total = sum(samples for samples, _ in question.populations)
    several = len(question.populations) > 1
    populations = tuple(
        Population(
            f"{samples:,} of {total:,}" if several else "all",
            _prior(question, domain),
            samples / total,
        )
        for samples, domain in question.populations
    )
    return _Case(populations[0].prior.name, populations, total)


def _prior(question: Question, domain: int) -> Prior:
    try:
        if question.prior == "zipf":
            return priors.zipf(domain, question.exponent)
        if question.prior == "geometric":
            return priors.geometric(domain, question.ratio)
        return priors.two_levels(domain, question.head, question.tail_mass)
    except OutOfRange as error:
        raise _refused(error) from None


def _refused(error: OutOfRange) -> BadInput:
    return BadInput(error.name, error.value, error.rule, "See audit theory --help")


def _of_data(data: Dataset) -> tuple[_Case, ...]:
    if not data.groupings:
        raise BadInput(
            "data", data.name, "has no grouping whose counts could serve as a prior",
            "Name one with --subgroups COLUMN, or --clusters-per-class 5",
        )  # fmt: skip
    cases = []
    for grouping in data.groupings:
        counts = grouping.train_counts()
        found = from_counts(counts, 1 - 1 / len(data.class_names))
        prior = priors.of_counts(counts, f"the counts of “{grouping.name}”")
        observed = {
            "groups": found.groups,
            "smallest": found.smallest,
            "singletons": found.singletons,
            "good_turing": to_json_number(found.unseen_mass),
            "price": to_json_number(found.price),
        }
        cases.append(_Case(grouping.name, (Population("all", prior),), found.n, observed))
    return tuple(cases)


def _limit(question: Question, labels: Labels) -> float | None:
    """The most that a singleton may be memorized, of a learner that would else guess its label."""
    if question.epsilon is None:
        return question.limit
    guessed = 1 - labels.guess
    allowed = dp_bound(question.epsilon, question.delta)(np.array(guessed))
    return float(allowed) - guessed


def _check(question: Question) -> None:
    see = "See audit theory --help"
    if question.prior not in get_args(PriorName):
        raise BadInput("prior", question.prior, "must be zipf, geometric or mixture", see)
    if question.draw not in get_args(Draw):
        raise BadInput("frequencies", question.draw, "must be random or fixed", see)
    _within("classes", question.classes, 2, MOST_CLASSES)
    _within("simulate", question.worlds, 0, MOST_WORLDS)
    if question.worlds == 1:
        raise BadInput("simulate", 1, "must be 0 (none) or at least 2: one has no spread", see)
    if not 0 <= question.noise < 1:
        raise BadInput("noise", question.noise, "must lie between 0 and 1", see)
    for samples, domain in question.populations:
        _within("samples", samples, 2, MOST_SAMPLES)
        _within("domain", domain, 1, MOST_POINTS)
        votes = max(samples, domain * question.classes)
        if question.noise and question.worlds and votes > MOST_VOTES:
            raise BadInput(
                "noise", question.noise, f"is simulated with at most {MOST_VOTES:,} samples, and "
                "points times classes", "Leave the simulation out with --simulate 0",
            )  # fmt: skip
    if question.limit is not None and question.epsilon is not None:
        raise BadInput(
            "limit", question.limit, "cannot be given beside --epsilon, which sets it",
            "Give one of them",
        )  # fmt: skip
    if question.limit is not None and not 0 <= question.limit <= 1:
        raise BadInput("limit", question.limit, "must lie between 0 and 1", see)
    if question.epsilon is not None and not (
        math.isfinite(question.epsilon) and 0 < question.epsilon <= 100
    ):
        raise BadInput("epsilon", question.epsilon, "must be above 0 and at most 100", see)
    if not 0 <= question.delta < 1:
        raise BadInput("delta", question.delta, "must lie between 0 and 1", see)


def _within(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadInput(
            name, value, f"must lie between {least:,} and {most:,}", "See audit theory --help"
        )
