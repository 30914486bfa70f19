"""The environment of worker processes: one thread, and a user's choice of kernels stands."""

from __future__ import annotations

import os

import pytest
import torch

from audit.training import blas


def test_workers_get_one_thread_and_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(blas, "kernels_in_use", lambda: "Haswell")
    with blas.best_kernels_for_workers():
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
        assert os.environ["OPENBLAS_CORETYPE"] == "SkylakeX"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "OPENBLAS_CORETYPE" not in os.environ


@pytest.mark.parametrize(
    ("capability", "kernels", "chosen", "expected"),
    [
        ("AVX512", "Haswell", "Zen", "Zen"),
        ("AVX2", "Haswell", None, None),
        ("AVX512", "SkylakeX", None, None),
        ("AVX512", None, None, None),
    ],
)
def test_other_processors_libraries_and_choices_are_left_alone(
    capability: str,
    kernels: str | None,
    chosen: str | None,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if chosen:
        monkeypatch.setenv("OPENBLAS_CORETYPE", chosen)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(blas, "kernels_in_use", lambda: kernels)
    with blas.best_kernels_for_workers():
        assert os.environ.get("OPENBLAS_CORETYPE") == expected
