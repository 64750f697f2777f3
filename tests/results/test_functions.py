"""Functions of variances and the standard errors of variance parameters: closed forms, dense likelihoods, peers."""

import numpy as np
import pytest

import mme
from mme.numeric.differences import central


def test_a_balanced_one_way_layout_has_its_closed_form():
    # 6 batches of 5: mean squares are independent, with variances 2 E^2 / df (Searle, Casella and McCulloch 1992, 3.5)
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    within, between = fit.sigma**2, fit.sigma**2 + 5 * fit.varcorr["Batch"].cov[0, 0]
    residual, batch = fit.vpredict("V_res"), fit.vpredict("V_Batch")
    assert residual["se"] == pytest.approx(within * np.sqrt(2 / 24), rel=1e-5)
    assert batch["se"] == pytest.approx(np.sqrt(2 * between**2 / 5 + 2 * within**2 / 24) / 5, rel=1e-5)
    assert batch["upper"] - batch["estimate"] == pytest.approx(1.959964 * batch["se"], rel=1e-6)
    total = fit.vpredict("total ~ V_Batch + V_res")
    assert total.name == "total"
    # V_Batch = (MSA - MSE) / 5: cov(V_Batch, V_res) = -var(MSE) / 5
    expected = batch["se"] ** 2 + residual["se"] ** 2 - 2 * residual["se"] ** 2 / 5
    assert total["se"] == pytest.approx(np.sqrt(expected), rel=1e-5)


def natural_criterion(y, X, Z, groups, reml):
    """-2 log likelihood of sd, correlation and sigma of (x | g), beta profiled out alone."""
    same = np.equal.outer(groups, groups)

    def value(natural):
        sd, rho, sigma = natural[:2], natural[2], natural[3]
        G = np.outer(sd, sd) * np.array([[1.0, rho], [rho, 1.0]])
        V = same * (Z @ G @ Z.T) + sigma**2 * np.eye(y.size)
        inverse = np.linalg.inv(V)
        XVX = X.T @ inverse @ X
        r = y - X @ np.linalg.solve(XVX, X.T @ inverse @ y)
        return np.linalg.slogdet(V)[1] + r @ inverse @ r + reml * np.linalg.slogdet(XVX)[1]

    return value


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_standard_errors_are_those_of_the_likelihood_by_natural_parameters(method):
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", data, method=method)
    rows = fit.tidy("variance")
    X, groups = np.column_stack([np.ones(180), data["Days"]]), np.unique(data["Subject"], return_inverse=True)[1]
    value = natural_criterion(data["Reaction"].to_numpy(), X, X, groups, method == "REML")
    at, size = rows["estimate"].to_numpy(), np.array([1.0, 0.2, 0.05, 0.3])
    _, hessian, _ = central(lambda t: np.array([value(at + size * t)]), 4, 1)
    expected = size * np.sqrt(np.diag(2.0 * np.linalg.inv(hessian)))
    np.testing.assert_allclose(rows["std_error"], expected, rtol=1e-4)
    sd, se = rows["estimate"][0], rows["std_error"][0]
    assert rows["upper"][0] == pytest.approx(sd * np.exp(1.959964 * se / sd), rel=1e-6)  # on the scale of logarithms
    assert (rows["lower"] < rows["estimate"]).all()


def test_heritability_is_a_function_of_variances():
    rng = np.random.default_rng(4)
    sire = np.repeat(np.arange(20), 10)
    pedigree = mme.Pedigree(np.arange(220), [None] * 20 + sire.tolist(), [None] * 220)
    data = {"y": rng.normal(size=200) + rng.normal(size=20)[sire], "animal": np.arange(20, 220)}
    fit = mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": pedigree})
    found = fit.vpredict("V_animal / (V_animal + V_res)")
    np.testing.assert_allclose(found[["estimate", "se"]], fit.heritability("animal").iloc[0], rtol=1e-6)


