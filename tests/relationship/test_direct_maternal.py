"""Terms whose coefficients have levels of their own, direct and maternal effects: everything against dense algebra.

y_i = x_i'beta + z_i1 a_animal(i) + z_i2 m_dam(i) + e_i,    (a, m) ~ N(0, K (x) sigma^2 T T')
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dense import DenseFit, dense_fit, lower_factor
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import kenward_roger
from pedigrees import columns, random_parents, relationship_matrix
from scipy.optimize import minimize

import mme
from mme.diagnosis.hat import Hat
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.inference.comparison.nested import difference
from mme.numeric.limits import Limits, within
from mme.results.simulate import Simulator
from mme.solution.estimates import Estimates

seeds = st.integers(0, 2**32 - 1)
BESIDE = ("nothing", "a crossed factor", "an intercept and slope", "permanent environment", "another of its kind")


@dataclass(frozen=True)
class Herd:
    """Records of animals with their dams, some unknown; ``others`` are (labels, covariates, T) of other terms."""

    y: np.ndarray
    X: np.ndarray
    animals: list[str]
    dams: list[str | None]
    covariates: np.ndarray | None
    parents: dict[str, Any]
    related: bool
    T: np.ndarray
    others: tuple[tuple[Any, np.ndarray | None, np.ndarray], ...] = ()
    weights: np.ndarray | None = None
    method: str = "REML"

    @property
    def levels(self) -> list[str]:
        """All animals of the pedigree, or those of the records and their dams."""
        if self.related:
            return list(self.parents)
        return sorted({label for label in self.animals + self.dams if label is not None})

    @property
    def pedigree(self) -> mme.Pedigree | None:
        return mme.Pedigree(*columns(self.parents)) if self.related else None

    @property
    def terms(self) -> list[mme.Term]:
        own = mme.Term(
            (self.animals, self.dams), self.covariates, name="animal", relationship=self.pedigree, columns=["a", "m"]
        )
        return [own, *(mme.Term(labels, z, name=f"g{t}") for t, (labels, z, _) in enumerate(self.others))]

    @property
    def theta(self) -> np.ndarray:
        factors = [self.T, *(T for _, _, T in self.others)]
        return np.concatenate([T.T[np.triu_indices(len(T))] for T in factors])

    @property
    def blocks(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """The random part as the oracle wants it."""
        K = relationship_matrix(self.parents) if self.related else None
        own = both(self.animals, self.dams, self.levels, self.covariates)
        return [(own, self.T, K), *((design_of(labels, z), T, None) for labels, z, T in self.others)]

    @cached_property
    def dense(self) -> DenseFit:
        return dense_fit(self.y, self.X, self.blocks, self.weights, self.method)

    def objective(self, plan: Plan | None = None) -> Objective:
        options = {"method": self.method, "weights": self.weights}
        model = mme.objective(self.y, self.X, self.terms, **options).model
        return Objective.of(model, plan=plan)

    def fit(self, **options: Any) -> mme.Fit:
        return mme.fit(self.y, self.X, self.terms, method=self.method, weights=self.weights, **options)

    def plans(self) -> Iterator[Plan | None]:
        """The engine's choice, and every other: factors with independent levels absorbed or none, dense or sparse."""
        yield None
        blocks = self.objective().blocks
        for absorb in (None, *(b for b, block in enumerate(blocks) if block.is_block_diagonal)):
            yield Plan(absorb, dense=True)
            yield Plan(absorb, dense=False)


def both(animals: list[Any], dams: list[Any], levels: list[Any], z: np.ndarray | None = None) -> np.ndarray:
    """Z (n, J 2) of a direct and a maternal effect, level-major, from its definition."""
    Z = np.zeros((len(animals), len(levels), 2))
    for i, labels in enumerate(zip(animals, dams, strict=True)):
        for a, label in enumerate(labels):
            if label is not None:
                Z[i, levels.index(label), a] = 1.0 if z is None else z[i, a]
    return Z.reshape(len(animals), -1)


def design_of(labels: Any, z: np.ndarray | None) -> np.ndarray:
    if isinstance(labels, tuple):
        return both(*labels, sorted({x for one in labels for x in one}), z)
    levels, codes = np.unique(np.asarray(labels), return_inverse=True)
    z = np.ones((len(codes), 1)) if z is None else z
    return (np.eye(levels.size)[codes][:, :, None] * z[:, None, :]).reshape(len(codes), -1)


