"""Facts about where and with what a run was made."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from audit import __version__

_PACKAGES = (
    "torch",
    "opacus",
    "dp-accounting",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "statsmodels",
    "fairlearn",
    "safetensors",
    "altair",
    "vl-convert-python",
)


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def versions() -> dict[str, str]:
    """Versions of Python and of every package that can change a number."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware(device: str, workers: int) -> dict[str, object]:
    """Processor, cores, memory and the device that trains."""
    return {
        "device": device,
        "processor": processor(),
        "blas_kernels": blas_kernels(),
        "cores": os.cpu_count() or 1,
        "workers": workers,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(aliased=True),
    }


def blas_kernels() -> str | None:
    """The architecture that NumPy's OpenBLAS multiplies for (``SkylakeX``, ``Haswell``, …).

    None if NumPy has another BLAS. Products, and so the last bits of results, differ between
    kernels; ``OPENBLAS_CORETYPE`` chooses them, else OpenBLAS does when NumPy is first imported.
    """
    from threadpoolctl import threadpool_info

    for library in threadpool_info():
        if library.get("internal_api") == "openblas" and "numpy" in library.get("filepath", ""):
            return library.get("architecture")
    return None


def tool() -> dict[str, str | None]:
    """Name, version and, in a checkout, the commit of this tool."""
    return {"name": "longtail-audit", "version": __version__, "commit": _commit()}


@functools.cache
def source() -> str:
    """SHA-256 over the names and contents of this package's Python files."""
    root, digest = Path(__file__).resolve().parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def processor() -> str:
    """The model of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str | None:
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
