"""A report that policies are held against, changed and judged."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from audit.report.policy import parse_policy
from audit.report.policy_check import as_json, check
from audit.report.policy_result import Result
from tests.report.run_directory import report
from tests.report.synthetic import make

Json = dict[str, Any]
Change = Callable[[Json], object]
ARM = "dp-2"


def plain_report() -> Json:
    """A report of one private arm, with three plain groups in one grouping."""
    contents = report(make(seed=1, hostile=False, verdict="consistent"))
    contents["results"]["subgroups"] = [group("a", 100), group("b", 200), group("c", 300)]
    contents["results"]["disparity"] = [disparity()]
    return contents


def group(
    name: str, n: int | None, loss: float | None = 0.01, half: float | None = 0.02, arm: str = ARM
) -> Json:
    known = loss is not None and half is not None
    limits = [loss - half, loss + half] if known else [None, None]  # pyright: ignore
    return {
        "grouping": "site", "kind": "column", "subgroup": name, "n_train": 500, "n_test": n,
        f"loss_{arm}": loss, f"loss_{arm}_low": limits[0], f"loss_{arm}_high": limits[1],
    }  # fmt: skip


def disparity(**changes: Any) -> Json:
    excess = {"value": 0.01, "low": -0.01, "high": 0.03, "n": 100}
    return {
        "grouping": "site", "arm": ARM, "verdict": "equivalent", "equivalence_margin": 0.05,
        "equivalent_within": 0.04, "worst_subgroup": "a", "worst_minus_rest": excess,
        "n_groups": 3, **changes,
    }  # fmt: skip


def judged(policy: str, contents: Json, change: Change | None = None) -> list[Result]:
    contents = copy.deepcopy(contents)
    if change is not None:
        change(contents)
    results = check(parse_policy(policy, "p.toml"), contents, "r.json")
    json.dumps(as_json(results, contents, ""), allow_nan=False)
    return results


def only(policy: str, contents: Json, change: Change | None = None) -> Result:
    results = judged(policy, contents, change)
    assert len(results) == 1, results
    return results[0]


def arm(contents: Json) -> Json:
    return contents["results"]["arms"][ARM]


def finding(contents: Json, ident: str) -> Json:
    return next(f for f in contents["findings"] if f["id"] == ident)


def drop(contents: Json, ident: str) -> None:
    contents["findings"] = [f for f in contents["findings"] if f["id"] != ident]


def put(contents: Json, ident: str, verdict: str, *, fails: bool = False) -> None:
    inconclusive = verdict in ("could_not_tell", "inconclusive") and not fails
    new = {"id": ident, "statement": "as it is.", "verdict": verdict, "question": "?",
           "method": "m", "needed": None}  # fmt: skip
    numbers = dict.fromkeys(("value", "low", "high", "n", "threshold"))
    drop(contents, ident)
    contents["findings"].append({**new, **numbers, "fails": fails, "inconclusive": inconclusive})


def loss(contents: Json, value: float | None, half: float | None) -> None:
    found: Json = {"value": value, "low": None, "high": None, "n": 200}
    if value is not None and half is not None:
        found |= {"low": value - half, "high": value + half}
    arm(contents)["loss"] = found
