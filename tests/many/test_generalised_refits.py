"""Responses of a generalised model searched together: each has the optimum that it has by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mme
from mme.many.generalised_refits import GeneralisedBatch
from mme.numeric.limits import Limits, within


def _table(seed: int = 3, n: int = 160, J: int = 20) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    g, x = np.arange(n) % J, rng.normal(size=n)
    eta = 0.2 + 0.5 * x + rng.normal(size=J)[g] * 0.7 + 0.4 * x * rng.normal(size=J)[g]
    return {
        "g": g,
        "h": rng.integers(0, 6, n),
        "x": 2000.0 + x,
        "twice": 2.0 * x,
        "z": x,
        "of": rng.integers(1, 9, n),
        "w": rng.integers(0, 3, n).astype(float),
        "e": rng.uniform(0.5, 2.0, n),
        "count": rng.poisson(np.exp(eta)),
        "over": rng.negative_binomial(1.5, 1.5 / (1.5 + np.exp(eta))),
        "yes": rng.random(n) < 1.0 / (1.0 + np.exp(-eta)),
    }


MODELS = [
    ("yes ~ x + (1 | g)", "binomial", {}),
    ("count ~ z + twice + (z | g)", "poisson", {"exposure": "e"}),
    ("count ~ x + (x || g)", "poisson", {"weights": "w"}),
    ("over ~ z + (1 | g)", mme.NegativeBinomial(), {}),
    ("over ~ 1 + (z | g)", mme.NegativeBinomial(size=2.0), {}),
    ("yes ~ 1 + (0 + x | g)", "binomial", {}),
    ("count ~ z + (1 | g)", "poisson", {"theta": [0.4]}),
]


@pytest.mark.parametrize(("formula", "family", "options"), MODELS, ids=[one[0] for one in MODELS])
def test_each_response_ends_where_it_ends_by_itself(formula: str, family: Any, options: dict[str, Any]) -> None:
    fit = mme.glmer(formula, _table(), family, **options)
    Y = np.asarray(fit.simulate(60, seed=3))
    many = fit.refit(Y)
    _, _, alone = GeneralisedBatch.of(fit.internals).search(many._responses, 1)
    assert alone.mean() < 0.3
    for i in range(0, 60, 5):
        one = fit.refit(Y[:, i])
        assert many.criterion[i] == pytest.approx(one.criterion, abs=1e-7)
        assert many.singular[i] == bool(one.optimum.boundary)
        np.testing.assert_allclose(many.beta[i, fit.internals.basis.kept], one.beta, atol=1e-4 * np.nanmax(one.se))
        np.testing.assert_allclose(many.parameters[i], list(one.parameters.values()), rtol=1e-4)
        for T, own in zip(fit.model.T(many.theta[i]), fit.model.T(one.theta), strict=True):
            np.testing.assert_allclose(T @ T.T, own @ own.T, atol=1e-4 * max(1.0, np.abs(own).max() ** 2))
    assert many[7].criterion == pytest.approx(many.criterion[7], abs=1e-8)
    assert list(many.table.columns)[-1] == fit.model.x_names[-1]


def test_records_that_are_alike_are_counted_for_each_response() -> None:
    rng = np.random.default_rng(8)
    n, g, x = 1200, rng.integers(0, 30, 1200), rng.integers(0, 2, 1200)
    data = {"y": rng.random(n) < 0.3 + 0.2 * x, "x": x, "g": g}
    fit = mme.glmer("y ~ x + (1 | g)", data)
    assert fit.engine.different is not None
    Y = np.asarray(fit.simulate(60, seed=4))
    many = fit.refit(Y)
    for i in (0, 31, 59):
        assert many.criterion[i] == pytest.approx(fit.refit(Y[:, i]).criterion, abs=1e-7)


def test_a_bootstrap_has_the_same_draws_however_many_are_searched_together() -> None:
    fit = mme.glmer("yes ~ z + (1 | g)", _table())
    together = fit.bootstrap(60, seed=5)
    with within(Limits(responses_together=10**6)):
        alone = fit.bootstrap(60, seed=5, workers=1)
    np.testing.assert_allclose(together.values, alone.values, atol=1e-5)
    assert (together.singular == alone.singular).all()
    # but for the last digits, which change where loops kept on disk come to hand in between
    np.testing.assert_allclose(together.values, fit.bootstrap(60, seed=5, workers=2).values, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize(("response", "family"), [("yes", "binomial"), ("count", "poisson")])
def test_one_column_is_one_response(response: str, family: str) -> None:
    fit = mme.glmer(f"{response} ~ x + (1 | g)", _table(), family)
    column = fit.simulate(1, seed=3)
    assert fit.refit(column).criterion == fit.refit(column.iloc[:, 0]).criterion


def test_terms_that_cross_are_searched_one_by_one() -> None:
    fit = mme.glmer("count ~ z + (1 | g) + (1 | h)", _table(), "poisson")
    Y = np.asarray(fit.simulate(3, seed=1))
    many = fit.refit(pd.DataFrame(Y, columns=["a", "b", "c"]))
    assert many.names == ("a", "b", "c")
    assert many[1].criterion == pytest.approx(fit.refit(Y[:, 1], start_here=False).criterion, abs=1e-7)


def test_two_columns_of_proportions_are_two_responses_and_of_counts_are_one() -> None:
    data = _table()
    data["ill"] = np.minimum(data["count"], data["of"])
    fit = mme.glmer("cbind(ill, of - ill) ~ z + (1 | g)", data)
    both = np.column_stack([data["ill"], data["of"] - data["ill"]])
    assert fit.refit(both).criterion == pytest.approx(fit.criterion, abs=1e-8)
    assert len(fit.refit(fit.simulate(2, seed=1))) == 2
    binary = mme.glmer("yes ~ z + (1 | g)", data)
    pair = np.column_stack([data["yes"], ~data["yes"]])
    assert binary.refit(pair).criterion == pytest.approx(binary.criterion, abs=1e-8)


def test_a_response_that_the_family_cannot_have_is_named() -> None:
    fit = mme.glmer("count ~ z + (1 | g)", _table(), "poisson")
    Y = pd.DataFrame(np.asarray(fit.simulate(3, seed=1)), columns=["a", "b", "c"]).assign(b=-1.0)
    with pytest.raises(mme.MMEError, match=r"response 'b'.*at least 0"):
        fit.refit(Y)
    with pytest.raises(mme.MMEError, match="values for the 160 rows"):
        fit.refit(Y[:-1])
