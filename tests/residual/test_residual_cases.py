"""Residual structures against nlme: the stored likelihoods, and their maxima found again."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from cases import PRIVATE, SHIPPED, load_data
from dense import dense_fit, design
from formulaic import model_matrix
from structured import STRUCTURES, cases

from mme.errors import MMEWarning
from mme.numeric.optimize import Minimum, minimise
from mme.residual import (
    AR1,
    Bound,
    CompoundSymmetry,
    Exponential,
    Heterogeneous,
    PowerOfCovariate,
    Toeplitz,
    Unstructured,
    bind,
)

# Models of more.json by the name before _ml and _reml: nlme has them under other names, or as products.
MORE: dict[str, Any] = {
    "toeplitz": Toeplitz("age", "Subject"),
    "band": Toeplitz("index", "Subject", bands=1),
    "ar1_varident": [AR1("ord", "Mare"), Heterogeneous("Mare")],
    "cs_varpower": [CompoundSymmetry("Subject"), PowerOfCovariate("pressure")],
    "exp_varident_varpower": [Exponential("index", "Subject"), Heterogeneous("QB"), PowerOfCovariate("pressure")],
}
# The columns of the random part, beside a column of ones.
SLOPES = {"st_oxboys_car1": ["age"], "st_ovary_lme_diag_ar1": ["s1"]}


class Problem:
    """y, X, the random part and the structure of a case."""

    def __init__(self, fields: dict[str, Any], residual: Any) -> None:
        self.json = fields
        self.data = load_data(fields["data"])
        response, fixed = fields["formula"].split(" ~ ")
        self.y = self.data[response].to_numpy()
        self.X = model_matrix(fixed, self.data).to_numpy()
        self.method = "REML" if fields["REML"] else "ML"
        self.bound = self.bind(residual)

    def bind(self, residual: Any) -> Bound:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MMEWarning)
            return bind(residual, lambda column: self.data[column].to_numpy(), self.y.size)

    @property
    def dense(self) -> dict[str, Any]:
        return self.json["dense"]

    @property
    def natural(self) -> np.ndarray:
        """The reference's parameters: nlme's corCAR1 is exp(-1 / range)."""
        correlation, variance = (np.atleast_1d(self.dense[part] or []) for part in ("cor_par", "var_par"))
        if self.json["nlme_call"]["correlation"] == "corCAR1":
            correlation = -1 / np.log(correlation)
        return np.append(correlation, variance)

    def criterion(self, x: np.ndarray, sigma: float) -> float:
        """-2 log (restricted) likelihood: the dense oracle on whitened columns, and log|R|."""
        white = self.bound.whiten(x, np.column_stack([self.y, self.X]).T)
        blocks = []
        if self.dense["D"] is not None:
            slopes = self.data[SLOPES.get(self.json["name"].rsplit("_", 1)[0], [])].to_numpy()
            Z = design(self.data[self.json["group"]], np.column_stack([np.ones(self.y.size), slopes]))
            D = np.array(self.dense["D"]) / sigma**2
            blocks = [(self.bound.whiten(x, Z.T).T, np.linalg.cholesky(D), None)]
        fit = dense_fit(white[0], white[1:].T, blocks, method=self.method, sigma=sigma)
        return fit.criterion + self.bound.logdet(x)

    def profiled(self, x: np.ndarray) -> float:
        """The criterion without random effects by OLS on whitened columns, beta and sigma profiled out."""
        white = self.bound.whiten(x, np.column_stack([self.X, self.y]).T).T
        R = np.abs(np.diag(np.linalg.qr(white, mode="r")))
        n, p = self.X.shape
        dof = n - p if self.method == "REML" else n
        criterion = dof * (1 + np.log(2 * np.pi * R[-1] ** 2 / dof)) + self.bound.logdet(x)
        return float(criterion + (2 * np.log(R[:-1]).sum() if self.method == "REML" else 0.0))

    def search(self) -> tuple[np.ndarray, Minimum]:
        """The x that the optimiser finds from the structure's own start."""
        residual = self.y - self.X @ np.linalg.lstsq(self.X, self.y, rcond=None)[0]
        shift = 20.0 if self.bound.k == 1 else 0.0  # a search in one coordinate keeps to positive ones
        start = self.bound.start(residual) + shift
        even = np.zeros(self.bound.k, dtype=bool)
        found = minimise(lambda x: self.profiled(x - shift), start, self.bound.radius(), even=even)
        assert found.curvature.converged
        return found.x - shift, found