def herd(
    seed: int = 0,
    *,
    related: bool = True,
    beside: str = "nothing",
    covariates: bool = False,
    weighted: bool = False,
    method: str = "REML",
    unknown: float = 0.2,
    records: int = 44,
    founders: int = 6,
    size: int = 26,
    large: float = 1.0,
) -> Herd:
    """A response from the model itself: a pedigree with inbreeding, repeated records, unknown dams."""
    rng = np.random.default_rng(seed)
    parents = random_parents(size, int(rng.integers(2**31)), unknown=unknown)
    animals = [f"a{i}" for i in rng.integers(founders, size, size=records)]
    dams = [parents[animal][1] for animal in animals]
    X = np.column_stack([np.ones(records), rng.normal(size=records)])
    scalar, pair = np.array([[0.7]]), np.array([[0.6, 0.0], [0.3, 0.5]])
    slope = np.column_stack([np.ones(records), rng.normal(size=records)])
    g = rng.integers(0, 9, size=records)
    two = (rng.integers(0, 8, size=records).tolist(), rng.integers(0, 8, size=records).tolist())
    others = {
        "nothing": (),
        "a crossed factor": ((g, None, scalar),),
        "an intercept and slope": ((g, slope, pair),),
        "permanent environment": ((animals, None, scalar),),
        "another of its kind": ((two, None, pair), (g, None, scalar)),
    }[beside]
    made = Herd(
        y=np.zeros(records),
        X=X,
        animals=animals,
        dams=dams,
        covariates=rng.normal(size=(records, 2)) if covariates else None,
        parents=parents,
        related=related,
        T=large * np.array([[0.9, 0.0], [-0.4, 0.6]]),
        others=others,
        weights=rng.uniform(0.5, 2.0, size=records) if weighted else None,
        method=method,
    )
    y = X @ [1.0, 2.0] + rng.normal(size=records)
    for Z, T, K in made.blocks:
        u = rng.normal(size=(Z.shape[1] // len(T), len(T)))
        y += Z @ ((u if K is None else np.linalg.cholesky(K) @ u) @ T.T).ravel()
    return Herd(**{**vars(made), "y": y})


def assert_every_engine_agrees(problem: Herd, tolerance: float = 1e-9) -> None:
    d = problem.dense
    h = 1.0 - np.diag(leaving(problem)) / (np.ones(d.V.shape[0]) if problem.weights is None else problem.weights)
    Z = np.hstack([Z for Z, _, _ in problem.blocks])
    for plan in problem.plans():
        objective = problem.objective(plan)
        own = Estimates(objective, problem.theta)
        found = {
            "objective": objective(problem.theta) - d.criterion,
            "criterion": own.criterion - d.criterion,
            "sigma": own.sigma - d.sigma,
            "beta": own.beta - d.beta,
            "beta_cov": own.beta_cov - d.beta_cov,
            "fitted": own.fitted - problem.X @ d.beta - Z @ d.b,
            "leverage": Hat(objective, problem.theta, own.at).diagonal - h,
        }
        first = 0
        for t, b in enumerate(own.b):
            at = np.arange(first, first + b.size).reshape(b.shape)
            pairs = at[:, :, None], at[:, None, :]
            found |= {
                f"b {t}": b - d.b[at],
                f"condvar {t}": own.condvar[t] - d.condvar[pairs],
                f"pev {t}": own.pev[t] - d.pev[pairs],
            }
            first += b.size
        for name, distance in found.items():
            assert np.abs(distance).max() < tolerance, (plan, name)


def leaving(problem: Herd) -> np.ndarray:
    """P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 in units of sigma^2: I - H, but for the weights."""
    V_inverse = np.linalg.inv(problem.dense.V / problem.dense.sigma**2)
    VX = V_inverse @ problem.X
    return V_inverse - VX @ np.linalg.solve(problem.X.T @ VX, VX.T)


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("related", [True, False])
@settings(max_examples=4)
@given(seed=seeds, covariates=st.booleans(), weighted=st.booleans(), method=st.sampled_from(["REML", "ML"]))
def test_every_engine_gives_the_dense_answer(related, beside, seed, covariates, weighted, method):
    problem = herd(seed, related=related, beside=beside, covariates=covariates, weighted=weighted, method=method)
    assert_every_engine_agrees(problem)


@pytest.mark.parametrize("beside", BESIDE)
def test_known_dams_and_a_singular_T_are_ordinary(beside):
    problem = herd(3, beside=beside, unknown=0.0)
    for T in (np.diag([0.8, 0.0]), np.zeros((2, 2)), np.array([[0.8, 0.0], [-0.4, 0.0]])):
        assert_every_engine_agrees(Herd(**{**vars(problem), "T": T}))


def test_a_block_whose_columns_have_levels_of_their_own_is_not_absorbed():
    alone, beside = herd(related=False).objective(), herd(related=False, beside="a crossed factor").objective()
    assert alone.engine.absorbed is None
    assert alone.plan.reasons == ("no grouping factor is block-diagonal by level",)
    assert beside.engine.absorbed == "g0"


def test_many_animals_by_compiled_loops_give_the_dense_answer():
    problem = herd(5, beside="a crossed factor", records=400, founders=40, size=200)
    assert not problem.objective(Plan(None, dense=False)).plan.dense
    assert_every_engine_agrees(problem, 1e-8)


def test_with_a_diagonal_T_they_are_two_independent_terms():
    problem = herd(1, unknown=0.0, founders=9)
    pedigree = problem.pedigree
    together = mme.objective(problem.y, problem.X, problem.terms)
    terms = [mme.Term(one, name="t", relationship=pedigree) for one in (problem.animals, problem.dams)]
    apart = mme.objective(problem.y, problem.X, terms)
    for a, m in ((0.5, 0.8), (1.2, 0.0), (0.0, 0.3)):
        assert together([a, 0.0, m]) == pytest.approx(apart([a, m]), abs=1e-10)


def test_an_unknown_dam_is_a_record_without_a_maternal_effect():
    """The same as any dam with a covariate of zero, and every mark for it that breeders' files have."""
    problem = herd(2)
    expected = problem.objective()(problem.theta)
    known = np.array([dam is not None for dam in problem.dams])
    named = ["a3" if dam is None else dam for dam in problem.dams]
    z = np.column_stack([np.ones(known.size), known])
    marks = [(mark, None) for mark in (np.nan, "", "0", 0)]
    for mark, covariates in (*marks, ("a3", z)):
        dams = named if covariates is not None else [mark if dam is None else dam for dam in problem.dams]
        term = mme.Term((problem.animals, dams), covariates, name="animal", relationship=problem.pedigree)
        assert mme.objective(problem.y, problem.X, [term])(problem.theta) == pytest.approx(expected, abs=1e-10)


def test_another_response_is_another_fit_of_the_same_model():
    problem = herd(25, beside="a crossed factor")
    y = np.random.default_rng(0).permutation(problem.y)
    again = problem.objective().with_response(y)
    assert again(problem.theta) == pytest.approx(Herd(**{**vars(problem), "y": y}).dense.criterion, abs=1e-9)


def test_numbers_for_labels_may_have_become_floats():
    """An integer column with gaps is one of floats in pandas."""
    pedigree = mme.Pedigree([1, 2, 3, 4], [None, None, 1, 1], [None, None, 2, 3])
    term = mme.Term((np.array([3, 4, 2]), pd.Series([2.0, 3.0, np.nan])), relationship=pedigree)
    assert term.levels.tolist() == [1, 2, 3, 4]
    assert np.array_equal(term.Z.toarray(), both([3, 4, 2], [2, 3, None], [1, 2, 3, 4]))
    alone = mme.Term((np.array([3, 4, 2]), pd.Series([2.0, 3.0, np.nan], name="dam")))
    assert alone.levels.tolist() == [2, 3, 4]
    assert np.array_equal(alone.Z.toarray(), both([3, 4, 2], [2, 3, None], [2, 3, 4]))


def test_the_order_of_records_and_the_names_of_levels_mean_nothing():
    problem = herd(4, related=False, beside="a crossed factor")
    order = np.random.default_rng(0).permutation(len(problem.y))
    rename = {label: f"{97 * i % 101:03d}" for i, label in enumerate(problem.levels)}
    g = problem.others[0][0]
    family = mme.Term(
        ([rename[problem.animals[i]] for i in order], [rename.get(problem.dams[i]) for i in order]), name="animal"
    )
    moved = mme.objective(problem.y[order], problem.X[order], [family, mme.Term(g[order], name="g")])
    assert moved(problem.theta) == pytest.approx(problem.dense.criterion, abs=1e-9)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("related", [True, False])
def test_the_fit_is_the_minimum_of_the_dense_criterion(related, method):
    problem = herd(6, related=related, method=method, records=60, size=40, founders=10)
    fit, ((Z, _, K), *_) = problem.fit(), problem.blocks

    def criterion(theta: np.ndarray) -> float:
        return dense_fit(problem.y, problem.X, [(Z, lower_factor(theta, 2), K)], None, method).criterion

    assert fit.criterion == pytest.approx(criterion(fit.theta), abs=1e-9)
    assert fit.criterion < minimize(criterion, [1.0, 0.0, 1.0], method="Nelder-Mead").fun + 1e-6


# -- the textbook ------------------------------------------------------------------------------------------------------


def test_mrodes_example_of_maternal_effects():
    """Mrode (2014), Linear Models for the Prediction of Animal Breeding Values, 3rd ed., example 7.1: ten calves.

    Direct variance 150, maternal 90, covariance -40; permanent environment of the dam 40; residual 350.
    """
    calf, sire, dam = list(range(5, 15)), [1, 3, 4, 3, 1, 3, 3, 8, 9, 3], [2, 2, 6, 5, 6, 2, 7, 7, 2, 6]
    weight = np.array([35.0, 20.0, 25.0, 40.0, 42.0, 22.0, 35.0, 34.0, 20.0, 40.0])
    herds, sex = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3, 3]), np.array(list("MFFMMFFFMF"))
    X = np.column_stack([herds == 2, herds == 3, sex == "M", sex == "F"]).astype(float)
    pedigree = mme.Pedigree([1, 2, 3, 4, *calf], [None] * 4 + sire, [None] * 4 + dam)
    family = mme.Term((calf, dam), name="animal", relationship=pedigree, columns=("direct", "maternal"))
    environment = mme.Term(dam, name="pe")
    G = np.array([[150.0, -40.0], [-40.0, 90.0]])
    beta = [3.386, 1.434, 34.540, 27.691]
    direct = [0.564, -1.244, 1.165, -0.484, 0.630, -0.859, -1.156, 1.917, -0.553, -1.055, 0.385, 0.863, -2.980, 1.751]
    maternal = [0.262, -1.583, 0.736, 0.586, -0.507, 0.841, 1.299, -0.158, 0.660, -0.153, 0.916, 0.442, 0.093, 0.362]
    permanent = [-1.701, 0.415, 0.825, 0.461]

    T = np.linalg.cholesky(G / 350.0)
    theta = [T[0, 0], T[1, 0], T[1, 1], np.sqrt(40.0 / 350.0)]
    fit = mme.fit(weight, X, [family, environment], theta=theta, sigma=np.sqrt(350.0))
    np.testing.assert_allclose(fit.beta, beta, atol=6e-4)
    np.testing.assert_allclose(fit.ranef()["animal"], np.column_stack([direct, maternal]), atol=6e-4)
    np.testing.assert_allclose(fit.ranef()["pe"]["(Intercept)"], permanent, atol=6e-4)

    Z = np.hstack([family.Z.toarray(), environment.Z.toarray()])
    Ginv = np.zeros((32, 32))
    Ginv[:28, :28] = np.kron(pedigree.Ainv.toarray(), np.linalg.inv(G))
    Ginv[28:, 28:] = np.eye(4) / 40.0
    by_hand = mme.solve(weight, X, Z, Ginv=Ginv, Rinv=1 / 350)
    np.testing.assert_allclose(np.concatenate([b.ravel() for b in fit.internals.estimates.b]), by_hand.b, atol=1e-10)
    np.testing.assert_allclose(fit.pev()["animal"][:, 1, 1], by_hand.pev()[1:28:2], atol=1e-9)


