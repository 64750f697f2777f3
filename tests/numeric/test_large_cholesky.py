"""Large factorisations, which other threads need not wait for."""

import sys
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mme.numeric.lapack import cholesky


def positive(m: int) -> np.ndarray:
    A = np.random.default_rng(m).normal(size=(m, m))
    return A @ A.T + np.eye(m)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("m", [255, 256, 300])
def test_a_factor_of_any_size_and_order_leaves_its_matrix_alone(m: int, order: str) -> None:
    S = np.array(positive(m), order=order)
    before = S.copy()
    L, failed = cholesky(S)
    assert failed == 0
    assert_array_equal(S, before)
    assert_array_equal(L, np.tril(L))
    assert_allclose(L @ L.T, S, rtol=1e-11, atol=1e-11 * np.abs(S).max())


def test_only_the_lower_triangle_is_read_and_the_upper_one_kept_where_it_need_not_be_clean() -> None:
    S = positive(280)
    F = np.array(np.tril(S) + np.triu(np.full_like(S, 7.0), 1), order="F")
    L, failed = cholesky(F, overwrite=True, clean=False)
    assert failed == 0
    assert np.shares_memory(L, F)
    assert_array_equal(np.triu(L, 1), np.triu(np.full_like(S, 7.0), 1))
    assert_allclose(np.tril(L), np.linalg.cholesky(S), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("m", [40, 300])
def test_the_pivot_that_fails_is_named(m: int) -> None:
    S = positive(m)
    S[17, 17] = -1.0
    assert cholesky(S)[1] == 18


def test_another_thread_runs_while_a_large_matrix_is_factorised() -> None:
    """Where threads change places once in a minute, it runs only if the factorisation lets go of the lock."""
    matrices = [np.array(positive(400), order="F") for _ in range(40)]
    go, ran, interval = threading.Event(), threading.Event(), sys.getswitchinterval()
    other = threading.Thread(target=lambda: go.wait() and ran.set())
    other.start()
    sys.setswitchinterval(60.0)
    try:
        go.set()
        while matrices and not ran.is_set():
            cholesky(matrices.pop(), overwrite=True, clean=False)
        assert ran.is_set()
    finally:
        sys.setswitchinterval(interval)
        go.set()
        other.join()
