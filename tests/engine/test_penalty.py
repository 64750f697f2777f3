"""The penalty u'(K^-1 (x) I)u of related levels, of which the engine holds one triangle, against dense K."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.model.problem import Model, build_model


def _problem(seed: int, q: int) -> tuple[Model, np.ndarray, np.random.Generator]:
    """Related levels beside crossed ones that are not."""
    rng = np.random.default_rng(seed)
    n, J = 60, 8
    A = rng.standard_normal((J, J))
    K = A @ A.T / J + 0.2 * np.eye(J)
    animal, item = np.concatenate([np.arange(J), rng.integers(0, J, n - J)]), rng.integers(0, 12, n)
    Z = np.column_stack([np.ones(n), rng.standard_normal(n)])[:, :q]
    related = mme.Term(
        animal, Z, name="animal", relationship=mme.Relationship(precision=np.linalg.inv(K), levels=np.arange(J))
    )
    terms = [mme.Term(item, name="item"), related]
    return build_model(rng.standard_normal(n), np.ones((n, 1)), terms), K, rng


@given(seed=st.integers(0, 2**32 - 1), q=st.sampled_from([1, 2]), absorb=st.booleans(), dense=st.booleans())
def test_the_penalty_of_related_levels_is_that_of_dense_K(seed, q, absorb, dense):
    model, K, rng = _problem(seed, q)
    objective = Objective.of(model, plan=Plan(0 if absorb else None, dense))
    schur = objective.system.rest.schur
    u = rng.standard_normal(objective.system.rest.m)
    own = u[-q * len(K) :].reshape(len(K), q)  # the others have independent levels
    expected = u @ u - np.vdot(own, own) + np.vdot(own, np.linalg.solve(K, own))
    assert schur.penalty_of(u) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dense", [True, False])
def test_the_penalty_stands_in_M_as_in_its_quadratic_form(dense):
    """At T = 0 M is K^-1 (x) I: its determinant is that of K, in either factor."""
    model, K, _ = _problem(3, 2)
    objective = Objective.of(model, plan=Plan(0, dense))
    theta = np.zeros(model.k)
    assert objective.logdet_M(theta) == pytest.approx(-2.0 * np.linalg.slogdet(K)[1], rel=1e-10)


def test_the_penalty_of_a_series_stands_behind_those_of_slopes_and_of_related_slopes():
    """Theta changes the values of the series alone: u'(K^-1 (x) I)u is that of its K at these parameters."""
    model, K, rng = _problem(5, 2)
    time, group = np.arange(model.n) % 6, np.arange(model.n) // 6
    level = np.arange(model.n) % 4
    slopes = np.column_stack([np.ones(model.n), rng.standard_normal(model.n)])
    terms = [model.terms[0], mme.Term(level, slopes, name="level"), model.terms[1], mme.Term.ou(time, group, name="s")]
    objective = Objective.of(build_model(model.y, np.ones((model.n, 1)), terms), plan=Plan(0, True))
    theta = rng.uniform(0.3, 0.9, objective.model.k)
    T, schur = objective.factors(theta), objective.system.rest.schur
    series = objective.blocks[3]
    whole = series.relationship_at(theta).precision.toarray()
    u = rng.standard_normal(objective.system.rest.m)
    free, own, steps = u[:8], u[8:24].reshape(8, 2), u[24:]
    expected = free @ free + np.vdot(own, np.linalg.solve(K, own)) + steps @ whole @ steps
    assert schur.with_penalty(T.penalty).penalty_of(u) == pytest.approx(expected, rel=1e-9)
    assert T.logdet_K == pytest.approx(-np.linalg.slogdet(whole)[1], rel=1e-9)
