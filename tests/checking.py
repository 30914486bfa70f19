"""Shapes and types checked wherever a test calls: jaxtyping's import hook, at what it must cost.

The hook wraps every function so that its arrays' axes agree, for some 50 µs a call, also where
there is no array. Here such a function is checked by beartype alone (about 1 µs), and one within
another, which is nobody's interface and is made anew at every call of the outer, is left alone.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import beartype
from jaxtyping import AbstractArray

_jaxtyped = jaxtyping.jaxtyped
_NAME = re.compile(r"[A-Za-z_]\w*")


def check_calls(package: str) -> None:
    """Check what goes in and comes out of each function of ``package`` imported from now on."""
    jaxtyping.install_import_hook(package, "beartype.beartype")
    # The name that the hook's code looks up in each module it loads.
    jaxtyping.jaxtyped = _checked  # pyright: ignore


def _checked(function: Any = None, *, typechecker: Any) -> Any:
    if function is None:
        return functools.partial(_checked, typechecker=typechecker)
    if not inspect.isfunction(function):
        return _jaxtyped(function, typechecker=typechecker)
    if "<locals>" in function.__qualname__:
        return function
    return (
        _jaxtyped(function, typechecker=typechecker) if _has_axes(function) else beartype(function)
    )


def _has_axes(function: Callable[..., Any]) -> bool:
    """Whether an annotation (text, as the package postpones them) names an array with axes."""
    texts = map(str, function.__annotations__.values())
    names = {name for text in texts for name in _NAME.findall(text)}
    return any(_is_array(function.__globals__.get(name)) for name in names)


def _is_array(value: Any) -> bool:
    # A maker of them (Float64), an alias of one (Slopes), or of something that holds one.
    if isinstance(value, type) and not typing.get_args(value):
        return issubclass(value, AbstractArray) or value.__module__.startswith("jaxtyping")
    return any(_is_array(part) for part in typing.get_args(value))
