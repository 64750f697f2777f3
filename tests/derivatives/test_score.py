"""The exact score and average information: differences of the criterion, and the dense algebra of their definitions."""

import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

import mme
from mme.derivatives.average import average_information
from mme.derivatives.score import has_score, score
from mme.derivatives.uncertainty import Meetings
from mme.engine.objective import Objective
from mme.model.problem import build_model
from mme.numeric.differences import slopes
from mme.numeric.limits import Limits, within

seeds = st.integers(0, 2**32 - 1)


def own(n, *columns):
    return np.column_stack([np.ones(n), *columns])


def terms(data):
    """Random parts of all kinds: what is absorbed, left dense or sparse, related, of one level, by its pattern."""
    a, b, x, n = data["a"] // 2, data["b"], data["x"], data["x"].size
    slope, three = own(n, x), own(n, x, x**2 - 1)
    yield [mme.Term(a)]
    yield [mme.Term(a, slope)]
    yield [mme.Term(a), mme.Term(a, x[:, None], name="a.1")]
    yield [mme.Term(a, slope), mme.Term(b, name="b")]
    yield [mme.Term(a, three, covariance="ar1"), mme.Term(b, slope, name="b", covariance="cs")]
    yield [mme.Term(a, three, covariance="heterogeneous ar1")]
    one_level = mme.Term(np.zeros(n, dtype=int), np.cos(np.outer(x, range(1, 5))), covariance="homogeneous diagonal")
    yield [one_level, mme.Term(b, name="b")]
    related = mme.Term(b, slope, name="b", relationship=mme.Relationship(covariance=data["K"], levels=np.arange(8)))
    yield [mme.Term(a, slope), related]
    crossed = mme.Term(data["c"], slope, name="c")  # by the groups of residual structures
    yield [crossed]
    yield [mme.Term(a), crossed, mme.Term(b, name="b")]
    known = mme.Relationship(covariance=data["K"], levels=np.arange(8))
    yield [mme.Term(a), mme.Term((b, data["d"]), name="pair", relationship=known)]
    yield [mme.Term((b, data["d"]), own(n, x), name="pair", covariance="diagonal")]
    yield [mme.Term.ou(data["visit"] + 0.1 * (data["a"] % 3), b, slope, name="ou"), mme.Term(a)]


def residuals(data):
    """Residual structures: none, a diagonal one, and groups within or beside the levels of the terms."""
    group, visit, stratum = data["a"], data["visit"], data["stratum"]
    yield None
    yield mme.Heterogeneous(stratum)
    yield mme.Unstructured(visit, group)
    yield [mme.CompoundSymmetry(group), mme.Heterogeneous(stratum)]
    yield mme.AR1(visit, group)


def draw(seed):
    rng = np.random.default_rng(seed)
    present = np.vstack([np.ones((3, 4), dtype=bool), rng.random((17, 4)) < 0.8])
    a, visit = np.nonzero(present)
    L = rng.normal(size=(8, 9))
    names = {"a": a, "visit": visit, "b": a % 8, "x": rng.normal(size=a.size), "y": rng.normal(size=a.size)}
    return names | {
        "c": rng.integers(0, 5, a.size),
        "d": rng.permutation(a.size) % 8,
        "stratum": rng.permutation(np.arange(a.size) % 3),
        "K": L @ L.T / 9,
        "w": rng.uniform(0.5, 2, a.size),
    }


def criterion(seed):
    """A criterion of a random model and theta, of order one in the units that the search takes."""
    data, rng = draw(seed), np.random.default_rng(seed)
    parts, kinds = list(terms(data)), list(residuals(data))
    part = parts[rng.integers(len(parts))]
    if any(term.by_column for term in part):
        kinds = kinds[:2]  # those that mix records do not go together with levels by column
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        model = build_model(
            data["y"],
            own(data["x"].size, data["x"]),
            part,
            method=rng.choice(["REML", "ML"]),
            sigma=rng.choice([None, 0.8]),
            weights=rng.choice([None, 1]) and data["w"],
            residual=kinds[rng.integers(len(kinds))],
        )
    phi = np.zeros(0) if model.residual is None else model.residual.start() + 0.3 * rng.normal(size=model.residual.k)
    objective = Objective.of(model, phi=phi)
    objective = objective.in_axes if rng.random() < 0.5 else objective
    theta = np.where(model.diagonal, rng.uniform(0.3, 1.5, model.k), rng.normal(size=model.k))
    return objective, theta / objective.theta_scale


