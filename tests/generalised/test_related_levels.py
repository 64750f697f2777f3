"""Related levels and processes in generalised models, against Laplace's approximation written out densely."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import mme
from mme.family.base import Family
from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.model.problem import build_model


def dense_laplace(problem: Problem, at: Psi, V: np.ndarray, Z: np.ndarray) -> float:
    """-2 log of Laplace's approximation for b ~ N(0, V), the mode by a general minimiser and Newton's steps."""
    fixed = problem.offset + at.gamma @ problem.Q
    precision = np.linalg.inv(V)

    def loss(b: np.ndarray) -> float:
        value = problem.family.at(problem.data, fixed + Z @ b, at.tau).value
        return float(-value.sum() + 0.5 * b @ precision @ b)

    b = minimize(loss, np.zeros(len(V))).x
    for _ in range(20):
        density = problem.family.at(problem.data, fixed + Z @ b, at.tau)
        H = Z.T @ (density.observed[:, None] * Z) + precision
        b = b + np.linalg.solve(H, Z.T @ density.slope - precision @ b)
    return 2.0 * loss(b) + float(np.linalg.slogdet(H)[1] + np.linalg.slogdet(V)[1])


@pytest.mark.parametrize("family", [mme.Binomial(link="probit"), mme.Poisson()], ids=str)
def test_a_pedigree_is_that_of_the_dense_covariance(family: Family) -> None:
    rng = np.random.default_rng(4)
    animals = [f"a{i}" for i in range(14)]
    sires = [None] * 4 + [animals[i] for i in rng.integers(0, 2, 10)]
    dams = [None] * 4 + [animals[i] for i in rng.integers(2, 4, 10)]
    pedigree = mme.Pedigree(animals, sires, dams)
    n = 60
    who = np.concatenate([np.arange(14), rng.integers(0, 14, n - 14)])
    herd = rng.integers(0, 4, n)
    herd[:4] = np.arange(4)
    y = family.draw(0.3 * rng.normal(size=n), np.ones(n), np.zeros(0), rng)
    terms = [mme.Term(np.array(animals)[who], relationship=pedigree), mme.Term(herd, name="herd")]
    data = family.observe(y, None, "y")
    problem = Problem(build_model(data.y, np.ones((n, 1)), terms, method="ML"), family, data)
    at = Psi(np.array([0.7, 0.4]), np.array([0.1]), np.zeros(0))
    found = Criterion(problem).at(at)
    assert found is not None
    A = np.linalg.inv(pedigree.precision.toarray())
    place = {label: i for i, label in enumerate(np.asarray(pedigree.levels).tolist())}
    Z = np.zeros((n, len(place) + 4))
    Z[np.arange(n), [place[animals[i]] for i in who]] = 1.0
    Z[np.arange(n), len(place) + herd] = 1.0
    V = np.zeros((Z.shape[1], Z.shape[1]))
    V[: len(place), : len(place)] = 0.49 * A
    V[len(place) :, len(place) :] = 0.16 * np.eye(4)
    assert found.value == pytest.approx(dense_laplace(problem, at, V, Z), abs=1e-8)


def test_a_process_along_time_is_that_of_the_dense_covariance_and_its_gradient_is_known() -> None:
    rng = np.random.default_rng(6)
    series, times = np.repeat(np.arange(5), 8), np.tile(np.arange(8.0), 5)
    y = rng.poisson(2.0, 40).astype(float)
    family = mme.Poisson()
    data = family.observe(y, None, "y")
    term = mme.Term.ou(times, series)
    problem = Problem(build_model(data.y, np.ones((40, 1)), [term], method="ML"), family, data)
    k = problem.model.k
    theta = np.array([0.6, 0.5])
    at = Psi(theta, np.array([0.4]), np.zeros(0))
    criterion = Criterion(problem)
    found = criterion.at(at)
    assert found is not None
    length = problem.model.structures[0].relationship.natural(theta[1:])[0]
    gaps = np.abs(times[:, None] - times)
    V = 0.36 * np.exp(-gaps / length) * (series[:, None] == series)
    order = problem.model.terms[0].codes
    Z = np.eye(40)
    assert sorted(order.tolist()) == list(range(40))
    assert found.value == pytest.approx(dense_laplace(problem, at, V, Z), abs=1e-8)
    gradient = found.gradient()
    for j in range(k + 1):
        values = []
        for step in (-2, -1, 1, 2):
            x = at.x.copy()
            x[j] += step * 1e-3
            other = criterion.at(criterion.point(x))
            assert other is not None
            values.append(other.value)
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
        assert gradient[j] == pytest.approx(slope, rel=1e-6, abs=1e-7)


def test_the_range_of_a_process_is_found_from_afar() -> None:
    rng = np.random.default_rng(8)
    series, times = np.repeat(np.arange(30), 12), np.tile(np.arange(12.0), 30)
    gaps = np.abs(np.arange(12)[:, None] - np.arange(12))
    root = np.linalg.cholesky(np.exp(-gaps / 4.0))
    b = (0.8 * root @ rng.normal(size=(12, 30))).T.ravel()
    data = {"y": rng.poisson(np.exp(0.5 + b)), "time": times, "series": series}
    one = mme.glmer("y ~ 1 + ou(time | series)", data, "poisson")
    other = mme.glmer("y ~ 1 + ou(time | series)", data, "poisson", search="derivative-free")
    assert one.criterion == pytest.approx(other.criterion, abs=1e-6)
    assert 2.0 < one.relationships["ou(time | series)"]["range"] < 8.0
