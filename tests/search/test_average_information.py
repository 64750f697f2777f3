"""Average information finds what values of the criterion find, in fewer evaluations, and says it in the same words."""

import numpy as np
import pandas as pd
import pytest
from cases import SHIPPED, lme4_case_names, load_case, private_cases
from structured import cases, fit_case

import mme
from mme.numeric.limits import Limits, within

# Many records, few parameters: one search takes a second.
LARGE = ("insteval", "chem97")


def stored():
    for name in lme4_case_names():
        yield pytest.param(name, marks=[pytest.mark.slow] if name.startswith(LARGE) else [])
    yield from private_cases("tlc")


def assert_same(one, other):
    """Criterion, covariances relative to sigma^2, sigma, what is at the edge, and the verdict."""
    assert other.criterion == pytest.approx(one.criterion, abs=1e-6)
    assert other.optimum.verdict == one.optimum.verdict
    assert other.optimum.boundary == one.optimum.boundary
    np.testing.assert_allclose(other.beta, one.beta, atol=1e-4 * one.se.max())


def both(fit):
    return (fit(search=by) for by in ("derivative-free", "average-information"))


@pytest.mark.parametrize("name", list(stored()))
def test_both_searches_find_the_same_optimum_of_every_stored_case(name):
    case = load_case(name)
    assert_same(*both(case.fit))


@pytest.mark.parametrize("name", cases())
def test_both_searches_find_the_same_optimum_of_residual_structures(name):
    one, other = both(lambda **options: fit_case(name, **options))
    if name.startswith("st_tlc_lme_exp"):  # no serial correlation: where along its range a search ends is chance
        assert other.criterion == pytest.approx(one.criterion, abs=1e-6)
        assert other.optimum.converged
        return
    assert_same(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_both_searches_find_the_same_optimum_of_two_thousand_animals(method):
    data, family = (pd.read_csv(SHIPPED / "breeding" / f"animal2000_{name}.csv") for name in ("data", "pedigree"))
    known = {"animal": mme.Pedigree(family.id, family.sire, family.dam)}
    formula = "y ~ x + herd + (1 | animal)"
    assert_same(*both(lambda **by: mme.lmer(formula, data, relationship=known, method=method, **by)))


def visits(T, J, seed=1):
    """Records of J groups at T visits, some of them missed."""
    rng = np.random.default_rng(seed)
    seen = rng.random((J, T)) < 0.85
    g, t = np.nonzero(seen)
    L = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(np.arange(T), np.arange(T))) + 0.3)
    y = (rng.normal(size=(J, T)) @ L.T * np.linspace(1.0, 2.0, T))[g, t]
    return {"y": y, "g": g, "t": t, "x": rng.normal(size=g.size), "centre": g % 12}


def test_many_residual_parameters_are_found_in_a_few_evaluations():
    table = visits(6, 120)
    options = {"formula": "y ~ factor(t) + (1 | centre)", "data": table, "residual": mme.Unstructured("t", "g")}
    one, other = both(lambda **by: mme.lmer(**options, **by))
    assert_same(one, other)
    assert other.optimum.evaluations < 20
    chosen = mme.lmer(**options)
    assert chosen.criterion == other.criterion
    assert chosen.optimum.reason == "average-information steps gained nothing more"


def test_variances_of_terms_and_strata_are_found_together():
    rng = np.random.default_rng(2)
    env, block = np.repeat(np.arange(6), 40), np.repeat(np.arange(60), 4)
    y = np.array([0.0, 1.0, 2.0, 3.0, 1.0, 0.0])[env] * rng.normal(size=60)[block] + rng.normal(size=240) * (1.0 + env)
    table = {"y": y, "env": np.array(list("abcdef"))[env], "block": block}
    formula = "y ~ env + diag(0 + env | block)"
    one, other = both(lambda **by: mme.lmer(formula, table, residual=mme.Heterogeneous("env"), **by))
    assert_same(one, other)
    assert other.optimum.evaluations < 40


