"""Nothing that the tool does at run time speaks to a network: all is refused here, and noted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Read by every Python process that finds it on its path: the command's and its workers'.
FORBIDDING = """
import os, socket

def refuse(what):
    def refused(*arguments, **named):
        with open(os.environ["NETWORK_LOG"], "a") as log:
            log.write(f"{what} {arguments}\\n")
        raise OSError(f"no network here: {what}")
    return refused

class Socket(socket.socket):
    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if fileno is None and family != socket.AF_UNIX:
            refuse("socket")(family, type)
        super().__init__(family, type, proto, fileno)

socket.socket = Socket
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, refuse(name))
"""


def python(
    folder: Path, *arguments: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip


def test_no_command_speaks_to_a_network(tmp_path: Path, small_config: Path) -> None:
    forbidding = tmp_path / "path"
    forbidding.mkdir()
    (forbidding / "sitecustomize.py").write_text(FORBIDDING)
    log = tmp_path / "log.txt"
    environment = {**os.environ, "PYTHONPATH": str(forbidding), "NETWORK_LOG": str(log)}
    for arguments in (
        ["run", "--config", str(small_config), "--out", "r"],
        ["report", "r", "--subgroups", "--examples"],
        ["report", "r", "--verify"],
        ["plan", "--config", str(small_config)],
        ["data", "list"],
    ):
        done = python(tmp_path, "-m", "audit", *arguments, environment=environment)
        assert done.returncode in {0, 3}, done
    assert not log.exists(), log.read_text()

    # The control: what would have been noted.
    done = python(tmp_path, "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9')",
                  environment=environment)  # fmt: skip
    assert done.returncode != 0
    assert "getaddrinfo" in log.read_text() or "create_connection" in log.read_text()