# -- what is asked of a fit --------------------------------------------------------------------------------------------


def joint_inverse(problem: Herd) -> np.ndarray:
    """The inverse of Henderson's equations: the covariance of (beta_hat - beta, b_hat - b)."""
    W = np.hstack([problem.X, *(Z for Z, _, _ in problem.blocks)])
    p = problem.X.shape[1]
    w = np.ones(len(W)) if problem.weights is None else problem.weights
    C = W.T @ (W * w[:, None]) / problem.dense.sigma**2
    C[p:, p:] += np.linalg.inv(problem.dense.G)
    return np.linalg.inv(C)


@pytest.mark.parametrize("beside", ["nothing", "an intercept and slope", "another of its kind"])
@pytest.mark.parametrize("related", [True, False])
def test_intervals_are_those_of_hendersons_inverse(related, beside):
    problem = herd(7, related=related, beside=beside, covariates=True, weighted=True)
    fit = problem.fit(theta=problem.theta)
    W = np.hstack([problem.X, *(Z for Z, _, _ in problem.blocks)])
    expected = np.sqrt(np.einsum("ij,jk,ik->i", W, joint_inverse(problem), W))
    table = fit.predict(interval="confidence")
    np.testing.assert_allclose(table["se"], expected, rtol=1e-9)
    np.testing.assert_allclose(table["fit"], fit.fitted, rtol=1e-12)


