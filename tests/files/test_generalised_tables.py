"""Tables of generalised fits: tidy, glance, augment, and the export."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import mme
from mme.files.generalised_tables import as_dict
from tests.glmm import glmm_case, glmm_fit


def test_tidy_has_a_row_an_estimate_with_z():
    fit = glmm_fit("contra_slope")
    table = fit.tidy(level=0.9)
    assert table["effect"].tolist() == ["fixed"] * 5 + ["variance"] * 3
    assert table["term"].tolist()[5:] == ["sd (Intercept)", "sd urbanY", "cor (Intercept), urbanY"]
    part = fit.varcorr["district"]
    np.testing.assert_allclose(table["estimate"], [*fit.beta, *part.sd, part.corr[1, 0]], rtol=1e-15)
    fixed = table.head(5)
    np.testing.assert_allclose(fixed["statistic"], fit.beta / fit.se, rtol=1e-14)
    np.testing.assert_allclose(fixed["p_value"], 2.0 * norm.sf(np.abs(fit.beta / fit.se)), rtol=1e-10)
    np.testing.assert_allclose(fixed["upper"] - fixed["estimate"], norm.ppf(0.95) * fit.se, rtol=1e-9)
    assert np.isinf(fixed["df"]).all()


def test_tables_of_linear_and_generalised_fits_go_under_one_another():
    fits = [mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff")), glmm_fit("cbpp_logit")]
    table = pd.concat([fit.tidy(("fixed", "variance", "blup")) for fit in fits])
    assert len(table) == 3 + 6 + 5 + 15
    summary = pd.concat([fit.glance() for fit in fits], ignore_index=True)
    assert summary["family"].tolist()[1] == "binomial"
    assert summary["aic"].tolist() == [fit.aic for fit in fits]


def test_tidy_has_modes_with_their_conditional_deviations():
    fit = glmm_fit("cbpp_logit")
    table = fit.tidy("blup")
    np.testing.assert_allclose(table["estimate"], fit.ranef()["herd"].to_numpy().ravel(), rtol=1e-15)
    np.testing.assert_allclose(table["std_error"], np.sqrt(fit.condvar()["herd"].ravel()), rtol=1e-14)
    with pytest.raises(mme.MMEError, match="effects are 'fixed', 'variance', 'blup'; got 'random'"):
        fit.tidy("random")


def test_augment_has_the_parts_of_the_linear_predictor_and_residuals_that_make_the_deviance():
    case = glmm_case("cbpp_logit")
    fit, data = glmm_fit("cbpp_logit"), case.data
    table = fit.augment(data)
    assert table.columns[: data.shape[1]].tolist() == data.columns.tolist()
    b = fit.ranef()["herd"]["(Intercept)"].loc[data["herd"].astype(str)].to_numpy()
    np.testing.assert_allclose(table[".linear_predictor"], table[".fixed"] + b, atol=1e-12)
    np.testing.assert_allclose(table[".fitted"], 1.0 / (1.0 + np.exp(-table[".linear_predictor"])), rtol=1e-12)
    y, p, n = data["incidence"] / data["size"], table[".fitted"], data["size"]
    np.testing.assert_allclose(table[".pearson"], (y - p) / np.sqrt(p * (1.0 - p) / n), rtol=1e-10)
    # lme4: residuals(m, "deviance") are signed roots of binomial()$dev.resids(y, mu, wt)
    s, f = data["incidence"], data["size"] - data["incidence"]
    with np.errstate(divide="ignore", invalid="ignore"):
        dev = 2 * (np.where(s > 0, s * np.log(y / p), 0.0) + np.where(f > 0, f * np.log((1 - y) / (1 - p)), 0.0))
    np.testing.assert_allclose(table[".deviance"], np.sign(y - p) * np.sqrt(dev), atol=1e-10)
    alone = fit.augment()
    assert len(alone.columns) == 9
    np.testing.assert_allclose(table[".leverage"], fit.leverage())
    np.testing.assert_allclose(table[".cooks_distance"], fit.cooks_distance())
    np.testing.assert_allclose(alone.iloc[:, 0], y)


def test_records_of_weight_zero_have_no_leverage():
    case = glmm_case("cbpp_logit")
    weights = np.ones(56)
    weights[3:5] = 0.0
    table = mme.glmer(case.json["formula"], case.data, weights=weights).augment()
    others = mme.glmer(case.json["formula"], case.data[weights > 0.0]).augment()
    np.testing.assert_allclose(table[".leverage"][weights == 0.0], 0.0, atol=1e-14)
    np.testing.assert_allclose(table[weights > 0.0], others, atol=1e-7)


def test_augment_has_a_row_for_rows_left_out():
    data = pd.DataFrame({"y": [0.0, 3, np.nan, 1, 5, 2], "g": list("aabbcc")}, index=list("uvwxyz"))
    table = mme.glmer("y ~ 1 + (1 | g)", data, "poisson").augment(data)
    assert table.index.tolist() == list("uvwxyz")
    assert table[".fitted"].isna().tolist() == [False, False, True, False, False, False]


def test_the_export_is_plain_and_says_the_family():
    fit = glmm_fit("cbpp_logit")
    found = json.loads(json.dumps(as_dict(fit.internals), allow_nan=False))
    assert found == as_dict(fit.internals)
    assert (found["family"], found["link"], found["parameters"]) == ("binomial", "logit", [])
    table = fit.coefficients()
    for column in ("z", "p"):
        np.testing.assert_allclose([one[column] for one in found["beta"]], table[column], rtol=1e-13)
    assert found["groups"] == {"herd": 15}
    assert "sigma" not in found
