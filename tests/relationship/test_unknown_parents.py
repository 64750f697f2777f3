"""Fixed groups of unknown parents are fixed effects: everything is that of the same model with Q in X."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from dense import dense_fit, lower_factor
from hypothesis import given
from hypothesis import strategies as st
from pedigrees import random_parents, relationship_matrix, selection

import mme
from mme.numeric.limits import Limits, limits, within

seeds = st.integers(0, 10_000)


@dataclass(frozen=True)
class Herd:
    """A pedigree with groups, A and Q by definition, and records: animals, dams, covariates, another factor."""

    pedigree: mme.Pedigree
    A: np.ndarray
    Q: np.ndarray
    data: pd.DataFrame

    @property
    def levels(self) -> list:
        return self.pedigree.animals.tolist()

    def plain(self) -> mme.Relationship:
        return mme.Relationship(covariance=self.A, levels=self.levels)


def herd(seed: int, animals: int = 24, records: int = 70, groups: int = 3, **options) -> Herd:
    rng = np.random.default_rng(seed)
    parents = random_parents(animals, seed, unknown=0.3)
    labels = [f"g{k}" for k in range(groups)]
    given_to = iter(np.resize(rng.permutation(groups), 2 * animals))
    named = {i: tuple(labels[next(given_to)] if p is None else p for p in pair) for i, pair in parents.items()}
    fractions = {label: np.eye(groups)[k] for k, label in enumerate(labels)}
    for i, (sire, dam) in named.items():  # parents stand before offspring
        fractions[i] = 0.5 * (fractions[sire] + fractions[dam])
    Q = np.array([fractions[i] for i in parents])
    pedigree = mme.Pedigree(
        list(named), *zip(*named.values(), strict=True), unknown_groups=labels, hermaphrodite=True, **options
    )
    animal = np.append(list(parents), rng.choice(list(parents), records - animals))
    dam = [parents[i][1] for i in animal]
    data = pd.DataFrame({"animal": animal, "dam": dam, "x": rng.normal(size=records), "z": rng.normal(size=records)})
    data["h"] = rng.integers(6, size=records).astype(str)
    data["sex"] = np.where(np.arange(records) % 2, "m", "f")
    data["y"] = rng.normal(size=records) + (selection(animal, list(parents)) @ Q) @ rng.normal(scale=2.0, size=groups)
    return Herd(pedigree, relationship_matrix(parents), Q, data)


def with_Q_in_X(problem: Herd) -> tuple[pd.DataFrame, str]:
    """The data with columns q0, q1, ... and the right-hand side that has them."""
    ZQ = selection(problem.data["animal"], problem.levels) @ problem.Q
    names = [f"q{k}" for k in range(ZQ.shape[1])]
    return problem.data.assign(**dict(zip(names, ZQ.T, strict=True))), " + ".join(names)


@given(
    seed=seeds,
    method=st.sampled_from(["REML", "ML"]),
    sigma=st.sampled_from([None, 1.3]),
    theta=st.sampled_from([[0.0, 0.0, 0.0], [0.8, 0.0, 0.0], [0.7, -0.9, 0.0], [0.0, 0.0, 1.1], [1.2, 0.4, 0.6]]),
)
def test_at_any_theta_the_criterion_is_that_with_q_in_x(seed, method, sigma, theta):
    problem = herd(seed)
    data, n = problem.data, len(problem.data)
    basis = np.column_stack([np.ones(n), data["x"]])
    term = mme.Term(data["animal"], basis, name="a", relationship=problem.pedigree)
    crossed = mme.Term(data["h"], name="h")
    weights = np.random.default_rng(seed).uniform(0.5, 2.0, n)
    fit = mme.fit(
        data["y"], data[["z"]], [term, crossed], method=method, sigma=sigma, weights=weights, theta=[*theta, 0.5]
    )
    chosen, levels = selection(data["animal"], problem.levels), sorted(set(data["h"]))
    Z = (chosen[:, :, None] * basis[:, None, :]).reshape(n, -1)
    columns = (basis[:, None, :] * (chosen @ problem.Q)[:, :, None]).reshape(n, -1)
    X = np.column_stack([data["z"], columns])
    blocks = [(Z, lower_factor(theta, 2), problem.A), (selection(data["h"], levels), np.array([[0.5]]), None)]
    oracle = dense_fit(data["y"].to_numpy(), X, blocks, weights, method, sigma)
    np.testing.assert_allclose(fit.criterion, oracle.criterion, rtol=1e-10)
    np.testing.assert_allclose(fit.beta, oracle.beta, rtol=1e-7, atol=1e-7)
    groups = fit.beta.to_numpy()[1:].reshape(3, 2)
    expected = oracle.b[: 2 * len(problem.levels)].reshape(-1, 2) + problem.Q @ groups
    np.testing.assert_allclose(fit.ranef()["a"], np.vstack([expected, groups]), atol=1e-7)


ANIMAL = "(1 | animal)"


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(
    "random",
    [ANIMAL, "(1 + x | animal)", f"{ANIMAL} + (1 | h)", "(1 | str(animal, dam))", f"{ANIMAL} + (1 | dam)"],
)
def test_the_fit_is_that_with_q_in_x(random, method):
    problem = herd(11, animals=60, records=240)
    data, q = with_Q_in_X(problem)
    problem.data["y"] = data["y"] = data["y"] + np.repeat(np.random.default_rng(0).normal(size=60), 4)
    if "dam" in random:
        known = data["dam"].notna()
        data, frame = data[known], problem.data[known]
        dams = selection(data["dam"], problem.levels) @ problem.Q
        data = data.assign(**{f"m{k}": column for k, column in enumerate(dams.T)})
        q += " + m0 + m1 + m2"
    else:
        frame = problem.data
    if "x" in random:
        q += " + " + " + ".join(f"x:q{k}" for k in range(3))
    names = [name for name in ("animal", "dam") if f"| {name})" in random or f"str({name}" in random]
    plain = mme.lmer(f"y ~ 0 + {q} + {random}", data, relationship=dict.fromkeys(names, problem.plain()), method=method)
    fit = mme.lmer(f"y ~ 0 + {random}", frame, relationship=dict.fromkeys(names, problem.pedigree), method=method)
    np.testing.assert_allclose(fit.criterion, plain.criterion, rtol=1e-8)
    np.testing.assert_allclose(fit.varcorr.to_frame()["variance"], plain.varcorr.to_frame()["variance"], atol=2e-4)
    np.testing.assert_allclose(fit.fitted, plain.fitted, atol=1e-3)
    assert (fit.dof, fit.nobs) == (plain.dof, plain.nobs)
    assert len(fit.dropped) == len(plain.dropped)
    intervals = [one.predict(rows.head(9), interval="prediction") for one, rows in ((fit, frame), (plain, data))]
    np.testing.assert_allclose(*intervals, atol=2e-3)


def test_groups_beside_an_intercept_or_all_sexes_lose_one_and_are_measured_from_it():
    problem = herd(3)
    related = {"animal": problem.pedigree}
    free = mme.lmer("y ~ 0 + (1 | animal)", problem.data, relationship=related, theta=[0.8])
    for fixed in ("1", "0 + sex", "sex"):
        fit = mme.lmer(f"y ~ {fixed} + (1 | animal)", problem.data, relationship=related, theta=[0.8])
        assert fit.dropped == ("animal.g2",)
        assert "determined by earlier columns: animal.g2." in fit.summary()
        assert "animal.g2 =" in str(fit.diagnose())
    fit = mme.lmer("y ~ 1 + (1 | animal)", problem.data, relationship=related, theta=[0.8])
    blups, base = free.ranef()["animal"], free.ranef()["animal"].loc["g2"]
    np.testing.assert_allclose(fit.criterion, free.criterion, rtol=1e-12)
    np.testing.assert_allclose(fit.ranef()["animal"], blups - base, atol=1e-9)
    # the variance of the contrast with g2, from the joint covariance of the model with Q in X
    chosen = selection(problem.data["animal"], problem.levels)
    oracle = dense_fit(problem.data["y"].to_numpy(), chosen @ problem.Q, [(chosen, np.array([[0.8]]), problem.A)])
    P = np.linalg.inv(oracle.V)
    P -= P @ chosen @ problem.Q @ oracle.beta_cov @ problem.Q.T @ chosen.T @ P
    contrast = problem.Q - np.eye(3)[2]
    crossed = -oracle.G @ chosen.T @ np.linalg.inv(oracle.V) @ chosen @ problem.Q @ oracle.beta_cov
    expected = oracle.pev + contrast @ oracle.beta_cov @ contrast.T + contrast @ crossed.T + crossed @ contrast.T
    np.testing.assert_allclose(fit.pev()["animal"][:-3, 0, 0], np.diag(expected), rtol=1e-9)
    np.testing.assert_allclose(fit.pev()["animal"][-3:-1, 0, 0], fit.se.iloc[1:] ** 2, rtol=1e-9)
    assert np.isnan(fit.pev()["animal"][-1]).all()


@given(seed=seeds)
def test_prediction_error_variances_are_those_of_the_transformed_equations(seed):
    problem = herd(seed)
    fit = mme.lmer("y ~ 0 + x + (1 | animal)", problem.data, relationship={"animal": problem.pedigree}, theta=[0.7])
    Z = np.hstack([selection(problem.data["animal"], problem.levels), np.zeros((70, 3))])
    C = np.hstack([problem.data[["x"]], Z])
    ratio = 0.7**2
    coefficients = C.T @ C
    coefficients[1:, 1:] += problem.pedigree.Ainv.toarray() / ratio
    inverse = fit.sigma**2 * np.linalg.inv(coefficients)
    np.testing.assert_allclose(fit.pev()["animal"][:, 0, 0], np.diag(inverse)[1:], rtol=1e-7)
    np.testing.assert_allclose(fit.se["x"], np.sqrt(inverse[0, 0]), rtol=1e-8)
    own = np.diag(problem.A) * fit.sigma**2 * ratio
    reliability = 1.0 - np.diag(inverse)[1:-3] / own
    reliability[reliability < 0.0] = np.nan
    np.testing.assert_allclose(fit.reliability()["animal"].iloc[:-3, 0], reliability, atol=1e-7)


def test_a_group_without_records_is_not_known_and_neither_are_its_animals():
    pedigree = mme.Pedigree(
        ["a", "b", "c", "d", "e"], ["g", "h", "a", "far", "d"], ["g", "h", "b", "far", "a"],
        unknown_groups=["g", "h", "far"], hermaphrodite=True,
    )  # fmt: skip
    data = {"animal": list("abcabc"), "y": [1.0, 2.0, 4.0, 3.0, 2.5, 4.5]}
    fit = mme.lmer("y ~ 0 + (1 | animal)", data, relationship={"animal": pedigree}, theta=[1.0])
    assert fit.dropped == ("animal.far",)
    known = ["a", "b", "c", "g", "h"]
    for values in (fit.ranef()["animal"].iloc[:, 0], pd.Series(fit.pev()["animal"][:, 0, 0], index=pedigree.levels)):
        assert values.index[values.notna()].tolist() == known
    reliability = fit.reliability()["animal"].iloc[:, 0]
    assert reliability.dropna().between(0.0, 1.0).all()
    assert reliability[["d", "e", "g", "h", "far"]].isna().all()


def test_groups_of_sires_and_of_dams_are_measured_from_the_one_of_each_that_is_dropped():
    rng = np.random.default_rng(2)
    animals, young = [f"a{i}" for i in range(40)], range(12, 40)
    sires = [f"s{i % 3}" for i in range(12)] + [f"a{i % 6}" for i in young]
    dams = [f"d{i % 2}" for i in range(12)] + [f"a{6 + i % 5}" for i in young]
    pedigree = mme.Pedigree(animals, sires, dams, unknown_groups=["s0", "s1", "s2", "d0", "d1"])
    fit = mme.lmer("y ~ 1 + (1 | animal)", {"animal": animals, "y": rng.normal(size=40)},
                   relationship={"animal": pedigree}, theta=[1.0])  # fmt: skip
    assert fit.dropped == ("animal.s2", "animal.d1")
    groups = fit.ranef()["animal"].iloc[-5:, 0]
    np.testing.assert_allclose(groups, [*fit.beta.iloc[1:3], 0.0, fit.beta.iloc[3], 0.0])
    np.testing.assert_allclose(fit.pev()["animal"][[-5, -4, -2], 0, 0], fit.se.iloc[1:] ** 2)
    assert np.isnan(fit.pev()["animal"][[-3, -1]]).all()
    assert np.isfinite(fit.pev()["animal"][:-5]).all()


@given(seed=seeds, variance=st.floats(0.05, 20.0), method=st.sampled_from(["REML", "ML"]))
def test_random_groups_have_the_prior_variance_in_units_of_the_additive_one(seed, variance, method):
    """u* = a + Q g, g ~ N(0, group_variance sigma_a^2): cov(u*) = sigma_a^2 (A + group_variance QQ')."""
    problem = herd(seed, group_variance=variance)
    fit = mme.lmer(
        "y ~ x + (1 | animal)", problem.data, relationship={"animal": problem.pedigree}, method=method, theta=[0.6]
    )
    Z = selection(problem.data["animal"], problem.levels)
    X = np.column_stack([np.ones(70), problem.data["x"]])
    K = problem.A + variance * problem.Q @ problem.Q.T
    oracle = dense_fit(problem.data["y"].to_numpy(), X, [(Z, np.array([[0.6]]), K)], None, method)
    np.testing.assert_allclose(fit.criterion, oracle.criterion, rtol=1e-9)
    np.testing.assert_allclose(fit.ranef()["animal"].iloc[:-3, 0], oracle.b, atol=1e-7)
    np.testing.assert_allclose(fit.pev()["animal"][:-3, 0, 0], np.diag(oracle.pev), rtol=1e-7)


def test_records_of_a_group_itself_are_of_its_fixed_effect_alone():
    pedigree = mme.Pedigree(["a", "b", "c"], ["g", "g", "a"], ["h", "g", "b"], unknown_groups=["g", "h"])
    data = {"animal": [*list("abcabc"), "g", "h"], "y": [1.0, 2.0, 4.0, 3.0, 2.5, 4.5, 7.0, 1.0]}
    fit = mme.lmer("y ~ 0 + (1 | animal)", data, relationship={"animal": pedigree}, theta=[0.9])
    Z = np.vstack([selection(data["animal"][:6], "abc"), np.zeros((2, 3))])
    Q = np.array([[0.5, 0.5], [1.0, 0.0], [0.75, 0.25]])
    X = np.vstack([Z[:6] @ Q, np.eye(2)])
    A = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.5, 0.5, 1.0]])
    oracle = dense_fit(np.array(data["y"]), X, [(Z, np.array([[0.9]]), A)])
    np.testing.assert_allclose(fit.criterion, oracle.criterion, rtol=1e-12)
    np.testing.assert_allclose(fit.ranef()["animal"].iloc[:, 0], [*(oracle.b + Q @ oracle.beta), *oracle.beta])
    np.testing.assert_allclose(fit.condvar()["animal"][:, 0, 0], [*np.diag(oracle.condvar), 0.0, 0.0], atol=1e-12)