@pytest.mark.parametrize("by", ["arrays", "formula"])
def test_new_records_may_be_of_animals_without_records_and_of_unknown_dams(by):
    problem = herd(8)
    d, inverse = problem.dense, joint_inverse(problem)
    animals, dams = ["a1", "a2", "a20", "a21"], ["a0", None, "a5", "elsewhere"]
    X = np.column_stack([np.ones(4), [0.5, -1.0, 0.0, 2.0]])
    if by == "arrays":
        fit = problem.fit(theta=problem.theta)
        new: Any = (X, [mme.Term((animals, dams))])
    else:
        data = {"y": problem.y, "x": problem.X[:, 1], "animal": problem.animals, "dam": problem.dams}
        fit = mme.lmer(
            "y ~ x + (1 | str(animal, dam))", data, relationship={"animal": problem.pedigree}, theta=problem.theta
        )
        new = {"x": X[:, 1], "animal": animals, "dam": dams}
    with pytest.raises(mme.MMEError, match=r"'animal' has 1 level\(s\) that the fit did not see: 'elsewhere'"):
        fit.predict(new)
    for mark in ("", "0", 0, np.nan) if by == "formula" else ():
        marked = new | {"dam": [mark if dam is None else dam for dam in dams]}
        same = fit.predict(marked, new_levels="population")
        np.testing.assert_array_equal(same, fit.predict(new, new_levels="population"))
    table = fit.predict(new, new_levels="population", interval="prediction")
    W = np.hstack([X, both(animals, [*dams[:3], None], problem.levels)])
    np.testing.assert_allclose(table["fit"], W @ np.append(d.beta, d.b), rtol=1e-9)
    # a dam from elsewhere is unrelated: her maternal effect has its prior variance
    prior = np.array([0.0, 0.0, 0.0, (problem.T @ problem.T.T)[1, 1]])
    variance = np.einsum("ij,jk,ik->i", W, inverse, W) + d.sigma**2 * (1.0 + prior)
    np.testing.assert_allclose(table["se"], np.sqrt(variance), rtol=1e-9)


def test_one_unknown_level_with_two_effects_on_a_record_is_refused():
    problem = herd(8, related=False)
    with pytest.raises(mme.MMEError, match="'zz', which the fit did not see, has two coefficients"):
        problem.fit(theta=problem.theta).predict((problem.X[:1], [mme.Term((["zz"], ["zz"]))]), new_levels="population")


class UnitVectors:
    """Stands for a generator: one of its draws is one, all others are zero."""

    def __init__(self, at: int) -> None:
        self.left = at

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        out = np.zeros(int(np.prod(shape)))
        if 0 <= self.left < out.size:
            out[self.left] = 1.0
        self.left -= out.size
        return out.reshape(shape)