def test_terms_crossed_by_the_groups_of_the_residuals_are_searched_by_average_information():
    rng = np.random.default_rng(4)
    year, plot, line = np.repeat(np.arange(12), 20), np.tile(np.arange(20), 12), rng.integers(15, size=240)
    e = rng.normal(size=(12, 20))
    for j in range(1, 20):
        e[:, j] = 0.6 * e[:, j - 1] + 0.8 * e[:, j]
    x = rng.normal(size=240)
    y = e.ravel() + rng.normal(size=15)[line] + 0.5 * x * rng.normal(size=15)[line] + rng.normal(size=12)[year]
    table = {"y": y, "year": year, "plot": plot, "line": line, "x": x}
    formula = "y ~ x + (x | line) + (1 | year)"
    one, other = both(lambda **by: mme.lmer(formula, table, residual=mme.AR1("plot", "year"), **by))
    assert_same(one, other)
    assert other.optimum.reason == "average-information steps gained nothing more"


def test_relationships_with_parameters_are_searched_by_average_information():
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(25), 12), np.tile(np.arange(12.0), 25)
    K = np.exp(-np.abs(np.subtract.outer(t[:12], t[:12])) / 3.0)
    y = (rng.normal(size=(25, 12)) @ np.linalg.cholesky(K).T).ravel() + 0.5 * rng.normal(size=300)
    h = rng.integers(20, size=300)
    y += rng.normal(size=20)[h]
    terms = [mme.Term.ou(t, g, name="g"), mme.Term(h, name="h")]
    one, other = both(lambda **by: mme.fit(y, np.ones((300, 1)), terms, **by))
    assert_same(one, other)
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-3, atol=1e-3)
    assert other.optimum.reason == "average-information steps gained nothing more"


def test_four_parameters_are_searched_by_average_information_where_an_evaluation_is_dear():
    rng = np.random.default_rng(6)
    a, b, x = rng.integers(60, size=900), rng.integers(40, size=900), rng.normal(size=900)
    y = rng.normal(size=60)[a] + rng.normal(size=40)[b] + 0.5 * x * rng.normal(size=40)[b] + rng.normal(size=900)
    table, formula = {"y": y, "x": x, "a": a, "b": b}, "y ~ x + (1 | a) + (x | b)"
    cheap = mme.lmer(formula, table)
    with within(Limits(dear_evaluation=1e3)):
        dear = mme.lmer(formula, table)
    assert_same(cheap, dear)
    assert dear.optimum.reason == "average-information steps gained nothing more"
    assert dear.optimum.evaluations < cheap.optimum.evaluations


def test_a_word_that_chooses_no_search_is_refused_by_name():
    with pytest.raises(mme.MMEError, match="search must be one of 'auto', 'derivative-free', 'average-information'"):
        mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"), search="newton")


def test_a_users_structure_of_g_is_searched_by_differences_of_its_own_matrix():
    class Common(mme.GStructure):
        """One variance of all columns, of which a part is common: T T' alone is differenced."""

        k, diagonal = 2, np.array([True, True])

        def __init__(self, q):
            self.q = q

        def T(self, theta):
            return np.linalg.cholesky(
                theta[0] ** 2 * np.ones((self.q, self.q)) + (theta[1] ** 2 + 1e-12) * np.eye(self.q)
            )

        def nearest(self, H, floor):
            return np.sqrt(np.full(2, np.mean(np.maximum(np.diag(H), floor)) / 2))

        def per_row(self, of_columns, of_others):
            return np.full(2, np.exp(np.mean(np.log(of_columns))))

        def names(self, term, columns):
            return f"{term}.common", f"{term}.own"

    rng = np.random.default_rng(7)
    g, x = np.repeat(np.arange(40), 12), rng.normal(size=(480, 3))
    y = (x * (rng.normal(size=(40, 1)) + rng.normal(size=(40, 3)))[g]).sum(axis=1) + rng.normal(size=480)
    one, other = both(lambda **by: mme.fit(y, np.ones((480, 1)), [mme.Term(g, x, covariance=Common(3))], **by))
    assert_same(one, other)
    np.testing.assert_allclose(other.theta, one.theta, rtol=1e-4)
    assert other.optimum.reason == "average-information steps gained nothing more"