def test_what_follows_a_fit_knows_the_groups(tmp_path):
    problem = herd(5, animals=40, records=160)
    data, q = with_Q_in_X(problem)
    groups, plain = {"animal": problem.pedigree}, {"animal": problem.plain()}
    fit = mme.lmer("y ~ 0 + sex + x + (1 | animal)", data, relationship=groups)
    other = mme.lmer(f"y ~ 0 + sex + x + {q} + (1 | animal)", data, relationship=plain)
    assert fit.fixed_names[-2:] == ("animal.g0", "animal.g1")
    assert other.dropped == ("q2",)
    np.testing.assert_allclose(fit.coefficients(), other.coefficients(), rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(fit.means("sex"), other.means("sex"), rtol=1e-3, atol=1e-4)
    for kind in (1, 2, 3):
        table = fit.anova(type=kind)
        assert table.index.tolist() == ["sex", "x", "groups of animal"]
        with pytest.warns(mme.MMEWarning, match="No test of q2"):
            np.testing.assert_allclose(table.loc["x"], other.anova(type=kind).loc["x"], rtol=2e-3)
        joint = other.contrast([[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]], joint=True)["F"].item()
        assert table.loc["groups of animal", "F"] == pytest.approx(joint, rel=2e-3)
    np.testing.assert_allclose(fit.simulate(3, seed=1), other.simulate(3, seed=1), atol=2e-2)
    np.testing.assert_allclose(fit.predict(data, random=False), fit.predict(random=False), atol=1e-12)
    np.testing.assert_allclose(fit.predict(data), fit.predict(), atol=1e-12)
    assert set(fit.coef()["animal"].columns) == {"(Intercept)", "sexf", "sexm", "x"}
    draws = fit.draws(4000, seed=2).b["animal"][:, :, 0]
    spread = fit.pev()["animal"][:, 0, 0]
    np.testing.assert_allclose(draws.mean(axis=0), fit.ranef()["animal"].iloc[:, 0], atol=0.1)
    np.testing.assert_allclose(draws.var(axis=0)[:-1], spread[:-1], rtol=0.12)
    fit.save(tmp_path / "groups.mme")
    again = mme.load_fit(tmp_path / "groups.mme")
    pd.testing.assert_frame_equal(again.ranef()["animal"], fit.ranef()["animal"])
    np.testing.assert_array_equal(again.pev()["animal"], fit.pev()["animal"])
    new = pd.DataFrame({"sex": ["m"], "x": [0.5], "animal": ["stranger"]})
    base = fit.predict(new, random=False)
    np.testing.assert_allclose(fit.predict(new, new_levels="population"), base)


def test_memory_for_fixed_groups_is_forecast_as_an_evaluation_takes_it():
    animals, groups = [f"a{i}" for i in range(60)], ["g0", "g1", "g2"]
    parents = [groups[i % 3] for i in range(60)]
    ped = mme.Pedigree(animals, parents, parents, unknown_groups=groups)
    term = mme.Term(animals, name="animal", relationship=ped)
    y, needed = np.random.default_rng(0).normal(size=60), 9 * 8 * 3 * 60
    with within(Limits(memory=needed - 1)), pytest.raises(mme.MMEError, match="3 fixed groups of unknown parents are"):
        mme.objective(y, np.ones((60, 1)), [term])


def many_groups(genetic, repeats=1, n=500, G=90):
    """Four generations of animals, founders of many groups, so many records of each and another of some."""
    rng, F = np.random.default_rng(8), n // 4
    parents = [[f"g{(i + k * (i % 2)) % G}" for i in range(F)] for k in (0, 1)]
    for i in range(F, n):
        first = (i // F - 1) * F
        parents[0].append(int(rng.integers(first, first + F // 4)))
        parents[1].append(int(rng.integers(first + F // 4, first + F)))
    pedigree = mme.Pedigree(list(range(n)), *parents, unknown_groups=[f"g{k}" for k in range(G)])
    animal = np.append(np.repeat(np.arange(n), repeats), np.arange(0, n, 3))
    data = pd.DataFrame(
        {"animal": animal, "sex": rng.integers(0, 2, animal.size), "w": rng.uniform(0.5, 2, animal.size)}
    )
    a = rng.normal(size=n)
    for i in range(F, n):
        a[i] = 0.5 * (a[parents[0][i]] + a[parents[1][i]]) + np.sqrt(0.5) * a[i]
    data["y"] = (genetic * a + pedigree.Q @ rng.normal(size=G))[animal] + rng.normal(size=animal.size)
    return pedigree, data


def test_groups_are_tested_by_their_own_columns_where_terms_contain_others():
    problem = herd(5, animals=40, records=160)
    data, _ = with_Q_in_X(problem)
    fit = mme.lmer("y ~ sex * x + (1 | animal)", data, relationship={"animal": problem.pedigree})
    own = np.array([name.startswith("animal.") for name in fit.fixed_names])
    joint = fit.contrast(np.eye(own.size)[own], joint=True)["F"].item()
    assert fit.anova(type=3).loc["groups of animal", "F"] == pytest.approx(joint, rel=1e-9)


@pytest.mark.parametrize(
    ("genetic", "options", "repeats"),
    [(2.0, {}, 1), (2.0, {"weights": "w", "method": "ML"}, 1), (0.0, {}, 1), (2.0, {"weights": "w"}, 3)],
)
def test_groups_in_sparse_columns_are_those_in_dense_ones(genetic, options, repeats, tmp_path):
    pedigree, data = many_groups(genetic, repeats)
    np.testing.assert_allclose(pedigree.sparse_Q.toarray(), pedigree.Q, atol=1e-15)
    formula, related = "y ~ factor(sex) + (1 | animal)", {"animal": pedigree}
    dense = mme.lmer(formula, data, relationship=related, **options)
    with within(replace(limits(), dense_fixed=10, dense_fixed_operations=1.0)):
        searched = mme.lmer(formula, data, relationship=related, **options)
        wide = mme.lmer(formula, data, relationship=related, theta=dense.theta, **options)
        wide.save(tmp_path / "wide.mme")
        again = mme.load_fit(tmp_path / "wide.mme")
    assert wide.internals.model.is_wide
    assert not dense.internals.model.is_wide
    assert wide.internals.objective.fixed.J > 70  # all groups that are kept
    assert (wide.internals.objective.fixed.pooled is not None) == (repeats > 1)  # records of an animal have one row
    assert wide.dropped == dense.dropped
    assert searched.criterion == pytest.approx(dense.criterion, abs=1e-7)
    assert wide.criterion == pytest.approx(dense.criterion, abs=1e-9)
    for fit in (wide, again):
        np.testing.assert_allclose(fit.beta, dense.beta, atol=1e-6)
        np.testing.assert_allclose(fit.se, dense.se, rtol=1e-6)
        for of in ("ranef", "pev", "reliability"):
            np.testing.assert_allclose(getattr(fit, of)()["animal"], getattr(dense, of)()["animal"], atol=1e-6)
        np.testing.assert_allclose(fit.predict(data[:9]), dense.predict(data[:9]), atol=1e-6)
    np.testing.assert_allclose(wide.anova()["F"], dense.anova()["F"], rtol=1e-5)


def test_memory_for_groups_in_sparse_columns_is_forecast_by_their_entries():
    pedigree, data = many_groups(2.0)
    entries = np.diff(pedigree.sparse_Q.indptr)[data["animal"]].sum()
    few = replace(limits(), dense_fixed=10, dense_fixed_operations=1.0, memory=int(90 * entries) - 1)
    with (
        within(few),
        pytest.raises(mme.MMEError, match="'animal': 90 fixed groups of unknown parents are columns of X"),
    ):
        mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": pedigree})


def test_an_animal_that_is_not_known_has_the_mean_of_the_records_from_chunks_too():
    rng = np.random.default_rng(3)
    ids = [f"a{i}" for i in range(40)]
    parents = [[f"g{(i // j) % 3}" if i < 15 else ids[rng.integers(0, 15)] for i in range(40)] for j in (1, 2)]
    pedigree = mme.Pedigree(ids, *parents, unknown_groups=["g0", "g1", "g2"], hermaphrodite=True)
    data = pd.DataFrame({"animal": rng.choice(ids, 120), "f": rng.choice(["x", "y"], 120), "y": rng.normal(size=120)})
    fits = [
        mme.lmer("y ~ f + (1 | animal)", d, relationship={"animal": pedigree}) for d in (data, [data[:50], data[50:]])
    ]
    new = data[:3].assign(animal="not known")
    here, there = (fit.predict(new, new_levels="population") for fit in fits)
    np.testing.assert_allclose(there, here, rtol=1e-7)
    np.testing.assert_allclose(fits[1].means("f")["mean"], fits[0].means("f")["mean"], rtol=1e-7)
