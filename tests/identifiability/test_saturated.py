"""What is refused is what cannot be identified: where derivatives of V by the variances depend on those of R."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pedigrees import columns, random_parents, relationship_matrix

import mme
from mme.covariance.words import structure
from mme.identifiability.saturated import require_identifiable
from mme.model.problem import build_model

seeds = st.integers(0, 10_000)
KINDS = ["unstructured", "diagonal", "homogeneous diagonal", "cs", "homogeneous cs", "ar1", "heterogeneous ar1"]


def is_confounded(Z, kind, q, R, K=None):
    """By V itself, dense: does a change of the term's part make up for one of R's derivatives at a random theta?"""
    rng = np.random.default_rng(5)
    part = structure(kind, q, "g")
    theta = part.nearest(np.eye(q) + 0.3 * np.ones((q, q)), np.full(q, 0.1)) * rng.uniform(0.7, 1.3, part.k)

    def V(theta):
        T = part.T(theta)
        G = np.kron(np.eye(Z.shape[1] // q) if K is None else K, T @ T.T)
        return (Z @ G @ Z.T).ravel()

    step = 1e-5
    of_theta = [(V(theta + step * e) - V(theta - step * e)) / (2 * step) for e in np.eye(part.k)]
    ranks = [
        np.linalg.matrix_rank(np.array([v / (np.linalg.norm(v) or 1.0) for v in vectors]), tol=1e-7)
        for vectors in (of_theta, [one.ravel() for one in R], [*of_theta, *(one.ravel() for one in R)])
    ]
    return ranks[0] + ranks[1] > ranks[2]


def is_refused(make):
    try:
        make()
    except mme.MMEError as error:
        return "cannot be told apart" in str(error)
    return False


def search(y, term, **options):
    """As far as the question is asked: before the search's first step."""
    require_identifiable(build_model(y, np.ones((len(y), 1)), [term], **options))


@given(
    seed=seeds,
    kind=st.sampled_from(KINDS),
    q=st.integers(2, 4),
    missing=st.sampled_from([0.0, 0.3]),
    replicates=st.sampled_from([0, 3]),
    weighted=st.booleans(),
    slopes=st.booleans(),
)
def test_a_saturated_term_is_refused_where_v_says_so(seed, kind, q, missing, replicates, weighted, slopes):
    rng = np.random.default_rng(seed)
    g, t = np.divmod(np.arange(9 * q), q)
    keep = (rng.random(g.size) >= missing) | (t < 1)
    g, t = np.append(g[keep], g[:replicates]), np.append(t[keep], t[:replicates])
    n = g.size
    X = np.column_stack([np.ones(n), rng.normal(size=(n, q - 1))]) if slopes else np.eye(q)[t]
    weights = rng.uniform(0.5, 2.0, n) if weighted else None
    term = mme.Term(g, X, name="g", covariance=kind)
    saturated = term.n_effects >= n
    R = np.eye(n) if weights is None else np.diag(1.0 / weights)
    expected = saturated and is_confounded(term.Z.toarray(), kind, q, [R])
    assert is_refused(lambda: search(rng.normal(size=n), term, weights=weights)) == expected
    search(rng.normal(size=n), term, weights=weights, sigma=1.0)


@given(seed=seeds, occasions=st.integers(3, 5), which=st.sampled_from(["AR1", "CS", "Toeplitz", "US", "Heterogeneous"]))
def test_beside_a_residual_structure_it_is_that_of_the_residuals_that_counts(seed, occasions, which):
    rng = np.random.default_rng(seed)
    g, t = np.divmod(np.arange(8 * occasions), occasions)
    residual = {
        "AR1": mme.AR1(t, g),
        "CS": mme.CompoundSymmetry(g),
        "Toeplitz": mme.Toeplitz(t, g),
        "US": mme.Unstructured(t, g),
        "Heterogeneous": mme.Heterogeneous(t),
    }[which]
    term = mme.Term(np.arange(g.size), name="record")
    refused = is_refused(lambda: search(rng.normal(size=g.size), term, residual=residual))
    assert refused == (
        which != "AR1"
    )  # AR(1) and a nugget are two things; in the others the nugget is one more of them


