"""Files that are handed in: regular ones, of a bounded size, or refused in one line.

A pipe would wait for ever, ``/dev/zero`` never ends, and a text of gigabytes takes all memory
before anything in it is looked at.
"""

from __future__ import annotations

from pathlib import Path

from audit.errors import BadInput

LARGEST_CONFIG = 2**20
"""Bytes of a configuration; a shipped one has a thousand."""
_CHECK = "Check path and permissions"


def home_expanded(name: str, path: str | Path) -> Path:
    """``path`` with ``~`` for the home of a user.

    Raises:
        BadInput: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise BadInput(name, str(path), "names the home of nobody here", _CHECK) from error


def require_regular(name: str, path: Path, next_step: str = "Check the path") -> None:
    """Refuse a folder, a pipe, a device or a socket; what is not there is left to who opens it.

    Raises:
        BadInput: ``path`` is there and no file.
    """
    try:
        odd = path.exists() and not path.is_file()
    except (OSError, ValueError):  # too long a name, a loop of links
        return
    if odd:
        raise BadInput(name, str(path), "is not a file", next_step)


def read_bytes(name: str, path: Path, largest: int) -> bytes:
    """The content of a file of at most ``largest`` bytes; ``name`` is the option it was given in.

    Raises:
        BadInput: it is missing, no file, too large, or cannot be read.
    """
    require_regular(name, path)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    # A name with a null byte is a ValueError.
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        rule = "does not exist" if missing else f"cannot be read ({reason})"
        raise BadInput(name, str(path), rule, _CHECK) from error
    if len(data) > largest:
        rule = f"is larger than {largest:,} bytes"
        raise BadInput(name, str(path), rule, "Check that it is the right file")
    return data


def read_text(name: str, path: Path, largest: int) -> str:
    """The same of a text in UTF-8.

    Raises:
        BadInput: as :func:`read_bytes`, or it is no UTF-8.
    """
    try:
        return read_bytes(name, path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            name, str(path), f"is not UTF-8 ({error.reason})", "Check that it is the right file"
        ) from error
