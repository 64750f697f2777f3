"""Published trials: what ASReml, SAS and nlme print of them, and what their structures refuse."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme

TRIALS = Path(__file__).parents[1] / "reference" / "fields"


def trial(name):
    return pd.read_csv(TRIALS / f"{name}.csv")


def test_the_nebraska_trial_has_the_variance_and_correlations_that_asreml_prints():
    """agridat's page of stroup.nin: 48.7, .6555, .4375."""
    fit = mme.lmer("yield ~ 0 + gen", trial("stroup.nin"), residual=mme.AR1("col") * mme.AR1("row"))
    assert fit.sigma**2 == pytest.approx(48.7, abs=0.05)
    assert fit.residual == pytest.approx({"rho.col": 0.6555, "rho.row": 0.4375}, abs=5e-5)


def test_slate_hall_has_the_variances_that_asreml_prints():
    """Gilmour, Cullis and Verbyla 1997 by agridat: col 2519, row 20290, residual 23950, .439, .125."""
    fit = mme.lmer(
        "yield ~ gen + row + (1 | row) + (1 | col)",
        trial("gilmour.slatehall"),
        residual=mme.AR1("col") * mme.AR1("row"),
    )
    assert round(fit.varcorr["col"].cov.item()) == 2519
    assert fit.varcorr["row"].cov.item() == pytest.approx(20290, abs=5)
    assert fit.sigma**2 == pytest.approx(23950, abs=5)
    assert fit.residual == pytest.approx({"rho.col": 0.439, "rho.row": 0.125}, abs=5e-4)


@pytest.mark.parametrize(
    ("printed", "structure"),
    [
        (3713.5, mme.AnteDependence("VISITN", "USUBJID")),
        (3872.7, mme.AR1("VISITN", "USUBJID").by("ARMCD")),
        (3740.0, mme.AR1("VISITN", "USUBJID") * mme.Heterogeneous("VISITN")),
        (3784.9, mme.CompoundSymmetry("USUBJID") * mme.Heterogeneous("VISITN")),
        (3722.4, mme.Toeplitz("VISITN", "USUBJID") * mme.Heterogeneous("VISITN")),
        (3875.5, mme.Spatial("exponential", "VISITN", "USUBJID")),
    ],
    ids=["ANTE(1)", "AR(1) by arm", "ARH(1)", "CSH", "TOEPH", "SP(EXP)"],
)
def test_FEV1_has_the_restricted_likelihood_that_sas_prints(printed, structure):
    fit = mme.lmer("FEV1 ~ 1", trial("fev"), residual=structure)
    assert round(fit.criterion, 1) == pytest.approx(printed)


def test_own_parameters_by_arm_are_two_fits_apart():
    """With a mean for each arm the likelihood is a product."""
    data = trial("fev")
    both = mme.lmer("FEV1 ~ ARMCD", data, residual=mme.AR1("VISITN", "USUBJID").by("ARMCD"), method="ML")
    apart = [
        mme.lmer("FEV1 ~ 1", one, residual=mme.AR1("VISITN", "USUBJID"), method="ML")
        for _, one in data.groupby("ARMCD")
    ]
    assert both.loglik == pytest.approx(sum(fit.loglik for fit in apart), abs=1e-6)
    assert both.residual["rho.TRT"] == pytest.approx(apart[1].residual["rho"], abs=1e-4)
    assert both.residual["sd.TRT/sd.PBO"] == pytest.approx(apart[1].sigma / apart[0].sigma, rel=1e-4)


def simulated(seed=1, rows=6, cols=7):
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(2 * rows * cols) % (rows * cols), cols)
    data = pd.DataFrame({"row": row + 1, "col": col + 1, "trial": np.repeat(["a", "b"], rows * cols)})
    data["gen"] = rng.integers(0, 9, len(data)).astype(str)
    data["y"] = rng.normal(size=len(data)) + data["row"] * 0.3 * (data["col"] % 2)
    return data[rng.random(len(data)) > 0.15]