@given(seed=seeds, founders=st.booleans())
def test_related_levels_tell_the_variances_apart_with_a_record_each(seed, founders):
    rng = np.random.default_rng(seed)
    parents = random_parents(20, seed, unknown=1.0 if founders else 0.3)
    pedigree = mme.Pedigree(*columns(parents), hermaphrodite=True)
    animals = rng.permutation(list(parents))[:12]
    A = relationship_matrix(parents)
    at = [list(parents).index(one) for one in animals]
    expected = is_confounded(np.eye(20)[at], "unstructured", 1, [np.eye(12)], A)
    term = mme.Term(animals, name="animal", relationship=pedigree)
    assert is_refused(lambda: search(rng.normal(size=12), term)) == expected
    assert expected or not founders


def test_two_records_a_group_and_a_slope_are_fitted_as_lme4_fits_them():
    """lme4 1.1.31 told not to count random effects (``check.nobs.vs.nRE = "ignore"``)."""
    sleep = mme.load("sleepstudy")
    sleep["pair"] = np.arange(180) // 2
    fit = mme.lmer("Reaction ~ Days + (Days | pair)", sleep)
    assert fit.optimum.verdict.startswith("minimum")
    np.testing.assert_allclose(fit.criterion, 1791.39012065, atol=1e-6)
    np.testing.assert_allclose(fit.sigma, 21.47969, rtol=1e-5)


def test_serial_correlation_beside_measurement_error_needs_no_replicates():
    """glmmTMB 1.1.5, ``y ~ 1 + ar1(0 + t | g)``, a record a time and a group."""
    rng = np.random.default_rng(5)
    L = np.linalg.cholesky(0.7 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))))
    y = (rng.normal(size=(40, 6)) @ L.T).ravel() * 1.5 + 0.6 * rng.normal(size=240)
    data = pd.DataFrame({"y": y, "g": np.repeat(np.arange(40), 6), "t": np.tile(np.arange(6), 40)})
    fit = mme.lmer("y ~ 1 + ar1(0 + factor(t) | g)", data)
    np.testing.assert_allclose(fit.criterion, 784.79306970, atol=1e-5)
    np.testing.assert_allclose(fit.sigma, 0.6119354, rtol=1e-3)


def test_the_residual_and_the_columns_at_fault_are_named():
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {"y": rng.normal(size=40), "z": rng.normal(size=40), "record": np.arange(40), "f": list("ab") * 20}
    )
    data["g"] = np.arange(40) // 2
    for formula, message in (
        ("y ~ (1 | record)", "'record' has as many levels as there are records (40): its variance and the residual v"),
        ("y ~ (z | record)", "the variance of '(Intercept)' and the residual variance cannot be told apart"),
        ("y ~ (0 + f | g)", "the variance of 'fa', 'fb' and the residual variance cannot be told apart"),
    ):
        with pytest.raises(mme.MMEError) as caught:
            mme.lmer(formula, data)
        assert message in str(caught.value)
    with pytest.raises(mme.MMEError, match=r"residual structure \(CompoundSymmetry\)"):
        mme.lmer("y ~ (1 | record)", data, residual=mme.CompoundSymmetry("g"))
    assert mme.lmer("y ~ (1 | record)", data, sigma=0.5).sigma == 0.5
    assert mme.lmer("y ~ (1 | record)", data, theta=[1.0]).optimum.verdict == "given"