@pytest.mark.parametrize("related", [True, False])
def test_simulated_responses_have_the_covariance_of_the_model(related):
    problem = herd(9, related=related, beside="a crossed factor", weighted=True)
    fit = problem.fit(theta=problem.theta)
    draw = Simulator(fit.internals.estimates)
    directions = len(problem.y) + sum(Z.shape[1] for Z, _, _ in problem.blocks)
    mean = fit.predict(random=False)
    A = np.column_stack([draw(UnitVectors(i), 1)[:, 0] - mean for i in range(directions)])  # type: ignore[arg-type]
    np.testing.assert_allclose(A @ A.T, problem.dense.V, atol=1e-12)


@pytest.mark.parametrize("related", [True, False])
def test_the_share_of_a_term_is_the_mean_variance_that_it_gives_the_records(related):
    problem = herd(10, related=related, covariates=True)
    fit = problem.fit(theta=problem.theta)
    (Z, T, K), *_ = problem.blocks
    G = np.kron(np.eye(len(problem.levels)) if K is None else K, T @ T.T) * fit.sigma**2
    assert fit.variance_shares()["variance"]["animal"] == pytest.approx(np.trace(Z @ G @ Z.T) / len(Z), rel=1e-10)


def test_heritabilities_are_willhams():
    """Willham (1963): s2_p = s2_a + s_am + s2_m + s2_e for an animal whose dam is known and not inbred."""
    rng = np.random.default_rng(11)
    dams, sires = [f"d{i}" for i in range(12)], [f"s{i}" for i in range(6)]
    calves = [f"c{i}" for i in range(60)]
    dam = [dams[i % 12] for i in range(60)]
    pedigree = mme.Pedigree(dams + sires + calves, [None] * 18 + [sires[i % 5] for i in range(60)], [None] * 18 + dam)
    term = mme.Term((calves, dam), name="animal", relationship=pedigree, columns=("direct", "maternal"))
    fit = mme.fit(rng.normal(size=60), np.ones((60, 1)), [term], theta=[0.8, -0.3, 0.5])
    G = np.array([[0.64, -0.24], [-0.24, 0.34]])
    phenotypic = G[0, 0] + G[1, 1] + G[0, 1] + 1.0
    table = fit.heritability("animal")["estimate"]
    assert table.index.tolist() == ["heritability direct", "heritability maternal", "correlation direct, maternal"]
    expected = [0.64 / phenotypic, 0.34 / phenotypic, -0.24 / np.sqrt(0.64 * 0.34)]
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_the_maternal_share_is_that_of_records_with_a_dam():
    """A record whose dam is unknown has variance s2_a + s2_e."""
    pedigree = mme.Pedigree(["d", "e", "x", "y", "z"], [None] * 5, [None, None, "d", "e", None])
    term = mme.Term((list("xyzde"), ["d", "e", None, None, None]), name="animal", relationship=pedigree)
    fit = mme.fit(np.array([1.0, 2.0, 4.0, 3.0, 7.0]), np.ones((5, 1)), [term], theta=[1.0, 0.5, 2.0])
    with_dam, without = 1.0 + 0.5 + 4.25 + 1.0, 1.0 + 1.0
    expected = [1.0 / (0.4 * with_dam + 0.6 * without), 4.25 / with_dam, 0.5 / np.sqrt(4.25)]
    np.testing.assert_allclose(fit.heritability("animal")["estimate"], expected, rtol=1e-12)


@pytest.mark.parametrize("related", [True, False])
def test_reliability_counts_inbreeding(related):
    problem = herd(12, related=related)
    fit = problem.fit(theta=problem.theta)
    d = problem.dense
    expected = 1.0 - np.diag(d.pev) / np.diag(d.G)
    np.testing.assert_allclose(fit.reliability()["animal"].to_numpy().ravel(), expected, atol=1e-10)


@pytest.mark.parametrize("related", [True, False])
def test_kenward_roger_is_that_of_the_dense_matrices(related):
    problem = herd(13, related=related, records=90, size=50, founders=10)
    fit = problem.fit()
    (Z, _, K), *_ = problem.blocks
    K = np.eye(len(problem.levels)) if K is None else K
    units = [np.array(unit, dtype=float) for unit in ([[1, 0], [0, 0]], [[0, 1], [1, 0]], [[0, 0], [0, 1]])]
    parts = [*(Z @ np.kron(K, unit) @ Z.T for unit in units), np.eye(len(Z))]
    G = fit.varcorr["animal"].cov
    gamma = [G[0, 0], G[0, 1], G[1, 1], fit.sigma**2]
    V = sum(g * part for g, part in zip(gamma, parts, strict=True))
    for j in range(2):
        cov, df, _ = kenward_roger(problem.X, V, parts, np.eye(2)[[j]])
        row = fit.coefficients(ddf="kenward-roger").iloc[j]
        assert row["se"] == pytest.approx(np.sqrt(cov[j, j]), rel=1e-5)
        assert row["df"] == pytest.approx(df, rel=1e-4)