def test_variances_of_strata_and_occasions_have_names():
    rng = np.random.default_rng(5)
    t, g = np.tile(["a", "b", "c"], 40), np.repeat(np.arange(40), 3)
    y = rng.normal(size=(40, 3)) @ np.linalg.cholesky([[1.0, 0.6, 0.8], [0.6, 4.0, 1.0], [0.8, 1.0, 2.0]]).T
    data = {"y": y.ravel(), "t": t, "g": g}
    fit = mme.lmer("y ~ t", data, residual=mme.Unstructured("t", "g"))
    # complete groups: the covariance is that of the residuals, with standard errors of a Wishart matrix on 39
    S = np.cov(y.T)
    for i, j in ((0, 0), (1, 1), (0, 1), (2, 1)):
        name = f"V_res.{'abc'[i]}" if i == j else f"C_res.{'abc'[i]}.{'abc'[j]}"
        found = fit.vpredict(name)
        assert found["estimate"] == pytest.approx(S[i, j], rel=1e-5)
        assert found["se"] == pytest.approx(np.sqrt((S[i, i] * S[j, j] + S[i, j] ** 2) / 39), rel=1e-4)
    strata = mme.lmer("y ~ t", data, residual=mme.Heterogeneous("t"))
    assert strata.vpredict("V_res.c")["estimate"] == pytest.approx(S[2, 2], rel=1e-5)
    assert strata.vpredict("sqrt(V_res.b) - sigma * `sd.b/sd.a`")["estimate"] == pytest.approx(0.0, abs=1e-9)


def test_many_parameters_have_the_standard_errors_that_few_have():
    rng = np.random.default_rng(6)
    data = {"st": np.repeat(np.arange(8), 30), "g": rng.integers(0, 25, 240)}
    data["y"] = rng.normal(size=25)[data["g"]] + rng.normal(size=240) * (1.0 + data["st"])
    fit = mme.lmer("y ~ 1 + (1 | g)", data, residual=mme.Heterogeneous("st"))
    # the strata one by one: the marginal likelihood knows nothing of how its maximum was searched
    again = mme.lmer("y ~ 1 + (1 | g)", data, residual=mme.Heterogeneous("st"), search="derivative-free")
    np.testing.assert_allclose(fit.tidy("variance")["std_error"], again.tidy("variance")["std_error"], rtol=1e-4)


def test_nothing_is_said_where_the_method_has_nothing_to_say():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff2"))
    assert np.isnan(fit.vpredict("V_Batch")["se"])
    assert fit.tidy("variance")["std_error"].isna().tolist() == [True, False]
    given = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"), theta=[0.8])
    assert np.isnan(given.vpredict("V_Batch / V_res")["se"])
    # sigma alone is estimated, on 29 degrees of freedom
    assert given.vpredict("V_res")["se"] == pytest.approx(given.sigma**2 * np.sqrt(2 / 29))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("V_Bach / V_res", "there is no 'V_Bach'; did you mean V_Batch"),
        ("V_Batch %in% V_res", "only [+] - [*] / "),
        ("sin(V_Batch)", "only [+] - [*] / "),
        ("1 / 0", "is inf at the estimates"),
        ("V_Batch / (V_res - V_res)", "is inf at the estimates"),
        ("s ~ sd_(Intercept)|Batch", "go between backticks"),
        (3, "a function of variances is text"),
    ],
)
def test_what_is_no_function_of_the_variances_is_refused(text, message):
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    with pytest.raises(mme.MMEError, match=message):
        fit.vpredict(text)


def test_names_with_spaces_stand_in_backticks_whatever_the_columns_are_called():
    data = mme.load("sleepstudy").rename(columns={"Subject": "the person", "Days": "no. of days"})
    plain = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    fit = mme.lmer("Reaction ~ `no. of days` + (`no. of days` | `the person`)", data)
    for ours, theirs in [
        ("`V_the person.no. of days` / V_res", "V_Subject.Days / V_res"),
        (
            "r ~ `C_the person.(Intercept).no. of days` / sqrt(`V_the person.no. of days`)",
            "r ~ `C_Subject.(Intercept).Days` / sqrt(V_Subject.Days)",
        ),
        ("log(`V_the person.(Intercept)`) - log(V_res)", "log(`V_Subject.(Intercept)`) - log(V_res)"),
    ]:
        np.testing.assert_allclose(fit.vpredict(ours), plain.vpredict(theirs), rtol=1e-5)
    with pytest.raises(mme.MMEError, match=r"did you mean `V_the person\.no\. of days`"):
        fit.vpredict("`V_the person.no of days`")