def test_a_field_with_missing_plots_in_two_trials_is_that_of_the_dense_covariance():
    data = simulated()
    residual = mme.AR1("row", group="trial") * mme.AR1("col", group="trial")
    fit = mme.lmer("y ~ trial + (1 | gen)", data, residual=residual)
    lag = [np.abs(np.subtract.outer(at, at)) for at in (data["row"].to_numpy(), data["col"].to_numpy())]
    same = np.equal.outer(data["trial"].to_numpy(), data["trial"].to_numpy())
    R = same * fit.residual["rho.row"] ** lag[0] * fit.residual["rho.col"] ** lag[1]
    Z = pd.get_dummies(data["gen"]).to_numpy(dtype=float)
    V = fit.varcorr["gen"].cov.item() * Z @ Z.T + fit.sigma**2 * R
    X, y, n = np.column_stack([np.ones(len(data)), data["trial"] == "b"]).astype(float), data["y"], len(data)
    XVX = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    r = y - X @ beta
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    dense = logs + r @ np.linalg.solve(V, r) + (n - 2) * np.log(2 * np.pi)
    assert fit.criterion == pytest.approx(dense, abs=1e-8)
    np.testing.assert_allclose(fit.beta, beta, rtol=1e-9)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (mme.AR1("row") * mme.AR1("col"), "two records are at row 2, col 1"),
        (mme.AR1("row", "trial") * mme.AR1("one", "trial"), "'one' does not differ between the records of any group"),
        (mme.AR1("half", "trial") * mme.AR1("col", "trial"), "'half' must be whole numbers of steps"),
        (mme.Spatial("gaussian", ["row", "col"]), "two records of a group are at one place"),
        (
            mme.Spatial("gaussian", ["row", "one"], "trial", isotropic=False, nugget=True),
            "'one' does not differ within",
        ),
        (mme.CompoundSymmetry("row").with_nugget(), "cannot be identified"),
        (mme.Heterogeneous("row").with_nugget(), "the errors stand beside a correlation"),
        (mme.Unstructured("col", ["trial", "row"]).with_nugget(), "the errors stand beside a correlation"),
        (mme.AR1("col", ["trial", "row"]).by("gen"), "correlations between levels would have no parameter"),
        (mme.AR1("row").with_nugget().with_nugget, "said twice"),
    ],
)
def test_what_cannot_be_identified_is_refused_before_the_search(structure, message):
    data = simulated()
    data = data.assign(one=1, half=data["row"] / 2)
    with pytest.raises(mme.MMEError, match=re.escape(message)):
        mme.lmer("y ~ 1", data, residual=structure() if callable(structure) else structure)


def test_a_kind_of_distance_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(mme.MMEError, match="'exponential', 'gaussian', 'spherical', 'matern'"):
        mme.Spatial("cubic", ["x"])


def test_distances_beside_few_and_many_levels_are_those_of_the_dense_covariance():
    """Entries of one record and level are added up where levels are few."""
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.uniform(0, 5, 45), "z": rng.uniform(0, 5, 45), "block": np.arange(45) % 3})
    data["gen"], data["y"] = rng.integers(0, 30, 45), rng.normal(size=45) + data["block"]
    residual = mme.Spatial("exponential", ["x", "z"], nugget=True)
    phi = {"range": 2.0, "nugget": 0.3}
    h = np.sqrt(sum(np.subtract.outer(data[c].to_numpy(), data[c].to_numpy()) ** 2 for c in ("x", "z"))) / 2.0
    R = 0.7 * np.exp(-h) + 0.3 * np.eye(45)
    fit = mme.lmer("y ~ x + (1 | block) + (x | gen)", data, residual=residual, phi=phi)
    V = fit.sigma**2 * R
    for term in fit.model.terms:
        Z = term.Z.toarray()
        V = V + Z @ np.kron(np.eye(term.n_levels), np.asarray(fit.varcorr[term.name].cov)) @ Z.T
    X = np.column_stack([np.ones(45), data["x"]])
    XVX = X.T @ np.linalg.solve(V, X)
    r = data["y"].to_numpy() - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, data["y"]))
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    dense = logs + r @ np.linalg.solve(V, r) + 43 * np.log(2 * np.pi)
    assert fit.criterion == pytest.approx(dense, abs=1e-8)


