"""Variances, heritabilities and correlations along a covariate, against formulas written out and other bases."""

import numpy as np
import pandas as pd
import pytest

import mme

# Additive covariances of body weights of mice at 2, 3 and 4 weeks (Kirkpatrick, Lofsvold and Bulmer 1990, Genetics
# 124:979-993).
MICE = np.array([[436.0, 522.3, 424.2], [522.3, 808.0, 664.7], [424.2, 664.7, 558.0]])
LINE = "(`V_Subject.(Intercept)` + 18 * `C_Subject.(Intercept).Days` + 81 * V_Subject.Days)"


@pytest.fixture(scope="module")
def sleep() -> pd.DataFrame:
    data = mme.load("sleepstudy")
    return data.assign(late=data["Days"] > 4)


@pytest.fixture(scope="module")
def straight(sleep: pd.DataFrame) -> mme.Fit:
    return mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)


def test_shares_and_correlations_are_the_formulas_written_out(straight: mme.Fit) -> None:
    share = straight.variance_curve(at={"Days": [0, 9]}).loc[9, ["share", "se"]]
    written = straight.vpredict(f"{LINE} / ({LINE} + V_res)")
    np.testing.assert_allclose(share, written[["estimate", "se"]], rtol=1e-6)
    rho = straight.correlation_curve(at={"Days": [0, 9]}).loc[(0, 9)]
    covariance = "`V_Subject.(Intercept)` + 9 * `C_Subject.(Intercept).Days`"
    written = straight.vpredict(f"({covariance}) / sqrt(`V_Subject.(Intercept)` * {LINE})")
    np.testing.assert_allclose(rho[["correlation", "se"]], written[["estimate", "se"]], rtol=1e-6)
    assert rho["covariance"] == pytest.approx(straight.vpredict(covariance)["estimate"])


def test_the_basis_of_a_line_changes_no_function_of_it(sleep: pd.DataFrame, straight: mme.Fit) -> None:
    other = mme.lmer("Reaction ~ Days + (0 + legendre(Days, 1, intercept = TRUE) | Subject)", sleep)
    at = {"Days": [0, 2.5, 9]}
    for curve in ("variance_curve", "correlation_curve"):
        one, same = (getattr(fit, curve)(at=at) for fit in (straight, other))
        np.testing.assert_allclose(one, same, rtol=2e-4)
        assert list(getattr(other, curve)(at=at, se=False)) == list(one)[:-1]


def test_a_normal_response_of_a_generalised_fit_has_the_same_curves(sleep: pd.DataFrame) -> None:
    linear = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep, method="ML")
    fit = mme.glmer("Reaction ~ Days + (Days | Subject)", sleep, "gaussian")
    for curve in ("variance_curve", "correlation_curve"):
        one, other = (getattr(each, curve)(at={"Days": [0, 4, 9]}) for each in (linear, fit))
        np.testing.assert_allclose(one, other, rtol=2e-4)


def test_residual_variances_that_differ_are_read_at_their_columns(sleep: pd.DataFrame) -> None:
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep, residual=mme.Heterogeneous("late"))
    table = fit.variance_curve(at={"Days": [0, 9], "late": [False, True]})
    ratio = next(iter(fit.residual.values()))
    np.testing.assert_allclose(table["residual"], fit.sigma**2 * np.array([1.0, ratio**2]))
    for name, row in zip(("V_res", f"V_res * {ratio!r}^2"), table.itertuples(), strict=True):
        own = "`V_Subject.(Intercept)`" if name == "V_res" else LINE
        assert fit.vpredict(f"{own} / ({own} + {name})")["estimate"] == pytest.approx(row.share)
    written = fit.vpredict(f"{LINE} / ({LINE} + V_res * `sd.TRUE/sd.FALSE`^2)")
    np.testing.assert_allclose(written[["estimate", "se"]], table[["share", "se"]].iloc[1], rtol=1e-5)
    with pytest.raises(mme.MMEError, match="give the columns of the residual structure in at= too"):
        fit.variance_curve(at={"Days": [0, 9]})


def test_a_covariance_function_of_full_order_is_the_covariance_at_its_ages() -> None:
    """Phi K Phi' = G with K = Phi^-1 G Phi'^-1, Phi the normalised Legendre polynomials at -1, 0, 1."""
    x = np.array([-1.0, 0.0, 1.0])
    Phi = np.column_stack([np.sqrt([0.5] * 3), np.sqrt(1.5) * x, np.sqrt(2.5) * (1.5 * x**2 - 0.5)])
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"mouse": np.repeat(np.arange(20), 3), "age": np.tile([2.0, 3.0, 4.0], 20)})
    data["weight"] = rng.normal(size=60)
    formula = "weight ~ 1 + (0 + legendre(age, 2, intercept = TRUE) | mouse)"
    L = np.linalg.cholesky(np.linalg.inv(Phi) @ MICE @ np.linalg.inv(Phi).T)
    theta = [L[i, j] for j in range(3) for i in range(j, 3)]
    fit = mme.lmer(formula, data, theta=theta, sigma=1.0)
    table = fit.correlation_curve(at={"age": [2.0, 3.0, 4.0]})
    np.testing.assert_allclose(table["covariance"], MICE[np.triu_indices(3, 1)])
    np.testing.assert_allclose(fit.variance_curve(at={"age": [2.0, 3.0, 4.0]})["mouse"], np.diag(MICE))
    assert table["se"].isna().all()  # nothing was estimated
    with pytest.raises(mme.MMEError, match="two values or more"):
        fit.correlation_curve(at={"age": 2.0})
