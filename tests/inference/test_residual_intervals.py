"""Intervals of the parameters of residual structures: profile, Wald and bootstrap, dense matrices and nlme."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from cases import SHIPPED, load_data
from numpy.testing import assert_allclose
from scipy.linalg import toeplitz
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import chi2, norm

import mme
from mme.inference.intervals.curves import Profile
from mme.inference.intervals.slices import entangled, hold_residual
from mme.residual import Bound, Structure

NLME = json.loads((SHIPPED / "structures" / "intervals.json").read_text())
CHI2 = chi2.ppf(0.95, 1)
STRUCTURES = {
    "ar1": mme.AR1("visit", "Subject"),
    "exponential": mme.Exponential("age", "Subject"),
    "nugget": mme.Exponential("age", "Subject", nugget=True),
    "compound": mme.CompoundSymmetry("Subject"),
    "heterogeneous": mme.Heterogeneous("Sex"),
    "power": mme.PowerOfCovariate("age"),
    "toeplitz": mme.Toeplitz("age", "Subject"),
    "band": mme.Toeplitz("age", "Subject", bands=2),
    "unstructured": mme.Unstructured("age", "Subject"),
    "product": [mme.AR1("visit", "Subject"), mme.Heterogeneous("Sex")],
}
# R of a child at ages 8, 10, 12 and 14 (or its standard deviations) from natural parameters, written out.
LAGS = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
AGES = np.array([8.0, 10.0, 12.0, 14.0])


def growth() -> pd.DataFrame:
    data = mme.load("Orthodont")
    return data.assign(visit=(data["age"] - 8) / 2)


def fitted(name: str, method: str = "ML") -> mme.Fit:
    return mme.lmer("distance ~ age", growth(), residual=STRUCTURES[name], method=method)


def symmetric(correlations: np.ndarray) -> np.ndarray:
    C, (cols, rows) = np.eye(4), np.triu_indices(4, 1)
    C[rows, cols] = C[cols, rows] = correlations
    return C


def scaled(C: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return C * np.outer(sd, sd)


# (natural parameters, whether a boy) -> R of a child.
MATRICES: dict[str, Callable[[np.ndarray, bool], np.ndarray]] = {
    "ar1": lambda v, boy: v[0] ** LAGS,
    "exponential": lambda v, boy: np.exp(-2.0 * LAGS / v[0]),
    "nugget": lambda v, boy: (1.0 - v[1]) * np.exp(-2.0 * LAGS / v[0]) + v[1] * np.eye(4),
    "compound": lambda v, boy: np.where(LAGS == 0, 1.0, v[0]),
    "heterogeneous": lambda v, boy: (v[0] if boy else 1.0) ** 2 * np.eye(4),
    "power": lambda v, boy: np.diag(AGES ** (2.0 * v[0])),
    "toeplitz": lambda v, boy: toeplitz(np.append(1.0, v)),
    "band": lambda v, boy: toeplitz([1.0, v[0], v[1], 0.0]),
    "unstructured": lambda v, boy: scaled(symmetric(v[:6]), np.append(1.0, v[6:])),
    "product": lambda v, boy: (v[1] if boy else 1.0) ** 2 * v[0] ** LAGS,
}


@dataclass
class Dense:
    """-2 log-likelihood, or the REML criterion, by a dense R of every child; beta and sigma are at their best."""

    name: str
    reml: bool = False

    def __post_init__(self) -> None:
        data = growth().sort_values(["Subject", "age"], kind="stable")
        self.y = data["distance"].to_numpy().reshape(27, 4, 1)
        self.X = np.stack([np.ones(108), data["age"].to_numpy()], axis=1).reshape(27, 4, 2)
        self.boy = (data["Sex"] == "Male").to_numpy().reshape(27, 4)[:, 0]

    def __call__(self, natural: np.ndarray) -> float:
        kinds = [MATRICES[self.name](np.asarray(natural, dtype=float), boy) for boy in (False, True)]
        if not all(np.isfinite(R).all() and np.linalg.eigvalsh(R)[0] > 0.0 for R in kinds):
            return np.inf
        W = np.array([np.linalg.inv(np.linalg.cholesky(R)) for R in kinds])[self.boy.astype(int)]
        y, X = (W @ self.y).ravel(), (W @ self.X).reshape(108, 2)
        logdet = -2.0 * np.log(np.einsum("gii->gi", W)).sum()
        r = y - X @ np.linalg.solve(X.T @ X, X.T @ y)
        n = 106 if self.reml else 108
        logdet += np.linalg.slogdet(X.T @ X)[1] if self.reml else 0.0
        return float(logdet + n * (1.0 + np.log(2.0 * np.pi * (r @ r) / n)))

    def minimum(self, start: np.ndarray, at: int | None = None, value: float = 0.0) -> float:
        """Over what is free, by a method that shares nothing with ours."""

        def full(x: np.ndarray) -> np.ndarray:
            return x if at is None else np.insert(x, at, value)

        x = start if at is None else np.delete(start, at)
        if not x.size:
            return self(full(x))
        if x.size > 4:
            return float(minimize(lambda x: self(full(x)), x, method="BFGS", options={"gtol": 1e-5}).fun)
        for _ in range(2):  # a restart keeps the simplex from collapsing
            options = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 20_000, "adaptive": True}
            found = minimize(lambda x: self(full(x)), x, method="Nelder-Mead", options=options)
            x = found.x
        return float(found.fun)


def limits(profile: Profile) -> list[tuple[int, str, float]]:
    """(place, name, value) of all limits inside their bounds."""
    table = profile.confint()
    return [
        (at, name, value)
        for at, name in enumerate(table.index)
        for value, bound in zip(table.loc[name], profile.curves[name].bounds, strict=True)
        if value != bound
    ]


@pytest.mark.parametrize("name", STRUCTURES)
def test_at_both_limits_the_dense_deviance_is_higher_by_the_quantile_of_chi_square(name):
    fit, dense = fitted(name), Dense(name)
    names = list(fit.residual)
    chosen = names if name != "unstructured" else ["cor.14.12", "sd.12/sd.8"]
    profile = fit.profile(chosen)
    best = np.array(list(fit.residual.values()))
    assert_allclose(profile.deviance, dense(best), rtol=1e-12)
    found = limits(profile)
    assert len(found) == 2 * len(chosen) - (name == "nugget")  # its range has no upper limit
    for _, parameter, value in found:
        curve, at = profile.curves[parameter], names.index(parameter)
        nearest = curve.parameters[np.abs(curve.values - value).argmin()]
        start = nearest[[profile.names.index(other) for other in names]]
        assert_allclose(dense.minimum(start, at, value) - profile.deviance, CHI2, rtol=1e-5, err_msg=parameter)


def test_a_random_intercept_is_free_around_a_held_residual_parameter():
    rng = np.random.default_rng(7)
    J, m = 30, 5
    g, t = np.repeat(np.arange(J), m), np.tile(np.arange(m), J)
    C = 0.5 ** np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    y = 2.0 + rng.standard_normal(J)[g] + (rng.standard_normal((J, m)) @ np.linalg.cholesky(C).T).ravel()
    fit = mme.fit(y, np.ones((J * m, 1)), [mme.Term(g, name="g")], residual=mme.AR1(t, g))
    profile = fit.profile("rho")
    table = y.reshape(J, m)

    def held(x: np.ndarray, rho: float) -> float:
        V = x[0] ** 2 * rho ** np.abs(np.subtract.outer(np.arange(m), np.arange(m))) + x[1] ** 2
        P = np.linalg.inv(V)
        r = table - P.sum(axis=0) @ table.mean(axis=0) / P.sum()
        return J * np.linalg.slogdet(2.0 * np.pi * V)[1] + float(np.einsum("gi,ij,gj->", r, P, r))

    for rho in profile.confint().loc["rho"]:
        options = {"xatol": 1e-9, "fatol": 1e-11}
        best = min(minimize(held, start, (rho,), "Nelder-Mead", options=options).fun for start in ([1, 1], [1.5, 0.1]))
        assert_allclose(best - profile.deviance, CHI2, rtol=1e-5)


def test_limits_of_a_correlation_do_not_depend_on_the_order_of_the_occasions():
    """Its coordinates do: the correlation of the first two is one of them, that of the last two shares all."""
    data = growth()
    turned = data.assign(age=22 - data["age"])
    residual = mme.Unstructured("age", "Subject", equal_variances=True)
    forward = mme.lmer("distance ~ age", data, residual=residual).confint("profile", parameters="cor.10.8")
    backward = mme.lmer("distance ~ age", turned, residual=residual).confint("profile", parameters="cor.14.12")
    assert_allclose(forward.to_numpy(), backward.to_numpy(), rtol=1e-5)


def test_a_range_is_that_of_the_correlation_at_one_step():
    """AR1 and Exponential are one model: the limits are exp(-2 / range), the deviance is the same."""
    rho = fitted("ar1").profile("rho").confint().loc["rho"]
    gap = fitted("exponential").profile("range").confint().loc["range"]
    assert_allclose(np.exp(-2.0 / gap), rho, rtol=1e-6)


def test_a_reml_fit_has_the_profile_of_the_ml_fit():
    by_reml, by_ml = fitted("compound", "REML").profile("rho"), fitted("compound", "ML").profile("rho")
    assert_allclose(by_reml.confint(), by_ml.confint(), rtol=1e-6)
    assert_allclose(by_reml.deviance, by_ml.deviance, rtol=1e-12)


def test_zeta_increases_and_every_knot_holds_its_parameter():
    profile = fitted("toeplitz").profile(["rho2", "rho3"])
    for name, part in profile.to_frame().groupby("parameter"):
        assert (np.diff(part["value"]) > 0.0).all()
        assert (np.diff(part["zeta"]) > 0.0).all()
        assert_allclose(part[name], part["value"], rtol=1e-9)
        assert_allclose(np.interp(0.0, part["zeta"], part["value"]), profile.curves[name].estimate, rtol=1e-12)


def test_all_kinds_of_intervals_name_the_parameters_alike():
    fit = fitted("product")
    names = ["sigma", "rho", "sd.Male/sd.Female", "(Intercept)", "age"]
    assert list(fit.confint("profile").index) == names
    assert list(fit.confint("bootstrap", n=2, seed=1, workers=1).index) == names
    assert list(fit.confint().index) == names[1:]


def test_a_parameter_with_the_name_of_a_fixed_effect_is_told_apart():
    data = growth().assign(power=lambda table: table["age"])
    fit = mme.lmer("distance ~ power", data, residual=mme.PowerOfCovariate("age"))
    assert list(fit.confint().index) == ["power|residual", "(Intercept)", "power"]
    profile = fit.profile(["power|residual", "power"])
    assert_allclose([curve.estimate for curve in profile.curves.values()], profile.estimates[[1, 3]])
    assert fit.bootstrap(2, seed=1, workers=1).names == profile.names


def test_two_structures_of_a_product_with_the_same_names_keep_their_parameters_apart():
    data = growth().assign(other=lambda table: np.resize([1.0, 2.0, 5.0], len(table)))
    fit = mme.lmer("distance ~ age", data, residual=[mme.PowerOfCovariate("age"), mme.PowerOfCovariate("other")])
    assert list(fit.residual) == ["power", "power.1"]
    assert list(fit.confint("profile", parameters=["power", "power.1"]).index) == ["power", "power.1"]


# -- edges ------------------------------------------------------------------------------------------------------------


def series(C: np.ndarray, J: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """y, X, times and groups of J series with this covariance."""
    m, rng = len(C), np.random.default_rng(seed)
    y = (rng.standard_normal((J, m)) @ np.linalg.cholesky(C).T).ravel()
    return y, np.ones((J * m, 1)), np.tile(np.arange(m), J), np.repeat(np.arange(J), m)


def test_a_range_that_may_be_infinite_ends_in_compound_symmetry():
    curve = fitted("nugget").profile("range").curves["range"]
    assert_allclose(curve.zeta[-1] ** 2, fitted("compound").criterion - fitted("nugget").criterion, rtol=1e-4)
    assert curve.complete[1]
    assert curve.limit(norm.ppf(0.975)) == np.inf
    assert np.isfinite(curve.values).all()


def test_a_range_that_may_be_zero_ends_in_independence():
    y, X, t, g = series(np.eye(5), 20, 0)
    fit = mme.fit(y, X, [], residual=mme.Exponential(t, g), method="ML")
    profile = fit.profile("range")
    curve, loglik = profile.curves["range"], norm.logpdf(y, y.mean(), y.std()).sum()
    assert curve.values[0] == 0.0
    assert_allclose(curve.zeta[0] ** 2, -2.0 * loglik - profile.deviance, rtol=1e-6)
    assert profile.confint().loc["range", "lower"] == 0.0


def test_a_nugget_of_zero_is_profiled_from_its_bound():
    lag = np.subtract.outer(np.arange(5.0), np.arange(5.0))
    y, X, t, g = series(np.exp(-(lag**2) / 9.0) + 1e-9 * np.eye(5), 20, 0)  # smoother than exponential
    fit = mme.fit(y, X, [], residual=mme.Exponential(t, g, nugget=True), method="ML")
    curve = fit.profile("nugget").curves["nugget"]
    assert fit.residual["nugget"] < 1e-6
    assert curve.values[0] == 0.0
    assert curve.zeta[0] > -1e-3
    assert curve.limit(norm.ppf(0.025)) == 0.0
    assert 0.0 < curve.limit(norm.ppf(0.975)) < 0.5
    table = fit.confint()
    assert table.loc["range"].notna().all()
    assert table.loc["nugget"].isna().all() or (table.loc["nugget", "upper"] - table.loc["nugget", "lower"] > 0.99)


def test_a_negative_common_correlation_stays_above_its_bound():
    y, X, _, g = series(np.eye(5), 20, 1)
    y = y - 0.9 * y.reshape(20, 5).mean(axis=1)[g]
    fit = mme.fit(y, X, [], residual=mme.CompoundSymmetry(g))
    for method in ("wald", "profile"):
        lower, upper = fit.confint(method).loc["rho"]
        assert -0.25 < lower < fit.residual["rho"] < upper < -0.2


@pytest.mark.parametrize(("rho", "unstructured"), [(0.9, True), (0.97, True), (0.97, False)])
def test_a_profile_stays_within_the_positive_definite_matrices_when_these_are_few(rho, unstructured):
    y, X, t, g = series(toeplitz(rho ** np.arange(4.0)), 15, 1)
    residual = mme.Unstructured(t, g, equal_variances=True) if unstructured else mme.Toeplitz(t, g)
    name = "cor.3.2" if unstructured else "rho3"
    curve = mme.fit(y, X, [], residual=residual, method="ML").profile(name).curves[name]
    assert (np.diff(curve.zeta) > 0.0).all()
    for side in (-1.0, 1.0):
        assert np.abs(curve.zeta - side * norm.ppf(0.975)).min() < 1e-4


# -- Wald -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "nugget"])
def test_wald_limits_are_those_of_a_dense_hessian(name, method):
    """The scale without bounds of every parameter, and the criterion's curvature on it, written out."""
    fit, dense = fitted(name, method), Dense(name, method == "REML")
    structure = fit.internals.model.residual
    best, (low, high) = structure.natural(fit.optimum.phi), np.array(structure.bounds).T

    def there(v: np.ndarray) -> np.ndarray:
        share = logit((v - low) / (high - low)) if np.isfinite(high).all() else 0.0
        return np.where(np.isinf(low), v, np.where(np.isinf(high), np.log(np.maximum(v - low, 1e-300)), share))

    def back(u: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(np.isinf(low), u, np.where(np.isinf(high), np.exp(u), low + (high - low) * expit(u)))

    if name in ("unstructured", "product"):  # bounds of both kinds

        def there(v: np.ndarray) -> np.ndarray:
            return np.array([logit((x + 1) / 2) if b == 1.0 else np.log(x) for x, b in zip(v, high, strict=True)])

        def back(u: np.ndarray) -> np.ndarray:
            return np.array([2 * expit(x) - 1 if b == 1.0 else np.exp(x) for x, b in zip(u, high, strict=True)])

    at = there(best)
    H = richardson(lambda u: dense(back(u)), at)
    se = np.sqrt(np.diag(2.0 * np.linalg.inv(H)))
    ours = fit.confint(level=0.9).loc[list(fit.residual)].to_numpy()
    expected = np.column_stack([back(at + side * norm.ppf(0.95) * se) for side in (-1.0, 1.0)])
    width = (expected[:, 1] - expected[:, 0])[:, None]
    assert (np.abs(ours - expected) / width).max() < 2e-5


def richardson(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Second derivatives by differences of order h^4."""

    def second(h: float) -> np.ndarray:
        H, E = np.zeros((x.size, x.size)), h * np.eye(x.size)
        for i in range(x.size):
            for j in range(i + 1):
                corners = [a * b * f(x + a * E[i] + b * E[j]) for a in (1, -1) for b in (1, -1)]
                H[i, j] = H[j, i] = sum(corners) / (4.0 * h * h)
        return H

    return (4.0 * second(5e-3) - second(1e-2)) / 3.0


@pytest.mark.parametrize("key", [key for key in NLME if key not in ("R", "nlme")])
def test_wald_limits_are_nlmes(key):
    name, method = key.split()
    if name == "ovary":
        formula = "follicles ~ sin(2*pi*Time) + cos(2*pi*Time) + (1 | Mare)"
        fit = mme.lmer(formula, load_data("Ovary"), residual=mme.AR1("ord", "Mare"), method=method)
    else:
        fit = fitted(name, method)
    stored = NLME[key]
    table = fit.confint().loc[list(fit.residual)]
    lower, upper = np.array(stored["lower"]), np.array(stored["upper"])
    assert_allclose(list(fit.residual.values()), stored["estimate"], atol=3e-5)
    # nlme's Hessian is by differences with a step that suits neither variance: off by up to a three-hundredth there,
    # where the dense one above agrees with ours; a hundred times nearer for correlations
    share = 4e-3 if name in ("heterogeneous", "power", "unstructured") else 2e-4
    error = np.abs(table.to_numpy() - np.column_stack([lower, upper])) / (upper - lower)[:, None]
    assert error.max() < share


def test_wald_limits_do_not_depend_on_the_units_of_a_slope():
    data = growth().assign(days=lambda table: 365_000.0 * table["age"])
    fits = [
        mme.lmer(f"distance ~ age + (0 + {slope} | Subject)", data, residual=mme.Heterogeneous("Sex"))
        for slope in ("age", "days")
    ]
    first, second = (fit.confint().iloc[0] for fit in fits)
    assert_allclose(first, second, rtol=1e-4)


def test_a_range_far_below_the_gaps_has_no_wald_interval():
    y, X, t, g = series(np.eye(5), 20, 4)
    fit = mme.fit(y, X, [], residual=mme.Exponential(t, g), method="ML")
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.confint().loc["range"].isna().all()
    assert fit.confint().loc["x1"].notna().all()


# -- structures of the user's own -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BoundMA1(Bound):
    """A moving average of order one; without the inverse of its natural parameter."""

    group_size: int

    def start(self, residual=None):
        return np.array([0.3])

    def natural(self, x):
        return 0.5 * np.tanh(x)

    def _root(self, x):
        m = self.group_size
        C = np.eye(m) + self.natural(x)[0] * (np.eye(m, k=1) + np.eye(m, k=-1))
        return np.linalg.cholesky(C)

    def whiten(self, x, rows):
        L = np.linalg.inv(self._root(x))
        return (rows.reshape(len(rows), -1, self.group_size) @ L.T).reshape(rows.shape)

    def logdet(self, x):
        return 2.0 * self.n / self.group_size * float(np.log(np.diag(self._root(x))).sum())

    @property
    def group(self):
        return np.repeat(np.arange(self.n // self.group_size), self.group_size)


class BoundInvertible(BoundMA1):
    """With it."""

    @property
    def bounds(self):
        return ((-0.5, 0.5),)

    def coordinates(self, natural):
        return np.arctanh(2.0 * np.asarray(natural))


@dataclass(frozen=True)
class MA1(Structure):
    kind: type[Bound]

    def bind(self, column, n):
        return self.kind(n, ("neighbours",), 5)


def test_a_users_structure_with_an_inverse_has_a_profile():
    y, X, _, _ = series(toeplitz([1.0, 0.3, 0.0, 0.0, 0.0]), 20, 2)
    fit = mme.fit(y, X, [], residual=MA1(BoundInvertible), method="ML")
    profile = fit.profile("neighbours")
    for value in profile.confint().loc["neighbours"]:
        dense = mme.fit(y, X, [], residual=MA1(BoundInvertible), method="ML").internals.objective
        there = dense.at(np.arctanh([2.0 * value]))
        assert_allclose(there(np.zeros(0)) - profile.deviance, CHI2, rtol=1e-5)
    assert fit.confint().loc["neighbours"].between(-0.5, 0.5).all()


def test_a_users_structure_without_an_inverse_says_why_it_has_none():
    y, X, _, _ = series(toeplitz([1.0, 0.3, 0.0, 0.0, 0.0]), 20, 2)
    fit = mme.fit(y, X, [], residual=MA1(BoundMA1))
    with pytest.raises(mme.MMEError, match=r"neighbours of MA1 has no profile: .* without coordinates\(\)"):
        fit.profile("neighbours")
    with pytest.warns(mme.MMEWarning, match="no profile of neighbours"):
        profile = fit.profile()
    assert list(profile.curves) == ["sigma", "x1"]
    assert "neighbours" in profile.names
    assert fit.confint().loc["neighbours"].notna().all()


# -- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRUCTURES)
def test_holding_a_residual_parameter_holds_it_and_frees_the_rest(name):
    fit = fitted(name)
    structure, phi = fit.internals.model.residual, fit.optimum.phi
    natural = structure.natural(phi)
    for at in range(structure.k):
        held = hold_residual(structure, phi, at)
        assert held.start.size == structure.k - 1
        assert_allclose(structure.natural(held.phi(held.start, natural[at])), natural, rtol=1e-9)
        value = natural[at] * 1.02
        moved = structure.natural(held.phi(held.start + 0.3 * held.radius, value))
        assert_allclose(moved[at], value, rtol=1e-12)
        assert (np.delete(moved, at) != np.delete(natural, at)).all()


def test_there_is_no_slice_beyond_the_positive_definite_matrices():
    structure = fitted("toeplitz").internals.model.residual
    phi = structure.coordinates(np.array([0.9, 0.8, 0.7]))
    held = hold_residual(structure, phi, 0)
    assert np.isnan(held.phi(held.start, -0.9)).all()


def test_parameters_that_share_coordinates_are_found():
    assert entangled(fitted("toeplitz").internals.model.residual).all()
    assert not (entangled(fitted("product").internals.model.residual) & ~np.eye(2, dtype=bool)).any()
    blocks = entangled(fitted("unstructured").internals.model.residual)
    assert blocks[:6, :6].all()
    assert_allclose(blocks[6:, 6:], np.eye(3))
    assert not blocks[:6, 6:].any()


def test_bounds_of_one_parameter_limit_its_interval_and_no_other():
    free = fitted("nugget").confint("wald")
    low, high = free.loc["range"]
    middle = fitted("nugget").residual["range"]
    residual = mme.Exponential("age", "Subject", nugget=True)
    bounds = {"range": (0.5 * (low + middle), 0.5 * (middle + high))}
    held = mme.lmer("distance ~ age", growth(), residual=residual, method="ML", bounds=bounds).confint("wald")
    assert_allclose(held.loc["range"], bounds["range"], rtol=1e-12)
    assert_allclose(held.drop(index="range"), free.drop(index="range"), rtol=1e-4)
