"""Beside a standard deviation that is held sigma is estimated: uncertainty is that of dense algebra over what was."""

import numpy as np
import pytest

import mme
from mme.numeric.differences import central


def sleep(**hold):
    return mme.lmer("Reaction ~ Days + (Days || Subject)", mme.load("sleepstudy"), hold=hold)


def dense(fit, held):
    """Variances (p,) of beta, their degrees of freedom, and the covariance of (sd of Days, log sigma), from V."""
    data = mme.load("sleepstudy")
    y, days = np.asarray(data["Reaction"], dtype=float), np.asarray(data["Days"], dtype=float)
    X = np.column_stack([np.ones(y.size), days])
    same = (np.asarray(data["Subject"])[:, None] == np.asarray(data["Subject"])).astype(float)

    def values(x):
        sd, sigma = x[0], np.exp(x[1])
        V = sigma**2 * np.eye(y.size) + held(sigma) * same + sd**2 * same * np.outer(days, days)
        C = X.T @ np.linalg.solve(V, X)
        r = y - X @ np.linalg.solve(C, X.T @ np.linalg.solve(V, y))
        criterion = np.linalg.slogdet(V)[1] + np.linalg.slogdet(C)[1] + r @ np.linalg.solve(V, r)
        return np.append(np.log(np.diag(np.linalg.inv(C))), criterion)

    at = np.array([fit.varcorr["Subject.1"].sd[0], np.log(fit.sigma)])
    step = np.array([0.05, 0.01])
    first, second, _ = central(lambda t: values(at + step * t), 2, 3)
    A = 2.0 * np.linalg.inv(second / np.outer(step, step))
    slopes = first[:, :2] / step[:, None]
    return np.exp(values(at)[:2]), 2.0 / np.einsum("ic,ij,jc->c", slopes, A, slopes), A


@pytest.mark.parametrize(
    ("hold", "held"),
    [({"V_Subject.(Intercept)": 900.0}, lambda sigma: 900.0), ({"Subject.(Intercept)": 1.0}, lambda sigma: sigma**2)],
    ids=["absolute", "ratio"],
)
def test_degrees_of_freedom_are_those_of_dense_algebra(hold, held):
    fit = sleep(**hold)
    variances, df, A = dense(fit, held)
    table = fit.coefficients(ddf="satterthwaite")
    np.testing.assert_allclose(table["se"] ** 2, variances, rtol=1e-6)
    np.testing.assert_allclose(table["df"], df, rtol=1e-4)
    rows = fit.tidy(effects="variance").set_index("term")
    assert rows.loc["sd Days", "std_error"] == pytest.approx(np.sqrt(A[0, 0]), rel=1e-3)
    assert rows["std_error"].iloc[-1] == pytest.approx(fit.sigma * np.sqrt(A[1, 1]), rel=1e-3)


def test_kenward_rogers_method_takes_what_was_estimated_alone():
    fit = sleep(**{"V_Subject.(Intercept)": 900.0})
    one = fit.coefficients(ddf="kenward-roger")
    np.testing.assert_allclose(one["df"], fit.coefficients(ddf="satterthwaite")["df"], rtol=1e-6)
    assert (one["se"] >= fit.coefficients()["se"] * (1 - 1e-9)).all()


def test_what_is_held_has_no_standard_error_and_shares_have():
    fit = sleep(**{"V_Subject.(Intercept)": 900.0})
    rows = fit.tidy(effects="variance").set_index("term")
    assert np.isnan(rows.loc["sd (Intercept)", "std_error"])
    share = fit.vpredict("V_Subject / (V_Subject + V_res)")
    own = fit.vpredict("V_res")
    assert share["se"] == pytest.approx(900.0 * own["se"] / (900.0 + own["estimate"]) ** 2, rel=1e-6)


def test_predictions_have_finite_degrees_of_freedom():
    new = {"Days": [0.0, 10.0], "Subject": ["308", "new"]}
    found = sleep(**{"V_Subject.(Intercept)": 900.0}).predict(new, interval="prediction", new_levels="population")
    assert np.isfinite(found["df"]).all()


def test_limits_beside_a_known_sigma_are_where_the_deviance_is_a_quantile_higher():
    """The slope held at a limit is one that is taken off the response."""
    data, known = mme.load("sleepstudy"), {"method": "ML", "sigma": 30.0, "hold": {"sd_Days|Subject": 6.0}}
    fit = mme.lmer("Reaction ~ Days + (Days || Subject)", data, **known)
    for limit in fit.profile("Days").confint().loc["Days"]:
        off = data.assign(Reaction=data["Reaction"] - limit * data["Days"])
        held = mme.lmer("Reaction ~ 1 + (Days || Subject)", off, **known)
        assert held.criterion - fit.criterion == pytest.approx(1.959964**2, abs=1e-4)