@pytest.mark.parametrize("beside", ["nothing", "a crossed factor"])
@pytest.mark.parametrize("related", [True, False])
@pytest.mark.parametrize("large", [1000, 1])
def test_the_shift_of_beta_is_that_of_least_squares_without_the_group(related, beside, large):
    problem = herd(14, related=related, beside=beside)
    fit = problem.fit(theta=problem.theta)
    pens = np.arange(len(problem.y)) % 7
    for by, labels in (("animal", np.array(problem.animals)), (pens, pens)):
        expected = []
        for label in fit.dfbeta(by=by).index:
            kept = labels != label
            X, V = problem.X[kept], np.linalg.inv(problem.dense.V[np.ix_(kept, kept)])
            expected.append(problem.dense.beta - np.linalg.solve(X.T @ V @ X, X.T @ V @ problem.y[kept]))
        with within(Limits(large_group=large)):  # 1: every group by an evaluation without it
            np.testing.assert_allclose(fit.dfbeta(by=by), expected, atol=1e-9)


def test_own_estimates_of_a_level_are_least_squares_given_all_other_effects():
    problem = herd(15, weighted=True, covariates=True)
    fit = problem.fit(theta=problem.theta)
    d, (Z, T, _), w = problem.dense, problem.blocks[0], problem.weights
    table = fit.shrinkage()["animal"]
    for g, level in enumerate(problem.levels):
        own = Z[:, 2 * g : 2 * g + 2]
        rest = (
            problem.y
            - problem.X @ d.beta
            - np.delete(Z, [2 * g, 2 * g + 1], axis=1) @ np.delete(d.b, [2 * g, 2 * g + 1])
        )
        expected = np.linalg.lstsq(own * np.sqrt(w)[:, None], rest * np.sqrt(w), rcond=None)[0]
        gram = own.T @ (own * w[:, None])
        weight = np.diag(T @ T.T @ np.linalg.inv(np.eye(2) + gram @ T @ T.T) @ gram)
        rows = table.loc[level]
        np.testing.assert_allclose(rows["no_pooling"], expected, atol=1e-9)
        np.testing.assert_allclose(rows["weight"], weight, atol=1e-12)
        assert rows["n"].tolist() == [problem.animals.count(level), problem.dams.count(level)]


