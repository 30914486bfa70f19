"""The section on power: what this number of models could have found, and what more would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, chart, figure, section, table, text
from audit.report.colours import PRIVATE
from audit.report.epsilon_findings import procedures
from audit.report.power_tables import NOTHING, PowerTable, power_tables
from audit.report.words import (
    Json,
    arm_label,
    at_least,
    count,
    counted,
    finite,
    name,
    part,
)


def power_section(run: Mapping[str, Any], summary: Mapping[str, Any]) -> Json | None:
    """Tables of the smallest effects found with 80 % power; None for results without them."""
    power = summary.get("power")
    if not power:
        return None
    first, *others = power_tables(power)
    drawn = {**smallest_by_models(power), "models": summary.get("models")}
    blocks = [
        text(
            "That a test found nothing says something only if it would have found something. This "
            "section tells, for the models of this run and for other numbers of them, the smallest "
            f"effect that the same tests find with 80 % power. This run has "
            f"{counted(summary.get('models'), 'model')} per arm.",
            _certified(run, summary),
        ),
        figure(
            [chart("power", "Smallest memorization that would be found", _DESCRIPTION, drawn,
                   PRIVATE)] if drawn["points"] else [],
            "Each line: the smallest p_in − p_out of one example that would refute the claim, at "
            "p_out = .01, by the number of models; lower is better. Where a line does not begin, "
            "not even p_in = 1 would be refuted.",
            _table(first),
            wide=True,
        ),
        *(_table(other) for other in others),
    ]  # fmt: skip
    return section("power", "What this audit could have found: power", blocks)


_DESCRIPTION = "Smallest detectable memorization against the number of models, a line per bound"


def smallest_by_models(power: Mapping[str, Any]) -> Json:
    """Lines of the chart, at the smallest p_out; only the first private arm is drawn."""
    entries = power["excess"]
    lowest = min((entry["p_out"] for entry in entries), default=None)
    arm = entries[0]["arm"] if entries else None
    points = [
        {"models": row["models"], "memorization": row["memorization"], "bound": entry["bound"]}
        for entry in entries
        if entry["p_out"] == lowest and entry["arm"] == arm
        for row in entry["rows"]
        if finite(row["memorization"])
    ]
    return {"points": points}


def _table(made: PowerTable) -> Json:
    columns = [(words, NUMBER if i else TEXT) for i, words in enumerate(made.columns)]
    return table(made.title, columns, made.rows, made.note)


def _certified(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What the same procedures certified on arms without privacy: teeth, seen at work."""
    said = []
    for arm, result in summary["arms"].items():
        if (run["arms"].get(arm) or {}).get("kind") == "dp":
            continue
        for entry in procedures(result):
            value = part(entry.get("epsilon"), "value")
            shown = at_least(value) if finite(value) else NOTHING
            said.append(f"{name(entry['procedure'], 80)} on {name(entry['on'], 80)}: {shown}")
        if said:
            models = count(summary.get("models"))
            return (
                f"What the same procedures certify of {arm_label(arm, run)}, which claims nothing, "
                f"with these {models} models: ε of at least {'; '.join(said)}."
            )
    return ""
