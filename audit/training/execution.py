"""Where the cohorts of a run are trained: a choice of how, never of what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from audit.errors import BadInput

Executor = Literal["local", "ray"]
# Where a token stands in the place of a user's name.
_TOKEN_AS_USER = ("http", "https", "github", "git")


@dataclass(frozen=True)
class Execution:
    """Who trains the cohorts. Results do not depend on it, so it is no part of the configuration.

    Attributes:
        executor: ``local``, the cores or the GPU of this machine; ``ray``, the nodes of a cluster.
        address: of the Ray cluster: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``; None for the
            one that ``RAY_ADDRESS`` names, or else one of this machine's own for this run.
        shared: URL of a folder that all nodes see, through which arrays and outputs go; None for
            Ray's object store.
    """

    executor: Executor = "local"
    address: str | None = None
    shared: str | None = None


def make_execution(
    executor: Any = None, address: str | None = None, shared: str | None = None
) -> Execution:
    """The execution that options ask for.

    Raises:
        BadInput: an unknown executor, or an option of a cluster without one.
    """
    if executor not in (None, "local", "ray"):
        raise BadInput("executor", executor, "must be local or ray", "Use --executor ray")
    if executor != "ray":
        for name, value in (("address", address), ("shared", shared)):
            if value is not None:
                raise BadInput(name, value, "is for a cluster", "Add --executor ray")
        return Execution()
    if shared is not None:
        _refuse_unusable(shared)
    return Execution("ray", address, shared)


def _refuse_unusable(shared: str) -> None:
    """Refuse a shared folder that no other machine could find, or whose URL holds a secret."""
    # Links of a chain: simplecache::s3://bucket/folder.
    links = [urlsplit(link) for link in shared.split("::")]
    last = links[-1]
    if any(link.password or link.query or (link.username and link.scheme in _TOKEN_AS_USER)
           for link in links):  # fmt: skip
        # The command line is written into run.json, and from there into the report.
        shown = "::".join(link._replace(netloc="…", query="").geturl() for link in links)
        raise BadInput(
            "shared",
            shown,
            "holds a password, a token or a query, which run.json would keep",
            "Give it in the storage's own environment variables or files, on every node",
        )
    path = last.path if last.scheme in ("", "file", "local") else None
    nowhere = path is not None and (not path.startswith("/") or path.strip("/") == "")
    if nowhere or last.scheme == "memory":
        raise BadInput(
            "shared",
            shared,
            "is no folder that other machines could see",
            "Give the URL of one, as file:///nfs/audit or s3://bucket/audit",
        )
