"""Names that users of other packages try."""

import copy
import pickle

import numpy as np
import pytest

import mme
from mme.api.aliases import ELSEWHERE, FUNCTIONS, METHODS, VALUES


@pytest.fixture(scope="module", params=["linear", "generalised"])
def fit(request):
    if request.param == "linear":
        return mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    return mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"))


def test_names_of_statsmodels_and_of_r_are_those_of_the_fit(fit):
    assert fit.params.equals(fit.beta)
    assert fit.bse.equals(fit.se)
    table = fit.coefficients()
    assert fit.pvalues.equals(table["p"])
    assert fit.tvalues.equals(table["t"] if "t" in table else table["z"])
    assert fit.cov_params().equals(fit.beta_cov)
    assert fit.conf_int(alpha=0.1).equals(fit.confint(level=0.9))
    assert np.array_equal(np.asarray(fit.fittedvalues), np.asarray(fit.fitted), equal_nan=True)
    assert fit.llf == fit.loglik
    assert fit.random_effects.keys() == fit.ranef().keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_r_may_be_called_or_not(fit, name):
    value = getattr(fit, name)
    assert repr(value) == repr(value())
    again = pickle.loads(pickle.dumps(value))
    assert repr(again) == repr(value)


def test_what_r_calls_them_has_the_numbers(fit):
    assert fit.fixef().equals(fit.beta)
    assert fit.vcov.equals(fit.beta_cov)
    assert float(fit.logLik) == float(fit.logLik()) == fit.loglik
    assert np.array_equal(next(iter(fit.VarCorr.values())).sd, next(iter(fit.varcorr.values())).sd)


def test_the_residual_standard_deviation_is_of_linear_fits():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    assert fit.sigma_ == fit.sigma
    assert fit.resid.equals(fit.residuals)
    assert fit.resid().equals(fit.residuals)


def test_they_are_hidden_and_do_not_shadow_what_is_there(fit):
    names = {*VALUES, *FUNCTIONS, *METHODS, *ELSEWHERE}
    assert names & set(dir(fit)) == set()
    assert names & set(dir(type(fit))) == set()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_called_otherwise_answers_with_the_name_to_use(fit, name):
    with pytest.raises(AttributeError, match=name) as caught:
        getattr(fit, name)
    assert ELSEWHERE[name] in str(caught.value)


def test_other_names_are_no_attributes_and_copies_work(fit):
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(fit, "nonsense")  # noqa: B009
    assert not hasattr(fit, "nonsense")
    assert copy.copy(fit).criterion == fit.criterion
    assert pickle.loads(pickle.dumps(fit)).criterion == fit.criterion


def test_aicc_is_aic_with_a_penalty_for_few_records(fit):
    k, n = fit.dof, fit.nobs
    assert fit.aicc == pytest.approx(fit.aic + 2 * k * (k + 1) / (n - k - 1))
