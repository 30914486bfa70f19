"""Every `audit …` that the documentation shows is one that the program understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from audit.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *ROOT.glob("docs/**/*.md"),
                *ROOT.glob("configs/*.md")])  # fmt: skip
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`(audit [^`]+)`")
# A remark behind a command, or an explanation two spaces away.
CONTINUED = re.compile(r"\s*\\\n\s*")
REMARK = re.compile(r"\s(#|  ).*$")


def fenced(page: Path) -> Iterator[str]:
    """Whole commands."""
    for block in FENCED.findall(page.read_text(encoding="utf-8")):
        for line in CONTINUED.sub(" ", block).splitlines():
            for part in line.split("&&"):
                if part.strip().startswith("audit "):
                    yield REMARK.sub("", part.strip())


def mentioned(page: Path) -> Iterator[str]:
    """Commands in a sentence: names, and some of their options."""
    for found in INLINE.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        yield " ".join(found.split())


def on_pages(find: Callable[[Path], Iterator[str]]) -> list[tuple[str, str]]:
    found = {(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in find(page)}
    return sorted(found)


def entered(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the first of ``words`` name, and the rest of them."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, words[0]
        command, words = command.commands[words[0]], words[1:]
    return command, words


def test_there_are_commands_to_look_at() -> None:
    lines = on_pages(fenced)
    assert len(lines) > 50
    assert {line.split()[1] for _, line in lines} >= {
        "run", "plan", "report", "check", "show", "theory", "data", "estimate", "calibrate", "diff"
    }  # fmt: skip


@pytest.mark.parametrize(("page", "line"), on_pages(fenced))
def test_a_command_is_understood(page: str, line: str) -> None:
    """Names of commands and options, and the values of those with a choice; nothing is run."""
    del page
    # [RUN]: may be left out.
    command, words = entered(shlex.split(line.replace("[", "").replace("]", ""))[1:])
    if "…" not in line:
        command.make_context("audit", words)


@pytest.mark.parametrize(("page", "line"), on_pages(mentioned))
def test_what_is_mentioned_is_there(page: str, line: str) -> None:
    del page
    command, words = entered([w for w in shlex.split(line)[1:] if "…" not in w])
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= known


LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8")))
    gone = [target for target in targets if not (page.parent / target).exists()]
    assert gone == []


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / target).resolve() for target in LINK.findall(index.read_text())}
    pages = set((ROOT / "docs").glob("**/*.md")) - {index}
    assert {page.name for page in pages - named} == set()
