"""The sections of the report in their order: numbered, none left out, each says why it is empty."""

from __future__ import annotations

from collections.abc import Callable

from audit.report.blocks import NUMBER, TEXT, heading, section, table, text
from audit.report.claim_section import claim_section
from audit.report.crosswalk_section import crosswalk_section
from audit.report.disclosure.suppression import FEWEST
from audit.report.disclosure.words import WITHHELD
from audit.report.epsilon_section import epsilon_section
from audit.report.exposed_section import exposed_section
from audit.report.exposure_section import exposure_section, not_attacked
from audit.report.field_blocks import with_fields
from audit.report.gallery_blocks import influence_gallery, memorization_gallery
from audit.report.influence_section import influence_section
from audit.report.inputs import ReportInputs, ReportOptions
from audit.report.longtail_section import longtail_section
from audit.report.memorization_section import memorization_section
from audit.report.power_section import power_section
from audit.report.provenance_section import provenance_section
from audit.report.subgroup_section import subgroup_section
from audit.report.verdicts import label, with_needed
from audit.report.words import (
    Json,
    count,
    general,
    has_loss,
    interval,
    no_loss_because,
    not_estimable,
    number,
)

SUMMARY_NUMBER = "1"
"""Of page one; the sections below follow it."""


def sections(inputs: ReportInputs, options: ReportOptions, found: list[Json]) -> list[Json]:
    """Sections 2 to 10 and the appendix of findings (the glossary, B, is the template's)."""
    run, summary, subgroups = inputs.run, inputs.summary, inputs.subgroups
    fewest = FEWEST if options.profile == "public" else 1
    made = {
        "claim": claim_section(run, summary),
        "memorization": memorization_section(
            run,
            summary,
            inputs.examples,
            fewest,
            memorization_gallery(inputs) if options.examples else [],
        ),
        "exposure": _attacks(inputs),
        "subgroups": subgroup_section(
            run, summary, subgroups, options.full_subgroups, inputs.withheld
        ),
        "exposed": exposed_section(run, summary, subgroups, inputs.withheld),
        "influence": influence_section(
            run, summary, inputs.influence, influence_gallery(inputs) if options.examples else []
        ),
        "longtail": longtail_section(run, summary, inputs.withheld),
        "provenance": provenance_section(run),
    }
    with_content = [ident for ident, each in made.items() if each is not None]
    numbered = [each or _empty(ident, inputs) for ident, each in made.items()]
    numbered = [with_fields(each, inputs) for each in numbered]
    numbered.append(crosswalk_section(inputs, with_content))
    for i, each in enumerate(numbered, start=int(SUMMARY_NUMBER) + 1):
        each["number"] = str(i)
    return [*numbered, {**_all_findings(found), "number": "A"}]


def _empty(ident: str, inputs: ReportInputs) -> Json:
    """A section in which this run has nothing to show, and why."""
    title, why = {
        "claim": ("The privacy claim and its accounting", "No arm of this run makes a privacy "
                  "claim, so there is none to account for."),
        "subgroups": ("Accuracy by subgroup and frequency", "Nothing was estimated by subgroup: no "
                      "groups were given."),
        "exposed": ("Who is exposed without privacy, and who pays for it", _not_beside(inputs)),
        "influence": ("Test examples carried by single training examples", "Influence was not "
                      "estimated: there are no test outputs."),
    }[ident]  # fmt: skip
    return section(ident, title, [text(why)])


def _not_beside(inputs: ReportInputs) -> str:
    missing = "no subgroups"
    if not has_loss(inputs.summary, inputs.run):
        missing = no_loss_because(inputs.summary, inputs.run)
    return (
        "Exposure without privacy and accuracy loss with it cannot be set side by side: there are "
        f"{missing}."
    )


def _attacks(inputs: ReportInputs) -> Json:
    """Attack exposure, empirical ε and power: three parts of one section."""
    run, summary = inputs.run, inputs.summary
    parts: tuple[Callable[[], Json | None], ...] = (
        lambda: exposure_section(run, summary, inputs.subgroups, inputs.withheld),
        lambda: epsilon_section(run, summary),
        lambda: power_section(run, summary),
    )
    blocks = []
    for made in (part() for part in parts):
        if made is not None:
            blocks += [heading(made["title"], made["id"]), *made["blocks"]]
    if missing := not_attacked(summary):
        blocks.append(text(missing))
    title = "Attack exposure and empirical ε, with power"
    return section("exposure", title, blocks)


def _all_findings(found: list[Json]) -> Json:
    rows = []
    for f in found:
        shown = not_estimable(f["n"]) if f["value"] is None else general(f["value"], 4)
        if f.get("withheld"):
            shown = WITHHELD
        if f["low"] is not None:
            shown += f" ({interval(f['low'], f['high'])})"
        rows.append([
            f["question"], label(f)["words"], with_needed(f), shown,
            count(f["n"]) if f["n"] is not None else "–",
            general(f["threshold"], 4) if f["threshold"] is not None else "–",
            f["method"],
        ])  # fmt: skip
    columns = [("Question", TEXT), ("Verdict", TEXT), ("Finding", TEXT)]
    columns += [("Value (95 % interval)", NUMBER), ("n", NUMBER), ("Threshold", NUMBER)]
    columns += [("Method", TEXT)]
    unmet = number(sum(f["fails"] for f in found), 0)
    return section("findings", "All findings with value, interval, n and method", [
        text(f"{count(len(found))} findings; {unmet} of them fail. Differences of accuracy are "
             "fractions here (0.02 = 2 points)."),
        table("Findings", columns, rows),
    ])  # fmt: skip
