"""The environment of worker processes, and what NumPy multiplies with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from audit.training.blas import one_thread_in_workers

_ASK = (
    "from threadpoolctl import threadpool_info; import numpy; "
    "from audit.provenance import blas_kernels; print(blas_kernels(), "
    "[i['num_threads'] for i in threadpool_info() if i['internal_api'] == 'openblas'])"
)


@pytest.mark.parametrize("before", [None, "7"])
def test_workers_get_one_thread_and_the_environment_is_put_back(
    before: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if before:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", before)
    with one_thread_in_workers():
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ.get("OPENBLAS_NUM_THREADS") == before


def test_a_process_started_inside_has_one_thread_and_the_users_kernels(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    with one_thread_in_workers():
        done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True)
    kernels, _, threads = done.stdout.strip().partition(" ")
    if kernels == "None":
        pytest.skip("NumPy is not linked to OpenBLAS here")
    assert kernels == "Haswell"
    assert set(threads.strip("[]").split(", ")) == {"1"}