def test_correlated_residuals_of_an_animal_are_whitened_with_its_dam():
    problem = herd(16, records=60)
    order = np.arange(60)
    residual = mme.AR1(order, np.array(problem.animals))
    fit = mme.fit(problem.y, problem.X, problem.terms, residual=residual, theta=problem.theta)
    rho = fit.residual["rho"]
    same = np.equal.outer(np.array(problem.animals), np.array(problem.animals))
    R = np.zeros((60, 60))
    for animal in set(problem.animals):
        here = np.flatnonzero(np.array(problem.animals) == animal)
        R[np.ix_(here, here)] = rho ** np.abs(np.subtract.outer(order[here], order[here]))
    assert same.sum() > 60
    L = np.linalg.cholesky(R)
    (Z, T, K), *_ = problem.blocks
    d = dense_fit(*(np.linalg.solve(L, part) for part in (problem.y, problem.X)), [(np.linalg.solve(L, Z), T, K)])
    assert fit.criterion == pytest.approx(d.criterion + 2.0 * np.log(np.diag(L)).sum(), abs=1e-8)
    np.testing.assert_allclose(fit.internals.estimates.b[0].ravel(), d.b, atol=1e-9)
    with pytest.raises(mme.MMEError, match="varies within the groups of the residual structure"):
        mme.fit(problem.y, problem.X, problem.terms, residual=mme.AR1(order // 3, order % 3))


def test_a_saved_fit_comes_back_the_same(tmp_path):
    problem = herd(17)
    fit = problem.fit()
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-10)
    new = (problem.X[:2], [mme.Term((["a1", "a2"], [None, "a0"]))])
    np.testing.assert_allclose(again.predict(new), fit.predict(new))
    np.testing.assert_allclose(again.heritability("animal"), fit.heritability("animal"), rtol=1e-5)


def test_reports_and_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib").use("agg")
    problem = herd(18, beside="a crossed factor")
    fit = problem.fit()
    fit.report(tmp_path / "fit.html")
    assert "animal" in (tmp_path / "fit.html").read_text()
    assert len(fit.tidy(effects="blup")) == sum(b.size for b in fit.internals.estimates.b)
    assert fit.draws(3, seed=1).b["animal"].shape == (3, len(problem.levels), 2)
    with pytest.raises(mme.MMEError, match="one grouping factor with independent levels"):
        fit.scaled_residuals("decorrelated")
    fit.diagnose()


# -- formulas ----------------------------------------------------------------------------------------------------------


def table(problem: Herd) -> pd.DataFrame:
    return pd.DataFrame(
        {"y": problem.y, "x": problem.X[:, 1], "animal": problem.animals, "dam": problem.dams, "pen": "p"}
    )


def test_str_in_a_formula_is_the_tuple_of_a_term(tmp_path):
    problem = herd(19)
    pedigree = problem.pedigree
    fit = mme.lmer("y ~ x + (1 | str(animal, dam))", table(problem), relationship={"animal": pedigree})
    assert fit.nobs == len(problem.y)  # an unknown dam leaves no row out
    assert fit.criterion == pytest.approx(problem.fit().criterion, abs=1e-8)
    assert fit.theta_names == ("animal.animal", "animal.dam.animal", "animal.dam")
    assert list(fit.ranef()["animal"].columns) == ["animal", "dam"]
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    new = {"x": [0.0, 1.0], "animal": ["a1", None], "dam": [None, "a0"]}
    with pytest.raises(mme.MMEError, match="'animal' has no label in 1 of 2 new rows"):
        fit.predict(new)
    found = fit.predict(new, new_levels="population")
    np.testing.assert_allclose(again.predict(new, new_levels="population"), found)
    unseen = new | {"animal": ["a1", "zz"]}  # an animal that is not named is one that the fit did not see
    np.testing.assert_allclose(fit.predict(unseen, new_levels="population"), found)


def test_rows_without_an_animal_are_left_out():
    problem = herd(19)
    data = table(problem)
    data.loc[[1, 4], "animal"] = None
    fit = mme.lmer("y ~ x + (1 | str(animal, dam))", data, relationship={"animal": problem.pedigree})
    assert fit.n_dropped == 2


def test_levels_of_str_without_a_relationship_are_those_of_either_column():
    problem = herd(20, related=False)
    fit = mme.lmer("y ~ x + (1 | str(animal, dam))", table(problem), theta=problem.theta)
    assert fit.ranef()["animal"].index.tolist() == problem.levels
    assert fit.criterion == pytest.approx(problem.dense.criterion, abs=1e-9)


def test_slopes_on_both_sides_of_str():
    """(1 + x | str(animal, dam)) has an intercept and slope of the animal, and of the dam."""
    problem = herd(21, unknown=0.0, founders=9)
    data, pedigree = table(problem), problem.pedigree
    theta = np.random.default_rng(0).normal(size=10)
    fit = mme.lmer("y ~ x + (1 + x | str(animal, dam))", data, relationship={"animal": pedigree}, theta=theta)
    assert fit.internals.model.terms[0].columns == ("animal:(Intercept)", "animal:x", "dam:(Intercept)", "dam:x")
    x = problem.X[:, 1]
    ones = np.ones_like(x)
    Z = np.stack(
        [
            both(problem.animals, problem.dams, problem.levels, np.column_stack(pair)).reshape(len(x), -1, 2)[:, :, a]
            for a, pair in ((0, (ones, ones)), (0, (x, x)), (1, (ones, ones)), (1, (x, x)))
        ],
        axis=2,
    ).reshape(len(x), -1)
    K = relationship_matrix(problem.parents)
    d = dense_fit(problem.y, problem.X, [(Z, lower_factor(theta, 4), K)])
    assert fit.criterion == pytest.approx(d.criterion, abs=1e-9)
    new = data.head(5)
    np.testing.assert_allclose(fit.predict(new), np.asarray(fit.fitted)[:5], rtol=1e-10)


def test_diag_of_str_is_two_independent_terms():
    problem = herd(22, unknown=0.0, founders=9)
    pedigree, data = problem.pedigree, table(problem)
    together = mme.lmer("y ~ x + diag(1 | str(animal, dam))", data, relationship={"animal": pedigree})
    apart = mme.lmer("y ~ x + (1 | animal) + (1 | dam)", data, relationship={"animal": pedigree, "dam": pedigree})
    assert together.criterion == pytest.approx(apart.criterion, abs=1e-6)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ x + (1 || str(animal, dam))", r"write diag\(... \| str\(animal, dam\)\) for no correlations"),
        ("y ~ x + (1 | str(animal))", "takes two columns or more"),
        ("y ~ x + (1 | str(animal, dam:pen))", "make one of 'dam:pen' beforehand"),
        ("y ~ x + (1 | str(animal, log(x)))", "is not a grouping factor"),
        ("y ~ x + (1 | str(animal, dam)) + (1 | animal)", "give its other term a copy of the column"),
        ("y ~ x + (1 | str(animal, dam)/pen)", "is not a grouping factor"),
        ("y ~ x + (1 | str(animal, damm))", "unknown column 'damm'"),
    ],
)
def test_what_str_cannot_mean_is_refused(formula, message):
    problem = herd(23)
    with pytest.raises(mme.MMEError, match=message):
        mme.lmer(formula, table(problem), relationship={"animal": problem.pedigree})


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ((["a", None], ["b", "a"]), {}, "1 of 2 labels are missing"),
        ((["a", "b"], ["b", "a", "a"]), {}, "its label vectors have 2, 3 labels"),
        ((["a", "b"], ["b", "a"]), {"covariates": np.ones((2, 3))}, "2 label vectors need a covariate each, got 3"),
        ((["a", "b"], ["b", "a"]), {"columns": ["a"]}, "1 column names for 2 columns"),
        ((["a", "b"], ["b", "z"]), {"relationship": True}, r"1 of 3 levels are not in its relationship \('z'\)"),
        ((["a", 0], ["b", "a"]), {"relationship": True}, "1 of 2 labels are missing"),
    ],
)
def test_label_vectors_that_cannot_be_used_are_refused(groups, options, message):
    if "relationship" in options:
        options = {"relationship": mme.Pedigree(["a", "b"], [None, None], [None, None])}
    with pytest.raises(mme.MMEError, match=message):
        mme.Term(groups, options.pop("covariates", None), name="animal", **options)


