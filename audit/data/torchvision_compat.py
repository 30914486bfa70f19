"""Imports torchvision where its compiled operators do not fit the installed torch.

Beside a CPU build of torch, a CUDA build of torchvision fails at import with ``operator
torchvision::nms does not exist`` (pytorch/vision #8985, #9085): its Python code registers shape
rules for operators that its unloadable library would have defined. The data sets and transforms
need none of them, so it is enough that the two schemas exist. They stay without an
implementation: whoever calls them gets torch's own error.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
# Torch forgets a schema when the library object that defined it goes.
_library: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """``torchvision``; defines missing operator schemas first if, and only if, the import fails.

    Raises:
        ImportError: torchvision is not installed.
        RuntimeError: it fails for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    define_missing_operators()
    return importlib.import_module("torchvision")


def define_missing_operators() -> tuple[str, ...]:
    """Defines the schemas of torchvision's operators that do not exist; returns their names."""
    missing = tuple(name for name in _SCHEMAS if not _defined(name))
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(name + _SCHEMAS[name])
        _library.append(library)
    return missing


def _defined(name: str) -> bool:
    return hasattr(torch.ops.torchvision, name)
