"""Shape and type checks (jaxtyping + beartype) are on for every test."""

import os

# Before torch is imported: at the sizes of tests a second thread costs more than it gains, and on a
# busy machine threads that wait for each other cost many times that.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

_hook = install_import_hook("audit", "beartype.beartype")
_hook.__enter__()
