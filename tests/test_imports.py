"""The import rule of docs/architecture.md: imports go one way through the house."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "audit"

# Room → floor. A module may import rooms on lower floors, and its own room.
FLOORS = {
    # What people import: names of the rooms below, each imported when it is first used.
    "__init__": 12,
    "__main__": 11,
    "cli": 10,
    "api": 10,
    "console": 9,
    "pipeline": 8,
    "analysis": 7,
    "manifest": 7,
    "plan": 6,
    "detectable": 5,
    "report": 5,
    "training": 5,
    "data": 5,
    "store": 5,
    "claims": 4,
    "estimates": 3,
    "accounting": 3,
    "inclusion": 3,
    "provenance": 3,
    "resources": 3,
    "config": 2,
    "controls": 1,
    "conditions": 1,
    "files": 1,
    "seeds": 2,
    "errors": 0,
}
# Modules that share a room.
ROOM_OF = {
    "attesting": "pipeline",
    "results": "store",
    "shards": "store",
    "manifest_entries": "manifest",
    "missing_cohorts": "pipeline",
    "wanted": "detectable",
    "configuring": "pipeline",
    "resolve": "pipeline",
    "showing": "pipeline",
    "stored_outputs": "pipeline",
    "stored_labels": "pipeline",
    "estimating": "pipeline",
    "reporting": "pipeline",
    "verifying": "pipeline",
    "verifying_manifest": "pipeline",
    "plan_canaries": "plan",
    "plan_controls": "plan",
    "plan_learners": "plan",
    "plan_networks": "plan",
    "plan_removal": "plan",
    "removing": "pipeline",
    "planned_arm": "plan",
    "brought": "pipeline",
    "elsewhere": "pipeline",
    "calibrating": "pipeline",
    "reviewed": "pipeline",
    "cli_calibrate": "cli",
    "cli_check": "cli",
    "cli_diff": "cli",
    "cli_estimate": "cli",
    "cli_options": "cli",
    "cli_plan": "cli",
    "cli_report": "cli",
    "cli_run": "cli",
    "cli_study": "cli",
    "cli_theory": "cli",
    "console_calibration": "console",
    "console_check": "console",
    "console_diff": "console",
    "console_plan": "console",
    "console_theory": "console",
    "console_verification": "console",
    "planning": "pipeline",
    "theory": "pipeline",
    "trial_cost": "pipeline",
}


def room(dotted: str) -> str:
    parts = dotted.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    return ROOM_OF.get(name, name)


def imports_of(source: str) -> set[str]:
    """Every module named in an import statement, also inside functions; relative ones refused."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            # `from audit import provenance` names the module provenance.
            found |= (
                {f"audit.{alias.name}" for alias in node.names}
                if node.module == "audit"
                else {node.module}
            )
    return found


def breaches(path: Path, source: str) -> list[str]:
    dotted = ".".join(["audit", *path.relative_to(PACKAGE).with_suffix("").parts])
    own = room(dotted)
    problems = []
    for name in sorted(imports_of(source)):
        if not name.startswith("audit") or name == "audit.__version__":
            continue
        other = room(name)
        assert other in FLOORS, f"{other} has no floor in the import rule"
        if other != own and FLOORS[other] >= FLOORS[own]:
            problems.append(f"{dotted} imports {name}: {own} is not above {other}")
    return problems


def test_every_module_keeps_the_import_rule():
    problems = []
    for path in sorted(PACKAGE.rglob("*.py")):
        problems += breaches(path, path.read_text(encoding="utf-8"))
    assert problems == []


def test_the_rule_catches_a_breach():
    planted = PACKAGE / "estimates" / "planted.py"
    assert breaches(planted, "def f():\n    from audit.training import arms\n")
    assert breaches(planted, "from audit import pipeline\n")
    assert breaches(PACKAGE / "data" / "planted.py", "import audit.report.findings\n")
    assert not breaches(planted, "from audit.errors import BadInput\n")


def test_estimates_are_pure():
    """No torch, no disk, no clock in the estimates; they take arrays and return results."""
    forbidden = {"torch", "opacus", "pathlib", "os", "io", "time", "datetime", "random", "shutil"}
    for path in sorted((PACKAGE / "estimates").glob("*.py")):
        named = {name.split(".")[0] for name in imports_of(path.read_text(encoding="utf-8"))}
        assert not named & forbidden, f"{path.name} imports {named & forbidden}"


def test_only_training_plan_and_pipeline_import_torch():
    allowed = {"training", "pipeline", "data"}
    for path in sorted(PACKAGE.rglob("*.py")):
        names = {name.split(".")[0] for name in imports_of(path.read_text(encoding="utf-8"))}
        dotted = ".".join(["audit", *path.relative_to(PACKAGE).with_suffix("").parts])
        if "torch" in names:
            assert room(dotted) in allowed, f"{dotted} imports torch"
