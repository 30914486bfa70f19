"""What ``package.module:name`` names: a user's model, learner or factory."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

from audit.errors import BadInput

_ON_PATH = "Give package.module:name, with the package on PYTHONPATH"
# Libraries whose import fails for a reason that its message does not tell.
_NEXT_STEPS = {
    "diffprivlib": "pip install 'longtail-audit[diffprivlib]' brings versions that work together "
    "(diffprivlib 0.6.6 needs scikit-learn below 1.8)",
}


def import_object(path: str, *, field: str = "model") -> Any:
    """The object that ``package.module:name`` names; ``field`` is the option it was given in.

    Raises:
        BadInput: it cannot be imported.
    """
    module_name, _, attribute = path.partition(":")
    # A user's module lies where the command is given; the console script does not look there.
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise BadInput(
            field,
            path,
            f"cannot be imported ({type(error).__name__}: {' '.join(str(error).split())})",
            _NEXT_STEPS.get(module_name.partition(".")[0], _ON_PATH),
        ) from error


def source_digest(path: str, *, field: str = "model") -> str | None:
    """SHA-256 of the file of ``package.module``; None where there is none.

    Of that file alone: what it imports may change without a trace.

    Raises:
        BadInput: as :func:`import_object`.
    """
    import_object(path, field=field)
    file = getattr(sys.modules[path.partition(":")[0]], "__file__", None)
    return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()
