"""What ``audit plan`` prints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from audit.report.power_tables import PowerTable, answer_lines, power_tables
from audit.report.words import count, finite, general, name

_out = Console(highlight=False)
_GIB, _MIB = 2**30, 2**20


def print_plan_json(plan: Mapping[str, Any]) -> None:
    """The plan as JSON, for other programs (docs/commands/plan.md)."""
    print(json.dumps(plan, indent=1, ensure_ascii=False, allow_nan=False))


def print_plan(plan: Mapping[str, Any]) -> None:
    """The plan as tables: arms, what can be found, what was asked, what it costs."""
    data, inclusion = plan["data"], plan["inclusion"]
    _line(
        f"{name(data['name'])}: {count(data['n'])} training and {count(data['n_test'])} test "
        f"examples, {count(data['classes'])} classes; {inclusion['design']} inclusion, "
        f"p = {general(inclusion['p'])}"
    )
    _line(f"models per arm: {count(plan['models'])} ({plan['models_reason']})")
    _arms(plan)
    for table in power_tables(plan["power"]):
        _print(table)
    lines = answer_lines(plan["wanted"])
    if lines:
        _out.print("What was asked, with 80 % power:", style="bold")
    for line in lines:
        _line(f"- {line}")
    _cost(plan)


def _arms(plan: Mapping[str, Any]) -> None:
    table = Table(title="Arms", title_justify="left", header_style="bold")
    for column in ("arm", "ε", "δ", "noise multiplier", "sampling rate q", "steps", "clip norm",
                   "engine"):  # fmt: skip
        table.add_column(column)
    for arm, facts in plan["arms"].items():
        cells = [arm]
        for key, digits in (("epsilon", 4), ("delta", 3), ("noise_multiplier", 4),
                            ("sample_rate", 4)):  # fmt: skip
            cells.append(_known(facts.get(key), digits))
        steps = facts["steps"]
        cells += [count(steps) if finite(steps) else "–", _known(facts["clip_norm"], 4)]
        table.add_row(*(escape(cell) for cell in [*cells, facts["engine"]]))
    _out.print(table)
    if plan["no_private_arm"]:
        _line(f"no private arm: {plan['no_private_arm']}")
    canaries = plan["canaries"]
    if canaries["count"]:
        _line(f"canaries: {count(canaries['count'])} of kind {canaries['kind']} per model of "
              f"{', '.join(canaries['arms'])}")  # fmt: skip
    else:
        _line(f"canaries: none ({canaries['why_none']})")


def _print(table: PowerTable) -> None:
    drawn = Table(title=escape(table.title), title_justify="left", header_style="bold")
    for i, column in enumerate(table.columns):
        drawn.add_column(escape(column), justify="right" if i else "left")
    for row in table.rows:
        drawn.add_row(*(escape(cell) for cell in row))
    _out.print(drawn)
    _line(table.note)


def _cost(plan: Mapping[str, Any]) -> None:
    _out.print("Cost", style="bold")
    cost = plan["cost"]
    if cost is None:
        _line("- time and memory: not measured (--no-trial)")
    else:
        time, processes = cost["training_seconds"], cost["processes"]
        many = "1 process" if processes == 1 else f"{count(processes)} processes"
        _line(
            f"- training: about {duration(time['value'])} ({duration(time['low'])} to "
            f"{duration(time['high'])}) in {many}; an estimate from a trial of "
            f"{duration(cost['trial_seconds'])} on this machine. Not included: "
            f"{cost['not_included']}"
        )
        for arm, facts in cost["arms"].items():
            _line(
                f"- {arm}: {duration(facts['process_seconds']['value'])} of one process, from "
                f"{count(facts['tried_cohorts'])} × {count(facts['tried_models'])} models that "
                f"trained {count(facts['tried_steps'])} of {count(facts['steps'])} steps"
            )
        _line(
            f"- memory: {size(cost['peak_bytes_per_process'])} at most per training process, "
            f"{size(cost['main_process_bytes'])} in the main one"
        )
    _line(
        f"- held while estimating: {size(plan['held_bytes'])}; on disk: "
        f"{size(plan['disk_bytes'])} of shards"
    )


def duration(seconds: float) -> str:
    """Seconds in words: "4 s", "12 min", "3.5 h"."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5940 else f"{seconds / 3600:.3g} h"


def size(n: int) -> str:
    """Bytes in words: "3.1 MiB"."""
    return f"{n / _MIB:,.3g} MiB" if n < _GIB else f"{n / _GIB:,.3g} GiB"


def _known(value: object, digits: int) -> str:
    return general(value, digits) if finite(value) else "–"


def _line(text: str) -> None:
    shown = "".join(c if c.isprintable() else "�" for c in text)
    _out.print(escape(shown), soft_wrap=True)