def test_a_tuple_of_labels_is_no_tuple_of_label_vectors():
    assert mme.Term(("a", "b", "a")).codes.tolist() == [0, 1, 0]
    assert mme.Term((["a", "b", "a"],)).codes.tolist() == [0, 1, 0]


def test_columns_are_named_by_the_label_vectors():
    data = pd.DataFrame({"animal": ["a", "b"], "dam": ["b", None]})
    assert mme.Term((data["animal"], data["dam"])).columns == ("animal", "dam")
    assert mme.Term((["a", "b"], ["b", "a"])).columns == ("x1", "x2")


def test_unrelated_levels_need_fewer_effects_than_records():
    n = 12
    animals, dams = [f"a{i}" for i in range(n)], [f"d{i % 3}" for i in range(n)]
    with pytest.raises(mme.MMEError, match="= 15 random effects for 12 records"):
        mme.fit(np.arange(12.0), np.ones((n, 1)), [mme.Term((animals, dams))])


def test_a_missing_label_is_no_second_record_of_a_level():
    """Sixteen givers of two records each, to nobody: too few to tell their effects from the residual."""
    givers = [f"g{i % 16}" for i in range(32)] + ["z"] * 8
    takers = [None] * 32 + ["t0", "t1"] * 4
    y = np.random.default_rng(0).normal(size=40)
    fit = mme.fit(y, np.ones((40, 1)), [mme.Term((givers, takers), name="giver")])
    assert "few repeats" in fit.diagnose().kinds


def test_a_dam_that_is_always_unknown_has_no_variance_to_estimate():
    problem = herd(24)
    term = mme.Term((problem.animals, [None] * len(problem.y)), relationship=problem.pedigree, columns=("a", "m"))
    with pytest.raises(mme.MMEError, match="column 'm' of term 'g' is zero in every record"):
        mme.fit(problem.y, problem.X, [term])


@pytest.mark.parametrize("random", ["diag(1 | str(g, h), hom = TRUE)", "diag(1 + x | g, hom = TRUE)"])
def test_the_exact_test_of_a_variance_is_for_one_coefficient(random):
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=60), "x": rng.normal(size=60), "g": rng.integers(8, size=60), "h": np.arange(60) % 8}
    with pytest.raises(mme.MMEError, match="is for one coefficient a level, term 'g' has 2"):
        mme.exact_rlrt(mme.lmer(f"y ~ 1 + {random}", data), 100)


def test_fixed_groups_of_unknown_parents_are_fixed_effects_in_the_shares():
    groups = ["g1", "g2"]
    pedigree = mme.Pedigree(
        list("abcd"), ["g1", "g2", "a", "b"], ["g1", "g2", "b", "a"], unknown_groups=groups, hermaphrodite=True
    )
    term = mme.Term((list("aabbccdd"), [None] * 4 + list("bbaa")), name="animal", relationship=pedigree)
    y = np.array([1.0, 3.0, 2.0, 2.5, 5.0, 1.5, 2.0, 4.0])
    fit = mme.fit(y, np.zeros((8, 0)), [term], theta=[0.5, 0.1, 0.5], sigma=1.0)
    A = relationship_matrix({"a": (None, None), "b": (None, None), "c": ("a", "b"), "d": ("b", "a")})
    Z, T = both(list("aabbccdd"), [None] * 4 + list("bbaa"), list("abcd")), np.array([[0.5, 0.0], [0.1, 0.5]])
    expected = np.trace(Z @ np.kron(A, T @ T.T) @ Z.T) / 8
    assert fit.variance_shares()["variance"]["animal"] == pytest.approx(expected, rel=1e-12)
    assert "heritability x1" in fit.summary()


@pytest.mark.parametrize("related", [True, False])
def test_tests_of_a_maternal_variance_know_how_the_models_are_nested(related):
    problem = herd(27, unknown=0.0, founders=9, records=120, size=40, large=3.0)
    pedigree, data = problem.pedigree, table(problem)
    names = {"animal": pedigree, "dam": pedigree} if related else {}

    def fit(random: str) -> mme.Fit:
        relationship = {name: names[name] for name in names if f"| {name})" in random or f"({name}," in random}
        return mme.lmer(f"y ~ x + {random}", data, relationship=relationship, method="ML")

    one, both_, free = fit("(1 | animal)"), fit("(1 | animal) + (1 | dam)"), fit("(1 | str(animal, dam))")
    apart = fit("diag(1 | str(animal, dam))")
    for small, large, reference in (
        (one, free, "0.5 chi2(1) + 0.5 chi2(2)"),
        (one, apart, "0.5 chi2(0) + 0.5 chi2(1)"),
        (both_, free, "chi2(1)"),
        (apart, free, "chi2(1)"),
    ):
        assert difference(small.internals, large.internals).reference == reference
    assert difference(both_.internals, apart.internals).count == 0
    with pytest.raises(mme.MMEError, match="not nested"):
        difference(fit("(1 | str(dam, animal))").internals, fit("(1 | animal)").internals)


def test_a_relationship_with_parameters_is_refused_for_label_vectors():
    process = mme.Term.ou([0.0, 1.0, 2.0], ["a", "a", "a"]).relationship
    with pytest.raises(mme.MMEError, match="need a known relationship, not one with parameters"):
        mme.Term((["a:0", "a:1"], ["a:1", "a:2"]), relationship=process)
