"""What reading a damaged or forged NumPy file raises: more than NumPy documents."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zlib

# A header is a Python literal, read by Python's own parser; an archive's entries are unpacked by
# three libraries with errors of their own.
NO_ARRAY: tuple[type[Exception], ...] = (
    ArithmeticError,
    EOFError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
)


def holds_objects(error: Exception) -> bool:
    """Whether NumPy refused to unpickle; a header that is none may speak of objects, too."""
    # "Object arrays cannot be loaded" of an .npz, "Python objects in dtype" of a memory map.
    text = str(error).lower()
    return "object arrays cannot be loaded" in text or "python objects in dtype" in text
