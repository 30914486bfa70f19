"""How large a data set may become in memory; refused with the numbers instead of being killed."""

from __future__ import annotations

from audit.errors import BadInput

# 4 GB of float32: what the largest torchvision set here needs five times over (CIFAR: 0.74 GB) and
# what still fits, with the copy an engine makes, on a 16 GB machine.
MATRIX_BYTES = 4_000_000_000


def check_matrix(source: str, rows: int, features: int, next_step: str) -> None:
    """Refuses an encoded matrix [rows, features] of float32 above :data:`MATRIX_BYTES`.

    Raises:
        BadInput: with rows, features and both sizes.
    """
    needed = 4 * rows * features
    if needed > MATRIX_BYTES:
        raise BadInput(
            source,
            f"{rows:,} examples × {features:,} features",
            f"would take {needed / 1e9:.1f} GB of memory as numbers; "
            f"at most {MATRIX_BYTES / 1e9:.0f} GB are allowed",
            next_step,
        )
