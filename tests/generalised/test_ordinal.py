"""Ordered categories: cumulative link models of the wine data against R's clmm, thresholds in the intercept's place."""

from __future__ import annotations

import json

import numpy as np
import pytest

import mme
from tests.glmm import FOLDER, data_of

CASES = json.loads((FOLDER / "cases_ordinal_clmm.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_cumulative_link_models_are_those_of_clmm(case: dict) -> None:
    # clmm's cloglog is polr's loglog: that of the categories from the last to the first
    mirrored = case["link"] == "cloglog"
    data = data_of("wine").assign(rating=lambda d: 6.0 - d["rating"] if mirrored else d["rating"])
    sign = -1.0 if mirrored else 1.0
    fit = mme.glmer(case["formula"], data, mme.Ordinal(link=case["link"]), n_agq=case["nAGQ"])
    assert fit.criterion == pytest.approx(case["objective"], abs=1e-5)  # clmm finds its modes to 1e-4
    np.testing.assert_allclose(sign * fit.beta, case["beta"], rtol=1e-4)
    thresholds = np.array(list(fit.parameters.values()))
    np.testing.assert_allclose(sign * thresholds[:: int(sign)], case["thresholds"], rtol=1e-4, atol=1e-4)
    assert float(fit.varcorr["judge"].sd[0]) == pytest.approx(case["sd"], rel=1e-4)
    assert fit.dof == case["df"]
    assert fit.dropped == ()


def test_two_categories_are_a_binary_response() -> None:
    data = data_of("wine")
    one = mme.glmer("high ~ temp + contact + (1 | judge)", data, mme.Binomial(link="probit"))
    other = mme.glmer("high ~ temp + contact + (1 | judge)", data, mme.Ordinal(link="probit"))
    assert other.criterion == pytest.approx(one.criterion, abs=1e-8)
    np.testing.assert_allclose(other.beta, one.beta.iloc[1:], atol=1e-5)
    assert next(iter(other.parameters.values())) == pytest.approx(-one.beta.iloc[0], abs=1e-5)


def test_a_factor_without_intercept_gives_its_last_level_to_the_thresholds() -> None:
    data = data_of("wine")
    one = mme.glmer("rating ~ temp + (1 | judge)", data, mme.Ordinal())
    other = mme.glmer("rating ~ 0 + temp + (1 | judge)", data, mme.Ordinal())
    assert other.criterion == pytest.approx(one.criterion, abs=1e-8)
    assert len(other.fixed_names) == 1


def test_predictions_of_an_ordinal_model_know_new_rows() -> None:
    data = data_of("wine")
    fit = mme.glmer("rating ~ temp + contact + (1 | judge)", data, mme.Ordinal())
    link = np.asarray(fit.predict(data.head(6), type="link"))
    np.testing.assert_allclose(link, np.asarray(fit.predict(type="link"))[:6], atol=1e-12)
    assert np.isfinite(link).all()