@given(seed=seeds)
def test_the_score_is_the_slope_of_the_criterion(seed):
    objective, theta = criterion(seed)
    k, scale = theta.size, np.append(1.0 / objective.theta_scale, np.ones(objective.phi.size))
    assert has_score(objective)
    found = score(objective, theta, Meetings()).gradient * scale

    def value(x):
        return np.array([objective.at(objective.phi + 0.1 * x[k:])(theta + 0.1 * x[:k] * scale[:k])])

    expected = 10.0 * slopes(value, np.zeros(scale.size))[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-6 * (1.0 + np.abs(expected).max()))


@examples(12)
@given(seed=seeds)
def test_average_information_is_that_of_the_dense_matrices(seed):
    objective, theta = criterion(seed)
    objective = objective.in_columns
    model, phi, k, n = objective.model, objective.phi, theta.size, objective.model.n
    W = np.ones(n) if model.weights is None else model.weights
    Z = [term.Z.toarray().reshape(n, term.n_levels, -1).transpose(2, 0, 1) for term in model.terms]  # by coefficient
    inverse_of = cache(lambda related: np.linalg.inv(related.precision.toarray()))

    def covariance(x):
        R = np.eye(n) if model.residual is None else model.residual.covariance(phi + x[k:], np.arange(n))
        V = R / np.sqrt(np.outer(W, W))
        for t, T in enumerate(model.T(theta + x[:k])):  # Z (K (x) T T')Z' = sum_a (Z T)_a K (Z T)_a'
            half, related = np.tensordot(T.T, Z[t], axes=1), model.relationship(t, theta + x[:k])
            V += sum(one @ one.T if related is None else one @ inverse_of(related) @ one.T for one in half)
        return V.ravel()

    V = covariance(np.zeros(k + phi.size)).reshape(n, n)
    D = slopes(covariance, np.zeros(k + phi.size)).reshape(-1, n, n)
    inverse, X, y, reml = np.linalg.inv(V), model.X, model.y, model.method == "REML"
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    c = (n - 2 * reml) / (y @ P @ y) if model.sigma is None else model.sigma**-2
    F, S = D @ P @ y, (P if reml else inverse) - c * np.outer(P @ y, P @ y)
    along = np.outer(F @ P @ y, F @ P @ y) / (y @ P @ y) if model.sigma is None else 0.0
    expected = c * (F @ P @ F.T - along)

    def first(x):  # <S, V_i> by theta as theta moves
        at = np.append(x, np.zeros(phi.size))
        return slopes(lambda t: covariance(np.append(t, np.zeros(phi.size))), at[:k]) @ S.ravel()

    if k:  # that of K is left out
        of_T = ~np.array([".decay" in name or ".range" in name for name in model.theta_names])
        expected[:k, :k] += slopes(first, np.zeros(k)) * np.outer(of_T, of_T)
    found = average_information(score(objective, theta, Meetings()))
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("effect", [0.0, 3.0])
@pytest.mark.parametrize("formula", ["y ~ x + (x | a)", "y ~ x + (x || a) + (1 | b)"])
def test_at_a_variance_of_zero_the_slope_is_zero_and_the_curvature_says_whether_it_wants_to_grow(formula, effect):
    drawn = draw(3)
    table = {name: drawn[name] for name in ("a", "b", "x")}
    y = drawn["y"] + effect * np.random.default_rng(1).normal(size=20)[drawn["a"]]
    objective = mme.lmer(formula, table | {"y": y}).internals.objective.in_axes
    zero, is_sd = np.zeros(objective.model.k), objective.model.diagonal
    found = score(objective, zero, Meetings())
    ahead = [objective(step / objective.theta_scale) for step in 0.01 * np.eye(zero.size)[is_sd]]
    np.testing.assert_allclose(found.gradient, 0.0, atol=1e-6)
    curve = np.diag(average_information(found))[is_sd]
    np.testing.assert_array_equal(np.sign(curve), np.sign(np.array(ahead) - objective(zero)))


def test_a_large_model_whose_records_have_several_levels_of_a_factor_has_no_score():
    data = draw(3)
    model = build_model(
        data["y"], own(data["x"].size), [mme.Term(data["c"])], residual=mme.AR1(data["visit"], data["a"])
    )
    objective = Objective.of(model, phi=model.residual.start())
    assert has_score(objective)
    with within(Limits(information_entries=100)):
        assert not has_score(objective)