def test_relatives_whose_likeness_the_fixed_effects_or_other_terms_hold_are_called_flat():
    rng = np.random.default_rng(7)
    sire, n = np.repeat(np.arange(5), 8), 40
    offspring = [f"o{i}" for i in range(n)]
    sires = [f"s{i}" for i in range(5)]
    pedigree = mme.Pedigree(offspring + sires, [sires[s] for s in sire] + [None] * 5, [None] * (n + 5))
    alike = mme.Relationship(covariance=0.5 * np.ones((n, n)) + 0.5 * np.eye(n), levels=offspring)
    data = pd.DataFrame({"animal": offspring, "sire": [sires[s] for s in sire], "y": rng.normal(size=5)[sire]})
    data["y"] += rng.normal(size=n)
    for formula, related in (
        ("y ~ 1 + (1 | animal) + (1 | sire)", pedigree),  # A = 3/4 I + 1/4 of the sires' ZZ'
        ("y ~ sire + (1 | animal)", pedigree),  # the same ZZ' in X
        ("y ~ 1 + (1 | animal)", alike),  # 11' in X
    ):
        optimum = mme.lmer(formula, data, relationship={"animal": related}).optimum
        assert optimum.verdict == "flat"
        assert "cannot be told apart" in str(optimum)
    assert mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": pedigree}).optimum.verdict == "minimum"


def test_a_random_intercept_that_the_residual_structure_holds_is_refused_in_any_term():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(12), 3), "t": np.tile(np.arange(3), 12), "x": rng.normal(size=36)})
    data["y"] = rng.normal(size=12)[data["g"]] + rng.normal(size=36)
    pairs = data[data["t"] < 2]
    held = [
        ("y ~ 1 + (x | g)", data, mme.CompoundSymmetry("g")),
        ("y ~ 1 + (x || g)", data, mme.CompoundSymmetry("g")),
        ("y ~ 1 + (0 + factor(t) | g)", data.assign(g=data["g"] // 2), mme.CompoundSymmetry(data["g"] // 2)),
        ("y ~ 1 + (1 | g)", pairs, mme.AR1("t", "g")),  # of two records each: one covariance
        ("y ~ 1 + (1 | g)", pairs, mme.Exponential("t", "g")),
    ]
    for formula, table, within in held:
        assert is_refused(lambda formula=formula, table=table, of=within: mme.lmer(formula, table, residual=of))
    free = [
        ("y ~ 1 + (0 + x | g)", data, mme.CompoundSymmetry("g")),
        ("y ~ 1 + (1 | g)", data, mme.AR1("t", "g")),
        ("y ~ 1 + (1 | g)", pairs.assign(t=pairs["t"] * (1 + pairs["g"])), mme.Exponential("t", "g")),
    ]
    for formula, table, within in free:
        assert not is_refused(lambda formula=formula, table=table, of=within: mme.lmer(formula, table, residual=of))


def test_fewer_groups_than_occasions_are_said_to_leave_an_unstructured_likelihood_without_a_maximum():
    rng = np.random.default_rng(3)
    y, t, g = rng.normal(size=12), np.tile(np.arange(3), 4), np.repeat(np.arange(4), 3)
    with pytest.warns(mme.MMEWarning, match="2 levels of group for 3 of occasion: .* no maximum"):
        few = build_model(y[:6], np.ones((6, 1)), [], residual=mme.Unstructured(t[:6], g[:6]))
    assert few.residual.k == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model(y, np.ones((12, 1)), [], residual=mme.Unstructured(t, g))


def test_the_objective_beside_a_residual_structure_takes_its_parameters_or_asks_for_them():
    rng = np.random.default_rng(3)
    y, t, g = rng.normal(size=12), np.tile(np.arange(3), 4), np.repeat(np.arange(4), 3)
    model = {"y": y, "X": np.ones((12, 1)), "terms": [], "residual": mme.AR1(t, g)}
    with pytest.raises(mme.MMEError, match=r"phi=\{'rho': \.\.\.\}"):
        mme.objective(**model)
    fit = mme.fit(**model, phi={"rho": 0.4})
    assert mme.objective(**model, phi={"rho": 0.4})([]) == pytest.approx(fit.criterion, abs=1e-10)
