"""Ray's errors in the tool's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from audit.errors import AuditError

RETRIES = 3
"""How often a cohort is given to another worker after the first was lost."""
_KEPT = "Finished cohorts are kept: give the same command again to go on."


@contextmanager
def plain_errors(ray: Any, key: str = "planning") -> Iterator[None]:
    """Errors of the tool as themselves, and Ray's own in a line that says what to do."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RuntimeError) and "failed to import on the worker" in str(cause):
            raise AuditError(
                "the workers cannot import this program: install longtail-audit, in the same "
                f"version, on every node of the cluster. {_KEPT}"
            ) from error
        if isinstance(cause, Exception):
            raise cause from error
        raise
    except ray.exceptions.OutOfMemoryError as error:
        raise AuditError(
            f"nodes of the cluster have too little memory for {key}, and Ray ended its workers. "
            "Finished cohorts are kept: give the same command again on nodes with more memory, or "
            "with fewer cores (ray start --num-cpus)."
        ) from error
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.ObjectLostError) as error:
        raise lost(key) from error
    except ray.exceptions.NodeDiedError as error:
        raise lost(key) from error
    except ray.exceptions.RayError as error:
        raise AuditError(
            f"Ray could not train {key} ({type(error).__name__}: {first_line(error)}). {_KEPT}"
        ) from error


def lost(key: str) -> AuditError:
    return AuditError(
        f"{key} was given to {1 + RETRIES} workers, and none came back. Most likely they were "
        f"killed for lack of memory, or their nodes are gone. {_KEPT}"
    )


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
