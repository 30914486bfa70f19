"""From options to the configuration of a run, and where it goes.

Nothing heavy is imported here, unless the model is a ``module:name``: an option that cannot be is
refused at once, and not once torch is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audit.config import RunConfig, config_digest, make_config, read_config
from audit.errors import BadInput
from audit.resources import resource_dir


def configure(file: Path | None, options: dict[str, Any]) -> RunConfig:
    """The configuration from, in rising priority: shipped preset of the data set, file, options.

    Args:
        file: a TOML file, or the name of a shipped configuration (``mnist-cnn``).

    Raises:
        BadInput: the file cannot be read, or a field is unknown or out of range.
    """
    from_file = read_config(_config_file(file)) if file is not None else {}
    data = options.get("data", from_file.get("data", "digits"))
    shipped = preset(data) if isinstance(data, str) else {}
    model = options.get("model", from_file.get("model"))
    if isinstance(model, str) and _trains_itself(model):
        # Shipped settings are those of a network; a learner would have to refuse them.
        of_network = ("model", "hidden", "activation", "standard", "dp")
        shipped = {field: value for field, value in shipped.items() if field not in of_network}
    return make_config([shipped, from_file, options])


def _config_file(file: Path) -> Path:
    """``file``, or the shipped configuration of that name where there is no such file."""
    shipped = {path.stem: path for path in resource_dir("configs").glob("*.toml")}
    try:
        there = file.exists()
    except OSError:  # a name that no file can have; reading it says so
        there = True
    if there or file.name != str(file) or file.suffix:
        return file
    if file.name not in shipped:
        raise BadInput(
            "config",
            str(file),
            f"is neither a file nor one of {', '.join(sorted(shipped))}",
            "Check the path",
        )
    return shipped[file.name]


def _trains_itself(model: str) -> bool:
    if ":" not in model:
        return False
    from audit.training.learners import is_learner

    return is_learner(model)


def preset(data: str) -> dict[str, Any]:
    """The shipped configuration for a built-in data set; empty for any other data."""
    shipped = {path.stem: path for path in resource_dir("configs").glob("*.toml")}
    return read_config(shipped[data]) if data in shipped else {}


def default_out(config: RunConfig) -> Path:
    """``runs/<data>-<digest>``: the same command finds its own run again and continues it."""
    stem = Path(config.data.partition(":")[2] or config.data).stem
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in stem)[:40]
    return Path("runs") / f"{safe or 'data'}-{config_digest(config)[:8]}"