def test_the_smoothness_of_matern_is_estimated():
    """At the estimate the given smoothness has the same criterion, and others have higher ones."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame(rng.uniform(0, 8, (70, 2)), columns=["u", "v"])
    h = np.sqrt(sum(np.subtract.outer(data[c].to_numpy(), data[c].to_numpy()) ** 2 for c in ("u", "v")))
    data["y"] = 2 * np.linalg.cholesky((1 + h) * np.exp(-h) + 1e-9 * np.eye(70)) @ rng.normal(size=70)
    fit = mme.lmer("y ~ u", data, residual=mme.Spatial("matern", ["u", "v"], smoothness=None))
    nu = fit.residual["smoothness"]

    def at(value):
        return mme.lmer("y ~ u", data, residual=mme.Spatial("matern", ["u", "v"], smoothness=value)).criterion

    assert at(nu) == pytest.approx(fit.criterion, abs=1e-7)
    assert min(at(0.9 * nu), at(1.1 * nu)) > fit.criterion + 1e-4
    with pytest.raises(mme.MMEError, match="smoothness is of kind 'matern'"):
        mme.Spatial("gaussian", ["u", "v"], smoothness=None)


def test_residuals_of_a_field_that_genotypes_cross_are_normalised():
    fit = mme.lmer("y ~ trial + (1 | gen)", simulated(), residual=mme.AR1("row", "trial") * mme.AR1("col", "trial"))
    normalised = fit.scaled_residuals("normalised")
    np.testing.assert_allclose(fit.augment()[".normalised"], normalised)
    np.testing.assert_allclose(fit.plot.residuals(data=True)["residual"], normalised)
    assert len(fit.plot.qq(data=True)) == len(normalised)


@pytest.mark.parametrize(("kind", "seed"), [("gaussian", 20), ("gaussian", 25), ("spherical", 0), ("spherical", 4)])
def test_a_field_of_distances_with_a_nugget_is_searched_in_its_lowest_valley(kind, seed):
    """Points over a square, on which a search from one place ended 3 to 10 above the lowest value of a grid."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 120))
    x, y = rng.uniform(0, 10, n), rng.uniform(0, 10, n)
    if seed % 3 == 0:
        x, y = np.floor(x), np.floor(y)
    D = np.hypot(np.subtract.outer(x, x), np.subtract.outer(y, y))
    correlation = {
        "gaussian": lambda h: np.exp(-(h**2)),
        "spherical": lambda h: np.where(h < 1, 1 - 1.5 * h + 0.5 * h**3, 0.0),
    }[kind]
    reach, nugget = rng.choice([0.5, 2, 5]), rng.choice([0.1, 0.5, 0.95])
    V = (1 - nugget) * correlation(D / reach) + nugget * np.eye(n)
    data = pd.DataFrame({"x": x, "y": y, "z": rng.multivariate_normal(np.zeros(n), V)})
    fit = mme.lmer("z ~ 1", data, residual=mme.Spatial(kind, ["x", "y"], nugget=True))

    def criterion(reach, nugget):
        W = np.linalg.inv(np.linalg.cholesky((1 - nugget) * correlation(D / reach) + nugget * np.eye(n)))
        one, z = W.sum(axis=1), W @ data["z"].to_numpy()
        rest = z - one * (one @ z) / (one @ one)
        logdets = -2 * np.log(np.diag(W)).sum() + np.log(one @ one)
        return logdets + (n - 1) * (1 + np.log(2 * np.pi * (rest @ rest) / (n - 1)))

    lowest = min(criterion(r, nu) for r in np.geomspace(0.1, 1e3, 20) for nu in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9))
    assert fit.criterion < lowest + 1e-6
    assert fit.criterion == pytest.approx(criterion(*fit.residual.values()), abs=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_gaussian_field_that_is_a_plane_is_named_as_the_limit_that_it_is(seed):
    """range -> infinity, nugget range^2 = c: planes whose slopes are random, beside independent errors."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(0, 10, (2, 42))
    data = pd.DataFrame({"x": at[0], "y": at[1], "z": 0.5 * at[0] - 0.3 * at[1] + 3 * rng.normal(size=42)})
    fit = mme.lmer("z ~ 1", data, residual=mme.Spatial("gaussian", ["x", "y"], nugget=True))
    assert fit.optimum.ended == ("nugget",)
    assert fit.optimum.verdict == "minimum on the boundary"
    planes = mme.lmer("z ~ 1 + diag(0 + x + y | all, hom = TRUE)", data.assign(all="a"))
    assert fit.criterion == pytest.approx(planes.criterion, abs=1e-4)
