"""Conjugate gradients side by side: solves, and the quadratic forms that they carry."""

import numpy as np
import pytest
from designs import seeds
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from mme.numeric.conjugate import conjugate_gradients


def positive(rng, m):
    root = rng.standard_normal((m, m))
    return root @ root.T + 0.1 * np.eye(m)


@examples(15)
@given(seed=seeds, m=st.integers(1, 30), c=st.integers(1, 4))
def test_every_column_is_solved_whatever_the_others_and_the_start(seed, m, c):
    rng = np.random.default_rng(seed)
    A, b, P = positive(rng, m), rng.standard_normal((m, c)), rng.uniform(0.5, 2.0, size=(m, 1))
    b[:, 0] *= 1e6
    for start in (None, rng.standard_normal((m, c))):
        found = conjugate_gradients(lambda v: A @ v, lambda v: v / P, b, tolerance=1e-11, most=500, start=start)
        assert (np.abs(A @ found.x - b) <= 1e-7 * np.abs(b).max(axis=0)).all()
        assert found.residual <= 1e-11


@examples(15)
@given(seed=seeds, m=st.integers(1, 20))
def test_forms_are_those_of_functions_of_the_preconditioned_matrix(seed, m):
    rng = np.random.default_rng(seed)
    A, b, P = positive(rng, m), rng.standard_normal((m, 2)), rng.uniform(0.5, 2.0, size=m)
    found = conjugate_gradients(lambda v: A @ v, lambda v: v / P[:, None], b, tolerance=1e-13, most=500)
    values, vectors = np.linalg.eigh(A / np.sqrt(np.outer(P, P)))
    along = vectors.T @ (b / np.sqrt(P)[:, None])
    for f in (np.log, lambda x: x - 1.0, np.sqrt):
        np.testing.assert_allclose(found.forms(f), f(values) @ along**2, rtol=1e-6, atol=1e-8)


def test_a_column_of_zeros_is_solved_by_zeros():
    b = np.array([[0.0, 1.0], [0.0, 2.0]])
    found = conjugate_gradients(lambda v: 2.0 * v, lambda v: v, b, tolerance=1e-12, most=9)
    np.testing.assert_allclose(found.x, b / 2.0)
    assert found.forms(np.log)[0] == 0.0


def test_solves_that_are_not_at_their_end_say_how_far_they_came():
    A = np.diag(np.arange(1.0, 101.0) ** 2)
    found = conjugate_gradients(lambda v: A @ v, lambda v: v, np.ones((100, 1)), tolerance=1e-12, most=5)
    assert found.iterations == 5
    assert found.residual == pytest.approx(np.linalg.norm(1.0 - A @ found.x[:, 0]) / 10.0)
