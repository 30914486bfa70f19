"""Charts need addresses, of which a scheduler's `ulimit -v` may leave too few."""

from __future__ import annotations

from audit.errors import BadInput

NEEDED = 72 * 2**30
"""Bytes of addresses, not of memory: the chart library's JavaScript engine reserves 64 GiB of them
at its start (66.2 GiB at the peak of a report), and ends the whole process where it cannot."""


def require_addresses() -> None:
    """Raise the soft limit of address space as far as charts need it, where that is allowed.

    Raises:
        BadInput: the hard limit is lower.
    """
    if (missing := missing_addresses()) is not None:
        raise missing


def missing_addresses() -> BadInput | None:
    """What :func:`require_addresses` would raise, to be told before a night of training."""
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)

    def enough(limit: int) -> bool:
        return limit == resource.RLIM_INFINITY or limit >= NEEDED

    if enough(soft):
        return None
    if enough(hard):
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
        return None
    return BadInput(
        "ulimit -v",
        f"{hard // 1024} KiB",
        f"is less than the {NEEDED // 2**30} GiB of addresses (not of memory) that drawing charts "
        "takes; results do not need them, and are kept",
        "Limit memory in another way (cgroups, a scheduler's --mem), then give the command again",
    )