def stored(name: str) -> Problem:
    """A case st_*, shipped or private."""
    shipped = SHIPPED / "structures" / f"{name}.json"
    path = shipped if shipped.exists() else PRIVATE / "cases" / f"{name}.json"
    return Problem(json.loads(path.read_text()), STRUCTURES[name.rsplit("_", 1)[0]])


def more(name: str) -> Problem:
    """A case of more.json."""
    fields = json.loads((SHIPPED / "structures" / "more.json").read_text())[name]
    return Problem(fields, MORE[name.rsplit("_", 1)[0]])


@pytest.mark.parametrize("name", cases())
def test_the_criterion_at_the_references_parameters_is_the_references(name):
    problem = stored(name)
    found = problem.criterion(problem.bound.coordinates(problem.natural), problem.dense["sigma"])
    assert found == pytest.approx(problem.dense["objective"], abs=1e-8)


@pytest.mark.parametrize("name", cases(marginal=True))
def test_the_marginal_covariance_of_the_first_group_is_the_references(name):
    problem = stored(name)
    first = problem.dense["cov_first_group"]
    index = np.flatnonzero(problem.data[problem.json["group"]] == first["group"])
    R = problem.bound.covariance(problem.bound.coordinates(problem.natural), index)
    np.testing.assert_allclose(problem.dense["sigma"] ** 2 * R, first["V"], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", cases(marginal=True))
def test_a_search_from_the_start_finds_the_references_maximum_of_the_likelihood(name):
    problem = stored(name)
    x, found = problem.search()
    assert found.value < problem.dense["objective"] + 1e-7
    assert found.value == pytest.approx(problem.dense["objective"], abs=1e-5)
    miss = x - problem.bound.coordinates(problem.natural)
    assert 0.5 * miss @ found.curvature.hessian @ miss < 1e-5


@pytest.mark.parametrize("name", [f"{stem}_{method}" for stem in MORE for method in ("ml", "reml")])
def test_toeplitz_and_products_reach_the_maximum_that_nlme_reaches(name):
    problem = more(name)
    x, found = problem.search()
    assert found.value == pytest.approx(problem.json["objective"], abs=1e-6)
    if name.startswith(("toeplitz", "band")):
        rho = np.zeros(len(problem.json["correlations_first_row"]) - 1)
        rho[: x.size] = problem.bound.natural(x)
        np.testing.assert_allclose(rho, problem.json["correlations_first_row"][1:], atol=1e-4)


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_unstructured_is_reached_as_a_product_of_correlations_and_variances_by_occasion(method):
    problem = stored(f"st_orthodont_unstr_{method}")
    other = problem.bind([Unstructured("age", "Subject", equal_variances=True), Heterogeneous("age")])
    x = problem.bound.coordinates(problem.natural)
    # "age" as strata and as occasions: both in the order of the numbers
    assert other.names == problem.bound.names
    np.testing.assert_allclose(other.coordinates(problem.natural), x, rtol=1e-12)
    assert other.logdet(x) == pytest.approx(problem.bound.logdet(x), rel=1e-12)


def test_narrower_structures_fit_no_better_than_wider_ones():
    """Nested models, each searched from its own start: bands within Toeplitz within unstructured correlations."""
    problem = stored("st_orthodont_symm_ml")
    values = []
    for bands in (1, 2, None):
        problem.bound = problem.bind(Toeplitz("age", "Subject", bands))
        values.append(problem.search()[1].value)
    values.append(problem.dense["objective"])
    assert values == sorted(values, reverse=True)
