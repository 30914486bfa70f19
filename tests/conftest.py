"""Shape and type checks (jaxtyping + beartype) are on for every test."""

from jaxtyping import install_import_hook

_hook = install_import_hook("audit", "beartype.beartype")
_hook.__enter__()
