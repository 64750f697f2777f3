"""Several responses in wide form: the long form written by hand, and its likelihood by n x n matrices."""

import numpy as np
import pandas as pd
import pytest

import mme


@pytest.fixture(scope="module")
def wide():
    """Two traits of 120 records in fifteen groups; some of either are missing, and of one record both."""
    rng = np.random.default_rng(6)
    g, f = rng.integers(0, 15, 120), rng.choice(["u", "v", "w"], 120)
    data = pd.DataFrame({"g": g, "f": f, "x": rng.normal(size=120)})
    b = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 2]], 15)[g]
    e = rng.multivariate_normal([0, 0], [[1, 0.4], [0.4, 1.5]], 120)
    data["y1"], data["y2"] = 1 + data["x"] + b[:, 0] + e[:, 0], 2 - data["x"] + b[:, 1] + e[:, 1]
    data.loc[::7, "y2"] = np.nan
    data.loc[::11, "y1"] = np.nan
    return data


@pytest.fixture(scope="module")
def fit(wide):
    return mme.lmer("cbind(y1, y2) ~ x + f + (1 | g)", wide)


def test_it_is_the_long_form_written_by_hand(wide, fit):
    long = wide.assign(id=np.arange(120)).melt(["g", "f", "x", "id"], ["y1", "y2"], "t", "y").dropna()
    formula = "y ~ 0 + t + t:x + t:f + (0 + t | g)"
    by_hand = mme.lmer(formula, long, residual=mme.Unstructured("t", "id"))
    assert fit.criterion == pytest.approx(by_hand.criterion, abs=1e-6)
    np.testing.assert_allclose(fit.beta, by_hand.beta, atol=1e-4)
    assert list(fit.beta.index[:4]) == ["traity1", "traity2", "traity1:x", "traity2:x"]


def test_its_criterion_is_that_of_the_definition(wide, fit):
    long = wide.assign(id=np.arange(120)).melt(["g", "f", "x", "id"], ["y1", "y2"], "t", "y").dropna()
    t = (long["t"] == "y2").to_numpy().astype(int)
    one = np.column_stack([np.ones(len(long)), long["x"], long["f"] == "v", long["f"] == "w"]).astype(float)
    X = np.column_stack([one * (t == 0)[:, None], one * (t == 1)[:, None]])
    rho, ratio = fit.internals.residual.values()
    sd = fit.sigma * np.array([1.0, ratio])
    R = np.outer(sd, sd) * np.array([[1.0, rho], [rho, 1.0]])
    same = {name: np.equal.outer(long[name].to_numpy(), long[name].to_numpy()) for name in ("g", "id")}
    V = np.where(same["g"], fit.varcorr["g"].cov[np.ix_(t, t)], 0.0) + np.where(same["id"], R[np.ix_(t, t)], 0.0)
    Vinv, y = np.linalg.inv(V), long["y"].to_numpy()
    XVX = X.T @ Vinv @ X
    e = y - X @ np.linalg.solve(XVX, X.T @ Vinv @ y)
    n, p = X.shape
    logdet = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    assert fit.criterion == pytest.approx(logdet + e @ Vinv @ e + (n - p) * np.log(2 * np.pi), abs=1e-6)


def test_traits_without_missing_values_and_without_random_part_are_separate_regressions(wide):
    """Zellner: with one X for all traits least squares of each is the estimate."""
    whole = wide.dropna()
    both = mme.lmer("cbind(y1, y2) ~ x", whole)
    for trait in ("y1", "y2"):
        alone = mme.lm(f"{trait} ~ x", whole)
        np.testing.assert_allclose(both.beta[[f"trait{trait}", f"trait{trait}:x"]], alone.beta, rtol=1e-8)


def test_mappings_serve_as_data_and_updates_are_of_the_long_form(wide):
    mapping = {name: wide[name].tolist() for name in wide}
    fit = mme.lmer("cbind(y1, y2) ~ x + (1 | g)", mapping)
    assert fit.formula == "value ~ 0 + trait + trait:x + (0 + trait | g)"
    assert "trait:x" not in fit.update("~ . - trait:x").formula


def test_what_the_long_form_cannot_say_is_refused(wide):
    with pytest.raises(mme.MMEError, match="two columns or more"):
        mme.lmer("cbind(y1, log(y2)) ~ x + (1 | g)", wide)
    with pytest.raises(mme.MMEError, match="no column 'y3'"):
        mme.lmer("cbind(y1, y3) ~ x + (1 | g)", wide)
    with pytest.raises(mme.MMEError, match="rename the column 'trait'"):
        mme.lmer("cbind(y1, y2) ~ x + (1 | g)", wide.assign(trait=1))
    with pytest.raises(mme.MMEError, match="unstructured across the traits"):
        mme.lmer("cbind(y1, y2) ~ x + (1 | g)", wide, residual=mme.CompoundSymmetry("g"))
    with pytest.raises(mme.MMEError, match="write the long form"):
        mme.lmer("cbind(y1, y2) ~ x + cs(x | g)", wide)
    with pytest.raises(mme.MMEError, match="weights: beside cbind"):
        mme.lmer("cbind(y1, y2) ~ x + (1 | g)", wide, weights=np.ones(120))
