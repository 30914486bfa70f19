"""``audit theory``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audit.cli_options import Clusters, DataRoot, Label, Subgroups, names
from audit.errors import BadInput


class _Prior(StrEnum):
    ZIPF = "zipf"
    GEOMETRIC = "geometric"
    MIXTURE = "mixture"


class _Frequencies(StrEnum):
    RANDOM = "random"
    FIXED = "fixed"


class _Format(StrEnum):
    TABLE = "table"
    JSON = "json"


def _quiet(text: str) -> typer.models.OptionInfo:
    return typer.Option(show_default=False, help=text)


def theory(
    prior: Annotated[
        _Prior | None, _quiet("Prior over the frequencies of points. Default zipf.")
    ] = None,
    domain: Annotated[int | None, _quiet("Points of the domain, N. Default 50,000.")] = None,
    samples: Annotated[int | None, _quiet("Examples, n. Default 50,000.")] = None,
    population: Annotated[
        list[str] | None,
        _quiet(
            "SAMPLES:DOMAIN of a population with a tail of its own, in place of --samples and "
            "--domain; give one per population of a mixture."
        ),
    ] = None,
    exponent: Annotated[float, typer.Option(help="zipf: values 1/j to this power.")] = 1.0,
    ratio: Annotated[
        float, typer.Option(help="geometric: each value is this part of the last.")
    ] = 0.9,
    head: Annotated[int, typer.Option(help="mixture: how many common points.")] = 100,
    tail_mass: Annotated[
        float, typer.Option(help="mixture: the mass that all other points share.")
    ] = 0.5,
    classes: Annotated[int | None, _quiet("Equally likely labels. Default 10.")] = None,
    noise: Annotated[
        float, typer.Option(help="How often an example shows another label than its point's.")
    ] = 0.0,
    limit: Annotated[
        float | None, _quiet("The most that an example seen once may be memorized, 0 to 1.")
    ] = None,
    epsilon: Annotated[
        float | None, _quiet("The limit that (ε, δ) sets on an example that would be guessed.")
    ] = None,
    delta: Annotated[float, typer.Option(help="δ, beside --epsilon.")] = 0.0,
    frequencies: Annotated[
        _Frequencies | None,
        _quiet(
            "random: every point draws from the prior, as in the theorem (default). fixed: the "
            "prior's values are the frequencies (default with --data)."
        ),
    ] = None,
    data: Annotated[
        str | None,
        _quiet("Take a data set's own subgroup counts as the prior; names as for audit run."),
    ] = None,
    label: Label = None,
    subgroups: Subgroups = None,
    clusters_per_class: Clusters = None,
    data_root: DataRoot = None,
    simulate: Annotated[
        int, typer.Option(help="Worlds to simulate: frequencies, labels, sample. 0: none.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Root of the random streams.")] = 0,
    format_: Annotated[
        _Format, typer.Option("--format", help="Tables, or JSON for other programs.")
    ] = _Format.TABLE,
    chart: Annotated[Path | None, _quiet("Write a picture of the tail to this SVG file.")] = None,
) -> None:
    """What the long tail says: what must be memorized, and what not memorizing costs.

    Feldman's model (STOC 2020): the weight of the prior around 1/n, the expected frequency τ of a
    point seen once, the best error there is, the price of leaving singletons unfitted, and both
    sides of the theorem simulated.
    """
    from audit.console_theory import print_theory, print_theory_json, write_chart
    from audit.theory import Question, theorize

    of_prior = {"prior": prior, "domain": domain, "samples": samples, "population": population,
                "classes": classes}  # fmt: skip
    of_data = {"label": label, "subgroups": subgroups, "clusters-per-class": clusters_per_class,
               "data-root": data_root}  # fmt: skip
    _refuse_both(data, of_prior, of_data)
    if population and (domain is not None or samples is not None):
        given = "domain" if domain is not None else "samples"
        raise BadInput(
            given, domain if given == "domain" else samples,
            "cannot be given beside --population, which has both", "Leave it out",
        )  # fmt: skip
    drawn = frequencies or (_Frequencies.RANDOM if data is None else _Frequencies.FIXED)
    question = Question(
        prior=(prior or _Prior.ZIPF).value,
        populations=_populations(population) or ((_or(samples, 50_000), _or(domain, 50_000)),),
        exponent=exponent, ratio=ratio, head=head, tail_mass=tail_mass,
        classes=_or(classes, 10), noise=noise, limit=limit, epsilon=epsilon, delta=delta,
        draw=drawn.value, worlds=simulate, seed=seed,
    )  # fmt: skip
    dataset = None
    if data is not None:
        from audit.configuring import configure
        from audit.resolve import load_data

        options = {
            "data": data, "label": label, "subgroups": names(subgroups),
            "clusters_per_class": clusters_per_class,
            "data_root": str(data_root) if data_root else None,
        }  # fmt: skip
        dataset = load_data(configure(None, {k: v for k, v in options.items() if v is not None}))
    answer = theorize(question, dataset)
    if chart is not None:
        write_chart(answer, chart)
    (print_theory_json if format_ is _Format.JSON else print_theory)(answer)


def _refuse_both(data: str | None, of_prior: dict[str, object], of_data: dict[str, object]) -> None:
    """Options that say nothing with, or without, a data set."""
    rule = "says nothing without --data" if data is None else "is the data set's own with --data"
    for name, value in (of_data if data is None else of_prior).items():
        if value not in (None, []):
            raise BadInput(name, value, rule, "Leave it out" if data else "Add --data, or leave it")


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _populations(given: list[str] | None) -> tuple[tuple[int, int], ...]:
    found = []
    for text in given or []:
        try:
            samples, domain = (int(part.replace("_", "")) for part in text.split(":"))
        except ValueError:
            raise BadInput(
                "population", text, "must be two whole numbers, SAMPLES:DOMAIN", "E.g. 10000:5000"
            ) from None
        found.append((samples, domain))
    return tuple(found)
