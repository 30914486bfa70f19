"""What is said of a run whose models were trained elsewhere: this tool saw their outputs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from audit.report.blocks import NUMBER, TEXT, table
from audit.report.words import Json, count, general, has_standard, name, private_arms

_LONG_TEXT = 400


def is_brought(run: Mapping[str, Any]) -> bool:
    """Whether the outputs were brought by the user (``audit estimate``)."""
    return bool(run.get("origin"))


ANSWERS_ALONE = "This tool saw the models' answers alone, and nothing of their training."
AS_STATED = " It is the word of whoever brought the outputs; this tool did not see how it was made."


def not_verified(run: Mapping[str, Any], summary: Mapping[str, Any]) -> str:
    """What the verdicts take on trust."""
    private = bool(private_arms(summary, run))
    items = [
        "that the models were trained on the subsets in the membership file and on nothing else",
        f"that these subsets were drawn at random as stated ({_design(run)})",
    ]
    if private:
        items.append("how ε and δ were computed, and that the training was the one they belong to")
    if private and has_standard(summary, run):
        items.append("that model k of both arms had the same subset")
    return (
        "This tool did not train the models and saw nothing of their training, so it could not "
        f"check {'; '.join(items)}. Every number and verdict here rests on that being so."
    )


def _design(run: Mapping[str, Any]) -> str:
    design = (run.get("inclusion") or {}).get("design")
    if design == "fixed":
        return "the same number of examples in each"
    return "each example independently of the others"


def files_table(run: Mapping[str, Any]) -> Json:
    """The files that everything was computed from."""
    rows = [
        [
            name(option),
            name(facts.get("file"), _LONG_TEXT),
            " × ".join(count(size) for size in facts.get("shape") or []),
            name(facts.get("dtype", "")),
            name(facts.get("sha256")),
        ]
        for option, facts in run["origin"]["arrays"].items()
    ]
    rows += [
        [name(option), name(facts.get("file"), _LONG_TEXT), "–", "table", name(facts.get("sha256"))]
        for option, facts in (run["origin"].get("tables") or {}).items()
    ]
    columns = [("Option", TEXT), ("File", TEXT), ("Models × examples", NUMBER), ("Type", TEXT)]
    columns += [("SHA-256", TEXT)]
    inclusion, plan = run.get("inclusion") or {}, run.get("plan") or {}
    return table(
        "Files that were brought",
        columns,
        rows,
        f"{count(plan.get('models'))} models per arm; {inclusion.get('design')} inclusion was "
        f"stated, and the models saw {general(inclusion.get('p'))} of the training examples on "
        "average. The sizes of the subsets do not contradict that; nothing else of how they were "
        "drawn, and nothing of the training, can be checked from these files. The same outputs are "
        f"in the run directory's shards.{_of_margins(run)}",
    )


def _of_margins(run: Mapping[str, Any]) -> str:
    if not any("margins" in option for option in run["origin"]["arrays"]):
        return ""
    return (
        " Margins were checked against who was right; attack exposure was computed from them, and "
        "no other number."
    )
